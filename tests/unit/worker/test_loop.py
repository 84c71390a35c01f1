"""The life of a worker: what frames it takes, and how it ends."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from argosy import wire
from argosy.testing.worker import SHARED_BYTES, FakeServer, job_record, jobs_frame, load_frame, run_worker
from argosy.worker.link import Link
from argosy.worker.loop import Worker, read_order

WriteModel = Callable[..., Path]
HANDLER = "def handle(data, context):\n    return ['x'] * len(data or [])\n"


def test_order_keeps_defaults_and_ignores_what_it_does_not_know() -> None:
    """A newer server may say more than this worker understands."""
    order = read_order(json.dumps({"model_name": "m", "model_dir": "d", "handler": "h", "of_tomorrow": 1}).encode())
    assert (order.model_name, order.batch_size, order.decode_input, order.gpu_id, order.server_version) == ("m", 1, True, None, "1.1.11")


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b'"text"', b"\xff"])
def test_order_that_cannot_be_read(data: bytes) -> None:
    """It is the link that is broken, not the model."""
    with pytest.raises(wire.WireError):
        read_order(data)


@pytest.mark.parametrize(
    "frames",
    [
        [b"\0" * 64],
        [jobs_frame(job_record(1))],
        [wire.frame(wire.HEAD)],
        [wire.frame(wire.LOAD, b"{")],
    ],
)
def test_hostile_frames_end_the_worker(frames: list[bytes], capsys: pytest.CaptureFixture[str]) -> None:
    """Status 3 and one line in the log; nothing is sent."""
    status, outcome = run_worker(*frames)
    assert (status, outcome.loaded, outcome.answers) == (3, {}, [])
    assert "the link to the server broke" in capsys.readouterr().err


@pytest.mark.parametrize(
    "frame",
    [
        wire.frame(wire.JOBS, b"\0" * 5, count=1),
        wire.frame(wire.JOBS, job_record(1) + b"x", count=1),
        wire.frame(wire.JOBS, job_record(1), count=2),
        wire.frame(wire.JOBS, wire.JOB.pack(1, 0, 0, 0, 0, 0, 0, 1 << 60, 0), count=1),
        wire.frame(wire.LOAD, b"{}"),
    ],
)
def test_hostile_frames_end_a_loaded_worker(model: WriteModel, frame: bytes) -> None:
    """Also after it was loaded; no job of a broken frame is started."""
    status, outcome = run_worker(load_frame(model(HANDLER), "svc"), frame)
    assert (status, outcome.answers) == (3, [])


def test_cancel_of_a_stream_that_is_none_is_ignored(model: WriteModel) -> None:
    """The answer may have been on its way already."""
    status, outcome = run_worker(load_frame(model(HANDLER), "svc"), wire.frame(wire.CANCEL, id=1), jobs_frame(job_record(1)))
    assert (status, len(outcome.answers)) == (0, 1)


def test_closed_link_is_an_ordinary_end(model: WriteModel) -> None:
    """A server that goes away needs no explanation."""
    server = FakeServer(memoryview(bytearray(SHARED_BYTES)))
    server.sock.sendall(load_frame(model(HANDLER), "svc"))
    server.sock.close()
    worker = Worker(Link(server.worker_end, server.page))
    assert repr(worker) == "<Worker of nothing None>"
    assert worker.run() == 0
    server.close()


def test_loaded_tells_what_was_loaded(model: WriteModel) -> None:
    """The server learns pid, style and what the handler takes."""
    _, outcome = run_worker(load_frame(model(HANDLER), "svc"))
    assert set(outcome.loaded) == {"ok", "pid", "style", "batch", "view", "streams", "asynchronous", "load_ms"}
    assert (outcome.loaded["style"], outcome.loaded["batch"], outcome.loaded["view"]) == ("function", True, False)


def test_many_frames_are_answered_in_order(model: WriteModel) -> None:
    """One HEAD for each message of a fast handler at most 200 µs apart; every job once."""
    frames = [jobs_frame(*(job_record(seq) for seq in range(at, at + 8))) for at in range(0, 32, 8)]
    _, outcome = run_worker(load_frame(model(HANDLER), "svc"), *frames)
    assert [answer.seq for answer in outcome.answers] == list(range(32))
    assert len(outcome.heads) >= 4
