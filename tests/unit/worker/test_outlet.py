"""A streamed answer as the worker sends it: frame by frame, with room, without, and to nobody."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from argosy import wire
from argosy.errors import ErrorCode
from argosy.testing.worker import SHARED_BYTES, FakeServer, Outcome, job_record, jobs_frame, load_frame, run_worker
from argosy.worker.link import Link
from argosy.worker.outlet import Outlet

WriteModel = Callable[[str], Path]

COUNT = """
    import sys
    from argosy.handler import InvalidInput, PredictionException
    closed = []
    def predict(text: str, ctx):
        what, _, number = text.partition(":")
        if what == "headers":
            ctx.set_response_status(201, "Begun")
            ctx.set_response_header(0, "X-A", "1")
        if what == "closed":
            yield closed
            return
        try:
            for i in range(int(number or 3)):
                if what == "large":
                    yield bytes([i]) * 50000
                elif what == "awaited":
                    yield str(ctx.cancelled)
                else:
                    yield f"{i},"
            if what in ("value", "before"):
                raise ValueError("boom")
            if what == "input":
                raise InvalidInput("too late")
            if what == "chosen":
                raise PredictionException("teapot", 418)
            if what == "word":
                raise PredictionException("word", 200)
            if what == "odd":
                yield object()
        finally:
            closed.append(ctx.id)
"""


def stream(model: WriteModel, *bodies: bytes, source: str = COUNT, frames: tuple[bytes, ...] = (), **order: object) -> Outcome:
    """What the handler answers to jobs 1, 2, 3 … that come in one frame."""
    jobs = jobs_frame(*(job_record(seq, body, "text/plain") for seq, body in enumerate(bodies, 1)))
    status, outcome = run_worker(load_frame(model(source), "svc", **order), jobs, *frames)
    assert status == 0
    assert outcome.loaded["ok"], outcome.loaded
    return outcome


def test_each_piece_is_a_frame(model: WriteModel) -> None:
    """The head with status, phrase and headers comes first and alone, then the pieces, then the end with the handler's time."""
    outcome = stream(model, b"headers")
    head = outcome.begun[1]
    assert (head.last, head.status, head.phrase, head.body) == (False, 201, "Begun", b"")
    assert sorted(wire.read_headers(head.headers)) == [("X-A", "1"), ("content-type", "text/plain; charset=utf-8")]
    assert outcome.pieces == {1: [b"0,", b"1,", b"2,"]}
    (end,) = outcome.answers
    assert (outcome.ends, end.last, end.failed, end.seq) == ({1: wire.END}, True, False, 1)
    assert end.busy_us > 0


def test_neighbours_are_answered_in_order(model: WriteModel) -> None:
    """Jobs of one message stream one after the other; each sees its own context."""
    outcome = stream(model, b"count:2", b"count:1", b"closed")
    assert [answer.seq for answer in outcome.answers] == [1, 2, 3]
    assert outcome.pieces == {1: [b"0,", b"1,"], 2: [b"0,"], 3: [b'["id-1", "id-2"]\n']}


def test_nothing_yielded_is_an_ordinary_empty_answer(model: WriteModel) -> None:
    """There is no stream without a piece."""
    outcome = stream(model, b"count:0")
    assert ([answer.body for answer in outcome.answers], outcome.begun) == ([b""], {})


def test_an_empty_piece_begins_the_answer(model: WriteModel) -> None:
    """The head leaves, and no empty frame with it."""
    outcome = stream(model, b"x", source="def predict(text: str):\n    yield ''\n    yield ''\n")
    assert (list(outcome.begun), outcome.pieces, outcome.ends) == ([1], {1: []}, {1: wire.END})


