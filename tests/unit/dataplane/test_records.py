"""Job records, read as a worker reads them."""

from __future__ import annotations

import struct

import pytest

from argosy import wire
from argosy.dataplane.records import append_record, plain_records
from argosy.messages import Buffer, Part, PlainRequest, Request
from fakes.dataplane import Client, FakeSlot, request


def plain(body: bytes) -> PlainRequest:
    """An ordinary job."""
    job: PlainRequest = PlainRequest()
    job.id, job.content_type, job.headers, job.body, job.sink, job.admitted_at = b"id", b"text/plain", b"a\0b", body, Client(), 0.0
    job.shape = wire.job_shape(2, 10, 3, len(body))
    return job


def read(pieces: list[Buffer], count: int) -> list[wire.Job]:
    """The jobs of a message whose header is left out."""
    assert pieces[0] == b""
    return wire.read_jobs(memoryview(b"".join(pieces)), count)


def written(job: Request, now: float = 0.0) -> wire.Job:
    """One job of any kind."""
    pieces: list[Buffer] = [b""]
    length = append_record(pieces, job, 7, now)
    assert length == sum(map(len, pieces))
    (found,) = read(pieces, 1)
    return found


@pytest.mark.parametrize("bodies", [[b""], [b"one", b"two"], [b"one", b"longer"], [b"x"] * 64])
def test_ordinary_jobs(bodies: list[bytes]) -> None:
    """They come as they were handed in, numbered from the first on, be they alike or not; each also reads the same when it is written alone."""
    jobs: list[Request] = [plain(body) for body in bodies]
    pieces, length = plain_records(jobs, 5)
    assert length == sum(map(len, pieces))
    found = read(pieces, len(bodies))
    assert [(job.seq, bytes(job.body or b"")) for job in found] == list(enumerate(bodies, 5))
    for job in jobs:
        alone = written(job)
        assert (alone.id, alone.content_type, alone.headers, alone.timeout_ms, alone.parts) == ("id", "text/plain", b"a\0b", 0, b"")


def test_other_jobs_among_ordinary_ones() -> None:
    """Then none is written that way."""
    assert plain_records([plain(b"x"), request()], 1) == ([], 0)


def test_where_a_body_lies() -> None:
    """In the record, in the arena, or nowhere."""
    assert bytes(written(request(b"abc")).body or b"") == b"abc"
    large = written(request(b"", slot=FakeSlot(offset=128, size=300)))
    assert (large.body, large.arena_offset, large.body_length) == (None, 128, 300)
    nothing = written(request(None))
    assert (nothing.body, nothing.arena_offset) == (None, -1)


@pytest.mark.parametrize(("deadline", "left"), [(0.0, 0), (12.5, 2500), (10.0001, 1), (10.0, 1), (3.0, 1)])
def test_time_that_is_left(deadline: float, left: int) -> None:
    """In milliseconds; one that is over is not none."""
    assert written(request(deadline=deadline), now=10.0).timeout_ms == left


def test_named_parts() -> None:
    """They come with names, types and values."""
    job = request(None)
    job.parts = [Part("a", "text/plain", b"1"), Part("b", "", b"")]
    assert [(name, kind, bytes(value)) for name, kind, value in wire.read_parts(written(job).parts)] == [("a", "text/plain", b"1"), ("b", "", b"")]


def test_what_cannot_be_written() -> None:
    """A content type that is longer than its length can tell, of a job or of a part."""
    with pytest.raises(struct.error):
        written(Request(b"id", b"x" * 65536, b"", b"", Client(), (), None, 0.0))
    job = request(None)
    job.parts = [Part("a", "x" * 65536, b"")]
    with pytest.raises(wire.WireError):
        written(job)
