"""Drives a worker without a server: the frames that a server would send, and what came back."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from mmap import mmap
from pathlib import Path
from typing import Any

import argosy.worker
from argosy import wire
from argosy.worker.link import Link
from argosy.worker.loop import Worker

MAIN = Path(argosy.worker.__file__).with_name("__main__.py")
SHARED_BYTES = wire.PAGE_SIZE + wire.OUTBOX_SIZE


def job_record(
    seq: int,
    body: bytes | None = b"",
    content_type: str = "",
    *,
    id: str = "",
    headers: Sequence[tuple[str, str]] = (),
    parts: Sequence[tuple[str, str, wire.Buffer]] = (),
    timeout_ms: int = 0,
    arena: tuple[int, int] | None = None,
) -> bytes:
    """One job as a server writes it; `arena` is offset and length of a body that lies there, body None means that there is none."""
    flags = wire.ARENA if arena else wire.NO_BODY if body is None else 0
    offset, length = arena or (0, len(body or b""))
    raw_id, raw_type, block, named = (id or f"id-{seq}").encode(), content_type.encode(), wire.header_block(headers), wire.parts_block(parts)
    head = wire.JOB.pack(seq, timeout_ms, flags, len(raw_id), len(raw_type), len(block), len(named), length, offset)
    return b"".join((head, raw_id, raw_type, block, named, b"" if arena or body is None else body))


def jobs_frame(*records: bytes) -> bytes:
    """A JOBS frame of these records."""
    return wire.frame(wire.JOBS, b"".join(records), count=len(records))


def load_frame(folder: Path, handler: str, **order: Any) -> bytes:
    """A LOAD frame for a handler in a folder."""
    return wire.frame(wire.LOAD, json.dumps({"model_name": folder.name, "model_dir": str(folder), "handler": handler, **order}).encode())


@dataclass
class Outcome:
    """What a worker sent."""

    loaded: dict[str, Any] = field(default_factory=dict)
    answers: list[wire.Answer] = field(default_factory=list)
    heads: list[int] = field(default_factory=list)
    """Answers in each HEAD frame."""
    metrics: list[str] = field(default_factory=list)
    begun: dict[int, wire.Answer] = field(default_factory=dict)
    """The heads of streamed answers by job."""
    pieces: dict[int, list[bytes]] = field(default_factory=dict)
    """Their pieces; what ends them is in `answers`."""
    ends: dict[int, int] = field(default_factory=dict)
    """END or ERROR."""

    def take(self, frame: wire.Frame) -> None:
        """Sort in one frame."""
        if frame.kind == wire.LOADED:
            self.loaded = json.loads(bytes(frame.data))
        elif frame.kind == wire.METRIC:
            self.metrics += str(frame.data, "utf-8").splitlines()
        elif frame.kind == wire.CHUNK:
            self.pieces[frame.id].append(bytes(frame.data))
        elif frame.kind in (wire.END, wire.ERROR):
            (answer,) = wire.read_answers(frame.data)
            assert answer.seq == frame.id in self.begun
            self.ends[answer.seq] = frame.kind
            self.answers.append(answer)
        else:
            assert frame.kind == wire.HEAD, frame.kind
            found = list(wire.read_answers(frame.data))
            assert len(found) == frame.count
            self.heads.append(frame.count)
            if not found[0].last:
                assert frame.count == 1
                self.begun[found[0].seq] = found[0]
                self.pieces[found[0].seq] = []
            else:
                self.answers += found


class FakeServer:
    """The server's end of a link. `page` is the memory that the worker shares."""

    def __init__(self, page: memoryview) -> None:
        self.sock, self.worker_end = socket.socketpair()
        self.page = page
        self._reader = wire.FrameReader()

    def words(self) -> tuple[int, int]:
        """BEGUN and OUTBOX."""
        begun, outbox = self.page[: wire.WORDS_SIZE].cast("Q")
        return begun, outbox

    def outbox(self) -> list[wire.Answer]:
        """The answers that lie in the outbox, as the server reads them after a crash."""
        return list(wire.read_answers(bytes(self.page[wire.PAGE_SIZE : wire.PAGE_SIZE + self.words()[wire.OUTBOX]])))

    def cancel(self, seq: int) -> None:
        """Nobody waits for this job any more."""
        self.page[wire.CANCEL_OFFSET + seq % wire.CANCEL_SLOTS] = 1

    def next(self) -> wire.Frame | None:
        """The next frame, None when the worker closed the link."""
        while True:
            frame = self._reader.next()
            if frame is not None:
                return frame
            try:
                count = self.sock.recv_into(self._reader.space())
            except ConnectionResetError:
                return None
            if not count:
                return None
            self._reader.filled(count)

    def collect(self, outcome: Outcome, answers: int | None = None) -> Outcome:
        """Sort frames into `outcome` until it has so many answers, or until the link is closed."""
        while answers is None or len(outcome.answers) < answers:
            frame = self.next()
            if frame is None:
                break
            outcome.take(frame)
        return outcome

    def close(self) -> None:
        """Hang up."""
        self.sock.close()
        self.worker_end.close()


