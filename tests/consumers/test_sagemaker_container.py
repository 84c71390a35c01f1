"""The word `serve` in a container of its own: process 1, the platform's own folders and port, and no variable at all."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest

from argosy.testing.server import OBEDIENT, wait_for
from fakes.container import Answer, Container

MANIFEST = json.dumps({"runtime": "python", "modelServerVersion": "1.0", "model": {"modelName": "sentiment", "handler": "service:handle"}})


def add(container: Container, folder: str) -> None:
    """Put a model there, as the platform does: not to be written by others."""
    container.write(f"{folder}/MAR-INF/MANIFEST.json", MANIFEST)
    container.write(f"{folder}/service.py", OBEDIENT)


def listening(container: Container) -> set[int]:
    """The ports that anybody in the container's network listens on."""
    found = set()
    first = Path(f"/proc/{container.process.pid}/task/{container.process.pid}/children").read_text().split()[0]
    for table in ("tcp", "tcp6"):
        lines = Path(f"/proc/{first}/net/{table}").read_text().splitlines()[1:]
        found |= {int(line.split()[1].rpartition(":")[2], 16) for line in lines if line.split()[3] == "0A"}
    return found


def begin(container: Container, user: int = 0, port: int = 8080, **env: str) -> None:
    """Start it and wait until it is healthy."""
    container.env = {"SAGEMAKER_MODEL_SERVER_WORKERS": "1", **env}
    container.start("argosy", "serve", user=user)
    wait_for(lambda: (pong := container.ask("GET", "/ping", port=port)) is not None and pong.status == 200, "/ping", 90)


@pytest.mark.parametrize("user", [0, 1000])
def test_serve(container: Container, user: int) -> None:
    """As root and as somebody else: the model answers on port 8080, and SIGTERM lets what runs finish, then ends everything with status 0."""
    add(container, "/opt/ml/model/sentiment")
    begin(container, user)
    answers: list[Answer | None] = []
    client = threading.Thread(target=lambda: answers.append(container.ask("POST", "/invocations", "sleep:1", "text/plain")))
    client.start()
    wait_for(lambda: b'"runningJobs": 1' in got(container.ask("GET", "/models/sentiment", port=8081)).body, "the request to run")
    assert container.stop() == 0, container.output
    client.join(60)
    assert [got(answer).body for answer in answers] == [b"1"]


def test_ports(container: Container) -> None:
    """Nothing in the whole container listens outside of what the platform allows."""
    add(container, "/opt/ml/model")
    begin(container, port=9000, SAGEMAKER_BIND_TO_PORT="9000", SAGEMAKER_SAFE_PORT_RANGE="9001-9010")
    assert listening(container) == {9000, 9001}
    assert got(container.ask("POST", "/invocations", "echo:x", "text/plain", port=9000)).body == b"x"


def got(answer: Answer | None) -> Answer:
    """An answer must have come."""
    assert answer is not None
    return answer
