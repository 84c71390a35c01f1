"""Several workers of a model: forked from a process that has loaded nothing of it, each with a model of its own."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from argosy.testing.server import RunningServer, is_alive, wait_for
from fakes.loadable import serving_models

MODEL = """
import os, random

with open("/proc/self/oom_score_adj") as file:
    SCORE = int(file.read())
with open("said-%d" % os.getpid(), "w") as file:
    file.write("%s %d" % (random.random(), SCORE))

def handle(data, context):
    if data is None:
        return None
    for row in data:
        if row["body"] == "exit":
            os._exit(5)
    return [str(os.getpid())] * len(data)
"""
BROKEN = "raise RuntimeError('no weights')"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server whose store holds the models; none is loaded at the start."""
    yield from serving_models(tmp_path_factory.mktemp("forked"), big=MODEL, broken=BROKEN)


def register(server: RunningServer, name: str, workers: int, more: str = "") -> tuple[int, str]:
    reply = server.manage("POST", f"/models?url={name}&model_name={name}&handler=svc:handle&initial_workers={workers}&synchronous=true{more}")
    return reply.status, reply.text


def template_of(worker: int, workers: set[int]) -> int:
    """The one process with the command line of this forked worker that is no worker."""
    line = _line(Path(f"/proc/{worker}"))
    assert b"--seed-fd" in line
    (template,) = {int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit() and _line(entry) == line} - workers
    return template


def _line(entry: Path) -> bytes:
    try:
        return (entry / "cmdline").read_bytes()
    except OSError:
        return b""


def parent_and_session(pid: int) -> tuple[int, int]:
    """Of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[1]), int(fields[3])


def test_a_broken_model_tells_why_and_leaves_nothing(server: RunningServer) -> None:
    """The reply has the handler's words, as with a single worker; no process and no model stays."""
    status, text = register(server, "broken", 2)
    assert status == 500
    assert "no weights" in text
    assert server.manage("GET", "/models/broken").status == 404


def test_each_worker_is_a_process_of_its_own(server: RunningServer) -> None:
    """It loads the model itself, is a child of the server in a session of its own, and rolls its own dice; only while it loads it is killed first."""
    assert register(server, "big", 2)[0] == 200
    workers = set(server.workers("big"))
    template = template_of(min(workers), workers)
    folder = server.store.folder / "big"
    dice = set()
    for pid in workers:
        assert parent_and_session(pid) == (server.pid, pid)
        die, score = (folder / f"said-{pid}").read_text().split()
        dice.add(die)
        assert int(Path(f"/proc/{pid}/oom_score_adj").read_text()) < int(score)
    assert len(dice) == 2
    assert not (folder / f"said-{template}").exists()
    assert server.manage("DELETE", "/models/big").status == 200
    assert not any(is_alive(pid) for pid in workers | {template})


def test_a_worker_that_dies_is_forked_again(server: RunningServer) -> None:
    """The others go on meanwhile, and it comes from the same process."""
    assert register(server, "big", 2)[0] == 200
    workers = set(server.workers("big"))
    template = template_of(min(workers), workers)
    assert server.predict("big", "exit").status == 500
    wait_for(lambda: len(set(server.workers("big"))) == 2 and set(server.workers("big")) != workers, "two workers again")
    again = set(server.workers("big"))
    assert template_of(max(again - workers), again) == template
    assert server.manage("DELETE", "/models/big").status == 200


def test_workers_outlive_the_process_that_forked_them(server: RunningServer) -> None:
    """When it is killed nothing is lost; the next worker that is needed comes from a new one."""
    assert register(server, "big", 2)[0] == 200
    workers = set(server.workers("big"))
    template = template_of(min(workers), workers)
    os.kill(template, signal.SIGKILL)
    wait_for(lambda: not is_alive(template), "it is gone")
    assert server.predict("big", "who").status == 200
    assert set(server.workers("big")) == workers
    assert server.manage("PUT", "/models/big?min_worker=3&synchronous=true").status == 200
    again = set(server.workers("big"))
    assert again > workers
    (added,) = again - workers
    assert template_of(added, again) != template
    assert server.manage("DELETE", "/models/big").status == 200
    assert not any(is_alive(pid) for pid in again)


def test_one_worker_alone_is_not_forked(server: RunningServer) -> None:
    """A second process would only cost memory; workers that are added later are forked, until there is one again."""
    assert register(server, "big", 1)[0] == 200
    (first,) = server.workers("big")
    assert b"--seed-fd" not in _line(Path(f"/proc/{first}"))
    assert server.manage("PUT", "/models/big?min_worker=3&synchronous=true").status == 200
    workers = set(server.workers("big"))
    assert first in workers
    template = template_of(max(workers - {first}), workers)
    assert server.manage("PUT", "/models/big?min_worker=1&max_worker=1&synchronous=true").status == 200
    wait_for(lambda: not is_alive(template), "nothing is kept to fork from")
    assert server.manage("DELETE", "/models/big").status == 200


def test_confined_workers_are_not_forked(server: RunningServer) -> None:
    """A limit on processes counts those of a user: the forks would take each other's."""
    assert register(server, "big", 2, "&worker_open_files=100")[0] == 200
    assert not any(b"--seed-fd" in _line(Path(f"/proc/{pid}")) for pid in server.workers("big"))
    assert server.manage("DELETE", "/models/big").status == 200
