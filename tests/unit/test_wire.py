"""Frames and records: what is written is read, and nothing else is."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given, strategies

from argosy import wire
from argosy.testing.worker import job_record

TEXT = strategies.text(strategies.characters(codec="utf-8"), max_size=20)
ID = strategies.text(strategies.characters(codec="ascii"), min_size=1, max_size=20)
VALUE = TEXT.map(lambda text: text.replace("\0", ""))


@given(strategies.lists(strategies.tuples(VALUE, VALUE), max_size=8))
def test_headers_come_back(pairs: list[tuple[str, str]]) -> None:
    """Names and values in order, repeated ones too."""
    block = wire.header_block(pairs)
    assert wire.read_headers(block) == ([] if block == b"" else pairs)


def test_header_with_a_nul_is_refused() -> None:
    """It would split the block."""
    with pytest.raises(wire.WireError):
        wire.header_block([("a", "b\0c")])


def test_header_without_a_value_is_refused() -> None:
    """A cut block is seen."""
    with pytest.raises(wire.WireError):
        wire.read_headers(b"a\0b\0c")


@given(strategies.lists(strategies.tuples(TEXT, TEXT, strategies.binary(max_size=30)), max_size=5))
def test_parts_come_back(parts: list[tuple[str, str, bytes]]) -> None:
    """Names, types and values in order."""
    block = wire.parts_block(parts)
    for whole in (block, memoryview(block)):
        assert [(name, kind, bytes(value)) for name, kind, value in wire.read_parts(whole)] == parts


@given(strategies.binary(min_size=1, max_size=40), strategies.data())
def test_cut_parts_are_refused(value: bytes, data: strategies.DataObject) -> None:
    """Wherever the block ends too early."""
    block = wire.parts_block([("name", "type", value)])
    cut = data.draw(strategies.integers(1, len(block) - 1))
    with pytest.raises(wire.WireError):
        list(wire.read_parts(block[:cut]))


def test_part_with_an_endless_type_is_refused() -> None:
    """Its length does not fit its field."""
    with pytest.raises(wire.WireError):
        wire.parts_block([("", "t" * 65536, b"")])
    ((_, longest, _),) = wire.read_parts(wire.parts_block([("", "t" * 65535, b"")]))
    assert longest == "t" * 65535


def test_a_form_may_be_one_long_name() -> None:
    """What is sent as a form without being one is a name without a value, however long."""
    block = wire.parts_block([("n" * 200_000, "", b"")])
    assert list(wire.read_parts(block)) == [("n" * 200_000, "", b"")]


@given(strategies.lists(strategies.tuples(ID, strategies.binary(max_size=50)), max_size=8))
def test_jobs_come_back(jobs: list[tuple[str, bytes]]) -> None:
    """Every field of each record."""
    data = b"".join(
        job_record(seq, body, "a/b", id=id, headers=[("H", "v")], parts=[("p", "", b"1")], timeout_ms=seq) for seq, (id, body) in enumerate(jobs)
    )
    found = wire.read_jobs(memoryview(data), len(jobs))
    expected = [(seq, seq, id, body) for seq, (id, body) in enumerate(jobs)]
    assert [(job.seq, job.timeout_ms, job.id, bytes(job.body or b"")) for job in found] == expected
    for job in found:
        assert (job.content_type, wire.read_headers(job.headers)) == ("a/b", [("H", "v")])
        assert (job.arena_offset, job.body_length) == (-1, len(job.body or b""))
        assert list(wire.read_parts(job.parts)) == [("p", "", b"1")]


def test_jobs_of_different_clients_are_told_apart() -> None:
    """Also those whose types, headers and parts are the same when they are read without a gap."""
    kinds = [("ab", [("c", "v")]), ("ab", [("c", "v")]), ("abc", [("", "v")]), ("", [("abc", "v")]), ("ab", [("c", "w")])]
    part = ("p", "", b"1")
    data = b"".join(job_record(seq, b"x", kind, id="i", headers=headers, parts=[part] * (seq % 2)) for seq, (kind, headers) in enumerate(kinds))
    found = wire.read_jobs(memoryview(data), len(kinds))
    assert [(job.content_type, wire.read_headers(job.headers)) for job in found] == kinds
    assert [len(list(wire.read_parts(job.parts))) for job in found] == [0, 1, 0, 1, 0]


@given(strategies.lists(strategies.binary(min_size=3, max_size=3), min_size=2, max_size=8), strategies.integers(0, 99))
def test_jobs_that_are_alike_come_back(bodies: list[bytes], timeout_ms: int) -> None:
    """Read together they are what they are when each is read by itself."""
    records = [
        job_record(7 + at, body, "a/b", id=f"id-{at}", headers=[("H", "v")], parts=[("p", "", b"1")], timeout_ms=timeout_ms)
        for at, body in enumerate(bodies)
    ]
    alone = [job for record in records for job in wire.read_jobs(memoryview(record), 1)]
    assert wire.read_jobs(memoryview(b"".join(records)), len(records)) == alone


@pytest.mark.parametrize("other", [
    job_record(2, b"xy", "a/bc", id="two", headers=[("", "v")]), job_record(2, b"xy", "a/b", id="two", headers=[("c", "w")]),
    job_record(2, b"y", "a/bx", id="two", headers=[("c", "v")]), job_record(2, b"xy", "a/b", id="two", headers=[("c", "v")], timeout_ms=9),
    job_record(2, b"xyz", "a/b", id="to", headers=[("c", "v")]), job_record(2, None, "a/b", id="two45", headers=[("c", "v")]),
])  # fmt: skip
def test_jobs_of_one_length_need_not_be_alike(other: bytes) -> None:
    """Each of them is what its own record says."""
    first = job_record(1, b"xy", "a/b", id="one", headers=[("c", "v")])
    assert len(other) == len(first)
    for records in ((first, other), (other, first)):
        alone = [job for record in records for job in wire.read_jobs(memoryview(record), 1)]
        assert wire.read_jobs(memoryview(b"".join(records)), 2) == alone


def test_job_without_body_and_job_in_the_arena() -> None:
    """Neither has bytes in the frame."""
    data = job_record(1, None) + job_record(2, arena=(0, 9)) + job_record(3, b"x")
    bodies = [(job.body, job.arena_offset, job.body_length) for job in wire.read_jobs(memoryview(data), 3)]
    assert bodies == [(None, -1, 0), (None, 0, 9), (memoryview(b"x"), -1, 1)]


@given(strategies.integers(0, 3), strategies.integers(-60, 60))
def test_jobs_that_do_not_fill_their_frame_are_refused(count: int, change: int) -> None:
    """Too few records, too many, or cut ones."""
    record = job_record(1, b"abc", "t/p")
    data = (record * 2 + b"x" * change) if change >= 0 else (record * 2)[:change]
    if data == record * count:
        assert len(wire.read_jobs(memoryview(data), count)) == count
        return
    with pytest.raises(wire.WireError):
        wire.read_jobs(memoryview(data), count)


@given(strategies.lists(strategies.binary(max_size=50), min_size=1, max_size=6))
def test_plain_answers_come_back(bodies: list[bytes]) -> None:
    """Seq, microseconds and body of each, from bytes and from a view of them."""
    data = b"".join(wire.answer_record(seq, 200, body, busy_us=seq + 7) for seq, body in enumerate(bodies))
    expected = [(seq, seq + 7, body) for seq, body in enumerate(bodies)]
    assert wire.plain_answers(data) == wire.plain_answers(memoryview(data)) == expected
    assert [(answer.seq, answer.busy_us, answer.body) for answer in wire.read_answers(data)] == expected


@pytest.mark.parametrize("other", [
    wire.answer_record(2, 201, b"x"), wire.answer_record(2, 200, b"x", flags=0), wire.failure_record(2, 11, "no", status=200),
    wire.answer_record(2, 200, b"x", phrase=b"Fine"), wire.answer_record(2, 200, b"x", headers=b"a\0b"), wire.answer_record(2, 200, bytes(70_000)),
    wire.answer_record(2, 200, b"abc")[:-1], wire.answer_record(2, 200, b"")[:-1], b"x",
])  # fmt: skip
def test_other_answers_are_not_plain(other: bytes) -> None:
    """One that is anything else, large or cut makes all of them take the way on which it is looked at closely."""
    assert wire.plain_answers(wire.answer_record(1, 200, b"OK") + other) is None


@given(strategies.lists(strategies.binary(min_size=5, max_size=5), min_size=2, max_size=6))
def test_plain_answers_of_one_length_come_back(bodies: list[bytes]) -> None:
    """As those of different lengths do."""
    data = b"".join(wire.answer_record(seq, 200, body, busy_us=seq + 7) for seq, body in enumerate(bodies))
    assert wire.plain_answers(memoryview(data)) == [(seq, seq + 7, body) for seq, body in enumerate(bodies)]


@pytest.mark.parametrize("other", [
    wire.answer_record(2, 201, b"OK"), wire.answer_record(2, 200, b"OK", flags=0), wire.answer_record(2, 200, b"", phrase=b"OK"),
    wire.answer_record(2, 200, b"", headers=b"a\0"), wire.failure_record(2, 11, "no", status=200), wire.answer_record(2, 200, b"OK", code=3, flags=3),
])  # fmt: skip
def test_answers_of_one_length_need_not_be_plain(other: bytes) -> None:
    """One that is not makes all of them take the other way."""
    plain = wire.answer_record(1, 200, b"OK")
    assert len(other) == len(plain)
    assert wire.plain_answers(plain + other) is None
    assert wire.plain_answers(other + plain) is None


def test_the_shape_is_the_middle_of_a_record() -> None:
    """Behind the seq, before the id; what has no room in it is refused."""
    record = job_record(7, b"body", "a/b", id="some", headers=[("H", "v")])
    shape = wire.job_shape(4, 3, 3, 4)
    assert record == wire.SEQ.pack(7) + shape + b"some" + b"a/b" + b"H\0v" + b"body"
    wire.job_shape(4, wire.LONGEST_TYPE, 0, 0)
    with pytest.raises(wire.WireError):
        wire.job_shape(4, wire.LONGEST_TYPE + 1, 0, 0)


@given(strategies.lists(strategies.tuples(TEXT, strategies.binary(max_size=20), strategies.binary(max_size=50), strategies.booleans()), max_size=6))
def test_answers_come_back(answers: list[tuple[str, bytes, bytes, bool]]) -> None:
    """Answers and failures in order."""
    data = b"".join(
        wire.failure_record(seq, 11, phrase, detail="why", status=444, busy_us=7)
        if failed
        else wire.answer_record(seq, 200, body, phrase=phrase.encode(), headers=headers, busy_us=7)
        for seq, (phrase, headers, body, failed) in enumerate(answers)
    )
    expected = [
        wire.Answer(seq, True, True, 444, 11, 7, phrase, b"why", b"") if failed else wire.Answer(seq, True, False, 200, 0, 7, phrase, headers, body)
        for seq, (phrase, headers, body, failed) in enumerate(answers)
    ]
    assert list(wire.read_answers(data)) == expected
    assert list(wire.read_answers(memoryview(data))) == expected


@pytest.mark.parametrize("length", [1, 1 << 31, (1 << 63) - 1, (1 << 64) - 1])
def test_a_body_that_is_longer_than_everything_is_refused(length: int) -> None:
    """However long a job says that its body is, and whether or not another one follows."""
    record = wire.JOB.pack(1, 0, 0, 0, 0, 0, 0, length, 0)
    for count in (1, 2):
        with pytest.raises(wire.WireError):
            wire.read_jobs(memoryview(record), count)



def test_answer_in_a_place() -> None:
    """Its record tells where; a record that tells anything else with that flag is refused."""
    (answer,) = wire.read_answers(wire.answer_record(1, 200, wire.PLACE.pack(2, 3, 4), flags=wire.LAST | wire.PLACED))
    assert (answer.last, answer.failed, answer.place) == (True, False, wire.Place(2, 3, 4))
    for body in (b"", wire.PLACE.pack(2, 3, 4)[:-1], wire.PLACE.pack(2, 3, 4) + b"x"):
        with pytest.raises(wire.WireError):
            wire.read_answers(wire.answer_record(1, 200, body, flags=wire.LAST | wire.PLACED))


@given(strategies.integers(1, wire.ANSWER.size + 5))
def test_cut_answer_is_refused(size: int) -> None:
    """Nothing is made of half a record."""
    with pytest.raises(wire.WireError):
        list(wire.read_answers(wire.answer_record(1, 200, b"abcdef")[:size]))


def feed(reader: wire.FrameReader, data: bytes, step: int) -> list[tuple[int, int, int, int, bytes]]:
    """The frames that a reader cuts from data which comes in pieces."""
    found = []
    at = 0
    while at < len(data):
        space = reader.space()
        size = min(step, len(space), len(data) - at)
        space[:size] = data[at : at + size]
        reader.filled(size)
        at += size
        while (frame := reader.next()) is not None:
            found.append((frame.kind, frame.flags, frame.count, frame.id, bytes(frame.data)))
    return found


FRAMES = strategies.lists(
    strategies.tuples(
        strategies.sampled_from(sorted(wire.KINDS)),
        strategies.integers(0, 65535),
        strategies.integers(0, 65535),
        strategies.integers(0, 2**64 - 1),
        strategies.binary(max_size=60),
    ),
    max_size=8,
)


@given(FRAMES, strategies.integers(1, 100))
def test_frames_come_back_however_they_are_cut(frames: list[tuple[int, int, int, int, bytes]], step: int) -> None:
    """The stream has no boundaries of its own."""
    data = b"".join(wire.frame(kind, body, flags=flags, count=count, id=id) for kind, flags, count, id, body in frames)
    reader = wire.FrameReader()
    assert feed(reader, data, step) == frames
    assert repr(reader) == "<FrameReader 0 bytes waiting>"


@pytest.mark.parametrize("step", [4093, 300_000, 1 << 23])
def test_large_frames_come_back(step: int) -> None:
    """Larger than the buffer, one behind the other, with small ones between."""
    bodies = [b"a" * 100, b"b" * 1_000_000, b"", b"c" * 5_000_000, b"d" * 250_000, b"e" * 250_000]
    data = b"".join(wire.frame_header(wire.HEAD, len(body), id=place) + body for place, body in enumerate(bodies))
    assert [(id, body) for _, _, _, id, body in feed(wire.FrameReader(), data, step)] == list(enumerate(bodies))


def test_buffer_shrinks_after_a_large_frame() -> None:
    """One upload does not hold its memory for ever."""
    reader = wire.FrameReader()
    feed(reader, wire.frame(wire.HEAD, b"x" * 8_000_000), 1 << 20)
    assert len(reader.space()) < 1_000_000


def test_frame_over_the_limit_is_refused_before_it_comes() -> None:
    """The header is enough to know."""
    with pytest.raises(wire.WireError, match="over the limit of 10"):
        feed(wire.FrameReader(limit=10), wire.frame_header(wire.HEAD, 11), 100)


@pytest.mark.parametrize("came", [0, 1, 20_000_000])
def test_a_header_alone_takes_little_memory(came: int) -> None:
    """Room grows with what comes, not with what is announced."""
    reader = wire.FrameReader()
    assert feed(reader, wire.frame_header(wire.HEAD, wire.MAX_FRAME) + bytes(came), 1 << 18) == []
    assert 0 < len(reader.space()) <= max(came, 1 << 24) + (1 << 20)


def test_a_frame_that_outgrows_its_room_comes_whole() -> None:
    """Its bytes and those of the next one are in their places, however often room was made."""
    body = bytes(range(251)) * 200_000
    data = wire.frame(wire.HEAD, b"before") + wire.frame(wire.HEAD, body, id=1) + wire.frame(wire.HEAD, b"behind", id=2)
    assert [found for *_, found in feed(wire.FrameReader(), data, 1 << 20)] == [b"before", body, b"behind"]


@pytest.mark.parametrize("position", [0, 1, 2, 3])
def test_what_is_no_frame_is_refused(position: int) -> None:
    """Magic, version and kind are looked at."""
    data = bytearray(wire.frame(wire.STOP))
    data[position] ^= 0x5A
    with pytest.raises(wire.WireError, match="not a frame"):
        feed(wire.FrameReader(), bytes(data), 100)


def test_shared_page_has_room_for_everything() -> None:
    """Words, cancel bytes and outbox do not overlap, and the sizes of the fixed parts are what both sides think."""
    assert 8 * (wire.OUTBOX + 1) <= wire.CANCEL_OFFSET
    assert wire.CANCEL_OFFSET + wire.CANCEL_SLOTS <= wire.PLACES_OFFSET
    assert wire.PLACES_OFFSET + wire.PLACES <= wire.PAGE_SIZE
    assert wire.MAX_JOBS <= wire.CANCEL_SLOTS
    assert (wire.HEADER.size, wire.JOB.size, wire.ANSWER.size, struct.calcsize("<IHI")) == (20, 42, 30, wire.PART.size)


@pytest.mark.parametrize(("line", "pieces"), [
    (b"plain", [("", b"plain")]), (b"", [("", b"")]), (b"\x1ea,b\x1ftext", [("a,b", b"text")]), (b"\x1ea\x1f", [("a", b"")]),
    (b"native\x1ea\x1ftext", [("", b"native"), ("a", b"text")]),
    (b"\x1ea\x1fone\x1e\x1ftwo\x1eb\x1fthree", [("a", b"one"), ("", b"two"), ("b", b"three")]),
    (b"\x1ecut", [("", b"\x1ecut")]), (b"a\x1fb", [("", b"a\x1fb")]),
])
def test_output_is_cut_at_its_marks(line: bytes, pieces: list[tuple[str, bytes]]) -> None:
    """Each piece with its request ids; what only looks like a mark stays text."""
    assert wire.read_output(line) == pieces


@pytest.mark.parametrize("total", [0, 1, 1 << 40])
def test_credit_comes_back(total: int) -> None:
    """Under the number of its answer."""
    reader = wire.FrameReader()
    data = wire.credit_frame(9, total)
    reader.space()[: len(data)] = data
    reader.filled(len(data))
    frame = reader.next()
    assert frame is not None
    assert (frame.kind, frame.id, wire.read_credit(frame.data)) == (wire.CREDIT, 9, total)


@pytest.mark.parametrize("data", [b"", b"1234567", b"123456789"])
def test_credit_that_is_none(data: bytes) -> None:
    """It has eight bytes."""
    with pytest.raises(wire.WireError):
        wire.read_credit(data)


def test_frames_can_be_kept() -> None:
    """What was handed out stays when more is read, and what was half read goes on."""
    reader = wire.FrameReader()
    first, second = wire.frame(wire.LOG, b"first"), wire.frame(wire.LOG, b"second")
    reader.space()[: len(first) + 10] = first + second[:10]
    reader.filled(len(first) + 10)
    kept = reader.next()
    assert kept is not None
    reader.keep()
    reader.space()[: len(second) - 10] = second[10:]
    reader.filled(len(second) - 10)
    frame = reader.next()
    assert frame is not None
    assert (bytes(kept.data), bytes(frame.data)) == (b"first", b"second")
