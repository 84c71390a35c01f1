"""What is asked of the systems, and which answers are right."""

from __future__ import annotations

import json
import math
import random
import struct
from collections.abc import Sequence
from dataclasses import dataclass, replace

KILOBYTE = 1000
MEGABYTE = 1024 * 1024
JSON = "application/json"
BYTES = "application/octet-stream"
TEXT = "text/plain"

Answer = str | int | float | list[float]


@dataclass(frozen=True, slots=True)
class Setup:
    """What a server is started for: workloads with equal setups are measured on the same one."""

    work: str
    """The model: `noop`, `echo`, `mlp`, `size`, `private`, `send`, `sleep`, `count`, `sentiment`, `iris`, `paddle`."""
    workers: int = 1
    batch_size: int = 1
    batch_delay_ms: int = 5
    tls: bool = False


@dataclass(frozen=True, slots=True)
class Workload:
    """A model, the bodies that it gets (or sends: `send`) and the clients at a time."""

    name: str
    setup: Setup
    connections: int
    size: int = 16

    @property
    def key(self) -> str:
        """What tells it from the others in a table."""
        workers = f", {self.setup.workers} workers" if self.setup.workers > 1 else ""
        return f"{self.name} · {self.connections} connection{'s' if self.connections > 1 else ''}{workers}"

    @property
    def content_type(self) -> str:
        """Of the request."""
        return {"echo": JSON, "iris": JSON, "sentiment": TEXT, "paddle": TEXT}.get(self.setup.work, BYTES)

    def over_tls(self) -> Workload:
        """The same with clients that speak TLS."""
        return self if self.setup.tls else replace(self, name=f"{self.name}, TLS", setup=replace(self.setup, tls=True))

    def at(self, connections: int) -> Workload:
        """The same with another number of clients."""
        return replace(self, connections=connections)

    def body(self, seed: int) -> bytes:
        """The request number `seed`; most differ, so that an answer to another request is seen."""
        make = random.Random(seed)
        if self.setup.work == "echo":
            return json.dumps({"x": [round(make.uniform(-1, 1), 6) for _ in range(16)]}).encode()
        if self.setup.work == "mlp":
            return struct.pack("<512f", *(make.gauss(0, 1) for _ in range(512)))
        if self.setup.work == "paddle":
            return f"This is {make.choice(['an amazing', 'a terrible, boring'])} movie.".encode()
        if self.setup.work == "sentiment":
            return f"A {make.choice(PRAISE)} film, {make.choice(PRAISE)} and never {make.choice(BLAME)}.".encode()
        if self.setup.work == "iris":
            return json.dumps(make.choice([{"length": 0.5, "width": 4.0}, {"length": 10.0, "width": -5.0}])).encode()
        if self.setup.work == "send":
            return str(self.size - seed % 16).encode()
        return bytes(self.size - seed % 16) if seed else bytes(self.size)

    def is_right(self, body: bytes, answer: Answer) -> bool:
        """Whether `answer` belongs to `body`."""
        work = self.setup.work
        if work == "mlp":
            return isinstance(answer, list) and _are_near(answer, _forward(body))
        if work == "echo":
            return isinstance(answer, float) and _are_near([answer], [sum(json.loads(body)["x"])])
        if work == "count":
            return isinstance(answer, int) and 1 <= answer <= self.setup.batch_size
        if work == "send":
            return answer == int(body)
        if work in ("size", "private"):
            return answer == len(body)
        if work == "iris":
            return answer == _flower(body)
        if work == "paddle":
            return answer == ("positive" if b"amazing" in body else "negative")
        return answer == {"sentiment": "positive"}.get(work, "OK")


PRAISE = ("moving", "beautiful", "wonderful", "funny", "touching")
BLAME = ("dull", "boring", "stupid")


def _are_near(found: list[float], wanted: list[float]) -> bool:
    return len(found) == len(wanted) and all(math.isclose(a, b, rel_tol=1e-3, abs_tol=1e-3) for a, b in zip(found, wanted, strict=True))


def _forward(body: bytes) -> list[float]:
    from benchmarks.handlers import forward  # NumPy is needed for this workload alone

    return forward.answers([body])[0]


def _flower(body: bytes) -> str:
    return "0" if json.loads(body)["length"] < 3 else "2"  # far from where the model is in doubt


NOOP = Workload("no-op", Setup("noop"), 64)
NOOP_TLS = Workload("no-op, TLS", Setup("noop", tls=True), 64)
MLP = Workload("MLP", Setup("mlp"), 64, 2048)
MLP_BATCHED = Workload("MLP, batches of 16", Setup("mlp", batch_size=16), 64, 2048)
VIEW_1MB = Workload("1 MB in, view", Setup("size"), 8, MEGABYTE)
VIEW_10MB = Workload("10 MB in, view", Setup("size"), 8, 10 * MEGABYTE)
PRIVATE_1MB = Workload("1 MB in, bytearray", Setup("private"), 8, MEGABYTE)
OUT_1MB = Workload("1 MB out", Setup("send"), 8, MEGABYTE)
OUT_10MB = Workload("10 MB out", Setup("send"), 8, 10 * MEGABYTE)
LATE = Workload("2 ms batches of 8", Setup("count", batch_size=8, batch_delay_ms=2), 8)

def crossed(workloads: Sequence[Workload], connections: Sequence[int], workers: Sequence[int], tls: bool) -> list[Workload]:
    """Each workload with each number of clients and of workers, and over TLS if wanted; where none are given, with those that it has."""
    several = [each.at(number) for each in workloads for number in connections or (each.connections,)]
    several = [replace(each, setup=replace(each.setup, workers=number)) for each in several for number in workers or (each.setup.workers,)]
    return list(dict.fromkeys(each.over_tls() if tls else each for each in several))


ALL: dict[str, list[Workload]] = {
    "no-op": [NOOP.at(connections) for connections in (1, 8, 64, 256)] + [replace(NOOP, setup=Setup("noop", workers=2))],
    "json": [Workload("JSON echo", Setup("echo"), connections) for connections in (8, 64)],
    "mlp": [MLP.at(1), MLP],
    "mlp-batched": [MLP_BATCHED],
    "body-in": [Workload("100 kB in, view", Setup("size"), 8, 100 * KILOBYTE), VIEW_1MB, VIEW_10MB],
    "body-bytearray": [Workload("100 kB in, bytearray", Setup("private"), 8, 100 * KILOBYTE), PRIVATE_1MB,
                       Workload("10 MB in, bytearray", Setup("private"), 8, 10 * MEGABYTE)],
    "body-out": [Workload("100 kB out", Setup("send"), 8, 100 * KILOBYTE), OUT_1MB, OUT_10MB],
    "sleeper": [Workload("10 ms sleeper", Setup("sleep"), 8), Workload("10 ms sleeper", Setup("sleep", workers=2), 8)],
    "sentiment": [Workload("sentiment, no framework", Setup("sentiment"), 8)],
    "paddle": [Workload("sentiment, PaddlePaddle", Setup("paddle"), 8),
               Workload("sentiment, PaddlePaddle, batches of 8", Setup("paddle", batch_size=8), 8)],
    "iris": [Workload("iris, ONNX Runtime", Setup("iris", batch_size=8), 8)],
    "batches": [LATE.at(2), LATE, LATE.at(64)],
    "tls": [NOOP_TLS],
}
"""What `--workloads` chooses from; each list may need several servers."""
