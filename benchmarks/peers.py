"""Other model servers: how each is installed into an environment of its own, started, and spoken to."""

from __future__ import annotations

import base64
import json
import shutil
import struct
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.measure import BenchError
from benchmarks.systems import HERE, ONE_THREAD, Launch, PlainSpeech, Speech, System, write_model
from benchmarks.systems import PEERS as FOLDER
from benchmarks.workloads import JSON, Answer, Setup, Workload

INSTALL_TIMEOUT_S = 600
USUAL = frozenset({"noop", "echo", "mlp", "size", "private", "sleep"})
ORIGINAL = ("multi-model-server==1.1.11", "setuptools<81", "wheel", "numpy")

Start = Callable[[Path, Setup, int, Path], Launch]
"""From the environment's programs, the setup, the first port and a folder."""


@dataclass(frozen=True, slots=True)
class Peer:
    """A server that others made."""

    name: str
    requirements: Sequence[str]
    speech: Speech
    start: Start
    batches: bool = True
    """Whether it groups requests."""

    @property
    def environment(self) -> Path:
        """Where it is installed."""
        return FOLDER / self.name

    def serves(self, setup: Setup) -> bool:
        """Not over TLS, and batches of the MLP only where it knows batches."""
        return setup.work in USUAL and not setup.tls and (setup.batch_size == 1 or (self.batches and setup.work == "mlp"))

    def launch(self, setup: Setup, port: int, directory: Path) -> Launch:
        """Its own way of starting, with as many threads as all others."""
        found = self.start(self.environment / "bin", setup, port, directory)
        common = {"PYTHONPATH": f"{HERE / 'handlers'}", **ONE_THREAD}
        return Launch(found.command, found.path, {**common, **found.environment}, "", found.warm_up_factor)


class OpenInference:
    """Version 2 of the inference protocol, with binary tensors behind the JSON where `binary`, else as JSON."""

    def __init__(self, binary: bool, text: str) -> None:
        """`text`: what carries bytes: `BYTES` or `UINT8` behind the JSON, `base64` within."""
        self._binary = binary
        self._text = text

    def encode(self, workload: Workload, body: bytes) -> tuple[dict[str, str], bytes]:
        """A request with one tensor `x`."""
        if workload.setup.work == "echo":
            return self._packed({"name": "x", "datatype": "FP64", "shape": [1, 16], "data": json.loads(body)["x"]}, b"")
        if workload.setup.work == "mlp":
            tensor: dict[str, object] = {"name": "x", "datatype": "FP32", "shape": [1, 512]}
            return self._packed(tensor, body) if self._binary else self._packed({**tensor, "data": struct.unpack("<512f", body)}, b"")
        if self._text == "base64":
            data = [base64.b64encode(body).decode()]
            return self._packed({"name": "x", "datatype": "BYTES", "shape": [1], "parameters": {"content_type": "base64"}, "data": data}, b"")
        if self._text == "UINT8":
            return self._packed({"name": "x", "datatype": "UINT8", "shape": [len(body)]}, body)
        return self._packed({"name": "x", "datatype": "BYTES", "shape": [1, 1]}, struct.pack("<I", len(body)) + body)

    def _packed(self, tensor: dict[str, object], binary: bytes) -> tuple[dict[str, str], bytes]:
        if not binary:
            return {"Content-Type": JSON}, json.dumps({"inputs": [tensor]}).encode()
        head = json.dumps({"inputs": [{**tensor, "parameters": {"binary_data_size": len(binary)}}]}).encode()
        return {"Content-Type": "application/octet-stream", "Inference-Header-Content-Length": str(len(head))}, head + binary

    def decode(self, workload: Workload, data: bytes) -> Answer:
        """The data of the only output: the length of the input stands for OK."""
        values: list[float] = json.loads(data)["outputs"][0]["data"]
        work = workload.setup.work
        if work == "mlp":
            return values
        return "OK" if work in ("noop", "sleep") else float(values[0]) if work == "echo" else int(values[0])


