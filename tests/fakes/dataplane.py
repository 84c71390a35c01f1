"""Stand-ins for the two ends of the dataplane: clients that remember what they got, workers that do what a test says."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import cast

from argosy import wire
from argosy.dataplane.batcher import Policy
from argosy.dataplane.concurrent import ConcurrentLane
from argosy.dataplane.dispatcher import Dispatcher
from argosy.dataplane.lane import WorkerLane
from argosy.dataplane.model import Counters
from argosy.dataplane.queue import JobQueue
from argosy.dataplane.stream import Stream
from argosy.errors import ArgosyError
from argosy.messages import Buffer, Flow, Request, Response
from argosy.supervisor.member import Member
from argosy.supervisor.page import Page
from argosy.supervisor.states import Event
from argosy.testing.loop import FakeLoop
from argosy.worker.room import Room


class Client:
    """A reply sink: every outcome it was told. `broken` makes it raise, as a connection that is gone may."""

    def __init__(self, *, broken: bool = False) -> None:
        self.outcomes: list[Response | ArgosyError] = []
        self.broken = broken
        self.flow: Flow | None = None
        """The way back of an answer that came in pieces, once it has begun."""
        self.pieces: list[bytes] = []
        self._head = Response(0, b"")

    def begin(self, response: Response, flow: Flow) -> None:
        """Remember the head."""
        assert self.flow is None
        assert not self.outcomes
        self.flow, self._head = flow, response
        self._break()

    def chunk(self, data: bytes) -> None:
        """Remember a piece."""
        assert self.flow is not None
        assert not self.outcomes
        assert data
        self.pieces.append(data)
        self._break()

    def end(self) -> None:
        """Remember the whole answer."""
        assert self.flow is not None
        self._head.body = b"".join(self.pieces)
        self.outcomes.append(self._head)
        self._break()

    def _break(self) -> None:
        if self.broken:
            raise ConnectionResetError("the client is gone")

    def answer(self, body: bytes, now: float) -> None:
        """Remember the ordinary answer."""
        self.respond(Response(200, body))

    def respond(self, response: Response) -> None:
        """Remember the answer."""
        assert self.flow is None
        self.outcomes.append(response)
        self._break()

    def fail(self, error: ArgosyError) -> None:
        """Remember the failure."""
        self.outcomes.append(error)
        self._break()

    @property
    def body(self) -> bytes:
        """The body of the one answer."""
        (outcome,) = self.outcomes
        assert isinstance(outcome, Response), outcome
        return bytes(outcome.body)

    @property
    def error(self) -> ArgosyError:
        """The one failure."""
        (outcome,) = self.outcomes
        assert isinstance(outcome, ArgosyError), outcome
        return outcome


class FakeSlot:
    """A slot of an arena that counts how often it was given back."""

    def __init__(self, offset: int = 65536, size: int = 70000) -> None:
        self.offset = offset
        self.view = memoryview(bytes(size))
        self.released = 0

    def release(self) -> None:
        """Count."""
        self.released += 1


def request(
    body: Buffer | None = b"x", *, client: Client | None = None, deadline: float = 0.0, slot: FakeSlot | None = None, id: bytes = b"id"
) -> Request:
    """A request with a client of its own."""
    return Request(id, b"text/plain", b"", body, client or Client(), (), slot, deadline)


def client_of(job: Request) -> Client:
    """The client of a request made here."""
    return cast(Client, job.sink.sink if isinstance(job.sink, Stream) else job.sink)


class FakeMember:
    """A worker that has loaded: it keeps the messages it gets, and a real page. Handed to a dispatcher in place of a `Member`."""

    def __init__(self, dispatcher: Dispatcher, id: str = "w1", *, with_page: bool = True, capacity: int = 0, **style: object) -> None:
        self.id = id
        self.style = style
        self.page: Page | None = Page(1 << 20) if with_page else None
        self.places = Room(memoryview(bytearray()) if self.page is None else memoryview(self.page._map))
        self.messages: list[list[wire.Job]] = []
        self.told: list[tuple[int, int, int]] = []
        """What was said of streamed answers: kind, job, credit."""
        self.pieces = 0
        self.events: list[tuple[Event, str]] = []
        self.on_event: Callable[[Event], None] | None = None
        member = cast(Member, self)
        self.lane: WorkerLane = dispatcher.offer_many(ConcurrentLane(dispatcher, member, capacity)) if capacity else dispatcher.offer(member)

    def send(self, data: bytes) -> None:
        """Keep the jobs of a message."""
        reader = wire.FrameReader()
        at = 0
        while at < len(data):
            space = reader.space()
            count = min(len(space), len(data) - at)
            space[:count] = data[at : at + count]
            reader.filled(count)
            at += count
        frame = reader.next()
        assert frame is not None
        if frame.kind in (wire.CREDIT, wire.CANCEL):
            self.told.append((frame.kind, frame.id, wire.read_credit(frame.data) if frame.kind == wire.CREDIT else 0))
            return
        assert frame.kind == wire.JOBS
        jobs = wire.read_jobs(frame.data, frame.count)
        self.messages.append([job._replace(body=None if job.body is None else memoryview(bytes(job.body))) for job in jobs])

    def send_pieces(self, pieces: list[Buffer]) -> None:
        """The same for a large message."""
        self.pieces += 1
        self.send(b"".join(pieces))

    def on(self, event: Event, why: str = "") -> None:
        """Remember what the lane reports."""
        self.events.append((event, why))

    @property
    def has(self) -> list[int]:
        """The jobs that it got and has not answered."""
        return sorted(self.lane.jobs)

    def begin(self, seq: int) -> None:
        """Tell that the handler was called for everything up to `seq`."""
        assert self.page is not None
        os.pwrite(self.page.fd, (seq + 1).to_bytes(8, "little"), 8 * wire.BEGUN)

    def leave_unsent(self, data: bytes) -> None:
        """Put answer records, or anything, into the outbox."""
        assert self.page is not None
        os.pwrite(self.page.fd, data, wire.PAGE_SIZE)
        os.pwrite(self.page.fd, len(data).to_bytes(8, "little"), 8 * wire.OUTBOX)

    def placed(self, seq: int, body: bytes) -> bytes:
        """The record of an answer that lies in the memory for large ones."""
        place = self.places.put(body)
        assert place is not None
        return wire.answer_record(seq, 200, place, flags=wire.LAST | wire.PLACED)

    def places_taken(self) -> int:
        """How many answers lie there that the server has not given up."""
        assert self.page is not None
        return os.pread(self.page.fd, wire.PLACES, wire.PLACES_OFFSET).count(1)

    def is_cancelled(self, seq: int) -> bool:
        """What the worker would see before it starts the job."""
        assert self.page is not None
        return os.pread(self.page.fd, 1, wire.CANCEL_OFFSET + seq % wire.CANCEL_SLOTS) == b"\1"

    def answer(self, *seqs: int, busy_us: int = 100, body: bytes | None = None) -> None:
        """Answer these jobs in one frame, each with its own seq or with `body`."""
        self.say(*(wire.answer_record(seq, 200, str(seq).encode() if body is None else body, busy_us=busy_us) for seq in seqs))

    def say(self, *records: bytes) -> None:
        """Send these answer records in one frame."""
        self.lane.answers(memoryview(b"".join(records)))

    def begin_stream(self, seq: int, *pieces: bytes, headers: bytes = b"") -> None:
        """Begin an answer that comes in pieces."""
        self.say(wire.answer_record(seq, 200, b"", flags=0, headers=headers))
        for piece in pieces:
            self.lane.chunk(seq, piece)

    def die(self, why: str = "was killed") -> None:
        """The process ends, as the supervisor tells it."""
        self.lane.withdraw()
        self.lane.lost(why)


class World:
    """A dispatcher on a fake loop, with its queue."""

    def __init__(self, batch_size: int = 1, delay_s: float = 0.0, timeout_s: float = 60.0, max_jobs: int = 64, limit: int = 5000) -> None:
        self.loop = FakeLoop()
        self.counters = Counters()
        self.queue = JobQueue(limit)
        self.batches: list[tuple[float, str, int, bytes]] = []
        policy = Policy(batch_size, delay_s, max_jobs)
        self.dispatcher = Dispatcher("m", self.queue, policy, self.counters, self.loop, timeout_s, self.batches.append)
        self.idle = 0
        self.dispatcher.on_idle = self._idle

    def _idle(self) -> None:
        self.idle += 1

    def run(self) -> None:
        """Let the loop turn."""
        self.loop.run()
        assert self.loop.failures == []

    @property
    def timers(self) -> int:
        """How many timers run."""
        return sum(not timer.cancelled() for _, _, timer in self.loop._later)

    def member(self, id: str = "w1", *, with_page: bool = True) -> FakeMember:
        """A worker that has loaded."""
        return FakeMember(self.dispatcher, id, with_page=with_page)

    def admit(self, job: Request) -> Request:
        """Put a job into the queue."""
        job.admitted_at = self.loop.time()
        assert self.queue.put(job)
        self.counters.admitted += 1
        self.dispatcher.wake()
        return job

    def submit(self, count: int = 1) -> list[Request]:
        """Admit jobs and let them go to the workers."""
        jobs = [self.admit(request(id=b"id-%d" % number)) for number in range(count)]
        self.run()
        return jobs

    def hurry(self, member: FakeMember) -> None:
        """Make the handler known as a quick one, so that many jobs go in a message."""
        self.submit()
        member.answer(member.lane.next_seq - 1, busy_us=1)
        member.messages.clear()
