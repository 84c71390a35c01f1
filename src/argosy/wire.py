"""Frames between the server and a worker process: how they are written and read, without any I/O.

A frame is a fixed header and `length` bytes of data. Integers are little-endian; text is UTF-8; there is no pickle.

    header   magic u16 | version u8 | kind u8 | flags u16 | count u16 | id u64 | length u32

What the data of a kind holds:

    LOAD     server → worker   JSON object, see `worker.loop`
    LOADED   worker → server   JSON object {"ok": true, …} or {"ok": false, "code": int, "message": str, "detail": str}
    JOBS     server → worker   `count` job records, seq ascending
    HEAD     worker → server   `count` answer records
    CHUNK    worker → server   a piece of the streamed answer `id`, at most PIECE bytes
    END      worker → server   one answer record without body: the streamed answer `id` is whole
    ERROR    worker → server   one answer record with FAILED: the streamed answer `id` was cut off
    CANCEL   server → worker   nothing; nobody waits for the answer `id` any more
    CREDIT   server → worker   u64: how many bytes of frames of the streamed answer `id` its client has made room for, in all
    LOG      worker → server   UTF-8 text, one record
    METRIC   worker → server   UTF-8 lines, one metric each
    STOP     server → worker   nothing; finish what was sent before and exit

A job record is JOB, then request id, content type, header block, parts block, body. The body is absent when the flag ARENA says that it lies
at `offset` of the model's arena, or NO_BODY that there is none. A header block is name, value, name, value … joined by NUL.

An answer record is ANSWER, then phrase, header block, body; with the flag FAILED it is message, detail, nothing, and `code` is an `ErrorCode`.
A record without the flag LAST, alone in its HEAD frame, begins a streamed answer: CHUNK frames follow, and END or ERROR. Of these a worker sends
at most WINDOW bytes, headers of frames included, more than it has credit for, and one CHUNK that crosses this line.

Every worker shares one page (PAGE_SIZE bytes, an outbox behind it, and behind that the room for large answers, if there is any) with the server:

    word 0   BEGUN     seq after the last job that was ever started: jobs from here on have not reached the handler
    word 1   OUTBOX    bytes of answer records in the outbox that may not have been sent yet
    bytes CANCEL…      one byte for each `seq % CANCEL_SLOTS`: 1 when nobody waits for that job any more
    bytes PLACES…      one byte for each place in the room: 1 from when the worker puts an answer there until the server has sent it

With the flag PLACED the body of an answer record is a PLACE, and the body of the answer lies there; it survives the worker.

A line of a worker's standard streams that was printed while a batch ran begins with a mark: MARK, the request ids of the batch joined by commas,
and a unit separator. Nothing else that Python prints holds a MARK; it is spelled out there.

Standard library only, Python 3.8 and later.
"""

from __future__ import annotations

import re
import struct
from typing import Iterator, List, NamedTuple, Optional, Sequence, Tuple, Union

Buffer = Union[bytes, bytearray, memoryview]

MAGIC = 0xA790
VERSION = 1

LOAD, LOADED, JOBS, HEAD, CHUNK, END, ERROR, CANCEL, LOG, METRIC, STOP, CREDIT = range(1, 13)
KINDS = frozenset(range(1, 13))

HEADER = struct.Struct("<HBBHHQI")
JOB = struct.Struct("<QIHHHIIQQ")
"""seq, milliseconds left (0: no deadline), flags, lengths of id, content type, headers, parts, body; arena offset."""
SEQ = struct.Struct("<Q")
"""What a job record begins with."""
PART = struct.Struct("<IHI")
"""lengths of name, content type and value, which follow. The name of a form field is whatever a client sends, and may be the whole body."""
ANSWER = struct.Struct("<QHHHIIII")
"""seq, flags, status, error code, microseconds in the handler, lengths of phrase (message), headers (detail), body."""
_LENGTHS = struct.Struct("<III")
"""What the header of an answer ends with."""

PLACE = struct.Struct("<IQQ")
"""Number of the place; where in the room it begins, and how long it is."""

TOTAL = struct.Struct("<Q")
"""The data of a CREDIT frame."""