def _torchserve(programs: Path, setup: Setup, port: int, directory: Path) -> Launch:
    write_model(directory / "store" / "m", setup, own_forms=False)
    model = {"defaultVersion": True, "marName": "m", "minWorkers": setup.workers, "maxWorkers": setup.workers, "batchSize": setup.batch_size,
             "maxBatchDelay": setup.batch_delay_ms, "responseTimeout": 120}
    addresses = {"inference_address": port, "management_address": port + 1, "metrics_address": port + 2}
    lines = [f"{name}=http://127.0.0.1:{number}" for name, number in addresses.items()] + [
        f"grpc_inference_port={port + 3}", f"grpc_management_port={port + 4}", f"initial_worker_port={port + 5}", "max_request_size=30000000",
        "load_models=m", f"models={json.dumps({'m': {'1.0': model}})}",
    ]
    config = directory / "config.properties"
    config.write_text("\n".join(lines) + "\n")
    options = ["--start", "--foreground", "--ncs", "--disable-token-auth", "--ts-config", str(config), "--model-store", str(directory / "store")]
    logs = {name: str(directory / "logs") for name in ("LOG_LOCATION", "METRICS_LOCATION")}
    return Launch([str(programs / "torchserve"), *options], "/predictions/m", {**logs, **_first(programs)}, warm_up_factor=3)


def _litserve(programs: Path, setup: Setup, port: int, directory: Path) -> Launch:
    return Launch([str(programs / "python"), str(HERE / "services" / "litserve_app.py"), *_arguments(setup, port)], "/predict")


def _bentoml(programs: Path, setup: Setup, port: int, directory: Path) -> Launch:
    settings = {"BENCH_SETUP": " ".join(_arguments(setup, port)), "BENTOML_DO_NOT_TRACK": "True", "BENTOML_HOME": str(directory / "home")}
    shutil.copy(HERE / "services" / "bentoml_app.py", directory)
    service = "Batched" if setup.batch_size > 1 else {"echo": "Echo", "mlp": "Single"}.get(setup.work, "Text")
    command = [str(programs / "bentoml"), "serve", f"bentoml_app:{service}", "--host", "127.0.0.1", "--port", str(port)]
    return Launch(command, "/predict", {**settings, **_first(programs)})


def _mlserver(programs: Path, setup: Setup, port: int, directory: Path) -> Launch:
    shutil.copy(HERE / "services" / "mlserver_model.py", directory)
    ports = {"http_port": port, "grpc_port": port + 1, "metrics_port": port + 2}
    (directory / "settings.json").write_text(json.dumps({"debug": False, "host": "127.0.0.1", "parallel_workers": setup.workers, **ports}))
    model: dict[str, object] = {"name": "m", "implementation": "mlserver_model.Model"}
    if setup.batch_size > 1:
        model |= {"max_batch_size": setup.batch_size, "max_batch_time": setup.batch_delay_ms / 1e3}
    (directory / "model-settings.json").write_text(json.dumps(model))
    environment = {"BENCH_WORK": setup.work, "PYTHONPATH": f"{HERE / 'handlers'}:{directory}"}
    return Launch([str(programs / "mlserver"), "start", str(directory)], "/v2/models/m/infer", environment)


def _kserve(programs: Path, setup: Setup, port: int, directory: Path) -> Launch:
    command = [str(programs / "python"), str(HERE / "services" / "kserve_app.py"), *_arguments(setup, port)]
    return Launch(command, "/v2/models/m/infer")


def _ray(programs: Path, setup: Setup, port: int, directory: Path) -> Launch:
    command = [str(programs / "python"), str(HERE / "services" / "ray_app.py"), *_arguments(setup, port)]
    return Launch(command, "/m", {"RAY_USAGE_STATS_ENABLED": "0", "RAY_DEDUP_LOGS": "0", **_first(programs)})


_TENSORS: Mapping[str, tuple[str, str]] = {
    "echo": ("TYPE_FP64 dims: [ 16 ]", "TYPE_FP64 dims: [ 1 ]"), "mlp": ("TYPE_FP32 dims: [ 512 ]", "TYPE_FP32 dims: [ 10 ]"),
}


