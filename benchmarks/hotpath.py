"""The request path without sockets, for counting its instructions: run by `benchmarks.instructions` under callgrind.

Each path is warmed up and then taken a fixed number of times between two calls of `getloadavg`, at which callgrind writes down what it has counted.
The clocks stand still, so that the same code takes the same way each time.
"""

from __future__ import annotations

import gc
import os
import socket
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, cast

from argosy import wire
from argosy.config import Address
from argosy.dataplane.batcher import Policy
from argosy.dataplane.lane import WorkerLane
from argosy.dataplane.registry import Registry
from argosy.dataplane.served import ServedModel
from argosy.frontend.head import access_lines
from argosy.frontend.http import Connection
from argosy.frontend.limits import Limits
from argosy.frontend.listener import Listener
from argosy.frontend.site import Budget, HttpCounters, Site
from argosy.handler import Context
from argosy.logs.layout import PlainLayout
from argosy.logs.lines import LineLog
from argosy.logs.records import RecordLog
from argosy.supervisor.member import Member, Surroundings
from argosy.supervisor.spec import ModelSpec
from argosy.supervisor.states import Event, WorkerState
from argosy.testing.http import FakeDialect
from argosy.testing.loop import FakeLoop
from argosy.worker import loader
from argosy.worker.batch import Batches
from argosy.worker.inputs import Inputs
from argosy.worker.link import Link
from argosy.worker.loop import Worker
from argosy.worker.output import Running

HANDLERS = Path(__file__).parent / "handlers"
CONNECTIONS = 32
MEGABYTE = 1 << 20
WARM_UP = 3
HEAD = b"POST /predictions/noop HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nContent-Type: application/octet-stream\r\n%sContent-Length: %d\r\n\r\n"

Turn = Callable[[int], None]
"""Takes the path for a number of requests; the argument is different each time."""


class QuietTransport:
    """A client's socket that takes everything."""

    def get_extra_info(self, name: str) -> object:
        """Where the client is."""
        return ("127.0.0.1", 4711) if name == "peername" else None

    def is_closing(self) -> bool:
        """Never."""
        return False

    def write(self, data: bytes) -> None:
        """Take it."""


class QuietMember:
    """A worker that is there and takes messages."""

    id = "noop"
    page = None
    style: Mapping[str, object] = MappingProxyType({})

    def __init__(self) -> None:
        self.state = WorkerState()
        self.state.on(Event.STARTED)
        self.state.on(Event.LOADED)

    def on(self, event: Event, why: str = "") -> None:
        """What a member does with an event, without the actions."""
        self.state.on(event)

    def send(self, data: bytes) -> None:
        """Take a message."""

    def send_pieces(self, pieces: list[wire.Buffer]) -> None:
        """Take a large one."""


class Front:
    """The server's side: connections, one model, one worker."""

    def __init__(self) -> None:
        self.loop = FakeLoop()
        around = Surroundings(self.loop, *(cast(Any, None),) * 5, 1 << 30, time.time, lambda: False)
        spec = ModelSpec("noop", "1", "noop", HANDLERS, "noop:handle", "python", sys.executable, None)
        self.model = ServedModel(spec, around, 9000, Policy(1, 0.1), 100, 64 << 20, lambda: None)
        self.model.dispatcher.refusal = None
        registry = Registry()
        registry.add(self.model)
        lines = LineLog(PlainLayout("ACCESS_LOG"), [NoFile()], None)
        self.log = RecordLog(lines, access_lines, self.loop.time)
        self.lines = lines
        self.site = Site(self.loop, FakeDialect(), registry, Limits(), Budget(256 << 20), HttpCounters(), self.log.write)
        listener = Listener(Address("http", "127.0.0.1", 1), self.site)
        self.connections = [Connection(self.site, listener) for _ in range(CONNECTIONS)]
        for connection in self.connections:
            connection.connection_made(cast(Any, QuietTransport()))
        self.lane: WorkerLane = self.model.dispatcher.offer(cast(Member, QuietMember()))
        self.model.dispatcher.job_us = 1.0

    def receive(self, connection: Connection, data: bytes) -> None:
        """Bytes come from a client."""
        at = 0
        while at < len(data):
            view = connection.get_buffer(-1)
            count = min(len(view), len(data) - at)
            view[:count] = data[at : at + count]
            connection.buffer_updated(count)
            at += count

    def settle(self, body: bytes) -> None:
        """Send what waits to the worker, answer it, send the replies."""
        self.loop.run()
        lane = self.lane
        while lane.jobs:
            first, last = min(lane.jobs), lane.next_seq
            lane.answers(memoryview(b"".join([wire.answer_record(seq, 200, body, busy_us=1) for seq in range(first, last)])))
            self.loop.run()

    def write_log(self) -> None:
        """Make the lines of the access log."""
        self.log.flush()
        self.lines.flush()