PIECE = 64 * 1024
WINDOW = 128 * 1024

NO_BODY = 1
ARENA = 2

LAST = 1
FAILED = 2
PLACED = 4
PLAIN = struct.pack("<HHH", LAST, 200, 0)
"""Flags, status and error code of an ordinary answer."""

PAGE_SIZE = 4096
OUTBOX_SIZE = 256 * 1024
BEGUN, OUTBOX = 0, 1
WORDS_SIZE = 16
CANCEL_OFFSET = 1024
CANCEL_SLOTS = 1024
PLACES_OFFSET = 2048
PLACES = 64
ROOM_OFFSET = PAGE_SIZE + OUTBOX_SIZE
MAX_JOBS = 64
"""At most so many jobs in one JOBS frame."""
LONGEST_TYPE = 0xFFFF
"""Bytes of a content type."""
MAX_FRAME = (1 << 32) - 1

MARK = b"\x1e"
SPELLED_MARK = b"\\x1e"
NO_MARK = b"\x1e\x1f"
"""The mark of a piece that belongs to no batch, behind one that does."""
_MARKS = re.compile(b"\x1e([^\x1e\x1f]*)\x1f")

_CAPACITY = 256 * 1024
_SMALL = 64 * 1024
_AHEAD = 16 * 1024 * 1024
"""Room that is made for a frame because of what its header says. Beyond this, room only doubles what has come: a header alone costs no more."""


class WireError(Exception):
    """The other side does not speak this protocol; the link is of no more use."""


class Frame(NamedTuple):
    """One frame. `data` is a view that is valid until the reader is asked for more."""

    kind: int
    flags: int
    count: int  # type: ignore[assignment]  # hides tuple.count, which nobody wants of a frame
    id: int
    data: memoryview


class Job(NamedTuple):
    """One job as the worker sees it. `body` may be a view of the frame; None if it lies in the arena or there is none. The rest may be kept."""

    seq: int
    timeout_ms: int
    id: str
    content_type: str
    headers: bytes
    parts: bytes
    body: Optional[Buffer]
    arena_offset: int
    """Where the body lies in the arena; -1 if it does not."""
    body_length: int


class Place(NamedTuple):
    """Where the body of an answer lies in the room of its worker."""

    number: int
    offset: int
    length: int


class Answer(NamedTuple):
    """One answer as the server sees it."""

    seq: int
    last: bool
    failed: bool
    status: int
    code: int
    busy_us: int
    phrase: str
    """The reason phrase, or the message of a failure."""
    headers: bytes
    """The header block, or the detail of a failure."""
    body: bytes
    place: Optional[Place] = None
    """Where the body lies, if it did not come with the record."""


def frame(kind: int, data: Buffer = b"", *, flags: int = 0, count: int = 0, id: int = 0) -> bytes:
    """A whole frame as bytes."""
    return HEADER.pack(MAGIC, VERSION, kind, flags, count, id, len(data)) + data


def frame_header(kind: int, length: int, *, flags: int = 0, count: int = 0, id: int = 0) -> bytes:
    """Only the header of a frame whose `length` bytes of data are sent separately."""
    return HEADER.pack(MAGIC, VERSION, kind, flags, count, id, length)


def parts_block(parts: Sequence[Tuple[str, str, Buffer]]) -> bytes:
    """The named inputs of a job as one block. A content type longer than 65,535 bytes raises `WireError`."""
    out: List[Buffer] = []
    for name, content_type, value in parts:
        raw_name, raw_type = name.encode("utf-8", "surrogateescape"), content_type.encode("utf-8", "surrogateescape")
        if len(raw_type) > 65535:
            raise WireError("the type of an input is longer than 65535 bytes")
        out += (PART.pack(len(raw_name), len(raw_type), len(value)), raw_name, raw_type, value)
    return b"".join(out)


