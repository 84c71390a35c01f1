"""What a handler is declared as."""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from argosy.errors import ArgosyError, ErrorCode
from argosy.worker.manner import Manner, manner_of, require_plain


def plain() -> int:
    return 1


def stream() -> Iterator[int]:
    yield 1


async def later() -> int:
    return 1


async def stream_later() -> AsyncIterator[int]:
    yield 1


class Service:
    def method(self) -> Iterator[int]:
        yield 1

    async def __call__(self) -> int:
        return 1


@pytest.mark.parametrize(
    ("function", "streams", "asynchronous"),
    [
        (plain, False, False),
        (stream, True, False),
        (later, False, True),
        (stream_later, True, True),
        (functools.partial(functools.partial(stream)), True, False),
        (Service().method, True, False),
        (Service(), False, True),
        (len, False, False),
        (5, False, False),
    ],
)
def test_manner_is_read_off_the_declaration(function: Any, streams: bool, asynchronous: bool) -> None:
    """Functions, methods, partial ones and objects that can be called."""
    assert manner_of(function) == Manner(streams, asynchronous)


@pytest.mark.parametrize(("function", "word"), [(stream, "stream is a generator"), (later, "later is asynchronous"), (stream_later, "asynchronous")])
def test_what_must_be_plain(function: Any, word: str) -> None:
    """The message says which function, and what to write instead."""
    require_plain(plain, "")
    with pytest.raises(ArgosyError, match=word) as caught:
        require_plain(function, "write a plain function")
    assert caught.value.code is ErrorCode.INVALID_MODEL
    assert "write a plain function" in caught.value.message
