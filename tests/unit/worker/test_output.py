"""Marks on what handlers print."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from contextvars import ContextVar, copy_context
from pathlib import Path

import pytest
from hypothesis import given, strategies

from argosy import wire
from argosy.worker.output import NOBODY, MarkedPipe, Running, tell


class Printed:
    """A marked pipe and its other end."""

    def __init__(self) -> None:
        self.running = Running()
        self.read_fd, self.write_fd = os.pipe()
        self.pipe = MarkedPipe(self.write_fd, self.running)

    def of(self, *ids: str) -> MarkedPipe:
        """The stream while the batch of these requests runs."""
        self.running.ids = dict(enumerate(ids)) if ids else NOBODY
        return self.pipe

    def arrived(self) -> bytes:
        """What has arrived."""
        return os.read(self.read_fd, 65536)

    def lines(self) -> list[tuple[str, bytes]]:
        """What the server makes of it."""
        return [piece for line in self.arrived().split(b"\n")[:-1] for piece in wire.read_output(line)]

    def close(self) -> None:
        """Close both ends."""
        self.pipe.close()
        os.close(self.read_fd)
        os.close(self.write_fd)


@pytest.fixture
def printed() -> Iterator[Printed]:
    """Closed at the end."""
    made = Printed()
    yield made
    made.close()


def test_nothing_runs_nothing_is_marked(printed: Printed) -> None:
    """What is printed while a model loads, or between batches, is left alone."""
    assert printed.of().write(b"loading\nparts\n") == 14
    assert printed.arrived() == b"loading\nparts\n"
    assert repr(printed.running) == "<Running nothing>"


def test_each_line_of_a_batch_is_marked(printed: Printed) -> None:
    """Also of several in one write, also empty ones; the mark has the ids of all requests of the batch."""
    printed.of("a", "b").write(b"one\n\ntwo\n")
    assert printed.arrived() == b"\x1ea,b\x1fone\n\x1ea,b\x1f\n\x1ea,b\x1ftwo\n"
    assert repr(printed.running) == "<Running a,b>"


def test_a_line_in_pieces_is_marked_once(printed: Printed) -> None:
    """As print writes text and newline."""
    for piece in (b"par", b"", b"tial", b"\n", b"next\n"):
        printed.of("a").write(piece)
    assert printed.arrived() == b"\x1ea\x1fpartial\n\x1ea\x1fnext\n"


def test_a_line_left_open_is_not_the_next_batchs(printed: Printed) -> None:
    """Each piece keeps the requests that it was printed for, also what is printed outside of a batch."""
    for ids, piece in ((("a",), b"of a "), (("b",), b"of b\n"), (("c",), b"of c "), ((), b"of none "), ((), b"more\n"), ((), b"x"), (("d",), b"y\n")):
        printed.of(*ids).write(piece)
    assert printed.lines() == [("a", b"of a "), ("b", b"of b"), ("c", b"of c "), ("", b"of none more"), ("", b"x"), ("d", b"y")]


def test_what_is_printed_cannot_forge_a_mark(printed: Printed) -> None:
    """A client's text that a handler prints stays text; it is spelled as the log would spell it."""
    printed.of("a").write(b"\x1eforged\x1ftext\n")
    printed.of().write(b"\x1eforged\x1ftext\n")
    assert printed.lines() == [("a", b"\\x1eforged\x1ftext"), ("", b"\\x1eforged\x1ftext")]


def test_an_id_cannot_break_its_mark(printed: Printed) -> None:
    """Ids come from clients."""
    printed.of("a\x1f\n\x1eb").write(b"x\n")
    assert printed.lines() == [("ab", b"x")]


def test_native_output_has_no_mark(printed: Printed) -> None:
    """It goes past Python; where it leaves a line open, that piece belongs to nobody."""
    os.write(printed.write_fd, b"native\nopen ")
    printed.of("a").write(b"python\n")
    assert printed.lines() == [("", b"native"), ("", b"open "), ("a", b"python")]