def read_parts(block: Buffer) -> Iterator[Tuple[str, str, Buffer]]:
    """The inverse of `parts_block`; values are slices of the block. Raises `WireError` on a cut block."""
    at, end = 0, len(block)
    while at < end:
        if end - at < PART.size:
            raise WireError("cut parts block")
        name, content_type, value = PART.unpack_from(block, at)
        at += PART.size
        stop = at + name + content_type + value
        if stop > end:
            raise WireError("cut parts block")
        yield (
            str(block[at : at + name], "utf-8", "surrogateescape"),
            str(block[at + name : at + name + content_type], "utf-8", "surrogateescape"),
            block[at + name + content_type : stop],
        )
        at = stop


def header_block(headers: Sequence[Tuple[str, str]]) -> bytes:
    """Header pairs as one block. A NUL inside a name or value raises `WireError`."""
    flat = [text for pair in headers for text in pair]
    if any("\0" in text for text in flat):
        raise WireError("a header holds a NUL")
    return "\0".join(flat).encode("utf-8", "surrogateescape")


def read_headers(block: Buffer) -> List[Tuple[str, str]]:
    """The inverse of `header_block`. Raises `WireError` when a name has no value."""
    if not block:
        return []
    flat = str(block, "utf-8", "surrogateescape").split("\0")
    if len(flat) % 2:
        raise WireError("a header without a value")
    return list(zip(flat[::2], flat[1::2]))  # noqa: B905  strict= needs Python 3.10


def job_shape(n_id: int, n_type: int, n_headers: int, n_body: int) -> bytes:
    """What the record of a job with an ordinary body says between its seq and its id. Raises `WireError` for a length that has no room."""
    try:
        return JOB.pack(0, 0, 0, n_id, n_type, n_headers, 0, n_body, 0)[SEQ.size :]
    except struct.error as error:
        raise WireError(str(error)) from error


def read_jobs(data: memoryview, count: int) -> List[Job]:
    """The jobs of a JOBS frame. Raises `WireError` unless exactly `count` records fill the data."""
    alike = _read_alike(bytes(data), count) if count > 1 and JOB.size < len(data) <= _SMALL else None
    if alike is not None:
        return alike
    jobs = []
    at = 0
    rest = kind = headers = parts = None
    lengths = (0, 0)
    unpack, size, new = JOB.unpack_from, JOB.size, tuple.__new__
    try:
        for _ in range(count):
            seq, timeout_ms, flags, n_id, n_type, n_headers, n_parts, n_body, offset = unpack(data, at)
            at += size
            b = n_id + n_type
            c = b + n_headers
            # One copy of all but the body and slices of it: half the time of slicing the view five times, and safe to keep.
            meta = data[at : at + c + n_parts].tobytes()
            at += c + n_parts
            # what clients of one kind send differs in the id only
            if meta[n_id:] != rest or (n_type, n_headers) != lengths:
                rest, lengths = meta[n_id:], (n_type, n_headers)
                kind, headers, parts = meta[n_id:b].decode("latin-1"), meta[b:c], meta[c:]
            if flags:
                body = None
                place = offset if flags & ARENA else -1
            else:
                body = data[at : at + n_body]
                at += n_body
                place = -1
            jobs.append(new(Job, (seq, timeout_ms, meta[:n_id].decode("latin-1"), kind, headers, parts, body, place, n_body)))
    except (struct.error, OverflowError) as error:  # the latter when a length leads beyond all memory
        raise WireError("cut job record") from error
    if at != len(data):
        raise WireError("job records do not fill their frame")
    return jobs


def _read_alike(raw: bytes, count: int) -> Optional[List[Job]]:
    """The same for records that differ in seq, id and bytes of the body only, as those of one client mostly do; None if they do not."""
    _, timeout_ms, flags, n_id, n_type, n_headers, n_parts, n_body, _ = JOB.unpack_from(raw)
    n_rest = n_type + n_headers + n_parts
    if flags or len(raw) != count * (JOB.size + n_id + n_rest + n_body):
        return None
    begin = JOB.size + n_id
    shape, rest = raw[SEQ.size : JOB.size], raw[begin : begin + n_rest]
    kind, headers, parts = rest[:n_type].decode("latin-1"), rest[n_type : n_type + n_headers], rest[n_type + n_headers :]
    new = tuple.__new__
    records = struct.iter_unpack("<Q{}s{}s{}s{}s".format(len(shape), n_id, n_rest, n_body), raw)
    jobs = [
        new(Job, (seq, timeout_ms, id.decode("latin-1"), kind, headers, parts, body, -1, n_body))
        for seq, its_shape, id, its_rest, body in records
        if its_shape == shape and its_rest == rest
    ]
    return jobs if len(jobs) == count else None


