"""How a handler answers: at once or in pieces, one request at a time or many."""

from __future__ import annotations

import functools
import inspect
from typing import Any, NamedTuple

from argosy.errors import ArgosyError, ErrorCode


class Manner(NamedTuple):
    """`streams`: its answers come in pieces. `asynchronous`: it is a coroutine function or an asynchronous generator."""

    streams: bool
    asynchronous: bool


def manner_of(function: Any) -> Manner:
    """What a function, a method or an object that can be called is declared as. A plain function may still return a generator."""
    while isinstance(function, functools.partial):
        function = function.func
    call = function if inspect.isroutine(function) else getattr(function, "__call__", function)  # noqa: B004  the method itself is wanted
    is_async_generator = inspect.isasyncgenfunction(call)
    return Manner(is_async_generator or inspect.isgeneratorfunction(call), is_async_generator or inspect.iscoroutinefunction(call))


def require_plain(function: Any, wanted: str) -> None:
    """Raises `ArgosyError` INVALID_MODEL when a function is a generator or asynchronous; `wanted` says what to write instead."""
    manner = manner_of(function)
    if manner.streams or manner.asynchronous:
        kind = "asynchronous" if manner.asynchronous else "a generator"
        raise ArgosyError(ErrorCode.INVALID_MODEL, "The handler's {} is {}, which cannot be; {}".format(name_of(function), kind, wanted))


def name_of(function: Any) -> str:
    """What a function is called, for messages."""
    return str(getattr(function, "__name__", function))
