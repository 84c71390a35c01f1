"""Texts of strangers that are shown."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from argosy.printable import escape, escape_block


@pytest.mark.parametrize(("text", "expected"), [
    ("plain é ü 語\u00a0", "plain é ü 語\u00a0"), ("a\nb\r\t", "a\\nb\\r\\t"), ("\x1b[31m\x00\x7f\x9b", "\\x1b[31m\\x00\\x7f\\x9b"),
    ("\u2028\u2029\x85", "\\u2028\\u2029\\x85"), ("\udc80", "\\udc80"),
])
def test_control_characters_are_escaped(text: str, expected: str) -> None:
    """Nobody forges a line or commands a terminal; other letters stay."""
    assert escape(text) == expected


@given(st.text())
def test_an_escaped_text_is_one_line(text: str) -> None:
    """By every rule for the end of a line."""
    assert len(escape(text).splitlines()) <= 1


def test_later_lines_of_a_block_are_indented() -> None:
    """So that none of them looks like the start of an entry."""
    assert escape_block("a\n2026-11-22T09:50:28,639 [INFO ]\x1b") == "a\n    2026-11-22T09:50:28,639 [INFO ]\\x1b"
