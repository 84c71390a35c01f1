"""Preloaded models: one process loads, its forks serve, and each of them can die without the others."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from argosy.testing.server import RunningServer, is_alive, wait_for
from fakes.loadable import serving_models

MODEL = """
import os
LOADED_BY = os.getpid()
print("loading in", LOADED_BY)

def handle(data, context):
    if data is None:
        return None
    answers = []
    for row in data:
        order = row["body"]
        if order == "exit":
            os._exit(5)
        answers.append("%d %d %s" % (os.getpid(), LOADED_BY, context.system_properties["gpu_id"]))
    return answers
"""
BROKEN = "raise RuntimeError('no weights')"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server whose store holds the models; none is loaded at the start."""
    yield from serving_models(tmp_path_factory.mktemp("preload"), big=MODEL, broken=BROKEN)


def register(server: RunningServer, name: str, workers: int = 2) -> tuple[int, str]:
    reply = server.manage("POST", f"/models?url={name}&model_name={name}&handler=svc:handle&preload_model=true&initial_workers={workers}")
    return reply.status, reply.text


def template_of(worker: int) -> set[int]:
    """The processes that were started for the model and are not this worker, by their command line."""
    line = Path(f"/proc/{worker}/cmdline").read_bytes()
    return {int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit() and _line(entry) == line}


def _line(entry: Path) -> bytes:
    try:
        return (entry / "cmdline").read_bytes()
    except OSError:
        return b""


def test_workers_share_one_load_and_die_alone(server: RunningServer) -> None:
    """All workers answer with the pid of the one load and without a GPU; one that dies comes back without loading again."""
    assert register(server, "big") == (200, '{\n  "status": "Workers scaled"\n}\n')
    workers = set(server.workers("big"))
    assert len(workers) == 2
    pid, loaded_by, gpu = server.predict("big", "who").text.split()
    assert int(pid) in workers
    assert int(loaded_by) not in workers
    assert gpu == "None"
    assert is_alive(int(loaded_by))
    assert server.predict("big", "exit").status == 500
    wait_for(lambda: len(set(server.workers("big")) - {int(pid)}) == 2, "two workers again")
    again = set(server.workers("big"))
    assert len(again - workers) == 1
    for _ in range(5):
        assert server.predict("big", "who").text.split()[1] == loaded_by
    assert template_of(next(iter(again))) == again | {int(loaded_by)}
    assert server.manage("DELETE", "/models/big").status == 200
    assert not any(is_alive(pid) for pid in again | {int(loaded_by)})


def test_a_template_that_died_is_loaded_again(server: RunningServer) -> None:
    """Workers outlive their template; the next one that is needed loads the model anew."""
    assert register(server, "big", workers=1)[0] == 200
    worker, template, _ = map(str, server.predict("big", "who").text.split())
    os.kill(int(template), signal.SIGKILL)
    wait_for(lambda: not is_alive(int(template)), "the template is gone")
    assert server.predict("big", "who").text.split()[0] == worker
    assert server.manage("PUT", "/models/big?min_worker=2&synchronous=true").status == 200
    os.kill(int(worker), signal.SIGKILL)
    wait_for(lambda: not is_alive(int(worker)), "the first worker is gone")
    assert server.predict("big", "who").text.split()[1] != template
    assert server.manage("DELETE", "/models/big").status == 200


def test_scaled_to_nothing_and_up_again(server: RunningServer) -> None:
    """Who comes while the loading process is on its way out does not wait for a fork of it: another one loads the model."""
    assert register(server, "big", workers=1)[0] == 200
    template = server.predict("big", "who").text.split()[1]
    for _ in range(5):
        assert server.manage("PUT", "/models/big?min_worker=0&max_worker=0").status == 202
        assert server.manage("PUT", "/models/big?min_worker=1&synchronous=true").status == 200
        other = server.predict("big", "who").text.split()[1]
        assert other != template
        template = other
    assert server.manage("DELETE", "/models/big").status == 200


def test_a_preload_that_fails_says_why_and_leaves_nothing(server: RunningServer) -> None:
    """The reply has the handler's words; no process and no model stays."""
    status, text = register(server, "broken")
    assert status == 500
    assert "no weights" in text
    assert server.manage("GET", "/models/broken").status == 404
    assert len(server.workers("m")) == 1
