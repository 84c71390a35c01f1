"""The bytes of a reply's head."""

from __future__ import annotations

from collections.abc import Sequence

from argosy.protocols.endpoint import is_header

_OWN = frozenset({"x-request-id", "pragma", "cache-control", "expires", "content-length", "connection", "transfer-encoding"})
NO_CACHE = (
    b"Pragma: no-cache\r\nCache-Control: no-cache; no-store, must-revalidate, private\r\nExpires: Thu, 01 Jan 1970 00:00:00 UTC\r\n"
)


def handler_headers(headers: Sequence[tuple[str, str]]) -> bytes | None:
    """The headers that a handler chose, without those that the server sets itself; None if one cannot be sent."""
    lines = []
    for name, value in headers:
        if name.lower() not in _OWN:
            if not is_header(name, value):
                return None
            lines.append(f"{name}: {value}\r\n")
    return "".join(lines).encode("latin-1")


def status_line(status: int, phrase: str) -> bytes:
    """The first line of a reply. Line breaks and other control characters in the phrase become blanks."""
    clean = phrase if phrase.isprintable() else "".join(c if c.isprintable() else " " for c in phrase)
    return f"HTTP/1.1 {status} {clean}\r\n".encode("latin-1", "replace")
