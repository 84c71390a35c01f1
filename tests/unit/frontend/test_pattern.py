"""Heads that differ in the length of the body only."""

from __future__ import annotations

import pytest

from argosy.frontend.pattern import Pattern, pattern_of

RAW = b"POST /a HTTP/1.1\r\nHost: b\r\ncontent-Length: 5\r\nX: 1\r\n\r\n"
BLOCK = b"Host\0b\0content-Length\x005\0X\x001"


def made(most: int = 100) -> Pattern:
    """The pattern of RAW."""
    pattern = pattern_of(RAW, BLOCK, most)
    assert pattern is not None
    return pattern


@pytest.mark.parametrize(
    "data",
    [
        RAW + b"1234",
        RAW + b"123456",
        RAW.replace(b": 5", b": +5") + b"12345",
        RAW.replace(b": 5", b": 5 ") + b"12345",
        RAW.replace(b": 5", b": ") + b"12345",
        RAW.replace(b": 5", b": 0x5") + b"12345",
        RAW.replace(b": 5", b": 1_0") + b"1234567890",
        RAW.replace(b": 5", b": \xd9\xa5") + b"12345",
        RAW.replace(b": 5", b": " + b"0" * 30 + b"5") + b"12345",
        RAW.replace(b": 5", b": 100") + b"x" * 100,
        RAW.replace(b"/a", b"/b") + b"12345",
        RAW.replace(b"X: 1", b"X: 2") + b"12345",
        RAW[:-2],
        b"",
    ],
)
def test_anything_else(data: bytes) -> None:
    """Another length than is announced, an odd way to write it, any other difference and what is not whole are left to the parser."""
    received = bytearray(data + bytes(100))
    assert made().match(received, len(data)) is None


@pytest.mark.parametrize("size", [0, 5, 99])
def test_other_lengths(size: int) -> None:
    """Any other length below the bound is recognised, and the header block tells it; what an earlier request left in the buffer does not count."""
    data = RAW.replace(b": 5", b": %d" % size) + b"x" * size
    assert made().match(bytearray(data + b"rest"), len(data)) == (len(data) - size, BLOCK.replace(b"\x005", b"\0%d" % size))


@pytest.mark.parametrize(
    ("raw", "block"),
    [
        (b"GET /a HTTP/1.1\r\nHost: b\r\n\r\n", b"Host\0b"),
        (RAW.replace(b": 5", b": 5 "), BLOCK),
        (RAW, b"Host\0b"),
        (RAW, BLOCK + b"\0Content-Length\x005"),
    ],
)
def test_heads_without_a_pattern(raw: bytes, block: bytes) -> None:
    """A head without a length, or whose length is not plain to see, has no pattern."""
    assert pattern_of(raw, block, 100) is None


def test_the_length_is_the_last_field() -> None:
    """Nothing need follow it."""
    raw = b"POST /a HTTP/1.1\r\nHost: b\r\nContent-Length: 5\r\n\r\n"
    pattern = pattern_of(raw, b"Host\0b\0Content-Length\x005", 100)
    assert pattern is not None
    data = raw.replace(b"5", b"12") + bytes(12)
    assert pattern.match(bytearray(data), len(data)) == (len(data) - 12, b"Host\0b\0Content-Length\x0012")