def _triton(programs: Path, setup: Setup, port: int, directory: Path) -> Launch:
    """The server out of the wheel of PyTriton, with its Python backend and a model repository."""
    version = f"{sys.version_info[0]}.{sys.version_info[1]}"
    site = programs.parent / "lib" / f"python{version}" / "site-packages"
    triton = site / "pytriton" / "tritonserver"
    backends = directory / "backends" / "python"
    shutil.copytree(triton / "backends" / "python", backends)
    shutil.copy(triton / "python_backend_stubs" / version / "triton_python_backend_stub", backends)
    model = directory / "repository" / "m"
    (model / "1").mkdir(parents=True)
    shutil.copy(HERE / "services" / "triton_model.py", model / "1" / "model.py")
    taken, given = _TENSORS.get(setup.work, ("TYPE_STRING dims: [ 1 ]", "TYPE_INT64 dims: [ 1 ]"))
    queue = f"dynamic_batching {{ preferred_batch_size: [ {setup.batch_size} ] max_queue_delay_microseconds: {1000 * setup.batch_delay_ms} }}"
    (model / "config.pbtxt").write_text(
        f'name: "m"\nbackend: "python"\nmax_batch_size: {setup.batch_size}\ninput [ {{ name: "x" data_type: {taken} }} ]\n'
        f'output [ {{ name: "y" data_type: {given} }} ]\ninstance_group [ {{ count: {setup.workers} kind: KIND_CPU }} ]\n'
        + (queue if setup.batch_size > 1 else "") + "\n"
    )
    options = {"model-repository": directory / "repository", "backend-directory": directory / "backends", "http-address": "127.0.0.1",
               "http-port": port, "grpc-port": port + 1, "metrics-port": port + 2, "backend-config": f"python,shm-region-prefix-name=b{port}"}
    libraries = f"{sysconfig.get_config_var('LIBDIR')}:{site / 'nvidia_pytriton.libs'}"
    environment = {"BENCH_WORK": setup.work, "BENCH_PATH": f"{HERE / 'handlers'}:{site}", "LD_LIBRARY_PATH": libraries}
    command = [str(triton / "bin" / "tritonserver"), *(f"--{name}={value}" for name, value in options.items())]
    return Launch(command, "/v2/models/m/infer", environment)


def _arguments(setup: Setup, port: int) -> list[str]:
    return [setup.work, str(setup.workers), str(port), str(setup.batch_size), str(setup.batch_delay_ms / 1e3)]


def _first(programs: Path) -> dict[str, str]:
    """An environment in which the programs of the peer come first."""
    return {"PATH": f"{programs}:/usr/local/bin:/usr/bin:/bin"}


PEERS: Mapping[str, Peer] = {peer.name: peer for peer in (
    Peer("triton", ("nvidia-pytriton==0.7.0", "numpy"), OpenInference(binary=True, text="BYTES"), _triton),
    Peer("torchserve", ("torchserve==0.12.0", "torch==2.13.0", "pyyaml", "numpy", "setuptools<81"), PlainSpeech(), _torchserve),
    Peer("litserve", ("litserve==0.2.19", "numpy"), PlainSpeech(), _litserve),
    Peer("bentoml", ("bentoml==1.4.39", "numpy"), PlainSpeech(), _bentoml),
    Peer("mlserver", ("mlserver==1.7.1", "numpy", "uvloop<0.22"), OpenInference(binary=False, text="base64"), _mlserver),
    Peer("kserve", ("kserve==0.21.0", "numpy"), OpenInference(binary=True, text="UINT8"), _kserve, batches=False),
    Peer("ray", ("ray[serve]==2.60.0", "numpy"), PlainSpeech(), _ray),
)}


def installed() -> list[System]:
    """The peers that are here."""
    return [peer for peer in PEERS.values() if (peer.environment / "installed").exists()]


def install(name: str) -> Path:
    """Install a peer, or the original server, into an environment of its own. Raises `BenchError` when that fails or takes too long."""
    requirements = {**{peer.name: peer.requirements for peer in PEERS.values()}, "original": ORIGINAL}.get(name)
    if requirements is None:
        raise BenchError(f"no such peer: {name}; there are original, {', '.join(PEERS)}")
    folder = FOLDER / name
    try:
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True, capture_output=True, text=True)
        command = [str(folder / "bin" / "python"), "-m", "pip", "install", "-q", *requirements]
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=INSTALL_TIMEOUT_S)
    except subprocess.TimeoutExpired as error:
        raise BenchError(f"{name} was not installed within {INSTALL_TIMEOUT_S} s") from error
    except subprocess.CalledProcessError as error:
        raise BenchError(f"{name} cannot be installed: {(error.stderr or error.stdout)[-1500:]}") from error
    (folder / "installed").touch()
    return folder
