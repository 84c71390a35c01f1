"""An asynchronous handler that misbehaves as the body of a request says: a verb, and an argument behind a colon."""

import asyncio
import contextlib
import os
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any


def begun(text: str) -> None:
    file = os.open(os.environ["BEGUN_FILE"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(file, text.encode() + b"\n")
    os.close(file)


async def echo(text: str) -> str:
    await asyncio.sleep(0.001)
    return text


async def fail(text: str) -> str:
    raise ValueError(text)


async def leave(_: str) -> str:
    sys.exit(3)


async def defy(_: str) -> str:
    """Wait for ever, deaf to being cancelled."""
    while True:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(3600)


async def block(_: str) -> str:
    """Let nobody else run."""
    while True:
        time.sleep(1)  # noqa: ASYNC251  that is the fault


async def stop(_: str) -> str:
    asyncio.get_running_loop().stop()
    return await defy("")


async def purge(_: str) -> str:
    for task in asyncio.all_tasks():
        task.cancel()
    return await defy("")


async def close(_: str) -> str:
    os.closerange(3, 256)
    return await defy("")


async def nothing(_: str) -> AsyncIterator[str]:
    async def pieces() -> AsyncIterator[str]:
        yield "x"
        while True:
            yield ""

    return pieces()


async def clutter(_: str) -> AsyncIterator[bytes]:
    async def pieces() -> AsyncIterator[bytes]:
        try:
            while True:
                yield b"x" * 1000
        finally:
            await asyncio.sleep(3600)

    return pieces()


async def cling(_: str) -> Iterator[bytes]:
    def pieces() -> Iterator[bytes]:
        while True:
            with contextlib.suppress(GeneratorExit):
                yield b"x" * 1000

    return pieces()


VERBS: dict[str, Callable[[str], Awaitable[Any]]] = {
    function.__name__: function for function in (echo, fail, leave, defy, block, stop, purge, close, nothing, clutter, cling)
}


async def handle(data: Any, context: Any) -> Any:
    if data is None:
        return None
    body = data[0]["body"]
    text = body if isinstance(body, str) else bytes(body).decode()
    begun(text)
    verb, _, argument = text.partition(":")
    return [await VERBS[verb](argument)]
