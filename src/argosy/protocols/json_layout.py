"""How the server writes JSON of its own: the layout that clients of Multi Model Server have always seen."""

from __future__ import annotations

import json

_ESCAPES = str.maketrans({
    "<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "=": "\\u003d", "'": "\\u0027", "\u2028": "\\u2028", "\u2029": "\\u2029",
})  # fmt: skip


def dumps(value: object) -> bytes:
    """JSON with two blanks of indentation, fields in their order, HTML characters escaped, UTF-8 and a final newline.

    `value` holds dicts, lists, texts, numbers and booleans. None appears as null: leave absent fields out.
    """
    # the escaped characters can only stand inside texts, so the finished document may be translated as a whole
    text = json.dumps(value, indent=2, ensure_ascii=False).translate(_ESCAPES)
    return text.encode("utf-8", "replace") + b"\n"
