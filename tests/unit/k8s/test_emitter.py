"""YAML as a parser reads it back."""

from __future__ import annotations

import json

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from argosy.k8s.emitter import Node, emit

texts = st.text(st.characters(exclude_categories=["Cs"]))
keys = st.text(st.characters(exclude_categories=["Cs"]), max_size=100)
nodes = st.recursive(
    texts | st.integers() | st.booleans(), lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=4), max_leaves=20)


@given(st.lists(st.dictionaries(keys, nodes, max_size=5), min_size=1, max_size=3))
def test_anything_is_read_back(documents: list[dict[str, Node]]) -> None:
    """Whatever data, a parser gets them back, with the same types; the text is ASCII."""
    text = emit(documents)
    assert text.isascii()
    assert list(yaml.safe_load_all(text)) == documents


@pytest.mark.parametrize("text", [
    "yes", "No", "ON", "off", "y", "N", "true", "False", "null", "Null", "~", "", " ", "1", "1.5", "1e3", "0x1F", "010", "1:30", "2001-01-01", "-1",
    "+1", ".5", ".inf", "-", "- a", "?", "a: b", "a #b", "#", "&a", "*a", "!a", "|", ">", "%a", "@a", "`a", "{}", "[]", "a\nb", "\t", "\x00", "\x7f",
    "\x85",
    "\u2028", "\ufeff", "\U0001f600", '"', "'", "\\", "...", "---", "=", "<<",
])  # fmt: skip
def test_texts_stay_texts(text: str) -> None:
    """Nothing that YAML takes for something else comes back as that, as key, as value or in a list."""
    document: dict[str, Node] = {"value": text, "list": [text, [text]], f"{text}k": 1, text: 2}
    assert yaml.safe_load(emit([document])) == document


def test_layout() -> None:
    """Blocks of two blanks, plain words where they are plain, the order as it was."""
    document: dict[str, Node] = {"b": {"image": "w:1", "args": ["serve", "10"]}, "a": [{"x": 1, "y": [True]}, [], {}], "e": {}}
    assert emit([document, {"k": "v/w.x_y-z"}]) == (
        'b:\n  image: "w:1"\n  args:\n    - serve\n    - "10"\na:\n  - x: 1\n    "y":\n      - true\n  - []\n  - {}\ne: {}\n---\nk: v/w.x_y-z\n')


def test_nested_lists_and_empty_documents() -> None:
    """Lists in lists, and a document with nothing in it."""
    documents: list[dict[str, Node]] = [{"a": [[["x"], 1], [[], {}]]}, {}]
    assert list(yaml.safe_load_all(emit(documents))) == documents


def test_json_is_what_it_was_before() -> None:
    """Control characters are escaped as JSON escapes them."""
    assert emit([{"a": "\x01\n"}]) == f"a: {json.dumps(chr(1) + chr(10))}\n"
