"""The systems that are measured beside Argosy in every run: how each is started for a workload, and how it is spoken to."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from benchmarks.workloads import Answer, Setup, Workload

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
PEERS = ROOT / "build" / "peers"
PADDLE = ROOT / "build" / "models" / "paddle_sentiment"
"""The trained model of PaddlePaddle; `models.install_models` makes it."""
COMPILER = os.environ.get("CC", "cc")
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS"), "1")
"""For every system alike: what is compared is serving, not who takes more cores for the same product of matrices."""
PORTS = 10
"""So many ports from the first one on are free for a system."""


@dataclass(frozen=True, slots=True)
class Launch:
    """A command, where it answers, and what to ask of its management API once it listens."""

    command: list[str]
    path: str = "/"
    environment: Mapping[str, str] = field(default_factory=dict)
    registration: str = ""
    """Path of a POST to the next port that loads the model; empty: it is loaded from the beginning."""
    warm_up_factor: int = 1
    """How many times longer than others it is warmed up: compilers at run time need that."""


class Speech(Protocol):
    """How a system wants to be asked, and what its answers mean."""

    def encode(self, workload: Workload, body: bytes) -> tuple[dict[str, str], bytes]:
        """Headers and body of the request that carries `body`."""

    def decode(self, workload: Workload, data: bytes) -> Answer:
        """What the model answered. Raises `ValueError` or `LookupError` for what is no answer."""


class System(Protocol):
    """Something that serves workloads."""

    @property
    def name(self) -> str:
        """Under which its results appear."""

    @property
    def speech(self) -> Speech:
        """Its protocol."""

    def serves(self, setup: Setup) -> bool:
        """Whether it can."""

    def launch(self, setup: Setup, port: int, directory: Path) -> Launch:
        """How to start it on `port`, and on the next ones if it needs more; `directory` is its own."""


class PlainSpeech:
    """The body as it is; the answer as text or JSON."""

    def encode(self, workload: Workload, body: bytes) -> tuple[dict[str, str], bytes]:
        return {"Content-Type": workload.content_type}, body

    def decode(self, workload: Workload, data: bytes) -> Answer:
        work = workload.setup.work
        if work == "send":
            return len(data)
        if work in ("size", "private", "count"):
            return int(data)
        if work in ("mlp", "echo"):
            answer: Answer = json.loads(data)["y"]
            return answer
        if work == "iris":
            return str(json.loads(data)["class"])
        if work == "paddle":
            return data.decode().split()[-2].lower()
        return str(json.loads(data)["sentiment"]) if work == "sentiment" else data.decode().strip().strip('"')


class Floor:
    """The C program: with worker processes for small bodies; large ones are dropped, or sent from memory, in the loop."""

    name = "floor"
    speech = PlainSpeech()
    _MODES: Mapping[str, str] = {"noop": "hop", "size": "drop", "private": "drop", "send": "send"}

    def __init__(self, directory: Path) -> None:
        self._program = directory / "floor"
        subprocess.run([COMPILER, "-O2", "-o", str(self._program), str(HERE / "floor.c")], check=True)

    def serves(self, setup: Setup) -> bool:
        return setup.work in self._MODES and not setup.tls

    def launch(self, setup: Setup, port: int, directory: Path) -> Launch:
        mode = self._MODES[setup.work]
        return Launch([str(self._program), mode, str(port), str(setup.workers if mode == "hop" else 0)])


class BarePython:
    """uvloop and httptools answering inside the loop."""

    name = "bare"
    speech = PlainSpeech()

    def serves(self, setup: Setup) -> bool:
        return setup.work in ("noop", "echo", "mlp", "size", "send", "count")

    def launch(self, setup: Setup, port: int, directory: Path) -> Launch:
        options = ["--workers", str(setup.workers), "--batch-size", str(setup.batch_size), "--delay-ms", str(setup.batch_delay_ms)]
        if setup.tls:
            options += ["--certificate", str(certificate(directory))]
        return Launch([sys.executable, str(HERE / "bare.py"), str(port), setup.work, *options], environment=ONE_THREAD)


class ModelServer:
    """A server with the command line of the original: Argosy, or the original itself."""

    speech = PlainSpeech()

    def __init__(self, name: str, program: Path, own_forms: bool, environment: Mapping[str, str] | None = None, settings: str = "") -> None:
        """`own_forms`: it knows Argosy's handlers. `settings`: further lines of its configuration."""
        self.name = name
        self._program = program
        self._own_forms = own_forms
        self._environment = dict(environment or {})
        self._settings = settings

    def serves(self, setup: Setup) -> bool:
        return setup.work not in ("iris", "paddle") or self._own_forms

    def launch(self, setup: Setup, port: int, directory: Path) -> Launch:
        write_model(directory / "store" / "m", setup, self._own_forms)
        scheme = "https" if setup.tls else "http"
        lines = [
            f"inference_address={scheme}://127.0.0.1:{port}", f"management_address=http://127.0.0.1:{port + 1}",
            f"default_workers_per_model={setup.workers}", "max_request_size=30000000", "max_response_size=30000000", self._settings,
        ]
        if setup.tls:
            pem = certificate(directory)
            lines += [f"certificate_file={pem}", f"private_key_file={pem}"]
        config = directory / "config.properties"
        config.write_text("\n".join(lines) + "\n")
        options = ["--start", "--foreground", "--model-store", str(directory / "store"), "--mms-config", str(config)]
        asked = ""
        if setup.batch_size > 1:
            batch = f"batch_size={setup.batch_size}&max_batch_delay={setup.batch_delay_ms}"
            asked = f"/models?url=m&model_name=m&{batch}&initial_workers={setup.workers}&synchronous=true"
        else:
            options += ["--models", "m=m"]
        logs = {name: str(directory / "logs") for name in ("LOG_LOCATION", "METRICS_LOCATION")}
        path = os.pathsep.join([str(self._program.parent), os.environ.get("PATH", "")])
        environment = {**ONE_THREAD, **logs, "PATH": path, "TMPDIR": str(directory), **self._environment}
        return Launch([str(self._program), *options], "/predictions/m", environment, asked, 1 if self._own_forms else 3)


