"""Heads that differ in the announced length of the body only: what most clients send on one connection."""

from __future__ import annotations

import re
from dataclasses import dataclass

_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*(\d+)", re.IGNORECASE)
_RETURN = 0x0D
_MOST_DIGITS = 19


@dataclass(frozen=True, slots=True)
class Pattern:
    """The bytes of a head around its Content-Length, and the header block for the worker around the same."""

    before: bytes
    after: bytes
    block_before: bytes
    block_after: bytes
    most: int
    """The body is shorter than this."""

    def match(self, received: bytearray, count: int) -> tuple[int, bytes] | None:
        """Where the body begins, and the header block, if the first `count` bytes are one whole request of this pattern; None for anything else."""
        if not received.startswith(self.before):
            return None
        at = len(self.before)
        end = received.find(_RETURN, at, at + _MOST_DIGITS)
        digits = bytes(received[at:end]) if end > at else b""
        if not digits.isdigit() or not received.startswith(self.after, end):
            return None
        begin = end + len(self.after)
        if not count - begin == int(digits) < self.most:
            return None
        return begin, b"".join((self.block_before, digits, self.block_after))


def pattern_of(raw: bytes, block: bytes, most: int) -> Pattern | None:
    """The pattern of a head that was parsed, `raw` as it came and `block` for the worker; None if it does not announce a length."""
    found = _LENGTH.search(raw)
    fields = block.split(b"\0")
    places = [at + 1 for at in range(0, len(fields), 2) if fields[at].lower() == b"content-length"]
    if found is None or len(places) != 1 or not raw.startswith(b"\r\n", found.end()):
        return None
    (at,) = places
    before = b"".join([field + b"\0" for field in fields[:at]])
    after = b"".join([b"\0" + field for field in fields[at + 1 :]])
    return Pattern(raw[: found.start(1)], raw[found.end() :], before, after, most)
