"""How far the models of the start are, and who waits for that."""

from __future__ import annotations

import asyncio

from argosy.control.startup import Startup
from argosy.errors import ArgosyError, ErrorCode

NOT_FOUND = ArgosyError(ErrorCode.MODEL_NOT_FOUND, "not found")


def test_a_failure_ends_the_start_too() -> None:
    """A target that could not be registered is remembered with its reason and waited for no longer; one that is not known changes nothing."""

    async def run() -> Startup:
        startup = Startup()
        startup.begin(["a.mar", "b.mar"])
        over = asyncio.create_task(startup.over())
        startup.end("nobody")
        startup.end("a.mar", NOT_FOUND)
        await asyncio.sleep(0)
        assert not over.done()
        startup.end("b.mar")
        await over
        return startup

    startup = asyncio.run(run())
    assert startup.failed == {"a.mar": NOT_FOUND}
    assert repr(startup) == "<Startup 0 loading, 1 failed>"


def test_nothing_to_load() -> None:
    """A start without models is over at once."""

    async def run() -> None:
        startup = Startup()
        startup.begin([])
        await startup.over()

    asyncio.run(run())
