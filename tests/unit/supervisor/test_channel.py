"""The link over a real socket pair: whole frames come out, whatever pieces go in, and the loss is told once."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

import pytest

from argosy import wire
from argosy.supervisor.channel import CLOSED, Channel

LIMIT = 4_000_000


async def until(probe: Callable[[], object]) -> None:
    """Let the loop run until the probe is true."""
    while True:
        if probe():
            return
        await asyncio.sleep(0.001)


class Ends:
    """A channel and the worker's end of its link, for use inside an event loop."""

    def __init__(self, on_frame: Callable[[wire.Frame], None] | None = None) -> None:
        loop = asyncio.get_running_loop()
        ours, self.worker = Channel.pair()
        self.frames: list[tuple[int, bytes]] = []
        self.losses: list[str] = []
        self.lost = asyncio.Event()
        self.came = asyncio.Event()
        self.channel = Channel(loop, ours, on_frame or self._frame, self._lost, LIMIT)

    def _frame(self, frame: wire.Frame) -> None:
        self.frames.append((frame.kind, bytes(frame.data)))
        self.came.set()

    def _lost(self, why: str) -> None:
        self.losses.append(why)
        self.lost.set()

    async def frame_count(self, count: int) -> None:
        """Wait until so many frames have come."""
        while len(self.frames) < count:
            self.came.clear()
            await self.came.wait()

    def close(self) -> None:
        self.channel.close()
        self.worker.close()


def read_frames(sock: socket.socket, count: int) -> list[tuple[int, bytes]]:
    """So many frames from the worker's end; blocks."""
    reader = wire.FrameReader()
    found: list[tuple[int, bytes]] = []
    while len(found) < count:
        frame = reader.next()
        if frame is not None:
            found.append((frame.kind, bytes(frame.data)))
        else:
            size = sock.recv_into(reader.space())
            assert size
            reader.filled(size)
    return found


def test_frames_in_any_pieces() -> None:
    """A frame that comes byte by byte, and several at once, are delivered whole and in order."""

    async def story() -> None:
        ends = Ends()
        for byte in wire.frame(wire.METRIC, b"first"):
            ends.worker.sendall(bytes([byte]))
            await asyncio.sleep(0)
        ends.worker.sendall(wire.frame(wire.METRIC, b"second") + wire.frame(wire.HEAD, b""))
        await ends.frame_count(3)
        assert ends.frames == [(wire.METRIC, b"first"), (wire.METRIC, b"second"), (wire.HEAD, b"")]
        assert repr(ends.channel) == "<Channel open 0 writes waiting>"
        ends.close()

    asyncio.run(story())


def test_a_large_frame_comes_in() -> None:
    """A frame far larger than any buffer arrives whole."""

    async def story() -> None:
        ends = Ends()
        data = bytes(range(256)) * 12_000
        sending = asyncio.get_running_loop().run_in_executor(None, ends.worker.sendall, wire.frame(wire.HEAD, data))
        await ends.frame_count(1)
        await sending
        assert ends.frames == [(wire.HEAD, data)]
        ends.close()

    asyncio.run(story())


@pytest.mark.parametrize("pieces", [False, True])
def test_partial_writes(pieces: bool) -> None:
    """What the socket does not take at once follows later, in order, also while more is written."""

    async def story() -> None:
        ends = Ends()
        large = b"z" * 3_000_000
        if pieces:
            ends.channel.write_pieces([wire.frame_header(wire.JOBS, len(large)), b"", large])
            ends.channel.write_pieces([wire.frame_header(wire.JOBS, 1), b"y"])
        else:
            ends.channel.write(wire.frame(wire.JOBS, large))
        ends.channel.write(wire.frame(wire.STOP))
        assert "0 writes" not in repr(ends.channel)
        count = 3 if pieces else 2
        found = await asyncio.get_running_loop().run_in_executor(None, read_frames, ends.worker, count)
        assert found[0] == (wire.JOBS, large)
        assert found[-1] == (wire.STOP, b"")
        await until(lambda: "0 writes" in repr(ends.channel))
        ends.channel.write(wire.frame(wire.STOP))
        assert read_frames(ends.worker, 1) == [(wire.STOP, b"")]
        ends.close()

    asyncio.run(story())