class NoFile:
    """Takes the lines of the log."""

    def write(self, data: bytes) -> None:
        """Take them."""

    def close(self) -> None:
        """Nothing to close."""


def front_known() -> tuple[Turn, int]:
    """Small requests whose heads have been seen."""
    front, request = Front(), HEAD % (b"", 16) + bytes(16)

    def turn(number: int) -> None:
        for connection in front.connections:
            front.receive(connection, request)
        front.settle(b"OK")
        front.write_log()

    return turn, CONNECTIONS


def front_alike() -> tuple[Turn, int]:
    """Small requests whose heads differ from those that have been seen in the length of the body."""
    front = Front()

    def turn(number: int) -> None:
        for connection in front.connections:
            front.receive(connection, HEAD % (b"", 16 + number) + bytes(16 + number))
        front.settle(b"OK")
        front.write_log()

    return turn, CONNECTIONS


def front_parsed() -> tuple[Turn, int]:
    """Small requests with an id of their own, so that every head is new."""
    front = Front()

    def turn(number: int) -> None:
        for at, connection in enumerate(front.connections):
            front.receive(connection, HEAD % (b"x-request-id: %06d-%06d\r\n" % (number, at), 16) + bytes(16))
        front.settle(b"OK")
        front.write_log()

    return turn, CONNECTIONS


def front_large() -> tuple[Turn, int]:
    """Bodies of a megabyte, received into their slots, whose heads have been seen; what the kernel copies is not counted."""
    front, head = Front(), HEAD % (b"", MEGABYTE)

    def turn(number: int) -> None:
        for connection in front.connections[:8]:
            front.receive(connection, head)
            while connection._body_left:
                connection.buffer_updated(min(len(connection.get_buffer(-1)), MEGABYTE // 2))
            front.settle(b"1048576")
        front.write_log()

    return turn, 8


def worker(batch_size: int) -> tuple[Turn, int]:
    """A worker that gets messages of 16 jobs."""
    server, own = socket.socketpair()
    link = Link(own, memoryview(bytearray(wire.PAGE_SIZE + wire.OUTBOX_SIZE)))
    sys.path.insert(0, str(HANDLERS))
    context = Context("noop", str(HANDLERS), {}, batch_size, None, "1")
    entry = loader.load("noop:handle", context, False)
    process = Worker(link)
    process._batch_size = batch_size
    batches = Batches(entry, entry.context or context, Inputs(True, None), link, 0, "none", Running())
    block = wire.header_block([("Host", "127.0.0.1:8080"), ("Content-Type", "application/octet-stream"), ("Content-Length", "16")])
    kind, identifier = b"application/octet-stream", b"94911da5-d4bd-4fb1-a47f-de3c59a9f9ac"
    records = b"".join(
        wire.JOB.pack(seq, 0, 0, len(identifier), len(kind), len(block), 0, 16, 0) + identifier + kind + block + bytes(16) for seq in range(1, 17)
    )
    data = memoryview(records)

    def turn(number: int) -> None:
        process._answer(wire.read_jobs(data, 16), batches)
        server.recv(1 << 16)

    return turn, 16


PATHS: dict[str, tuple[Callable[[], tuple[Turn, int]], int]] = {
    "front, known head": (front_known, 12),
    "front, other length": (front_alike, 12),
    "front, new head": (front_parsed, 12),
    "front, 1 MB": (front_large, 20),
    "worker, one at a time": (lambda: worker(1), 20),
    "worker, batches of 8": (lambda: worker(8), 20),
}
"""What is counted, and how many turns of it."""


def main() -> None:
    """Print how many requests are between the marks, path by path."""
    time.perf_counter_ns = lambda: 1  # nothing may depend on how slow the counting is
    for name, (make, turns) in PATHS.items():
        turn, requests = make()
        for number in range(WARM_UP):
            turn(number)
        gc.collect()
        gc.freeze()
        os.getloadavg()
        for number in range(WARM_UP, WARM_UP + turns):
            turn(number)
        os.getloadavg()
        print(f"{name}\t{turns * requests}", flush=True)


if __name__ == "__main__":
    main()
