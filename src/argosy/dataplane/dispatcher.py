"""Brings waiting jobs to free workers and settles every admitted job exactly once."""

from __future__ import annotations

import asyncio
import dataclasses
import itertools
import logging
import operator
import struct
from collections.abc import Callable, Sequence

from argosy import wire
from argosy.dataplane.batcher import UNKNOWN_US, Policy, decide, may_prefetch
from argosy.dataplane.lane import WorkerLane
from argosy.dataplane.model import Counters
from argosy.dataplane.queue import JobQueue
from argosy.dataplane.records import append_record, plain_records
from argosy.dataplane.stream import Stream
from argosy.errors import ArgosyError, ErrorCode
from argosy.messages import Buffer, JobState, PlainRequest, Request, Response
from argosy.supervisor.member import Member

_log = logging.getLogger("argosy.dataplane")
_JOINED = 64 * 1024
"""Messages up to this size are joined before they are sent: cheaper than scatter-gather."""
_SMOOTHING = 0.2
_LONGEST = 1 << 30
"""A message that is longer carries no further job."""
_MOST_RETURNS = 3
_KNOWN_HEADERS = 64
_SHORT = 1024
"""Longer headers are not remembered."""
_SETTLED = JobState.SETTLED
_ONE_BY_ONE = -1.0
"""Microseconds that a message of a model that streams is worth: with more than one batch, jobs would wait behind a client that reads slowly."""

_Timed = tuple[int, int, int]
"""Of answers: how many, microseconds in the handler together, and of the last one."""