_HANDLERS = {
    "noop": "noop:handle", "echo": "echo:handle", "mlp": "mlp:handle", "private": "private:handle", "send": "sender:handle",
    "sleep": "sleeper:handle", "count": "sleeper:count",
}


def write_model(directory: Path, setup: Setup, own_forms: bool, paddle: Path = PADDLE) -> None:
    """An unpacked archive of the model; `own_forms` where Argosy's handlers are known, without which every body is copied. Raises `OSError`."""
    if setup.work == "sentiment":
        shutil.copytree(ROOT / "examples" / "sentiment" / "model", directory, ignore=shutil.ignore_patterns("__pycache__", "MAR-INF"))
        handler = "sentiment:Sentiment"
    elif setup.work == "paddle":
        if not paddle.exists():
            raise FileNotFoundError(f"no {paddle}: scripts/bench --install-models makes it")
        shutil.copytree(paddle, directory)
        handler = "paddle_sentiment_analysis:handle"
    elif setup.work == "iris":
        example = ROOT / "examples" / "frameworks" / "onnx_iris"
        directory.mkdir(parents=True)
        subprocess.run([sys.executable, str(example / "make_model.py"), str(directory)], check=True, capture_output=True)
        handler = "handler:Iris"
    else:
        directory.mkdir(parents=True)
        handler = ("size:predict" if own_forms else "private:handle") if setup.work == "size" else _HANDLERS[setup.work]
        for name in {handler.partition(":")[0], "forward"}:
            shutil.copy(HERE / "handlers" / f"{name}.py", directory)
    write_manifest(directory, handler)


def write_manifest(directory: Path, handler: str) -> None:
    """Make the folder an unpacked archive of a model `m`."""
    manifest = {
        "createdOn": "01/01/2026 00:00:00", "specificationVersion": "1.0", "implementationVersion": "1.0", "modelServerVersion": "1.0",
        "runtime": "python", "model": {"modelName": "m", "modelVersion": "1.0", "handler": handler},
    }
    (directory / "MAR-INF").mkdir()
    (directory / "MAR-INF" / "MANIFEST.json").write_text(json.dumps(manifest))


def certificate(directory: Path) -> Path:
    """A file with a new private key and its certificate."""
    pem, key = directory / "server.pem", directory / "key.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    subprocess.run([*command, "-out", str(pem), "-keyout", str(key)], check=True, capture_output=True)
    pem.write_text(key.read_text() + pem.read_text())
    return pem


ARGOSY = Path(sys.executable).with_name("multi-model-server")


def variant(text: str) -> ModelServer:
    """Argosy set otherwise: `NAME:KEY=VALUE,…`; capital keys are environment variables, others settings. Raises `ValueError` for anything else."""
    name, colon, rest = text.partition(":")
    pairs = [pair.partition("=") for pair in rest.split(",")]
    if not name or not colon or not all(key and equals for key, equals, _ in pairs):
        raise ValueError(f"not NAME:KEY=VALUE,KEY=VALUE: {text!r}")
    environment = {key: value for key, _, value in pairs if key.isupper()}
    settings = "\n".join(f"{key}={value}" for key, _, value in pairs if not key.isupper())
    return ModelServer(name, ARGOSY, own_forms=True, environment=environment, settings=settings)


def own_systems(directory: Path) -> list[System]:
    """What is always measured as far as it is here. The floor is compiled into `directory`."""
    systems: list[System] = [Floor(directory), BarePython()]
    if ARGOSY.exists():
        systems.append(ModelServer("argosy", ARGOSY, own_forms=True))
    original = Path(os.environ.get("ARGOSY_ORIGINAL_MMS") or PEERS / "original" / "bin").absolute() / "multi-model-server"
    if original.exists():
        systems.append(ModelServer("original", original, own_forms=False))
    return systems
