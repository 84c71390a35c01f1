"""Java properties files."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from argosy.errors import ArgosyError, ErrorCode
from argosy.properties import Property, decode, parse


def pairs(text: str) -> list[tuple[str, str]]:
    """Keys and values of a text."""
    return [(entry.key, entry.value) for entry in parse(text)]


def test_a_bad_unicode_escape_is_refused_with_its_line() -> None:
    r"""`\u` without four digits is an error that names the line."""
    with pytest.raises(ArgosyError, match="line 2") as caught:
        parse("a=1\nb=\\u12g4\n")
    assert caught.value.code is ErrorCode.INVALID_CONFIG


@pytest.mark.parametrize(("text", "expected"), [
    ("a=1", [("a", "1")]),
    ("a:1", [("a", "1")]),
    ("a 1", [("a", "1")]),
    ("a = 1", [("a", "1")]),
    ("a\t:\t1", [("a", "1")]),
    ("a==1", [("a", "=1")]),
    ("  a=1", [("a", "1")]),
    ("a", [("a", "")]),
    ("a=", [("a", "")]),
    ("=1", [("", "1")]),
    ("# a=1\n ! b=2\n\n\nc=3", [("c", "3")]),
    ("a=1\r\nb=2\rc=3", [("a", "1"), ("b", "2"), ("c", "3")]),
    ("a=1,\\\n    2,\\\n    3\nb=4", [("a", "1,2,3"), ("b", "4")]),
    ("a=1\\\n# not a comment", [("a", "1# not a comment")]),
    ("a=c:\\\\x\\\\", [("a", "c:\\x\\")]),
    ("a\\=b=1", [("a=b", "1")]),
    ("a\\ b c", [("a b", "c")]),
    ("a=\\u00e9\\t\\n\\q", [("a", "é\t\nq")]),
    ("a=1\\", [("a", "1")]),
    ("a=1\na=2", [("a", "1"), ("a", "2")]),
])
def test_syntax(text: str, expected: list[tuple[str, str]]) -> None:
    """Separators, comments, continuation and escapes are those of Java."""
    assert pairs(text) == expected


def test_blanks_after_a_value_are_part_of_it() -> None:
    """Whoever reads a number strips them; a password keeps them."""
    assert pairs("a=1  \nb= x ") == [("a", "1  "), ("b", "x ")]


def test_entries_know_their_line() -> None:
    """A continued entry counts from its first line."""
    assert parse("# first\na=1\\\n2\n\nb=3\n") == [Property("a", "12", 2), Property("b", "3", 5)]


def test_text_is_utf8_or_latin1() -> None:
    """A file in UTF-8 is read as such, one in ISO-8859-1 too."""
    assert decode("a=é".encode()) == decode("a=é".encode("latin-1")) == "a=é"


@given(st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    """Nothing but the one domain error comes out."""
    with contextlib.suppress(ArgosyError):
        parse(text)


@given(st.text(), st.text())
def test_escaped_text_comes_back(key: str, value: str) -> None:
    """What was written with unicode escapes is read as it was."""
    def escaped(text: str) -> str:
        return "".join(f"\\u{unit:04x}" for character in text for unit in [ord(character)] if unit < 0x10000)

    plain = [("".join(character for character in text if ord(character) < 0x10000)) for text in (key, value)]
    assert pairs(f"{escaped(key)}={escaped(value)}") == [(plain[0], plain[1])]
