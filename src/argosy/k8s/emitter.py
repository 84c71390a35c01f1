"""Plain data as YAML: mappings, lists, texts, whole numbers and booleans, in a subset that every parser reads alike."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TypeAlias

Node: TypeAlias = "str | int | bool | Sequence[Node] | Mapping[str, Node]"
"""What a manifest is made of."""
# versions of YAML differ on which words are booleans or null: all of them are quoted, and everything that may be a number or a time
_PLAIN = re.compile(r"[A-Za-z/][A-Za-z0-9_./-]*")
_WORDS = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null"})


def emit(documents: Iterable[Mapping[str, Node]]) -> str:
    """One stream with all documents, the keys, of at most 100 characters, in the order that they have. The same data give the same text, in ASCII."""
    return "---\n".join("".join(f"{line}\n" for line in _block(document)) for document in documents)


def _block(node: Mapping[str, Node] | Sequence[Node]) -> Iterator[str]:
    """The lines of a mapping or list; an empty one is a single line."""
    if not node:
        yield _scalar(node)
    elif isinstance(node, Mapping):
        for key, value in node.items():
            yield from _entry(f"{_text(key)}:", value)
    else:
        for item in node:
            lines = list(_lines(item))
            yield f"- {lines[0]}"
            yield from (f"  {line}" for line in lines[1:])


def _entry(key: str, value: Node) -> Iterator[str]:
    if not _is_nested(value):
        yield f"{key} {_scalar(value)}"
        return
    yield key
    yield from (f"  {line}" for line in _lines(value))


def _lines(node: Node) -> Iterator[str]:
    if isinstance(node, str | int):
        yield _scalar(node)
    else:
        yield from _block(node)


def _is_nested(node: Node) -> bool:
    return not isinstance(node, str | int) and bool(node)


def _scalar(node: Node) -> str:
    if isinstance(node, bool):
        return "true" if node else "false"
    if isinstance(node, int):
        return str(node)
    if isinstance(node, str):
        return _text(node)
    return "{}" if isinstance(node, Mapping) else "[]"


def _text(text: str) -> str:
    """A text as it is where nobody can take it for anything else, else in double quotes."""
    if _PLAIN.fullmatch(text) and text.lower() not in _WORDS:
        return text
    return "".join(_escaped(letter) for letter in json.dumps(text, ensure_ascii=False))


def _escaped(letter: str) -> str:
    """JSON leaves letters beyond ASCII alone, or splits them in two, which YAML does not put together again."""
    code = ord(letter)
    if code < 127:
        return letter
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"
