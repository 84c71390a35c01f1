"""Clients that ask all the time, each request with a token of its own, and count what became of every one.

They speak HTTP by hand over plain sockets, so that a lost, repeated or exchanged answer is seen as such and not mended by a library.
"""

from __future__ import annotations

import asyncio
import os
import re
import secrets
import threading
import time
from collections import Counter
from dataclasses import dataclass, field

from faults.figures import Figure

_TOKEN = re.compile(rb"t-[0-9a-f]{8}-\d+-\d+")
_ENDED = (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError)
LONGEST_S = 40.0 if os.environ.get("ARGOSY_FAULT_SYSTEM") != "original" else 15.0
"""After this time without an answer a request is lost."""
_PAUSE_S = 0.02
"""How long a client waits before it tries a server again that does not listen."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One reply."""

    status: int
    headers: dict[str, str]
    body: bytes


@dataclass(slots=True)
class Tally:
    """What became of the requests. Every one that was sent is in exactly one of the seven counts behind `sent`."""

    sent: int = 0
    right: int = 0
    refused: int = 0
    failed: int = 0
    lost: int = 0
    """No answer, or a part of one."""
    duplicated: int = 0
    crossed: int = 0
    wrong: int = 0
    unreachable: int = 0
    """Connections that nobody took."""
    statuses: Counter[int] = field(default_factory=Counter)
    waits_s: list[float] = field(default_factory=list)
    """Of the right answers."""
    refusals_s: list[float] = field(default_factory=list)
    retry_after_s: list[int] = field(default_factory=list)
    right_at: list[float] = field(default_factory=list)
    """When the right answers came, by the monotonic clock."""
    notes: list[str] = field(default_factory=list)
    """What the first strange answers were."""

    def add(self, other: Tally) -> None:
        """Count the other's requests too."""
        for name in ("sent", "right", "refused", "failed", "lost", "duplicated", "crossed", "wrong", "unreachable"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.statuses += other.statuses
        for values in ("waits_s", "refusals_s", "retry_after_s", "right_at", "notes"):
            getattr(self, values).extend(getattr(other, values))

    def figure(self, fault: str, figures: str = "", *, failed: int = 0, right: int = 0, repeated: int = 0, ended: bool = False) -> Figure:
        """The line of the table. `failed` further requests failed as they had to and `right` ones did not, handlers began `repeated` requests twice;
        with `ended` the server itself was ended, and what was cut off by that had to fail.
        """
        lost = 0 if ended else self.lost
        return Figure(
            fault, self.sent + failed + right, self.right + right, self.refused, self.failed + failed + (self.lost if ended else 0), lost,
            self.duplicated + repeated, self.crossed, self.wrong, figures,
        )  # fmt: skip

    def assert_sound(self) -> None:
        """Nothing was lost, answered twice, exchanged or made up; and there was traffic at all."""
        assert (self.lost, self.duplicated, self.crossed, self.wrong) == (0, 0, 0, 0), (self, self.notes[:5])
        assert self.right > 0, self

    def quantile_s(self, share: float) -> float:
        """So many of the right answers had come after this time."""
        return quantile(self.waits_s, share)


def quantile(values: list[float], share: float) -> float:
    """The value that `share` of the values do not exceed; 0.0 of none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


async def read_answer(reader: asyncio.StreamReader) -> Answer:
    """One reply with a length. Raises what streams raise when it does not come whole, ValueError when it is no reply."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = head[:-4].split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    status = int(first.split(" ")[1])
    if headers.get("transfer-encoding") == "chunked":
        return Answer(status, headers, await _read_chunks(reader))
    return Answer(status, headers, await reader.readexactly(int(headers.get("content-length", "0"))))


async def _read_chunks(reader: asyncio.StreamReader) -> bytes:
    body = b""
    while size := int(await reader.readuntil(b"\r\n"), 16):
        body += await reader.readexactly(size)
        await reader.readexactly(2)
    await reader.readuntil(b"\r\n")
    return body


def request(target: str, body: bytes, token: str, headers: str = "") -> bytes:
    """The bytes of a POST with this request id."""
    head = f"POST {target} HTTP/1.1\r\nhost: x\r\ncontent-type: text/plain\r\nx-request-id: {token}\r\n{headers}content-length: {len(body)}\r\n\r\n"
    return head.encode() + body


class Load:
    """So many clients, each of which sends the next request when it has its answer; from entering the block until leaving it.

    They run in a thread of their own. The body of a request is `echo:TOKEN`, which the handler must answer with the token. `fresh` makes a connection
    for each request; `pause_s` is a pause between requests; with `rate` the requests come at so many a second in all, whether earlier ones are
    answered or not; without `timed` no times are kept, so that it can go on for hours.
    """

    def __init__(
        self, port: int, target: str = "/predictions/m", clients: int = 8, *, verb: str = "echo", fresh: bool = False, pause_s: float = 0.0,
        timeout_s: float = LONGEST_S, rate: float = 0.0, padding: int = 0, timed: bool = True,
    ) -> None:  # fmt: skip
        self.tally = Tally()
        self._port = port
        self._target = target
        self._clients = clients
        self._verb = verb
        self._fresh = fresh
        self._pause_s = pause_s
        self._timeout_s = timeout_s
        self._rate = rate
        self._timed = timed
        self._padding = b":" + b"p" * padding if padding else b""
        self._name = secrets.token_hex(4)
        self._stop = threading.Event()
        self._kept: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __repr__(self) -> str:
        return f"<Load {self._target} {self.tally.sent} sent>"

    def __enter__(self) -> Load:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        asyncio.run(self._pace() if self._rate else self._all())

    async def _all(self) -> None:
        await asyncio.gather(*(self._client(number) for number in range(self._clients)))

    async def _client(self, number: int) -> None:
        link = None
        count = 0
        while not self._stop.is_set():
            if link is None:
                try:
                    link = await self._connect()
                except OSError:
                    self.tally.unreachable += 1
                    await asyncio.sleep(_PAUSE_S)
                    continue
            count += 1
            if not await self._ask(link, number, count, time.monotonic()) or self._fresh:
                await _close(link[1])
                link = None
            if self._pause_s:
                await asyncio.sleep(self._pause_s)
        if link is not None:
            await _close(link[1])

    async def _pace(self) -> None:
        """Start requests by the clock. A connection that is free is used again, else there is a new one."""
        begin, count = time.monotonic(), 0
        running: set[asyncio.Task[None]] = set()
        while not self._stop.is_set():
            due = int((time.monotonic() - begin) * self._rate)
            while count < due:
                count += 1
                task = asyncio.create_task(self._once(count, begin + count / self._rate))
                running.add(task)
                task.add_done_callback(running.discard)
            await asyncio.sleep(0.005)
        await asyncio.gather(*running)
        for link in self._kept:
            await _close(link[1])

    async def _once(self, number: int, due: float) -> None:
        try:
            link = self._kept.pop() if self._kept else await self._connect()
        except OSError:
            self.tally.unreachable += 1
            return
        if await self._ask(link, number, 0, due):
            self._kept.append(link)
        else:
            await _close(link[1])

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self._port)

    async def _ask(self, link: tuple[asyncio.StreamReader, asyncio.StreamWriter], number: int, count: int, begin: float) -> bool:
        """Send one request and judge its answer; whether the connection may be used again."""
        reader, writer = link
        token = f"t-{self._name}-{number}-{count}"
        self.tally.sent += 1
        try:
            writer.write(request(self._target, f"{self._verb}:{token}".encode() + self._padding, token))
            async with asyncio.timeout(self._timeout_s):
                answer = await read_answer(reader)
        except (TimeoutError, *_ENDED) as error:
            self.tally.lost += 1
            self.tally.notes.append(f"{token}: {error!r}")
            return False
        self._judge(answer, token, time.monotonic() - begin)
        return answer.headers.get("connection", "").lower() != "close"

    def _judge(self, answer: Answer, token: str, wait_s: float) -> None:
        tally = self.tally
        tally.statuses[answer.status] += 1
        if answer.status in (429, 503) and b"Prediction failed" not in answer.body:
            tally.refused += 1
            if not self._timed:
                return
            tally.refusals_s.append(wait_s)
            if answer.headers.get("retry-after", "").isdigit():
                tally.retry_after_s.append(int(answer.headers["retry-after"]))
        elif answer.status != 200:
            tally.failed += 1
        elif answer.body == token.encode() + self._padding:
            tally.right += 1
            if not self._timed:
                return
            tally.waits_s.append(wait_s)
            tally.right_at.append(time.monotonic())
        else:
            self._blame(answer, token)

    def _blame(self, answer: Answer, token: str) -> None:
        """A 200 that is not the right one: an answer that this client had before, one of somebody else, or of nobody."""
        found = _TOKEN.search(answer.body)
        mine = token.rpartition("-")[0].encode()
        if found is None:
            self.tally.wrong += 1
        elif found[0].startswith(mine + b"-"):
            self.tally.duplicated += 1
        else:
            self.tally.crossed += 1
        self.tally.notes.append(f"{token}: {answer.status} {answer.body[:80]!r}")


async def _close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    try:
        await writer.wait_closed()
    except OSError:
        return