def run_worker(*frames: bytes, arena: memoryview | None = None, cancelled: Sequence[int] = ()) -> tuple[int, Outcome]:
    """Exit status and output of a worker that gets these frames at once and then STOP; all in this process, so keep answers small."""
    server = FakeServer(memoryview(bytearray(SHARED_BYTES)))
    for seq in cancelled:
        server.cancel(seq)
    try:
        server.sock.sendall(b"".join(frames) + wire.frame(wire.STOP))
        link = Link(server.worker_end, server.page)
        status = Worker(link, arena).run()
        server.worker_end.close()
        return status, server.collect(Outcome())
    finally:
        server.close()


class WorkerProcess:
    """A real worker process with this object as its server. Use it as a context manager: it kills what is left."""

    def __init__(self, folder: Path, interpreter: str = sys.executable, arena: bytes | None = None, env: Mapping[str, str] | None = None) -> None:
        page_fd = os.memfd_create("page")
        os.ftruncate(page_fd, SHARED_BYTES)
        self._map = mmap(page_fd, SHARED_BYTES)
        self.server = FakeServer(memoryview(self._map))
        fds = [self.server.worker_end.fileno(), page_fd]
        command = [interpreter, str(MAIN), "--fd", str(fds[0]), "--page-fd", str(page_fd)]
        if arena is not None:
            fds.append(os.memfd_create("arena"))
            os.write(fds[-1], arena)
            command += ["--arena-fd", str(fds[-1]), "--arena-size", str(len(arena))]
        environment = {**os.environ, "PYTHONPATH": str(folder), **(env or {})}
        self.process = subprocess.Popen(
            command,
            cwd=folder,
            env=environment,
            pass_fds=fds,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        self.server.worker_end.close()
        for fd in fds[1:]:
            os.close(fd)

    def __enter__(self) -> WorkerProcess:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.communicate()
        self.server.close()

    def send(self, *frames: bytes) -> None:
        """Send these frames."""
        self.server.sock.sendall(b"".join(frames))

    def load(self, folder: Path, handler: str, **order: Any) -> dict[str, Any]:
        """Have it load a handler; what it says of that."""
        self.send(load_frame(folder, handler, **order))
        frame = self.server.next()
        assert frame is not None
        assert frame.kind == wire.LOADED
        found: dict[str, Any] = json.loads(bytes(frame.data))
        return found

    def ask(self, *records: bytes) -> list[wire.Answer]:
        """The answers to these jobs; fewer if the worker ends before."""
        self.send(jobs_frame(*records))
        return self.server.collect(Outcome(), len(records)).answers

    def output(self) -> tuple[str, str]:
        """Wait for its end; what it wrote to standard output and standard error."""
        out, error = self.process.communicate(timeout=60)
        return out.decode(), error.decode()