def test_binary_is_binary(printed: Printed) -> None:
    """Any bytes, in any kind of buffer, as long as they are."""
    junk = bytes(range(256))
    assert printed.of("a").write(memoryview(junk)) == 256
    assert printed.arrived() == wire.output_mark("a") + junk.replace(b"\x1e", b"\\x1e").replace(b"\n", b"\n" + wire.output_mark("a"))


def test_a_stream_that_points_elsewhere_is_not_marked(printed: Printed, tmp_path: Path) -> None:
    """A handler that redirects its output into a file finds there what it printed, until the pipe is back; a new pipe has to be made known."""
    kept = os.dup(printed.write_fd)
    with (tmp_path / "file").open("wb") as file:
        os.dup2(file.fileno(), printed.write_fd)
        printed.of("a").write(b"mine\n")
        os.dup2(kept, printed.write_fd)
        printed.of("a").write(b"logged\n")
        os.dup2(file.fileno(), printed.write_fd)
        printed.pipe.attach()
        printed.of("a").write(b"logged\n")
        os.dup2(kept, printed.write_fd)
    os.close(kept)
    assert printed.arrived() == b"\x1ea\x1flogged\n"
    assert (tmp_path / "file").read_bytes() == b"mine\n\x1ea\x1flogged\n"


def test_a_full_pipe_that_does_not_block_takes_what_it_can(printed: Printed) -> None:
    """A handler that makes its output non-blocking loses lines, not itself."""
    os.set_blocking(printed.write_fd, False)
    assert printed.of("a").write(b"x" * 1_000_000) == 1_000_000
    assert printed.arrived().startswith(b"\x1ea\x1fxxx")


def test_a_reader_that_is_gone_is_an_error() -> None:
    """As for any stream."""
    made = Printed()
    os.close(made.read_fd)
    with pytest.raises(BrokenPipeError):
        made.of("a").write(b"x\n")
    os.close(made.write_fd)


PIECES = strategies.lists(strategies.tuples(strategies.sampled_from(["", "a", "b"]), strategies.text("xy\n\x1e\x1f", max_size=6)), max_size=12)


@given(PIECES)
def test_text_and_owner_come_back(pieces: list[tuple[str, str]]) -> None:
    """However it is cut into writes, every character comes back with the request that it was printed for."""
    made = Printed()
    stream = io.TextIOWrapper(made.pipe, "utf-8", write_through=True, newline="\n")
    for ids, text in [*pieces, ("", "\n")]:
        made.of(*ids)
        stream.write(text)
    sent = [(ids, char) for ids, text in pieces for char in text.replace("\x1e", "\\x1e") if char != "\n"]
    assert [(ids, char) for ids, text in made.lines() for char in text.decode()] == sent
    stream.detach()
    made.close()


@pytest.mark.parametrize("stream", [None, "closed", "broken"])
def test_a_standard_error_that_is_gone(monkeypatch: pytest.MonkeyPatch, stream: str | None) -> None:
    """Whatever a handler has done to it, what cannot be told is lost and nothing else happens."""
    found = None
    if stream is not None:
        read_fd, write_fd = os.pipe()
        found = io.TextIOWrapper(MarkedPipe(write_fd, Running()), write_through=True)
        os.close(read_fd)
        os.close(write_fd)
        if stream == "closed":
            found.close()
    monkeypatch.setattr("sys.stderr", found)
    tell("nobody hears it\n")
    if found is not None and not found.closed:
        found.detach()


def test_each_task_has_ids_of_its_own(printed: Printed) -> None:
    """Where many jobs run at once, what is printed bears those of its own one; between them there are none."""
    ids: ContextVar[dict[int, str]] = ContextVar("ids", default=NOBODY)
    printed.running.of_task = ids

    def say(id: str, text: bytes) -> None:
        ids.set({0: id})
        printed.pipe.write(text)

    copy_context().run(say, "a", b"one\n")
    copy_context().run(say, "b", b"two\n")
    printed.pipe.write(b"three\n")
    assert printed.lines() == [("a", b"one"), ("b", b"two"), ("", b"three")]
    assert repr(printed.running) == "<Running nothing>"