def answer_record(
    seq: int, status: int, body: Buffer, *, flags: int = LAST, code: int = 0, busy_us: int = 0, phrase: bytes = b"", headers: bytes = b""
) -> bytes:
    """One answer record; see the module text for the meaning with FAILED."""
    return b"".join((ANSWER.pack(seq, flags, status, code, busy_us, len(phrase), len(headers), len(body)), phrase, headers, body))


def failure_record(seq: int, code: int, message: str, *, detail: str = "", status: int = 0, busy_us: int = 0) -> bytes:
    """An answer record that says why there is no answer."""
    text, more = message.encode("utf-8", "replace"), detail.encode("utf-8", "replace")
    return answer_record(seq, status, b"", flags=LAST | FAILED, code=code, busy_us=busy_us, phrase=text, headers=more)


def read_answers(data: Buffer) -> List[Answer]:
    """The answer records in `data`. Raises `WireError` on a cut record."""
    end = len(data)
    # slices of bytes are cheaper than those of a view; large data is not copied twice for that
    is_small = end <= _SMALL
    raw = bytes(data) if is_small else data
    answers = []
    at = 0
    unpack, size, new = ANSWER.unpack_from, ANSWER.size, tuple.__new__
    try:
        while at < end:
            seq, flags, status, code, busy_us, n_phrase, n_headers, n_body = unpack(raw, at)
            c = at + size
            phrase, headers = "", b""
            if n_phrase or n_headers:
                phrase = str(raw[c : c + n_phrase], "utf-8", "replace")
                c += n_phrase
                headers = bytes(raw[c : c + n_headers])
                c += n_headers
            at = c + n_body
            body = raw[c:at] if is_small else bytes(raw[c:at])
            place = new(Place, PLACE.unpack(body)) if flags & PLACED else None
            answers.append(new(Answer, (seq, flags & LAST != 0, flags & FAILED != 0, status, code, busy_us, phrase, headers, body, place)))
    except struct.error as error:
        raise WireError("cut answer record") from error
    if at != end:
        raise WireError("cut answer record")
    return answers


def plain_answers(data: Buffer) -> Optional[List[Tuple[int, int, bytes]]]:
    """The same as seq, microseconds and body, if all of them have the status 200 and neither phrase nor headers and are not large; else None."""
    end = len(data)
    if end > _SMALL:
        return None
    raw = bytes(data)
    answers = _alike_answers(raw) if end > 2 * ANSWER.size else []
    if answers:
        return answers
    at = 0
    unpack, size = ANSWER.unpack_from, ANSWER.size
    try:
        while at < end:
            seq, flags, status, _, busy_us, n_phrase, n_headers, n_body = unpack(raw, at)
            if status != 200 or flags != LAST or n_phrase or n_headers:
                return None
            begin = at + size
            at = begin + n_body
            answers.append((seq, busy_us, raw[begin:at]))
    except struct.error:
        return None
    return answers if at == end else None


def _alike_answers(raw: bytes) -> List[Tuple[int, int, bytes]]:
    """The same for bodies of one length; none if they are not, or one is not plain."""
    length = int.from_bytes(raw[ANSWER.size - 4 : ANSWER.size], "little")
    count, rest = divmod(len(raw), ANSWER.size + length)
    if rest or count < 2:
        return []
    lengths = _LENGTHS.pack(0, 0, length)
    records = struct.iter_unpack("<Q6sI12s{}s".format(length), raw)
    answers = [(seq, busy_us, body) for seq, kind, busy_us, its_lengths, body in records if kind == PLAIN and its_lengths == lengths]
    return answers if len(answers) == count else []


def output_mark(ids: str) -> bytes:
    """What a line that was printed for these requests begins with."""
    return MARK + ids.encode("latin-1", "replace").translate(None, b"\n\x1e\x1f") + b"\x1f"


