"""How the pieces of a streamed answer are written, and by what that is chosen."""

from __future__ import annotations

from typing import Any

import pytest

from argosy import wire
from argosy.errors import ArgosyError, ErrorCode
from argosy.handler import Event
from argosy.worker import pieces
from argosy.worker.inputs import JobRequest


def asked(accept: str | None = None) -> JobRequest:
    """A request whose client accepts this."""
    headers = [] if accept is None else [("x-other", "text/event-stream"), ("ACCEPT", accept)]
    return JobRequest(wire.Job(1, 0, "id", "", wire.header_block(headers), b"", None, -1, 0), "")


@pytest.mark.parametrize(
    ("accept", "chosen", "first", "media", "sent"),
    [
        (None, None, "é\n", pieces.TEXT, "é\n".encode()),
        (None, None, b"\xff", pieces.BYTES, b"\xff"),
        (None, None, bytearray(b"b"), pieces.BYTES, b"b"),
        (None, None, memoryview(b"v"), pieces.BYTES, b"v"),
        (None, None, {"a": 1}, pieces.LINES, b'{"a": 1}\n'),
        (None, None, 5, pieces.LINES, b"5\n"),
        (None, None, Event("x"), pieces.EVENTS, b"data: x\n\n"),
        ("text/event-stream", None, "x", pieces.EVENTS, b"data: x\n\n"),
        ("application/json, Text/Event-Stream;q=0.9", None, {"a": 1}, pieces.EVENTS, b'data: {"a": 1}\n\n'),
        ("text/event-stream; q=0.0", None, "x", pieces.TEXT, b"x"),
        ("*/*", None, "x", pieces.TEXT, b"x"),
        ("text/event-stream", "text/csv", "x", "text/csv", b"x"),
        (None, "text/event-stream; charset=utf-8", "x", "text/event-stream; charset=utf-8", b"data: x\n\n"),
        (None, "application/jsonl", "x", "application/jsonl", b'"x"\n'),
        (None, "image/png", [1], "image/png", b"[1]\n"),
        (None, "text/plain", Event({"a": 1}, "t"), "text/plain", b'{"a": 1}\n'),
        (None, "application/x-ndjson", Event("x", "t"), "application/x-ndjson", b'"x"\n'),
        (None, "application/x-ndjson", b"{}\n", "application/x-ndjson", b"{}\n"),
    ],
)
def test_type_is_the_handlers_then_the_clients_then_that_of_the_first_piece(
    accept: str | None, chosen: str | None, first: Any, media: str, sent: bytes
) -> None:
    """And every piece is written as this type wants it."""
    request = asked(accept)
    if chosen is not None:
        request.add_response_property("Content-Type", chosen)
    assert pieces.encoder(request, first)(first) == sent
    (value,) = request.get_response_headers().values()
    assert value == media


@pytest.mark.parametrize(
    ("piece", "sent"),
    [
        ("", b"data: \n\n"),
        ("a\nb\r\nc\rd", b"data: a\ndata: b\ndata: c\ndata: d\n\n"),
        (Event("x", event="token", id="7", retry_ms=250), b"event: token\nid: 7\nretry: 250\ndata: x\n\n"),
        (Event({"k": "a\nb"}), b'data: {"k": "a\\nb"}\n\n'),
        (None, b"data: null\n\n"),
        (b": a comment\n\n", b": a comment\n\n"),
    ],
)
def test_events(piece: Any, sent: bytes) -> None:
    """A line break in the data begins another data line; bytes are events already."""
    assert pieces.as_event(piece) == sent


@pytest.mark.parametrize(
    ("encode", "piece"),
    [
        (pieces.as_event, Event("x", event="a\nb")),
        (pieces.as_event, Event("x", id="a\0")),
        (pieces.as_event, Event("x", id="a\r")),
        (pieces.as_event, object()),
        (pieces.as_line, {1, 2}),
        (pieces.as_text, "\ud800"),
        (pieces.as_text, {"a": object()}),
    ],
)
def test_piece_that_cannot_be_sent(encode: pieces.Encode, piece: Any) -> None:
    """It is the handler's output that is bad."""
    with pytest.raises(ArgosyError) as caught:
        encode(piece)
    assert caught.value.code is ErrorCode.BAD_OUTPUT


def test_large_pieces_are_cut_for_the_wire() -> None:
    """No frame is longer than a piece, nothing is lost, and nothing becomes no frame."""
    data = bytes(range(256)) * 1000
    parts = list(pieces.cut(data))
    assert max(map(len, parts)) == wire.PIECE
    assert b"".join(parts) == data
    assert list(pieces.cut(b"")) == []
    assert list(pieces.cut(b"x")) == [b"x"]


def test_what_comes_in_pieces() -> None:
    """Iterators do; what can merely be iterated is one result."""
    assert [pieces.is_stream(item) for item in (iter([1]), (x for x in "ab"), map(str, [1]))] == [True] * 3
    assert [pieces.is_stream(item) for item in ([1], "ab", {"a": 1}, b"", None, range(3))] == [False] * 6


def test_an_event_tells_what_it_is() -> None:
    """Its repr is short."""
    assert repr(Event("x" * 1000, "token")).startswith("<Event token 'xxx")
    assert len(repr(Event("x" * 1000))) < 100
