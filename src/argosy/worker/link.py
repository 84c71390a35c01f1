"""The worker's end of the link: frames from the socket, answers through shared memory, the progress word and cancellations."""

from __future__ import annotations

import socket
import struct
from collections import deque
from typing import Callable, Deque, Dict, List, Optional, Sequence

from argosy import wire
from argosy.wire import ANSWER, BEGUN, CANCEL_OFFSET, CANCEL_SLOTS, OUTBOX, OUTBOX_SIZE, PAGE_SIZE, PLAIN, WORDS_SIZE
from argosy.worker.room import WORTH_A_PLACE, Room

FLUSH_AFTER_NS = 200_000
"""An answer waits at most so long for others to be sent with it, unless the handler is busy."""

_UNSENT_METRICS = 64 * 1024
_SHORT = 1024
"""Longer bodies are put into the outbox after the header of their record, which takes one step more."""


class LinkClosed(Exception):
    """The server is gone, or this process is a fork that must not speak for the worker."""


class Link:
    """Reads frames and collects answers. One thread only.

    `page` is writable memory that the server sees too: PAGE_SIZE + OUTBOX_SIZE bytes, and room for large answers. Answers lie there until `flush`,
    so that they survive the death of this process.
    Every method raises `LinkClosed` when the server is gone and `WireError` when it does not speak the protocol.
    """

    def __init__(self, sock: socket.socket, page: memoryview) -> None:
        self._sock = sock
        self._reader = wire.FrameReader()
        self._page = page
        self._words = page[:WORDS_SIZE].cast("Q")
        self._cancelled = page[CANCEL_OFFSET : CANCEL_OFFSET + CANCEL_SLOTS]
        self._outbox = page[PAGE_SIZE : PAGE_SIZE + OUTBOX_SIZE]
        self._room = Room(page)
        self._records: Dict[int, Callable[..., None]] = {}
        """Writes the record of an ordinary answer, by the length of its body."""
        self._used = 0
        self._count = 0
        self._first_ns = 0
        self._metrics: List[bytes] = []
        self._metrics_size = 0
        self._aside: Deque[wire.Frame] = deque()
        """Frames that came while a streamed answer waited for room."""
        self._is_kept = False
        """Nobody minds what becomes of the data of frames that were handed out."""
        self.credits: Dict[int, int] = {}
        """The streamed answers under way: how many bytes of each the server has made room for. Written by `Outlet`, too."""
        self.abandoned = False

    def __repr__(self) -> str:
        return "<Link {} answers of {} bytes unsent>".format(self._count, self._used)

    def abandon(self) -> None:
        """Make this process unable to speak on the link; for forks of the worker, which share its socket and page."""
        self.abandoned = True
        self._sock.close()

    def receive(self) -> wire.Frame:
        """The next frame; its data is valid until the next call."""
        if self._aside:
            return self._aside.popleft()
        self._is_kept = False
        return self._next()

    def _next(self) -> wire.Frame:
        reader = self._reader
        while True:
            frame = reader.next()
            if frame is not None:
                return frame
            try:
                count = self._sock.recv_into(reader.space())
            except OSError as error:
                raise LinkClosed("reading: {}".format(error)) from error
            if not count:
                raise LinkClosed("the server closed the link")
            reader.filled(count)

    def fileno(self) -> int:
        """The socket, to wait for it."""
        return self._sock.fileno()

    def poll(self) -> Optional[wire.Frame]:
        """The next frame if it is there; its data is valid until the next call."""
        frame = self._reader.next()
        if frame is None:
            try:
                count = self._sock.recv_into(self._reader.space(), 0, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return None
            except OSError as error:
                raise LinkClosed("reading: {}".format(error)) from error
            if not count:
                raise LinkClosed("the server closed the link")
            self._reader.filled(count)
            frame = self._reader.next()
        return frame

    def read_aside(self) -> None:
        """Wait for a frame while jobs are being answered: take it if it gives credit, else keep it for `receive`."""
        if not self._is_kept:
            # bodies of jobs that wait, or that a handler looks at, lie in the reader's buffer
            self._reader.keep()
            self._is_kept = True
        frame = self._next()
        if frame.kind == wire.CREDIT:
            self.take_credit(frame)
        elif frame.kind != wire.CANCEL:  # the page has told of that
            self._aside.append(frame._replace(data=memoryview(bytes(frame.data))))

    def take_credit(self, frame: wire.Frame) -> None:
        """There is more room for a streamed answer; nothing if it is over."""
        total = wire.read_credit(frame.data)
        if frame.id in self.credits:
            self.credits[frame.id] = total

    def is_cancelled(self, seq: int) -> bool:
        """Whether nobody waits for this job any more."""
        return self._cancelled[seq % CANCEL_SLOTS] == 1

    def start(self, after: int) -> None:
        """Tell the server that the jobs before `after` go to the handler now, if they have not yet. The word is one store."""
        self._words[BEGUN] = after

    def answer_plain(self, seq: int, body: wire.Buffer, busy_us: int) -> None:
        """Put an ordinary answer into the outbox: what `answer` does for status 200 and nothing else, in one step."""
        size, at = len(body), self._used
        after = at + ANSWER.size + size
        if size > _SHORT or after > OUTBOX_SIZE or type(body) is not bytes:
            self.answer(seq, 200, body, busy_us)
            return
        write = self._records.get(size)
        if write is None:
            write = self._records[size] = struct.Struct("<Q6sI8xI{}s".format(size)).pack_into
        write(self._outbox, at, seq, PLAIN, busy_us, size, body)
        self._used = after
        self._count += 1

    def answer(self, seq: int, status: int, body: wire.Buffer, busy_us: int, phrase: bytes = b"", headers: bytes = b"") -> None:
        """Put an answer into the outbox, sending what is there before if it would not fit. Call `publish` after the batch."""
        size, at = len(body), self._used
        if size >= WORTH_A_PLACE and self._answer_in_place(seq, status, body, busy_us, phrase, headers):
            return
        after = at + ANSWER.size + len(phrase) + len(headers) + size
        if after > OUTBOX_SIZE:
            self._answer_large((ANSWER.pack(seq, wire.LAST, status, 0, busy_us, len(phrase), len(headers), size), phrase, headers, body))
            return
        outbox = self._outbox
        ANSWER.pack_into(outbox, at, seq, wire.LAST, status, 0, busy_us, len(phrase), len(headers), size)
        if phrase or headers:
            outbox[at + ANSWER.size : after - size] = phrase + headers
        outbox[after - size : after] = body
        self._used = after
        self._count += 1

    def _answer_in_place(self, seq: int, status: int, body: wire.Buffer, busy_us: int, phrase: bytes, headers: bytes) -> bool:
        """Put a large body where the server can send it from; False if there is no room."""
        place = self._room.put(body)
        if place is not None:
            head = ANSWER.pack(seq, wire.LAST | wire.PLACED, status, 0, busy_us, len(phrase), len(headers), len(place))
            self._append((head, phrase, headers, place))
        return place is not None

    def fail(self, seq: int, code: int, message: str, detail: str = "", status: int = 0, busy_us: int = 0) -> None:
        """Put a failure into the outbox, as `answer` does."""
        self._append((wire.failure_record(seq, code, message, detail=detail, status=status, busy_us=busy_us),))

    def _append(self, pieces: Sequence[wire.Buffer]) -> None:
        record = b"".join(pieces)
        after = self._used + len(record)
        if after > OUTBOX_SIZE:
            self._answer_large(pieces)
            return
        self._outbox[self._used : after] = record
        self._used = after
        self._count += 1

    def _answer_large(self, pieces: Sequence[wire.Buffer]) -> None:
        """An answer that does not fit behind the others: send those, then try again or send it as a frame of its own."""
        size = sum(map(len, pieces))
        if self._count:
            self.flush()
            if size <= OUTBOX_SIZE:
                self._append(pieces)
                return
        self.send_pieces([wire.frame_header(wire.HEAD, size, count=1), *pieces])

    def add_metrics(self, lines: bytes) -> None:
        """Send these metric lines with the next flush."""
        self._metrics.append(lines)
        self._metrics_size += len(lines)

    def publish(self, now_ns: int) -> None:
        """Tell the server that the answers so far are whole; send them if the first of them has waited for long. `now_ns` never goes back."""
        self._words[OUTBOX] = self._used
        if not self._first_ns:
            if self._count or self._metrics:
                self._first_ns = now_ns
        elif now_ns - self._first_ns > FLUSH_AFTER_NS or self._metrics_size > _UNSENT_METRICS:
            self.flush()

    def flush(self) -> None:
        """Send what is in the outbox."""
        out: List[wire.Buffer] = []
        if self._count:
            self._words[OUTBOX] = self._used
            out += (wire.frame_header(wire.HEAD, self._used, count=self._count), self._outbox[: self._used])
        if self._metrics:
            out.append(wire.frame(wire.METRIC, b"".join(self._metrics)))
            self._metrics, self._metrics_size = [], 0
        if out:
            self.send_pieces([b"".join(out)])
        self._words[OUTBOX] = 0
        self._used = self._count = self._first_ns = 0

    def send(self, kind: int, data: bytes) -> None:
        """Send a frame of its own, after what is in the outbox."""
        self.flush()
        self.send_pieces([wire.frame(kind, data)])

    def send_pieces(self, pieces: Sequence[wire.Buffer]) -> None:
        """Send whole frames, past the outbox, however often the kernel takes only a part."""
        try:
            if len(pieces) == 1:
                self._sock.sendall(pieces[0])
                return
            rest: Optional[memoryview] = None
            sent = self._sock.sendmsg(pieces)
            for piece in pieces:
                if sent >= len(piece):
                    sent -= len(piece)
                    continue
                rest = memoryview(piece)[sent:]
                self._sock.sendall(rest)
                sent = 0
        except OSError as error:
            raise LinkClosed("writing: {}".format(error)) from error
