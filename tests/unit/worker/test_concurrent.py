"""An asynchronous handler in a worker: many jobs at once, each with a fate of its own."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from argosy import wire
from argosy.errors import ErrorCode
from argosy.testing.worker import SHARED_BYTES, FakeServer, Outcome, job_record, jobs_frame, load_frame, run_worker
from argosy.worker.link import Link
from argosy.worker.loop import Worker

WriteModel = Callable[[str], Path]

VERBS = """
    import asyncio, sys
    from argosy.handler import InvalidInput
    begun, ended, everybody = [], [], asyncio.Event()
    async def together(ctx, number):
        begun.append(ctx.id)
        if len(begun) == int(number):
            everybody.set()
        await everybody.wait()
        return {"id": ctx.id, "headers": ctx.headers, "begun": len(begun)}
    async def forever(ctx, _):
        try:
            await asyncio.Event().wait()
        finally:
            ended.append((ctx.id, ctx.cancelled))
    async def stubborn(ctx, _):
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return "late"
    async def deaf(ctx, _):
        while True:
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                pass
    async def tidy(ctx, path):
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0.1)
            open(path, "w").close()
    async def rest(ctx, seconds):
        await asyncio.sleep(float(seconds))
        return "rested"
    async def itself(ctx, _):
        raise asyncio.CancelledError
    async def stream(ctx, number):
        return pieces(int(number))
    async def pieces(number):
        for i in range(number):
            yield f"{i},"
    async def steps(ctx, number):
        return (f"{i};" for i in range(int(number)))
    async def cut(ctx, _):
        return broken()
    async def broken():
        yield "so far"
        raise ValueError("boom")
    async def large(ctx, number):
        return blocks(int(number))
    async def blocks(number):
        try:
            for i in range(number):
                yield bytes([i]) * 50000
        finally:
            ended.append("blocks")
    async def silent(ctx, _):
        return quiet()
    async def quiet():
        yield "first"
        await asyncio.Event().wait()
    async def fail(ctx, word):
        raise {"value": ValueError, "input": InvalidInput}[word](word)
    async def head(ctx, _):
        ctx.set_response_status(201, "Made")
        ctx.set_response_header(0, "X-Id", ctx.id)
        ctx.metrics.add_counter("Seen", 1)
        return "made"
    async def ended_so_far(ctx, _):
        return ended
    async def odd(ctx, _):
        return object()
    async def predict(text: str, ctx):
        verb, _, argument = text.partition(":")
        return await globals()[verb](ctx, argument)
