"""The command of a worker: as it is when nothing is confined, behind the confining program when something is."""

from __future__ import annotations

import json
import sys
from dataclasses import replace

import pytest

from argosy.config import Confinement, User
from argosy.supervisor.launch import MAIN, worker_launch
from fakes.serving import spec


def test_a_free_worker_is_started_at_once() -> None:
    """Without limits there is no step in between."""
    assert list(worker_launch(spec("m"), {}, None, 5, 6).argv) == ["python", str(MAIN), "--fd", "5", "--page-fd", "6"]


@pytest.mark.parametrize(
    ("confinement", "what"),
    [
        (Confinement(memory_bytes=1 << 28), {"limits": {"memory_bytes": 1 << 28}, "user": None, "new_privileges": True}),
        (Confinement(new_privileges=False), {"limits": {}, "user": None, "new_privileges": False}),
        (
            Confinement(user=User(7, 8, (9,)), new_privileges=False),
            {"limits": {}, "user": {"uid": 7, "gid": 8, "groups": [9]}, "new_privileges": False},
        ),
    ],
)
def test_a_confined_worker_is_started_by_an_interpreter_that_reads_nothing_foreign(confinement: Confinement, what: object) -> None:
    """The server's own interpreter, deaf to the environment and to site folders, gets what to confine and then the command."""
    launch = worker_launch(replace(spec("m"), confinement=confinement), {}, None, 5, 6)
    assert list(launch.argv[:3]) == [sys.executable, "-I", "-S"]
    assert launch.argv[3].endswith("confine.py")
    assert json.loads(launch.argv[4]) == what
    assert list(launch.argv[5:]) == ["python", str(MAIN), "--fd", "5", "--page-fd", "6"]


@pytest.mark.parametrize(("preload", "option"), [(False, "--seed-fd"), (True, "--fork-fd")])
def test_what_workers_are_forked_from_is_told_whether_to_load(preload: bool, option: str) -> None:
    """Only the process of a preloaded model waits for a LOAD before it forks."""
    launch = worker_launch(replace(spec("m"), preload=preload), {}, None, 5, 6, 7)
    assert list(launch.argv[-2:]) == [option, "7"]
    assert list(launch.inherit) == [5, 6, 7]