class Dispatcher:
    """The jobs of one model between the queue and the workers.

    It owns what is in flight. Every admitted request ends once: `respond` or `fail` of its sink is called, or nobody waits for it any more.
    """

    def __init__(
        self,
        name: str,
        queue: JobQueue,
        policy: Policy,
        counters: Counters,
        loop: asyncio.AbstractEventLoop,
        timeout_s: float,
        on_batch: Callable[[tuple[float, str, int, bytes]], None] | None = None,
    ) -> None:
        self.name = name
        self.queue = queue
        self.policy = policy
        self.counters = counters
        self.loop = loop
        self.timeout_s = timeout_s
        self.job_us = UNKNOWN_US
        self.running = 0
        self._on_batch = on_batch
        self._batch: list[tuple[int, bytes, bool]] = []
        self._free: list[WorkerLane] = []
        self._busy: list[WorkerLane] = []
        self._lanes: set[WorkerLane] = set()
        """All that have jobs or may get some, also when they are free or busy no more."""
        self._matcher = self._match
        self.is_awake = False
        """Whether it looks for a match at the end of this turn of the loop."""
        self._timer: asyncio.TimerHandle | None = None
        self.on_idle: Callable[[], None] | None = None
        """Told when nothing waits and nothing runs."""
        self._known_headers: dict[bytes, Sequence[tuple[str, str]]] = {}
        """Headers of earlier answers by their blocks."""
        self.refusal: ArgosyError | None = None
        """Set when no worker will come: jobs that a dead one gives back are failed with it instead of waiting."""

    def __repr__(self) -> str:
        return f"<Dispatcher {self.name} {len(self.queue)} waiting, {self.running} running, {len(self._free)} free workers>"

    # -- jobs come ---------------------------------------------------------------------------------------------------

    def offer(self, member: Member) -> WorkerLane:
        """A worker has loaded the model and takes jobs."""
        lane = WorkerLane(self, member)
        if member.style.get("streams"):
            self.send_one_by_one(1)
        return self._add(lane)

    def offer_many(self, lane: WorkerLane) -> WorkerLane:
        """A worker has loaded that takes many jobs at once: from now on each worker gets as many as it has room for."""
        self.send_one_by_one(1)
        self._matcher = self._spread
        return self._add(lane)

    def _add(self, lane: WorkerLane) -> WorkerLane:
        self._lanes.add(lane)
        self._free.append(lane)
        self.wake()
        return lane

    def wake(self) -> None:
        """Jobs or workers have come: look for a match at the end of this turn of the loop, so that what comes together goes together."""
        if not self.is_awake and (self._free or self._busy):
            self.is_awake = True
            self.loop.call_soon(self._matcher)

    def _match(self) -> None:
        self.is_awake = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        queue = self.queue
        while waiting := len(queue):
            if self._free:
                now = self.loop.time()
                decision = decide(self.policy, waiting, now - queue.oldest_at(), len(self._free), self.job_us)
                if not decision.count:
                    self._timer = self.loop.call_later(decision.wait_s or 0.0, self._match)
                    return
                lane = self._free.pop()
                self._busy.append(lane)
                self._send(lane, queue.take(decision.count), now)
            elif not self._prefetch(waiting):
                return

    def _spread(self) -> None:
        """Deal what waits to the workers with the most room. No job waits for a batch."""
        self.is_awake = False
        while self._free and (waiting := len(self.queue)):
            lane = max(self._free, key=operator.attrgetter("room"))
            count = min(lane.room, -(-waiting // len(self._free)), wire.MAX_JOBS)
            if count == lane.room:
                self._free.remove(lane)
                self._busy.append(lane)
            self._send(lane, self.queue.take(count), self.loop.time())

    def _prefetch(self, waiting: int) -> bool:
        is_only_worker = len(self._lanes) == 1
        for lane in self._busy:
            if lane.messages < 2 and may_prefetch(self.policy, waiting, len(lane.jobs), self.job_us, is_only_worker=is_only_worker):
                self._send(lane, self.queue.take(self.policy.message_jobs(self.job_us)), self.loop.time())
                return True
        return False

    def _send(self, lane: WorkerLane, jobs: list[Request], now: float) -> None:
        """Send jobs in one message. A job that cannot be written fails alone; what makes the message too long waits for the next one."""
        first = lane.next_seq
        pieces, length = plain_records(jobs, first)
        if not length or length > _LONGEST:
            pieces, length, jobs = self._records(jobs, first, now)
        if not jobs:
            self._release_lane(lane)
            return
        count = len(jobs)
        lane.next_seq = first + count
        lane.jobs.update(zip(range(first, first + count), jobs, strict=True))
        self.counters.queue_us += int((count * now - sum([job.admitted_at for job in jobs])) * 1e6)
        self.running += count
        pieces[0] = wire.frame_header(wire.JOBS, length, count=count)
        if length <= _JOINED:
            lane.member.send(b"".join(pieces))
        else:
            lane.member.send_pieces(pieces)
        lane.sent(now)

    def _records(self, jobs: list[Request], seq: int, now: float) -> tuple[list[Buffer], int, list[Request]]:
        """The records of jobs of any kind behind a place for the header of their frame, their length, and which jobs they are of."""
        pieces: list[Buffer] = [b""]
        written: list[Request] = []
        length = 0
        for at, job in enumerate(jobs):
            if length > _LONGEST:
                self.queue.put_back(jobs[at:])
                break
            try:
                length += append_record(pieces, job, seq + len(written), now)
            except (wire.WireError, struct.error) as error:
                _release(job)
                self.fail(job, ArgosyError(ErrorCode.INVALID_REQUEST, f"The request cannot be handed to a worker: {error}"))
            else:
                written.append(job)
        return pieces, length, written

    def _release_lane(self, lane: WorkerLane) -> None:
        """A worker that takes jobs again is free."""
        if lane.is_free and lane.open and lane in self._busy:
            self._busy.remove(lane)
            self._free.append(lane)

    # -- answers come ------------------------------------------------------------------------------------------------

    def answered(self, lane: WorkerLane, data: Buffer) -> None:
        """Settle the jobs that `data` answers. Raises `wire.WireError` on an answer that was not asked for."""
        if not len(data) or not lane.messages:
            raise wire.WireError("a message without answers, or answers without a message")
        now = self.loop.time()
        plain = wire.plain_answers(data)
        timed = self._settle_plain(lane, plain, now) if plain is not None else self._settle_all(lane, wire.read_answers(data), now)
        if timed is None:
            return
        count, handler_us, busy_us = timed
        if self.policy.batch_size == 1:
            self.counters.batches += count
            self.counters.handler_us += handler_us
        else:
            self._count_batches(now)
        job_us = busy_us / max(1, self.policy.batch_size)
        self.job_us = job_us if self.job_us is UNKNOWN_US else self.job_us + _SMOOTHING * (job_us - self.job_us)
        lane.progress(now)
        self._release_lane(lane)
        if len(self.queue):
            self.wake()
        elif not self.running and self.on_idle is not None:
            self.on_idle()

    def _settle_plain(self, lane: WorkerLane, answers: list[tuple[int, int, bytes]], now: float) -> _Timed:
        """Settle jobs with ordinary answers: what `_settle_all` does, less what such answers cannot need."""
        jobs, early = lane.jobs, lane.early
        is_single, on_batch = self.policy.batch_size == 1, self._on_batch
        answered = gone = handler_us = busy_us = 0
        try:
            for seq, busy_us, body in answers:
                handler_us += busy_us
                job = jobs.pop(seq, None)
                if job is None:
                    if seq not in early:
                        raise wire.WireError(f"an answer to one of the jobs {[seq for seq, *_ in answers]}, which it does not have")
                    early.remove(seq)
                    continue
                gone += 1
                if type(job) is not PlainRequest:
                    _release(job)
                if job.state is _SETTLED:
                    _uncancel(lane, seq)
                else:
                    job.state = _SETTLED
                    answered += 1
                    try:
                        job.sink.answer(body, now)
                    except Exception:  # noqa: BLE001  the job boundary, as in `_settle`
                        self._reply_lost(job)
                if not is_single:
                    self._batch.append((busy_us, job.id, False))
                elif on_batch is not None:
                    on_batch((now, self.name, busy_us, job.id))
        finally:
            self.running -= gone
            self.counters.answered += answered
        return len(answers), handler_us, busy_us

    def _settle_all(self, lane: WorkerLane, answers: list[wire.Answer], now: float) -> _Timed | None:
        """Settle jobs with answers of any kind; None if a streamed one begins."""
        jobs, is_single = lane.jobs, self.policy.batch_size == 1
        handler_us = busy_us = 0
        for answer in answers:
            seq, busy_us = answer[0], answer[5]
            handler_us += busy_us
            job = jobs.get(seq)
            if job is None and seq in lane.early:
                lane.early.remove(seq)
                continue
            if job is None or not answer[1]:
                self._begin(lane, job, answers)
                return None
            self._settle(lane, job, answer)
            # only now: a job whose answer cannot be read is settled when the worker is gone
            del jobs[seq]
            self.running -= 1
            if not is_single:
                self._batch.append((busy_us, job.id, answer[2]))
            elif self._on_batch is not None and not answer[2]:
                self._on_batch((now, self.name, busy_us, job.id))
        return len(answers), handler_us, busy_us

    def _begin(self, lane: WorkerLane, job: Request | None, answers: list[wire.Answer]) -> None:
        """A streamed answer begins. Raises `wire.WireError` when it cannot."""
        seq, _, failed, status, _, _, phrase, headers, _, _ = answers[0]
        if job is None or len(answers) > 1 or failed or isinstance(job.sink, Stream):
            raise wire.WireError(f"an answer to one of the jobs {[answer.seq for answer in answers]}, which it does not have, or half of one")
        pairs = wire.read_headers(headers) if headers else None
        now = self.loop.time()
        self.counters.streams += 1
        self.counters.first_piece_us += int((now - job.admitted_at) * 1e6)
        self.send_one_by_one(self.policy.batch_size)
        job.sink = stream = Stream(job, seq, lane.member.send, self.cancel)
        lane.heard(now)
        if job.state is not _SETTLED:
            stream.begin(Response(status, b"", phrase, pairs))

    def send_one_by_one(self, batch_size: int) -> None:
        """The model streams: a message has one batch from now on, and none is sent early."""
        if self.policy.target_us != _ONE_BY_ONE:
            self.policy = dataclasses.replace(self.policy, batch_size=batch_size, max_jobs=1, target_us=_ONE_BY_ONE)

    def fetch(self, lane: WorkerLane) -> None:
        """Deliver the answers that a silent worker has finished and not sent; it will send them too."""
        page = lane.member.page
        for answer in page.finished() if page is not None else ():
            job = lane.jobs.pop(answer.seq, None)
            if job is not None:
                lane.early.add(answer.seq)
                self.running -= 1
                self._settle(lane, job, answer)

    def _settle(self, lane: WorkerLane, job: Request, answer: wire.Answer) -> None:
        """Raises `wire.WireError`, before anything has changed, when headers or body cannot be read."""
        seq, _, failed, status, _, _, phrase, headers, body, place = answer
        pairs = (self._known_headers.get(headers) or self._read_headers(headers)) if headers and not failed else None
        content = body if place is None else lane.body(place)
        _release(job)
        if job.state is _SETTLED:
            _uncancel(lane, seq)
            return
        if failed:
            self.fail(job, _error(answer))
            return
        job.state = _SETTLED
        self.counters.answered += 1
        try:
            job.sink.respond(Response(status, content, phrase, pairs))
        except Exception:  # noqa: BLE001  the job boundary: one client's trouble must not reach the link
            self._reply_lost(job)

    def _read_headers(self, block: bytes) -> Sequence[tuple[str, str]]:
        """The headers of an answer, remembered for the next one: mostly they are the same. Raises `wire.WireError`."""
        pairs = tuple(wire.read_headers(block))
        if len(self._known_headers) < _KNOWN_HEADERS and len(block) <= _SHORT:
            self._known_headers[block] = pairs
        return pairs

    def _reply_lost(self, job: Request) -> None:
        _log.exception("model %s: request %s was answered, but its reply was lost", self.name, job.id.decode("latin-1"))

    def _count_batches(self, now: float) -> None:
        """Every answer tells the time of its whole batch, and the answers of a batch are neighbours; a batch counts once."""
        for busy_us, group in itertools.groupby(self._batch, key=operator.itemgetter(0)):
            members = list(group)
            size = self.policy.batch_size
            for first in range(0, len(members), size):
                batch = members[first : first + size]
                self.counters.batches += 1
                self.counters.handler_us += busy_us
                ids = b",".join(id for _, id, failed in batch if not failed)
                if self._on_batch is not None and ids:
                    self._on_batch((now, self.name, busy_us, ids))
        self._batch.clear()

    def fail(self, job: Request, error: ArgosyError) -> None:
        """Settle a job that has no answer."""
        job.state = _SETTLED
        if error.code is ErrorCode.DEADLINE_EXCEEDED:
            self.counters.expired += 1
        else:
            self.counters.failed += 1
        try:
            job.sink.fail(error)
        except Exception:  # noqa: BLE001  the job boundary, as above
            _log.exception("model %s: the failure of request %s was lost", self.name, job.id.decode("latin-1"))

    # -- jobs and workers go -----------------------------------------------------------------------------------------

    def cancel(self, job: Request) -> None:
        """Nobody waits for this job: it never starts if it has not, and its answer is dropped. Does nothing to a settled job."""
        if job.state is JobState.WAITING:
            self.queue.discard(job)
            _release(job)
            self._tell_if_idle()
        elif job.state is JobState.SENT:
            job.state = _SETTLED
            self._tell_worker(job)
        else:
            return
        self.counters.cancelled += 1

    def _tell_worker(self, job: Request) -> None:
        """Look for a job that is in flight, which is rare enough, and mark it in the page of its worker."""
        for lane in self._lanes:
            seq = next((seq for seq, other in lane.jobs.items() if other is job), None)
            if seq is not None:
                lane.cancel(seq, job)

    def withdrawn(self, lane: WorkerLane) -> None:
        """A worker takes no more jobs."""
        for lanes in (self._free, self._busy):
            if lane in lanes:
                lanes.remove(lane)

    def lost(self, lane: WorkerLane, why: str, *, for_memory: bool = False) -> None:
        """A worker is gone: its finished answers are delivered, what it ran fails, what it had not begun goes to another one."""
        self._lanes.discard(lane)
        page = lane.member.page
        begun = page.begun if page is not None else lane.next_seq
        for answer in page.unsent() if page is not None else ():
            job = lane.jobs.pop(answer.seq, None)
            if job is not None:
                self.running -= 1
                self._settle(lane, job, answer)
        jobs, lane.jobs = lane.jobs, {}
        self.running -= len(jobs)
        back = []
        for seq, job in jobs.items():
            if job.state is _SETTLED:
                _release(job)
            elif seq >= begun and job.returned < _MOST_RETURNS and not isinstance(job.sink, Stream):
                job.returned += 1
                back.append(job)
            else:
                _release(job)
                code, message = (ErrorCode.OUT_OF_MEMORY, "Worker ran out of memory.") if for_memory else (ErrorCode.WORKER_DIED, "Worker died.")
                self.fail(job, ArgosyError(code, message, detail=f"model {self.name}: worker {lane.member.id} {why}"))
        self.queue.put_back(back)
        self.wake()
        if self.refusal is not None:
            self.refuse_waiting(self.refusal)
        else:
            self._tell_if_idle()

    def refuse_waiting(self, error: ArgosyError) -> None:
        """Settle everything that waits."""
        for job in self.queue.waiting():
            self.queue.discard(job)
            _release(job)
            self.fail(job, error)
        self._tell_if_idle()

    def expire(self, now: float) -> None:
        """Settle the waiting jobs whose deadline has passed."""
        for job in self.queue.expired(now):
            self.queue.discard(job)
            _release(job)
            self.fail(job, ArgosyError(ErrorCode.DEADLINE_EXCEEDED, f"The request waited too long for model {self.name}."))
        self._tell_if_idle()

    def _tell_if_idle(self) -> None:
        if self.on_idle is not None and not self.running and not len(self.queue):
            self.on_idle()


def _release(job: Request) -> None:
    if job.slot is not None:
        job.slot.release()


def _uncancel(lane: WorkerLane, seq: int) -> None:
    """Nobody waits for the answer that came; the place of the job's cancel byte may serve another one."""
    if lane.member.page is not None:
        lane.member.page.uncancel(seq)


def _error(answer: wire.Answer) -> ArgosyError:
    """The failure that a worker reported."""
    try:
        code = ErrorCode(answer.code)
    except ValueError:
        code = ErrorCode.INTERNAL
    status = answer.status if 200 <= answer.status <= 999 else 0  # nothing else can end a request
    return ArgosyError(code, answer.phrase, detail=answer.headers.decode("utf-8", "replace"), status=status)