"""


def ask(model: WriteModel, *bodies: bytes, source: str = VERBS, frames: tuple[bytes, ...] = (), timeout_ms: int = 0, **order: object) -> Outcome:
    """What an asynchronous handler answers to jobs 1, 2, 3 … that come in one frame, and to what follows."""
    jobs = jobs_frame(*(job_record(seq, body, "text/plain", timeout_ms=timeout_ms) for seq, body in enumerate(bodies, 1)))
    status, outcome = run_worker(load_frame(model(source), "svc", **order), jobs, *frames)
    assert status == 0
    assert outcome.loaded["ok"], outcome.loaded
    assert outcome.loaded["asynchronous"]
    return outcome


def by_seq(outcome: Outcome) -> dict[int, wire.Answer]:
    """The answers; each job has one."""
    assert len({answer.seq for answer in outcome.answers}) == len(outcome.answers)
    return {answer.seq: answer for answer in outcome.answers}


def test_jobs_run_at_the_same_time(model: WriteModel) -> None:
    """None is answered before the last one has begun; each sees its own request."""
    answers = by_seq(ask(model, *[b"together:20"] * 20))
    assert [json.loads(answers[seq].body) for seq in range(1, 21)] == [{"id": f"id-{seq}", "headers": {}, "begun": 20} for seq in range(1, 21)]


def test_answers_of_one_turn_travel_together(model: WriteModel) -> None:
    """As those of a message of plain jobs do."""
    assert len(ask(model, *[b"together:20"] * 20).heads) < 5


def test_failures_stay_alone(model: WriteModel, capfd: pytest.CaptureFixture[str]) -> None:
    """Neighbours are answered, whatever one raises, returns or sends; the log has the traceback."""
    answers = by_seq(ask(model, b"together:2", b"fail:value", b"fail:input", b"odd", b"\xff", b"together:2", b"itself"))
    assert [(answers[seq].failed, answers[seq].code) for seq in range(1, 8)] == [
        (False, 0), (True, ErrorCode.HANDLER_FAILED), (True, ErrorCode.INVALID_REQUEST), (True, ErrorCode.BAD_OUTPUT),
        (True, ErrorCode.INVALID_REQUEST), (False, 0), (True, ErrorCode.HANDLER_FAILED),
    ]  # fmt: skip
    assert "ValueError: value" in capfd.readouterr().err


def test_status_headers_and_metrics_belong_to_one_job(model: WriteModel) -> None:
    """As for a plain handler."""
    outcome = ask(model, b"head", b"together:1", b"head")
    answers = by_seq(outcome)
    assert [(answers[seq].status, answers[seq].phrase) for seq in (1, 2, 3)] == [(201, "Made"), (200, ""), (201, "Made")]
    assert dict(wire.read_headers(answers[3].headers))["X-Id"] == "id-3"
    assert ["requestID:id-1" in outcome.metrics[0], "requestID:id-3" in outcome.metrics[1]] == [True, True]


@contextlib.contextmanager
def serving(folder: Path) -> Iterator[FakeServer]:
    """A worker in a thread of its own, with its model loaded. It must end when it is told to stop."""
    server = FakeServer(memoryview(bytearray(SHARED_BYTES)))
    server.sock.settimeout(30)
    ended: list[int] = []
    thread = threading.Thread(target=lambda: ended.append(Worker(Link(server.worker_end, server.page)).run()))
    thread.start()
    try:
        server.sock.sendall(load_frame(folder, "svc"))
        frame = server.next()
        assert frame is not None
        assert frame.kind == wire.LOADED
        yield server
        server.sock.sendall(wire.frame(wire.STOP))
        thread.join(30)
        assert ended == [0]
    finally:
        server.sock.close()
        thread.join(30)
        server.close()


def test_who_left_is_cancelled(model: WriteModel) -> None:
    """At what the handler waits for; it can clean up, and is answered once, also when it goes on instead, or had not begun."""
    with serving(model(VERBS)) as server:
        outcome = Outcome()
        jobs = [job_record(seq, body) for seq, body in enumerate((b"silent", b"forever", b"stubborn"), 1)]
        server.sock.sendall(jobs_frame(*jobs))
        while not outcome.pieces.get(1):  # by then all have begun
            frame = server.next()
            assert frame is not None
            outcome.take(frame)
        late = jobs_frame(job_record(4, b"forever")) + wire.frame(wire.CANCEL, id=4)
        server.sock.sendall(b"".join(wire.frame(wire.CANCEL, id=seq) for seq in (1, 2, 3, 99)) + late)
        server.collect(outcome, 4)
        server.sock.sendall(jobs_frame(job_record(5, b"ended_so_far")))
        answers = by_seq(server.collect(outcome, 5))
        assert [answers[seq].code for seq in (1, 2, 3, 4)] == [ErrorCode.CANCELLED] * 4
        assert outcome.ends == {1: wire.ERROR}
        assert json.loads(answers[5].body) == [["id-2", True]]


@pytest.mark.parametrize(("verb", "deadline_ms", "limit_s", "words"), [
    (b"forever", 20, 0.0, "The deadline of the request passed"),
    (b"stubborn", 20, 0.0, "The deadline of the request passed"),
    (b"forever", 0, 0.02, "did not answer within 0.02 s (response timeout)"),
    (b"forever", 60_000, 0.02, "did not answer within 0.02 s (response timeout)"),
])  # fmt: skip
def test_who_takes_too_long_is_stopped(model: WriteModel, verb: bytes, deadline_ms: int, limit_s: float, words: str) -> None:
    """By the deadline of the request or by the response timeout; the worker goes on."""
    (answer,) = ask(model, verb, timeout_ms=deadline_ms, response_timeout_s=limit_s).answers
    assert (answer.code, words in answer.phrase) == (ErrorCode.DEADLINE_EXCEEDED, True)


def test_a_call_that_goes_on_although_it_was_cancelled_holds_up_no_end(model: WriteModel) -> None:
    """The worker ends when all others are answered, however long they take; nobody waits for the one any more."""
    jobs = jobs_frame(job_record(1, b"deaf", "text/plain", timeout_ms=10), job_record(2, b"rest:1.2", "text/plain"))
    status, outcome = run_worker(load_frame(model(VERBS), "svc"), jobs)
    assert status == 0
    assert {answer.seq: answer.code or answer.body for answer in outcome.answers} == {1: ErrorCode.DEADLINE_EXCEEDED, 2: b"rested"}


def test_a_call_that_cleans_up_is_left_to_it(model: WriteModel, tmp_path: Path) -> None:
    """A stop that comes while a cancelled call puts its things away does not cancel that too."""
    ask(model, f"tidy:{tmp_path / 'tidied'}".encode(), timeout_ms=10)
    assert (tmp_path / "tidied").exists()


def test_a_stream_that_falls_silent_is_cut(model: WriteModel) -> None:
    """The response timeout holds from one piece to the next; the deadline only until the answer has begun."""
    outcome = ask(model, b"silent", timeout_ms=60_000, response_timeout_s=0.02)
    assert (outcome.pieces, outcome.ends, outcome.answers[0].code) == ({1: [b"first"]}, {1: wire.ERROR}, ErrorCode.DEADLINE_EXCEEDED)


def test_streams_run_side_by_side(model: WriteModel) -> None:
    """Asynchronous generators, and plain ones that an asynchronous handler returns, piece by piece."""
    outcome = ask(model, b"stream:3", b"steps:2", b"stream:0", b"cut")
    assert outcome.pieces == {1: [b"0,", b"1,", b"2,"], 2: [b"0;", b"1;"], 4: [b"so far"]}
    assert outcome.ends == {1: wire.END, 2: wire.END, 4: wire.ERROR}
    assert by_seq(outcome)[3].body == b""
    assert by_seq(outcome)[4].code == ErrorCode.HANDLER_FAILED


def test_a_stream_without_room_does_not_hold_up_the_others(model: WriteModel) -> None:
    """It goes on when its client has made room, and is closed when its client leaves instead."""
    with serving(model(VERBS)) as server:
        outcome = Outcome()
        server.sock.sendall(jobs_frame(job_record(1, b"large:4"), job_record(2, b"large:4")))
        while sum(map(len, [*outcome.pieces.get(1, []), *outcome.pieces.get(2, [])])) < 300_000:
            frame = server.next()
            assert frame is not None
            outcome.take(frame)
        server.sock.sendall(jobs_frame(job_record(3, b"together:1")))
        server.collect(outcome, 1)
        server.sock.sendall(wire.credit_frame(1, 100_000) + wire.credit_frame(7, 5) + wire.frame(wire.CANCEL, id=2))
        answers = by_seq(server.collect(outcome, 3))
        assert b"".join(outcome.pieces[1]) == b"".join(bytes([i]) * 50000 for i in range(4))
        assert (answers[3].status, answers[2].code, outcome.ends) == (200, ErrorCode.CANCELLED, {1: wire.END, 2: wire.ERROR})
        server.sock.sendall(jobs_frame(job_record(4, b"ended_so_far")))
        assert json.loads(by_seq(server.collect(outcome, 4))[4].body) == ["blocks", "blocks"]


@pytest.mark.parametrize("source", [
    "async def handle(data, context):\n    return [row['body'] for row in data or []]\n",
    "class S:\n    async def handle(self, data, context):\n        return [row['body'] for row in data]\n",
    "class S:\n    async def predict(self, text: str):\n        return text\n",
    "async def predict(text: memoryview):\n    return bytes(text)\n",
])  # fmt: skip
def test_every_form_of_handler(model: WriteModel, source: str) -> None:
    """Old and new ones."""
    answers = by_seq(ask(model, b"a", b"b", source=source, batch_size=8))
    assert [answers[seq].body for seq in (1, 2)] == [b"a", b"b"]


@pytest.mark.parametrize("source", [
    "async def handle(data, context):\n    if data:\n        yield data[0]['body']\n        yield 'b'\n",
    "class S:\n    async def predict(self, text: str):\n        yield text\n        yield 'b'\n",
    "async def predict(text: str):\n    yield text\n    yield 'b'\n",
])  # fmt: skip
def test_every_form_of_generator(model: WriteModel, source: str) -> None:
    """Old and new ones."""
    outcome = ask(model, b"a", source=source)
    assert (outcome.pieces, outcome.loaded["streams"]) == ({1: [b"a", b"b"]}, True)


def test_results_of_old_handlers_are_checked(model: WriteModel) -> None:
    """One request, one result."""
    for source, words in (("return 'x'", "Invalid model predict output"), ("return [1, 2]", "number of batch response mismatched")):
        (answer,) = ask(model, b"a", source=f"async def handle(data, context):\n    {source}\n").answers
        assert (answer.code, answer.phrase) == (ErrorCode.BAD_OUTPUT, words)


def test_the_load_call(model: WriteModel, capfd: pytest.CaptureFixture[str]) -> None:
    """An old handler is called without data at load, up to its first piece if it is a generator."""
    ask(model, source="async def handle(data, context):\n    print('loading' if data is None else 'x')\n    yield 'x'\n    print('after')\n")
    ask(model, source="async def handle(data, context):\n    print('loading too')\n")
    assert capfd.readouterr().out == "loading\nloading too\n"


def test_the_page_tells_what_has_begun(model: WriteModel) -> None:
    """In the order of the jobs."""
    server = FakeServer(memoryview(bytearray(SHARED_BYTES)))
    jobs = jobs_frame(job_record(5, b"together:1"), job_record(6, b"together:1"))
    server.sock.sendall(load_frame(model(VERBS), "svc") + jobs + wire.frame(wire.STOP))
    assert Worker(Link(server.worker_end, server.page)).run() == 0
    assert server.words() == (7, 0)
    server.close()


BROKEN = [b"\0" * 64, wire.frame(wire.LOAD, b"{}"), wire.frame(wire.JOBS, b"\0" * 5, count=1), wire.frame(wire.CREDIT, b"", id=1)]


@pytest.mark.parametrize("frame", BROKEN)
def test_a_broken_link_ends_the_worker(model: WriteModel, frame: bytes) -> None:
    """Whatever runs; what runs is cancelled."""
    first = jobs_frame(job_record(1, b"large:4"))
    status, _ = run_worker(load_frame(model(VERBS), "svc"), first, frame)
    assert status == 3


def test_a_closed_link_is_an_ordinary_end(model: WriteModel) -> None:
    """A server that goes away needs no explanation; what runs is cancelled."""
    server = FakeServer(memoryview(bytearray(SHARED_BYTES)))
    server.sock.sendall(load_frame(model(VERBS), "svc") + jobs_frame(job_record(1, b"forever")))
    server.sock.close()
    assert Worker(Link(server.worker_end, server.page)).run() == 0
    server.close()


def test_a_handler_that_exits_ends_the_worker(model: WriteModel) -> None:
    """As a plain one does: it is the process that asked for it."""
    with pytest.raises(SystemExit):
        ask(model, b"x", source="import sys\nasync def predict(text: str):\n    sys.exit(7)\n")