@pytest.mark.parametrize(
    ("body", "code", "status", "words"),
    [
        (b"value", ErrorCode.HANDLER_FAILED, 0, "Prediction failed"),
        (b"input", ErrorCode.INVALID_REQUEST, 0, "too late"),
        (b"chosen", ErrorCode.HANDLER_STATUS, 418, "teapot"),
        (b"word", ErrorCode.HANDLER_STATUS, 200, "word"),
        (b"odd", ErrorCode.BAD_OUTPUT, 0, "Unsupported model output data type."),
    ],
)
def test_failure_in_the_middle_is_an_error_frame(
    model: WriteModel, body: bytes, code: ErrorCode, status: int, words: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """What was sent stays sent; the reason goes to the server, the traceback to the log, and the generator is closed."""
    outcome = stream(model, body, b"closed")
    failure = outcome.answers[0]
    assert outcome.ends == {1: wire.ERROR, 2: wire.END}
    assert (failure.failed, failure.code, failure.status, failure.phrase) == (True, code, status, words)
    assert outcome.pieces[1] == [b"0,", b"1,", b"2,"]
    assert json.loads(outcome.pieces[2][0]) == ["id-1"]
    assert ("ValueError: boom" in capfd.readouterr().err) == (body == b"value")


def test_failure_before_the_first_piece_is_an_ordinary_one(model: WriteModel) -> None:
    """Nothing has begun, so the client can have a status."""
    outcome = stream(model, b"before:0", b"word:0")
    assert [(answer.failed, answer.code, answer.body) for answer in outcome.answers] == [(True, ErrorCode.HANDLER_FAILED, b""), (False, 0, b"error")]
    assert (outcome.begun, outcome.ends) == ({}, {})


def test_head_that_cannot_be_sent_fails_before_anything_is(model: WriteModel) -> None:
    """As for every other answer."""
    source = "def predict(text: str, ctx):\n    ctx.set_response_header(0, 'X', 'a\\nb')\n    yield 'x'\n"
    (answer,) = stream(model, b"x", source=source).answers
    assert (answer.failed, answer.code) == (True, ErrorCode.BAD_OUTPUT)


def test_a_piece_may_not_be_larger_than_an_answer(model: WriteModel) -> None:
    """The limit holds for each piece, not for their sum."""
    outcome = stream(model, b"count:30", b"large:1", max_response_size=100)
    assert (len(outcome.pieces[1]), outcome.answers[1].code) == (30, ErrorCode.BAD_OUTPUT)
    assert "max_response_size" in outcome.answers[1].phrase


def test_nobody_waits_any_more(model: WriteModel) -> None:
    """The generator is closed at its next piece, and told before if it asks."""
    server = FakeServer(memoryview(bytearray(SHARED_BYTES)))
    link = Link(server.worker_end, server.page)
    outlet = Outlet(link, 5)
    assert not outlet.is_cancelled
    server.cancel(5)
    assert outlet.is_cancelled
    outlet.drop(7)
    assert [(answer.code, answer.busy_us) for answer in _outbox(link, server)] == [(ErrorCode.CANCELLED, 7)]
    server.close()


def _outbox(link: Link, server: FakeServer) -> list[wire.Answer]:
    link.publish(1)
    return server.outbox()


def test_the_handler_rests_until_there_is_room(model: WriteModel) -> None:
    """A window's worth leaves at once; more only on credit, and other frames that come meanwhile are kept."""
    job = jobs_frame(job_record(2, b"count:1", "text/plain"))
    early = (wire.frame(wire.CANCEL, id=99), job, wire.credit_frame(7, 1), wire.credit_frame(1, 60_000))
    outcome = stream(model, b"large:4", frames=early)
    assert b"".join(outcome.pieces[1]) == b"".join(bytes([i]) * 50000 for i in range(4))
    assert (outcome.ends, outcome.pieces[2]) == ({1: wire.END, 2: wire.END}, [b"0,"])


def test_bodies_of_jobs_that_wait_stay_as_they_are(model: WriteModel) -> None:
    """What the link reads while a stream waits for room does not overwrite them."""
    source = """
    from typing import Iterator
    def handle(data, context):
        return [(bytes([i]) * 50000 for i in range(4)) if row["body"] == "large" else row["body"] for row in data or []]
    """
    frames = (jobs_frame(*(job_record(seq, b"J" * 900) for seq in range(4, 8))), wire.credit_frame(1, 120_000))
    outcome = stream(model, b"large", b"second" * 100, b"third", source=source, frames=frames)
    answers = {answer.seq: answer.body for answer in outcome.answers}
    assert (answers[2], answers[3], answers[7]) == (b"second" * 100, b"third", b"J" * 900)


def test_old_handlers_stream_too(model: WriteModel) -> None:
    """A generator, or a list with one, or a bare iterator that a plain function returns for one request."""
    outcomes = [
        stream(model, b"a", source=source).pieces[1]
        for source in (
            "def handle(data, context):\n    if data is None:\n        return\n    yield data[0]['body']\n    yield 'b'\n",
            "def handle(data, context):\n    return [iter([row['body'], 'b']) for row in data or []]\n",
            "def handle(data, context):\n    return iter([data[0]['body'], 'b']) if data else None\n",
            "class S:\n    def handle(self, data, context):\n        yield data[0]['body']\n        yield 'b'\n",
            "class S:\n    def predict(self, text: str):\n        yield text\n        yield 'b'\n",
            "def predict(text: memoryview):\n    yield bytes(text)\n    yield 'b'\n",
        )
    ]
    assert outcomes == [[b"a", b"b"]] * 6


def test_in_a_batch_streams_follow_the_other_answers(model: WriteModel) -> None:
    """One after the other, each under its own request id; the others do not wait for them."""
    source = """
    def pieces(context, text):
        yield text
        yield context.get_request_id(0)
    def handle(data, context):
        if data is None:
            return None
        return [pieces(context, row["body"]) if row["body"] != "plain" else "whole" for row in data]
    """
    outcome = stream(model, b"a", b"plain", b"b", source=source, batch_size=3)
    assert [answer.seq for answer in outcome.answers] == [2, 1, 3]
    assert outcome.pieces == {1: [b"a", b"id-1"], 3: [b"b", b"id-3"]}


def test_a_generator_gets_one_request_at_a_time(model: WriteModel) -> None:
    """Whatever the batch size: what it yields has to belong to one request. The server is told."""
    outcome = stream(model, b"a", b"b", source="def handle(data, context):\n    yield len(data or [])\n", batch_size=8)
    assert outcome.pieces == {1: [b"1\n"], 2: [b"1\n"]}
    assert (outcome.loaded["batch"], outcome.loaded["streams"], outcome.loaded["asynchronous"]) == (False, True, False)


@pytest.mark.parametrize("returned", ["iter('ab')", "(x for x in xs)"])
def test_a_stream_is_no_list_of_results(model: WriteModel, returned: str) -> None:
    """A handler for batches returns a result for each request, also when there is only one."""
    source = f"from argosy.handler import Batch\ndef predict(xs: Batch[str]):\n    return {returned}\n"
    (answer,) = stream(model, b"a", source=source).answers
    assert (answer.code, answer.phrase) == (ErrorCode.BAD_OUTPUT, "Invalid model predict output")


def test_an_exception_while_closing_is_logged(model: WriteModel, capfd: pytest.CaptureFixture[str]) -> None:
    """It changes nothing of the answer."""
    source = """
    class Odd:
        def __next__(self):
            raise StopIteration
        def __iter__(self):
            return self
        def close(self):
            raise OSError("cannot close")
    def predict(text: str):
        return Odd()
    """
    assert [answer.body for answer in stream(model, b"x", source=source).answers] == [b""]
    assert "cannot close" in capfd.readouterr().err


def test_the_load_call_of_a_generator_runs_to_its_first_piece(model: WriteModel, capfd: pytest.CaptureFixture[str]) -> None:
    """What an old handler does when it is called without data is done at load."""
    source = "def handle(data, context):\n    print('loading' if data is None else 'serving')\n    yield 'x'\n    print('after')\n"
    assert stream(model, source=source).answers == []
    assert capfd.readouterr().out == "loading\n"
