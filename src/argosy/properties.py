"""Java properties files: the syntax of `config.properties`, read with line numbers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from argosy.errors import ArgosyError, ErrorCode

_ESCAPE = re.compile(r"\\(u[0-9a-fA-F]{4}|u|.)", re.DOTALL)
_KEY = re.compile(r"(?:\\.|[^\\:=\s])*", re.DOTALL)
_SEPARATOR = re.compile(r"[ \t\f]*[:=]?[ \t\f]*")
_CONTROLS = {"t": "\t", "n": "\n", "r": "\r", "f": "\f"}


@dataclass(frozen=True, slots=True)
class Property:
    """One entry of a properties file. Blanks after the value are part of it, as in Java."""

    key: str
    value: str
    line: int
    """Where it starts, counted from 1."""


def decode(data: bytes) -> str:
    """The text of a properties file: UTF-8 where it is that, otherwise ISO-8859-1 as in Java. Never fails."""
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("latin-1")


def parse(text: str) -> list[Property]:
    r"""All entries in order, repeated keys included. Raises `ArgosyError` INVALID_CONFIG for a malformed `\uXXXX`."""
    return [_property(line, number) for number, line in _logical_lines(text)]


def _logical_lines(text: str) -> Iterator[tuple[int, str]]:
    """Lines without blanks in front, comments and empty ones left out, continued ones joined."""
    start, pending = 0, ""
    for number, raw in enumerate(re.split(r"\r\n|\r|\n", text), 1):
        line = raw.lstrip(" \t\f")
        if not pending:
            if not line or line[0] in "#!":
                continue
            start = number
        if _is_continued(line):
            # a lone backslash continues too: keep the entry open with an empty piece that is not falsy
            pending = (pending + line[:-1]) or " "
            continue
        yield start, (pending + line).lstrip(" ")
        pending = ""
    if pending.strip():
        yield start, pending.lstrip(" ")


def _is_continued(line: str) -> bool:
    return (len(line) - len(line.rstrip("\\"))) % 2 == 1


def _property(line: str, number: int) -> Property:
    found = _KEY.match(line)
    key = found.group() if found else ""
    separator = _SEPARATOR.match(line, len(key))
    value = line[separator.end():] if separator else ""
    return Property(_unescape(key, number), _unescape(value, number), number)


def _unescape(text: str, number: int) -> str:
    def replaced(found: re.Match[str]) -> str:
        what = found[1]
        if what == "u":
            raise ArgosyError(ErrorCode.INVALID_CONFIG, f"Malformed \\uxxxx encoding in line {number}: four hexadecimal digits must follow \\u")
        return chr(int(what[1:], 16)) if len(what) > 1 else _CONTROLS.get(what, what)

    return _ESCAPE.sub(replaced, text) if "\\" in text else text
