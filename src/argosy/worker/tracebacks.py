"""Exceptions as text for people: one line, the place in the handler, and the traceback without the server's own frames."""

from __future__ import annotations

import importlib
import os
import traceback
from typing import Optional

# the machinery of imports is nobody's mistake
_HIDDEN = (os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep, os.path.abspath(importlib.__file__), "<frozen importlib")
_MAX_TEXT = 32 * 1024


def _is_foreign(filename: str) -> bool:
    return not filename.startswith(_HIDDEN)


def _real(filename: str) -> str:
    """Where a file is that a model's folder only links: there its author finds it."""
    return os.path.realpath(filename) if os.path.islink(filename) else filename


def words(thing: object) -> str:
    """The text of an exception or of anything else; also when making it raises."""
    try:
        return str(thing)
    except Exception:  # noqa: BLE001  the model's own __str__
        return "<{} without text>".format(type(thing).__name__)


def one_line(error: BaseException) -> str:
    """Type and text of an exception in one line of at most 500 characters."""
    text = " ".join(words(error).split())
    name = type(error).__name__
    return "{}: {}".format(name, text)[:500] if text else name


def place(error: BaseException) -> Optional[str]:
    """`file:line` of the innermost frame that is not the server's; for a syntax error where the error is. None if there is no such frame."""
    if isinstance(error, SyntaxError) and error.filename:
        return "{}:{}".format(_real(error.filename), error.lineno)
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if _is_foreign(frame.filename)]
    return "{}:{}".format(_real(frames[-1].filename), frames[-1].lineno) if frames else None


def text(error: BaseException) -> str:
    """The traceback with causes, without the server's own frames; the middle is left out of a very long one."""
    tree = traceback.TracebackException.from_exception(error)
    _trim(tree, 0)
    whole = "".join(tree.format())
    if len(whole) <= _MAX_TEXT:
        return whole
    return whole[: _MAX_TEXT // 4] + "\n[…]\n" + whole[-_MAX_TEXT * 3 // 4 :]


def _trim(tree: Optional[traceback.TracebackException], depth: int) -> None:
    if tree is None or depth > 20:
        return
    tree.stack = traceback.StackSummary.from_list([frame for frame in tree.stack if _is_foreign(frame.filename)])
    for part in (*tree.stack, tree):
        if getattr(part, "filename", None):
            part.filename = _real(part.filename)
    _trim(tree.__cause__, depth + 1)
    _trim(tree.__context__, depth + 1)