def test_thousands_of_pieces() -> None:
    """A message may have more pieces than one system call takes."""

    async def story() -> None:
        ends = Ends()
        ends.channel.write_pieces([wire.frame_header(wire.JOBS, 5000), *([b"p"] * 5000)])
        found = await asyncio.get_running_loop().run_in_executor(None, read_frames, ends.worker, 1)
        assert found == [(wire.JOBS, b"p" * 5000)]
        assert ends.losses == []
        ends.close()

    asyncio.run(story())


def _refuse(frame: wire.Frame) -> None:
    raise wire.WireError("not asked for")


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"\xff" * 100, "broke the protocol: not a frame"),
        (wire.frame_header(wire.HEAD, LIMIT + 1), "broke the protocol: a frame of 4000001 bytes is over the limit"),
        (b"", CLOSED),
    ],
)
def test_the_link_is_lost_once(data: bytes, why: str) -> None:
    """Junk, a frame over the limit and the end of the stream end the link with a reason; nothing is delivered or written afterwards."""

    async def story() -> None:
        ends = Ends()
        ends.worker.sendall(data)
        ends.worker.shutdown(socket.SHUT_WR)
        await ends.lost.wait()
        assert len(ends.losses) == 1
        assert ends.losses[0].startswith(why)
        ends.channel.write(b"x")
        ends.channel.write_pieces([b"x"])
        ends.channel.drain()
        ends.channel.close()
        assert repr(ends.channel) == "<Channel closed 0 writes waiting>"
        assert len(ends.losses) == 1
        ends.close()

    asyncio.run(story())


def test_a_frame_that_was_not_asked_for() -> None:
    """`WireError` from the receiver ends the link like junk."""

    async def story() -> None:
        ends = Ends(_refuse)
        ends.worker.sendall(wire.frame(wire.HEAD, b""))
        await ends.lost.wait()
        assert ends.losses == ["broke the protocol: not asked for"]
        ends.close()

    asyncio.run(story())


@pytest.mark.parametrize("pieces", [False, True])
def test_writing_to_a_worker_that_is_gone(pieces: bool) -> None:
    """The loss is told once, after what the worker had sent before was delivered; writing does nothing."""

    async def story() -> None:
        ends = Ends()
        ends.worker.sendall(wire.frame(wire.HEAD, b"last"))
        ends.worker.close()
        for _ in range(2):
            if pieces:
                ends.channel.write_pieces([b"x"])
            else:
                ends.channel.write(b"x")
        assert ends.frames == []
        await ends.lost.wait()
        assert ends.frames == [(wire.HEAD, b"last")]
        assert ends.losses == [CLOSED]

    asyncio.run(story())


def test_a_worker_that_goes_while_much_waits() -> None:
    """Unsent data is dropped with the link."""

    async def story() -> None:
        ends = Ends()
        ends.channel.write(b"z" * 3_000_000)
        ends.worker.close()
        await ends.lost.wait()
        assert ends.losses == [CLOSED]
        assert repr(ends.channel) == "<Channel closed 0 writes waiting>"

    asyncio.run(story())


def test_a_worker_that_goes_without_having_read() -> None:
    """Its end looks like any other, though the kernel calls it a reset."""

    async def story() -> None:
        ends = Ends()
        ends.channel.write(b"never read")
        ends.worker.close()
        await ends.lost.wait()
        assert ends.losses == [CLOSED]

    asyncio.run(story())


def test_what_is_left_after_the_process_has_ended() -> None:
    """`drain` delivers what is still in the socket without waiting for the loop, and is bounded."""

    async def story() -> None:
        ends = Ends()
        ends.worker.sendall(wire.frame(wire.HEAD, b"last") + wire.frame(wire.METRIC, b"words"))
        ends.channel.drain()
        assert ends.frames == [(wire.HEAD, b"last"), (wire.METRIC, b"words")]
        ends.worker.close()
        ends.channel.drain()
        assert ends.losses == [CLOSED]

    asyncio.run(story())
