"""Several workers of a model: forked from a process that has loaded nothing of it, each with a model of its own."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from argosy.testing.server import RunningServer, is_alive, serving, wait_for

MODEL = """
import os, random, sys
LOADED_BY = os.getpid()
CHANCE = random.random()

def score():
    with open("/proc/self/oom_score_adj") as file:
        return int(file.read())

AT_LOAD = score()

def handle(data, context):
    if data is None:
        return None
    answers = []
    for row in data:
        if row["body"] == "exit":
            os._exit(5)
        facts = (os.getpid(), LOADED_BY, os.getppid(), os.getsid(0), CHANCE, AT_LOAD - score(), os.getcwd(), "threading" in sys.modules)
        answers.append(" ".join(map(str, facts)))
    return answers
"""
BROKEN = "raise RuntimeError('no weights')"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server whose store holds the models; none is loaded at the start."""
    folder = tmp_path_factory.mktemp("forked")
    with serving(folder, "m", settings={"default_response_timeout_seconds": 20}) as running:
        for name, source in (("big", MODEL), ("broken", BROKEN)):
            model = running.store.folder / name
            model.mkdir()
            (model / "svc.py").write_text(source)
        yield running
        assert running.stop() == 0


def register(server: RunningServer, name: str, workers: int) -> tuple[int, str]:
    reply = server.manage("POST", f"/models?url={name}&model_name={name}&handler=svc:handle&initial_workers={workers}&synchronous=true")
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


def facts_of_all(server: RunningServer, workers: set[int]) -> dict[int, list[str]]:
    """What each worker says of itself, by its pid."""
    found: dict[int, list[str]] = {}

    def ask() -> bool:
        said = server.predict("big", "who").text.split()
        found[int(said[0])] = said[1:]
        return set(found) >= workers

    wait_for(ask, "an answer from every worker")
    return found


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
    facts = facts_of_all(server, workers)
    for pid, (loaded_by, parent, session, _, change, folder, _) in facts.items():
        assert (int(loaded_by), int(session), int(change)) == (pid, pid, 400)
        assert int(parent) == server.pid
        assert folder.endswith("/big")
    assert len({said[3] for said in facts.values()}) == 2
    assert template not in facts
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
    """A second process would only cost memory; workers that are added later are forked."""
    assert register(server, "big", 1)[0] == 200
    (first,) = server.workers("big")
    assert b"--seed-fd" not in _line(Path(f"/proc/{first}"))
    assert server.manage("PUT", "/models/big?min_worker=3&synchronous=true").status == 200
    workers = set(server.workers("big"))
    assert first in workers
    assert template_of(max(workers - {first}), workers) not in workers
    assert server.manage("DELETE", "/models/big").status == 200
