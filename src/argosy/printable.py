"""Texts of strangers, made fit to be shown in a log or on a terminal."""

from __future__ import annotations

import re

_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_NAMED = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def escape(text: str) -> str:
    """The text without control characters, so that nobody forges a line or commands a terminal. The only place where that is done."""
    # str.isprintable is one pass in C and true for nearly every line; it is also false for harmless blanks, hence the second look
    return text if text.isprintable() else _UNSAFE.sub(_escaped, text)


def _escaped(found: re.Match[str]) -> str:
    character = found[0]
    return _NAMED.get(character) or (f"\\x{ord(character):02x}" if ord(character) < 256 else f"\\u{ord(character):04x}")


def escape_block(text: str) -> str:
    """The same for a message of several lines, such as a traceback: its later lines are indented, which no first line of an entry is."""
    return "\n    ".join(escape(line) for line in text.split("\n"))
