"""How the text of a setting becomes its value."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from argosy.config.declare import Setting
from argosy.config.values import PARSERS, allowed, parse_value


@pytest.mark.parametrize(("text", "setting", "says"), [
    ("x", Setting("integer", ""), 'For input string: "x"'),
    ("1e3", Setting("integer", ""), 'For input string: "1e3"'),
    ("9" * 19, Setting("integer", ""), "For input string"),
    ("0", Setting("integer", "", low=1), "Out of range: 0"),
    ("11", Setting("integer", "", high=10), "Out of range: 11"),
    ("nan", Setting("number", ""), "For input string"),
    ("-inf", Setting("number", ""), "For input string"),
    ("maybe", Setting("choice", ""), "Not a yes or no: maybe"),
    ("c", Setting("word", "", words=("a", "b")), "Unknown word: c"),
    ("a,c", Setting("scopes", "", words=("a", "b")), "Unknown word: c"),
    ("a\0b", Setting("path", ""), "no zero character"),
    ("(", Setting("regex", ""), "Not a regular expression: ("),
])  # fmt: skip
def test_what_is_no_value(text: str, setting: Setting, says: str) -> None:
    """The text is repeated, and nothing but ValueError is raised."""
    with pytest.raises(ValueError, match=re.escape(says)):
        parse_value(text, setting)


@pytest.mark.parametrize(("text", "setting", "value"), [
    (" -7 ", Setting("integer", ""), -7),
    ("0.5", Setting("number", ""), 0.5),
    ("TRUE", Setting("boolean", ""), True),
    ("yes", Setting("boolean", ""), False),
    ("Y", Setting("choice", ""), True),
    ("0", Setting("choice", ""), False),
    ("B ", Setting("word", "", words=("a", "b")), "b"),
    (" a ", Setting("text", ""), "a"),
    (" a ", Setting("text", "", secret=True), " a "),
    ("/a ", Setting("path", ""), Path("/a")),
    ("None", Setting("path_or_none", ""), None),
    ("a, ,b", Setting("names", ""), ("a", "b")),
])  # fmt: skip
def test_values(text: str, setting: Setting, value: object) -> None:
    """Blanks around a value do not count, but in a secret; words of booleans are those of Java, those of choices are wider."""
    assert parse_value(text, setting) == value


@pytest.mark.parametrize(("setting", "words"), [
    (Setting("integer", "", unit="bytes", low=1, high=9), "an integer of bytes from 1 to 9"),
    (Setting("number", "", low=0), "a number, at least 0"),
    (Setting("word", "", words=("a", "b")), "one of a, b"),
    (Setting("scopes", "", words=("a", "b")), "words separated by commas of a, b"),
    (Setting("any", ""), "a text"),
])  # fmt: skip
def test_what_is_allowed_in_words(setting: Setting, words: str) -> None:
    """For messages and the reference page."""
    assert allowed(setting) == words


def test_every_kind_says_what_it_takes() -> None:
    """No kind is described as another one."""
    assert {kind for kind in PARSERS if allowed(Setting(kind, "")) == "a text"} == {"word", "text", "any", "scopes"}
