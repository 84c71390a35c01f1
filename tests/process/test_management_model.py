"""The management API of a real server against a model of it in a few lines: whatever is asked in whatever order, both agree."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule, run_state_machine_as_test

from argosy.testing.server import RunningServer, is_alive, open_files, serving, wait_for
from conftest import Report
from faults.figures import Figure

RUNS = int(os.environ.get("ARGOSY_RUNS", "5"))
NAMES = st.sampled_from(["a", "b", "c"])
BROKEN = "raise RuntimeError('no weights')\n"


class Management(RuleBasedStateMachine):
    """Registers, scales, asks, kills and unregisters; `models` is what should be there: name → wanted workers. Each run ends without a model."""

    server: RunningServer

    @initialize()
    def begin(self) -> None:
        self.models: dict[str, int] = {}
        self.tokens = 0

    def ask(self, method: str, path: str) -> tuple[int, Any]:
        reply = self.server.manage(method, path)
        return reply.status, reply.json

    @rule(name=NAMES, workers=st.integers(0, 2), synchronous=st.booleans(), batch=st.sampled_from([1, 3]))
    def register(self, name: str, workers: int, synchronous: bool, batch: int) -> None:
        said = str(synchronous).lower()
        query = f"url=echo&model_name={name}&initial_workers={workers}&synchronous={said}&batch_size={batch}&max_batch_delay=1"
        status, _ = self.ask("POST", f"/models?{query}")
        if name in self.models:
            assert status == 409
        else:
            assert status == (200 if synchronous or not workers else 202)
            self.models[name] = workers

    @rule(name=NAMES, wrong=st.sampled_from([
        ("url=nowhere", {404}), ("url=broken&initial_workers=1&synchronous=true", {500}), ("url=../echo", {400, 404}),
        ("url=echo&handler=../x:y", {400}), ("", {400}),
        ("url=echo&runtime=java", {400}),
    ]))  # fmt: skip
    def register_wrongly(self, name: str, wrong: tuple[str, set[int]]) -> None:
        query, statuses = wrong
        status, _ = self.ask("POST", f"/models?{query}&model_name={name}")
        assert status in (statuses | {409} if name in self.models else statuses), query

    @rule(name=NAMES, low=st.integers(0, 2), more=st.integers(0, 1), synchronous=st.booleans())
    def scale(self, name: str, low: int, more: int, synchronous: bool) -> None:
        status, _ = self.ask("PUT", f"/models/{name}?min_worker={low}&max_worker={low + more}&synchronous={str(synchronous).lower()}")
        if name not in self.models:
            assert status == 404
        else:
            assert status in (200, 202)
            self.models[name] = min(max(self.models[name], low), low + more)

    @rule(name=NAMES, query=st.sampled_from(["min_worker=2&max_worker=1", "min_worker=-1"]))
    def scale_wrongly(self, name: str, query: str) -> None:
        assert self.ask("PUT", f"/models/{name}?{query}")[0] in (400, 404)

    @rule(name=NAMES)
    def unregister(self, name: str) -> None:
        status, _ = self.ask("DELETE", f"/models/{name}")
        assert status == (200 if self.models.pop(name, None) is not None else 404)

    @rule(name=NAMES)
    def describe(self, name: str) -> None:
        status, found = self.ask("GET", f"/models/{name}")
        assert status == (200 if name in self.models else 404)
        if status == 200:
            model = found[0] if isinstance(found, list) else found
            assert (model["modelName"], model["modelUrl"]) == (name, "echo")
            assert len(model["workers"]) == self.models[name]

    @rule(name=NAMES)
    def predict(self, name: str) -> None:
        self.tokens += 1
        reply = self.server.predict(name, f"token-{self.tokens}")
        if name not in self.models:
            assert reply.status == 404
        elif not self.models[name]:
            assert reply.status == 503
        else:
            assert (reply.status, reply.text) == (200, f"token-{self.tokens}")

    @precondition(lambda self: any(self.models.values()))
    @rule(place=st.integers(0, 5))
    def kill_a_worker(self, place: int) -> None:
        workers = [worker for name, wanted in self.models.items() if wanted for worker in self.server.describe(name)["workers"]]
        pids = [worker["pid"] for worker in workers if worker["state"] in ("IDLE", "BUSY")]  # one that loads would make the call fail that waits
        if pids:
            victim = pids[place % len(pids)]
            os.kill(victim, signal.SIGKILL)
            wait_for(lambda: not is_alive(victim), "it is gone")

    @invariant()
    def listed_is_what_was_registered(self) -> None:
        """The list has each model once, and the server is there."""
        if not hasattr(self, "models"):
            return
        status, found = self.ask("GET", "/models?limit=100")
        assert status == 200
        assert [model["modelName"] for model in found["models"]] == sorted(self.models)

    def teardown(self) -> None:
        """In the end everything can be unregistered, and no worker is left."""
        if not hasattr(self, "models"):
            return
        for name in list(self.models):
            self.unregister(name)
        self.listed_is_what_was_registered()
        children = Path(f"/proc/{self.server.pid}/task/{self.server.pid}/children")
        wait_for(lambda: not children.read_text().split(), "no process of a model is left")


ECHO = "def handle(data, context):\n    return None if data is None else [item['body'] for item in data]\n"


def test_management(tmp_path: Path, figure: Report) -> None:
    """Every rule in any order; afterwards no descriptor and no file is held, and the server ends cleanly. More runs by ARGOSY_RUNS=<number>."""
    with serving(tmp_path, settings={"default_response_timeout_seconds": 20}) as server:
        server.store.add("echo", ECHO)
        server.store.add("broken", BROKEN)
        files, asked = open_files(server.pid), 0

        class Here(Management):
            """On this server."""

            def __init__(self) -> None:
                super().__init__()
                self.server = server

            def ask(self, method: str, path: str) -> tuple[int, Any]:
                """Count too."""
                nonlocal asked
                asked += 1
                return super().ask(method, path)

        run_state_machine_as_test(Here, settings=settings(max_examples=RUNS, stateful_step_count=25, deadline=None, derandomize=True))
        figure(Figure("management in any order, beside a model of it", sent=asked, right=asked))
        wait_for(lambda: open_files(server.pid) <= files + 3, "descriptors are back")
        assert server.stop() == 0
        assert server.leftovers() in ([], [f".argosy-{os.getuid()}/lock"])
