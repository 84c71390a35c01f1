"""The worker's end of the link: outbox, progress words, broken frames."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from argosy import wire
from argosy.errors import ErrorCode
from argosy.testing.worker import SHARED_BYTES, FakeServer, Outcome
from argosy.worker.link import Link, LinkClosed
from argosy.worker.room import WORTH_A_PLACE


@pytest.fixture
def server() -> Iterator[FakeServer]:
    """A server's end with ordinary memory as the shared page."""
    server = FakeServer(memoryview(bytearray(SHARED_BYTES)))
    server.sock.settimeout(30)
    yield server
    server.close()


@pytest.fixture
def link(server: FakeServer) -> Link:
    """The worker's end of it."""
    return Link(server.worker_end, server.page)


def test_answers_wait_in_the_outbox_until_they_are_flushed(server: FakeServer, link: Link) -> None:
    """The server could read them there if the worker died now; afterwards the outbox is empty."""
    link.answer(1, 200, b"one", 5)
    assert server.outbox() == []
    link.publish(1)
    link.answer(2, 404, b"two", 6, b"No", b"a\0b")
    link.fail(3, ErrorCode.CANCELLED, "gone", "why")
    link.publish(1)
    waiting = server.outbox()
    assert [(answer.seq, answer.failed) for answer in waiting] == [(1, False), (2, False), (3, True)]
    assert repr(link).startswith("<Link 3 answers")
    link.flush()
    assert server.outbox() == []
    assert server.collect(Outcome(), 3) == Outcome(answers=waiting, heads=[3])


@pytest.mark.parametrize("body", [b"", b"OK", bytes(1024), bytes(1025), bytearray(b"ab"), memoryview(b"abc")])
def test_an_ordinary_answer_is_the_same_record(server: FakeServer, link: Link, body: wire.Buffer) -> None:
    """Whatever its body, and whatever was in the outbox before."""
    server.page[wire.PAGE_SIZE : wire.PAGE_SIZE + 4096] = b"\xff" * 4096
    link.answer_plain(1, body, 5)
    link.answer(2, 200, body, 6)
    link.answer_plain(3, body, wire.MAX_FRAME)
    link.publish(1)
    records = b"".join(wire.answer_record(seq, 200, body, busy_us=busy_us) for seq, busy_us in ((1, 5), (2, 6), (3, wire.MAX_FRAME)))
    assert bytes(server.page[wire.PAGE_SIZE : wire.PAGE_SIZE + server.words()[wire.OUTBOX]]) == records


def test_ordinary_answers_that_do_not_fit_send_those_before_them(server: FakeServer, link: Link) -> None:
    """None is lost, and none is written behind the outbox."""
    server.worker_end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 * wire.OUTBOX_SIZE)
    count = wire.OUTBOX_SIZE // (wire.ANSWER.size + 1000) + 2
    for seq in range(count):
        link.answer_plain(seq, b"%1000d" % seq, 0)
    link.flush()
    server.worker_end.close()
    outcome = server.collect(Outcome())
    assert [(answer.seq, int(answer.body)) for answer in outcome.answers] == [(seq, seq) for seq in range(count)]
    assert outcome.heads == [count - 2, 2]


def test_progress_word_tells_what_runs(server: FakeServer, link: Link) -> None:
    """The job after the last one that was started."""
    link.start(21)
    assert server.words() == (21, 0)


def test_cancel_byte_is_of_one_job(server: FakeServer, link: Link) -> None:
    """The byte of a sequence number is reused only after all others."""
    server.cancel(wire.CANCEL_SLOTS + 5)
    assert [link.is_cancelled(seq) for seq in (4, 5, 6)] == [False, True, False]


def test_full_outbox_is_flushed_first(server: FakeServer, link: Link) -> None:
    """An answer that does not fit sends those before it."""
    server.worker_end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 * wire.OUTBOX_SIZE)
    size = wire.OUTBOX_SIZE // 3
    for seq in range(5):
        link.answer(seq, 200, bytes([seq]) * size, 0)
    link.flush()
    server.worker_end.close()
    outcome = server.collect(Outcome())
    assert [(answer.seq, answer.body) for answer in outcome.answers] == [(seq, bytes([seq]) * size) for seq in range(5)]
    assert outcome.heads == [2, 2, 1]


def test_large_answers_lie_in_the_room() -> None:
    """With all that an answer has, behind small ones, and survive there; what finds no room goes through the socket, in the same order."""
    server = FakeServer(memoryview(bytearray(SHARED_BYTES + 300_000)))
    server.sock.settimeout(30)
    server.worker_end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 * wire.OUTBOX_SIZE)
    link = Link(server.worker_end, server.page)
    link.answer(1, 200, b"small", 5)
    link.answer(2, 201, b"2" * 200_000, 6, b"Made", b"a\0b")
    link.publish(1)
    assert [(answer.seq, answer.place) for answer in server.outbox()] == [(1, None), (2, (0, 0, 200_000))]
    link.answer(3, 200, b"3" * 100_001, 7)
    link.answer(4, 200, b"4" * (WORTH_A_PLACE - 1), 8)
    link.flush()
    server.worker_end.close()
    answers = server.collect(Outcome()).answers
    assert [(answer.seq, answer.status, answer.phrase, answer.headers, answer.place is None) for answer in answers] == [
        (1, 200, "", b"", True), (2, 201, "Made", b"a\0b", False), (3, 200, "", b"", True), (4, 200, "", b"", True),
    ]  # fmt: skip
    assert [answer.body for answer in answers[2:]] == [b"3" * 100_001, b"4" * (WORTH_A_PLACE - 1)]
    assert bytes(server.page[wire.ROOM_OFFSET : wire.ROOM_OFFSET + 200_001]) == b"2" * 200_000 + b"\0"
    server.sock.close()


def test_nothing_to_flush_sends_nothing(server: FakeServer, link: Link) -> None:
    """An empty frame would be noise."""
    link.publish(1)
    link.flush()
    server.worker_end.close()
    assert server.next() is None


def test_metrics_follow_the_answers(server: FakeServer, link: Link) -> None:
    """They leave with the next flush, in one frame."""
    link.answer(1, 200, b"", 0)
    link.add_metrics(b"a\n")
    link.add_metrics(b"b\n")
    link.flush()
    server.worker_end.close()
    assert server.collect(Outcome()).metrics == ["a", "b"]


def test_closed_link_is_told_when_reading_and_writing(server: FakeServer, link: Link) -> None:
    """Whoever serves it stops."""
    server.sock.close()
    with pytest.raises(LinkClosed):
        link.receive()
    link.answer(1, 200, b"", 0)
    with pytest.raises(LinkClosed):
        link.flush()


def test_abandoned_link_cannot_speak(server: FakeServer, link: Link) -> None:
    """A fork of the worker holds a copy of everything, and must not use it."""
    link.abandon()
    assert link.abandoned
    link.answer(1, 200, b"", 0)
    with pytest.raises(LinkClosed):
        link.flush()
    with pytest.raises(LinkClosed):
        link.receive()


@pytest.mark.parametrize("data", [b"GET / HTTP/1.1\r\n\r\n____", wire.frame(wire.STOP)[:2] + b"\xff" + wire.frame(wire.STOP)[3:]])
def test_what_is_no_frame_is_refused(server: FakeServer, link: Link, data: bytes) -> None:
    """Another protocol or version is never guessed at."""
    server.sock.sendall(data)
    with pytest.raises(wire.WireError):
        link.receive()
