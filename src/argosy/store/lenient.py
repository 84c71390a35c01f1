"""Reads JSON as leniently as hand-written manifests need: comments, single quotes, unquoted words, stray separators."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

_SKIPPED = re.compile(r"(?:[ \t\r\n\f]+|//[^\r\n]*|#[^\r\n]*|/\*.*?\*/)*", re.DOTALL)
_WORD = re.compile(r"[^/\\;#={}\[\]:, \t\r\n\f'\"]+")
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?")
_PLAIN = {'"': re.compile(r'[^"\\]*'), "'": re.compile(r"[^'\\]*")}
_ESCAPES = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", '"': '"', "'": "'", "\\": "\\", "/": "/", "\n": "\n"}
_HEX = re.compile(r"[0-9a-fA-F]{4}")
_LITERALS: dict[str, bool | None] = {"true": True, "false": False, "null": None}


class LenientError(ValueError):
    """The text is not even lenient JSON. The message says what is wrong in which line."""


def read_lenient(text: str, max_depth: int = 64) -> Any:
    """The value that the text stands for. Raises `LenientError`; nesting deeper than `max_depth` is an error too."""
    reader = _Reader(text, max_depth)
    value = reader.value(0)
    if reader.peek():
        raise reader.error("something follows the end of the value")
    return value


class _Reader:
    """A position in a text. Its methods read one piece each and move on."""

    def __init__(self, text: str, max_depth: int) -> None:
        self._text = text
        self._at = 0
        self._max_depth = max_depth

    def error(self, what: str) -> LenientError:
        line = self._text.count("\n", 0, self._at) + 1
        return LenientError(f"line {line}: {what}")

    def peek(self) -> str:
        """The next significant character without taking it; empty at the end."""
        skipped = _SKIPPED.match(self._text, self._at)
        self._at = skipped.end() if skipped else self._at
        return self._text[self._at : self._at + 1]

    def value(self, depth: int) -> Any:
        if depth > self._max_depth:
            raise self.error(f"nested deeper than {self._max_depth} levels")
        start = self.peek()
        if start == "{":
            return self._object(depth)
        if start == "[":
            return self._array(depth)
        return self._string() if start in _PLAIN else _meaning(self._word())

    def _object(self, depth: int) -> dict[str, Any]:
        found: dict[str, Any] = {}

        def member() -> None:
            name = self._string() if self.peek() in _PLAIN else self._word()
            if self.peek() not in (":", "="):
                raise self.error(f"a colon is missing after {name[:40]!r}")
            self._at += 2 if self._text.startswith("=>", self._at) else 1
            found[name] = self.value(depth + 1)

        self._separated("}", member)
        return found

    def _array(self, depth: int) -> list[Any]:
        found: list[Any] = []
        self._separated("]", lambda: found.append(self.value(depth + 1)))
        return found

    def _separated(self, end: str, item: Callable[[], None]) -> None:
        self._at += 1
        while self.peek() != end:
            item()
            if self.peek() in (",", ";"):
                self._at += 1
            elif self.peek() != end:
                raise self.error(f"a comma or {end!r} is missing")
        self._at += 1

    def _string(self) -> str:
        quote = self._text[self._at]
        self._at += 1
        pieces: list[str] = []
        while True:
            plain = _PLAIN[quote].match(self._text, self._at)
            if plain is None or plain.end() == len(self._text):
                raise self.error("a string does not end")
            pieces.append(plain.group())
            self._at = plain.end() + 1
            if self._text[plain.end()] == quote:
                return _join_surrogates("".join(pieces))
            pieces.append(self._escape())

    def _escape(self) -> str:
        letter = self._text[self._at : self._at + 1]
        self._at += 1
        if letter != "u":
            if letter not in _ESCAPES:
                raise self.error(f"there is no escape \\{letter}")
            return _ESCAPES[letter]
        digits = _HEX.match(self._text, self._at)
        if digits is None:
            raise self.error("\\u needs four hexadecimal digits")
        self._at += 4
        return chr(int(digits.group(), 16))

    def _word(self) -> str:
        word = _WORD.match(self._text, self._at)
        if word is None:
            raise self.error("a value is missing")
        self._at = word.end()
        return word.group()


def _join_surrogates(text: str) -> str:
    """Pairs of \\u escapes become one character; a half alone becomes U+FFFD, so that every text can be encoded."""
    return text if text.isascii() else text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def _meaning(word: str) -> Any:
    """What an unquoted word stands for: a literal of any letter case, a number of reasonable length, else itself."""
    if word.lower() in _LITERALS:
        return _LITERALS[word.lower()]
    return json.loads(word) if len(word) <= 100 and _NUMBER.fullmatch(word) else word
