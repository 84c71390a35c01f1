"""Reading JSON as leniently as hand-written manifests need."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from argosy.store.lenient import LenientError, read_lenient

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**30), 10**30) | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(JSON, st.sampled_from([None, 2]), st.booleans())
@settings(derandomize=True, deadline=None)
def test_strict_json_is_read_as_it_is_meant(value: Any, indent: int | None, escaped: bool) -> None:
    """Whatever a JSON writer writes comes back equal."""
    assert read_lenient(json.dumps(value, indent=indent, ensure_ascii=escaped)) == value


@given(st.text(alphabet="{}[]:,;=>'\"\\/*#ab1 -.e\nu", max_size=40))
@settings(derandomize=True, deadline=None, max_examples=500)
def test_any_text_is_read_or_refused(text: str) -> None:
    """Nonsense ends in a value or in `LenientError`, in nothing else."""
    with suppress(LenientError):
        read_lenient(text)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("{a: 'x'}", {"a": "x"}),
        ("{a = 1; b => 2}", {"a": 1, "b": 2}),
        ("// first\n{# second\n'a' /* third */ : 1}", {"a": 1}),
        ("[1, 2,]", [1, 2]),
        ("{'a': TRUE, 'b': Null, 'c': word}", {"a": True, "b": None, "c": "word"}),
        ('{"a": 1, "a": 2}', {"a": 2}),
        (r'["\u00e4\ud83d\ude00\'\/"]', ["ä😀'/"]),
        (r'["\ud800"]', ["\ufffd"]),
        ("[-1.5e3, 007, 1" + "0" * 200 + "]", [-1500.0, "007", "1" + "0" * 200]),
    ],
)
def test_liberties_are_understood(text: str, value: Any) -> None:
    """Comments, quotes of both kinds, bare words, other separators and stray commas do no harm."""
    assert read_lenient(text) == value


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "line 1: a value is missing"),
        ("{\n'a' 1}", "line 2: a colon is missing after 'a'"),
        ("[1 2]", "line 1: a comma or ']' is missing"),
        ("{'a': 1", "line 1: a comma or '}' is missing"),
        ("['a", "a string does not end"),
        (r"['\q']", r"there is no escape \q"),
        (r"['\u12g4']", "four hexadecimal digits"),
        ("{} {}", "something follows the end"),
        ("[" * 200_000, "nested deeper than 64 levels"),
        ('{"a":' * 200_000, "nested deeper than 64 levels"),
    ],
)
def test_faults_are_told_with_their_line(text: str, complaint: str) -> None:
    """What cannot be read says what is wrong and where; hostile nesting is refused long before the stack ends."""
    with pytest.raises(LenientError, match=complaint.replace("\\", r"\\").replace("[", r"\[").replace("]", r"\]").replace("}", r"\}")):
        read_lenient(text)


def test_nesting_up_to_the_limit_is_fine() -> None:
    """The limit counts levels."""
    assert read_lenient("[[[]]]", max_depth=2) == [[[]]]
    with pytest.raises(LenientError):
        read_lenient("[[[]]]", max_depth=1)
