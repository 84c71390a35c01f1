"""Workers on a machine with GPUs, as a stand-in for nvidia-smi tells it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from argosy.testing.server import serving

TELLER = """
    import os

    def handle(data, context):
        if data is None:
            return None
        return ["{} {}".format(context.system_properties.get("gpu_id"), os.environ.get("CUDA_VISIBLE_DEVICES")) for _ in data]
"""


def smi(folder: Path, gpus: int) -> str:
    """A folder with an `nvidia-smi` in front of the search path."""
    folder.mkdir()
    script = folder / "nvidia-smi"
    script.write_text("#!/bin/sh\nprintf 'index\\n" + "".join(f"{number}\\n" for number in range(gpus)) + "'\n")
    script.chmod(0o755)
    return f"{folder}{os.pathsep}{os.environ['PATH']}"


@pytest.fixture(autouse=True)
def _no_driver() -> None:
    """These tests are about machines without a driver."""
    if Path("/proc/driver/nvidia").exists():
        pytest.skip("this machine has GPUs of its own")


@pytest.mark.parametrize(("cap", "expected"), [("3", ["1", "2", "0", "1"]), ("2", ["1", "0", "1", "0"])])
def test_workers_get_gpus_in_turn(tmp_path: Path, cap: str, expected: list[str]) -> None:
    """Beginning with number 1, round the ones that may be used; the handler and the description agree; the environment stays as it is."""
    env = {"PATH": smi(tmp_path / "bin", 3), "CUDA_VISIBLE_DEVICES": "5,7"}
    with serving(tmp_path, env=env, settings={"number_of_gpu": cap}) as server:
        for number, gpu in enumerate(expected):
            name = f"m{number}"
            server.store.add(name, TELLER)
            assert server.register(name).status == 200
            assert server.predict(name, "x").text == f"{gpu} 5,7"
            (worker,) = server.describe(name)["workers"]
            assert (worker["gpu"], worker["gpuId"]) == (True, int(gpu))


def test_models_of_the_start_get_a_worker_per_gpu(tmp_path: Path) -> None:
    """Unless the configuration says how many."""
    with serving(tmp_path, "a", env={"PATH": smi(tmp_path / "bin", 3)}, settings={"default_workers_per_model": 0}) as server:
        assert sorted(worker["gpuId"] for worker in server.describe("a")["workers"]) == [0, 1, 2]


def test_no_gpus_is_no_gpu(tmp_path: Path) -> None:
    """The handler hears None and the description says false."""
    with serving(tmp_path, env={"PATH": smi(tmp_path / "bin", 0)}) as server:
        server.store.add("m", TELLER)
        assert server.register("m").status == 200
        assert server.predict("m", "x").text.startswith("None ")
        (worker,) = server.describe("m")["workers"]
        assert worker["gpu"] is False