def read_output(line: bytes) -> List[Tuple[str, bytes]]:
    """The pieces of a line with the request ids that each was printed for. One piece, unless streams that share a pipe met within the line."""
    if MARK not in line:
        return [("", line)]
    head, *rest = _MARKS.split(line)
    pieces = [(ids.decode("latin-1"), text) for ids, text in zip(rest[::2], rest[1::2])]  # noqa: B905  strict= needs Python 3.10
    return [("", head), *pieces] if head else pieces


def credit_frame(seq: int, total: int) -> bytes:
    """A CREDIT frame."""
    return frame(CREDIT, TOTAL.pack(total), id=seq)


def read_credit(data: Buffer) -> int:
    """The total in a CREDIT frame. Raises `WireError`."""
    if len(data) != TOTAL.size:
        raise WireError("a CREDIT frame of {} bytes".format(len(data)))
    total: int = TOTAL.unpack(data)[0]
    return total


class FrameReader:
    """Cuts a byte stream into frames.

    Fill `space()` from the socket, tell `filled(n)`, then take frames with `next()` until it is None. The data of a frame is a view of the
    reader's own buffer: use or copy it before the next call of `space()`. A frame longer than `limit` bytes raises `WireError`. The memory that
    a reader takes is bounded by twice what has come and 16 MiB, whatever length a header claims.
    """

    def __init__(self, limit: int = MAX_FRAME) -> None:
        self.limit = limit
        self._buffer = bytearray(_CAPACITY)
        self._view = memoryview(self._buffer)
        self._low = 0
        self._high = 0

    def __repr__(self) -> str:
        return "<FrameReader {} bytes waiting>".format(self._high - self._low)

    def space(self) -> memoryview:
        """Room for the next bytes; never empty."""
        waiting = self._high - self._low
        if waiting == 0:
            self._low = self._high = 0
            if len(self._buffer) > 16 * _CAPACITY:
                self._buffer = bytearray(_CAPACITY)
                self._view = memoryview(self._buffer)
        elif waiting >= HEADER.size:
            wanted = HEADER.size + HEADER.unpack_from(self._buffer, self._low)[-1]
            self._make_room(min(wanted, max(_AHEAD, 1 << waiting.bit_length())))
        else:
            self._make_room(HEADER.size)
        return self._view[self._high :]

    def _make_room(self, wanted: int) -> None:
        """See that a frame of `wanted` bytes fits behind `_low`."""
        if len(self._buffer) - self._low >= max(wanted, self._high - self._low + 1):
            return
        waiting = self._high - self._low
        if wanted > len(self._buffer):
            fresh = bytearray(wanted + _CAPACITY)
            fresh[:waiting] = self._view[self._low : self._high]
            self._buffer = fresh
            self._view = memoryview(fresh)
        else:
            self._buffer[:waiting] = bytes(self._view[self._low : self._high])
        self._low, self._high = 0, waiting

    def keep(self) -> None:
        """Leave the data of the frames that were handed out as it is, for as long as somebody has it: go on in another buffer."""
        fresh = bytearray(len(self._buffer))
        waiting = self._high - self._low
        fresh[:waiting] = self._view[self._low : self._high]
        self._buffer, self._view = fresh, memoryview(fresh)
        self._low, self._high = 0, waiting

    def filled(self, count: int) -> None:
        """`count` bytes were written into `space()`."""
        self._high += count

    def next(self) -> Optional[Frame]:
        """The next whole frame, or None when more bytes are needed. Raises `WireError` on anything else."""
        low = self._low
        if self._high - low < HEADER.size:
            return None
        magic, version, kind, flags, count, id, length = HEADER.unpack_from(self._buffer, low)
        if magic != MAGIC or version != VERSION or kind not in KINDS:
            raise WireError("not a frame: magic {:#x}, version {}, kind {}".format(magic, version, kind))
        if length > self.limit:
            raise WireError("a frame of {} bytes is over the limit of {}".format(length, self.limit))
        start = low + HEADER.size
        if self._high - start < length:
            return None
        self._low = start + length
        return Frame(kind, flags, count, id, self._view[start : start + length])
