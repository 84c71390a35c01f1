"""Rotated files and the console."""

from __future__ import annotations

import errno
import fcntl
import gzip
import os
import time
from pathlib import Path

from argosy.logs.sinks import Console, LogFile

NOON = time.mktime((2026, 11, 22, 12, 0, 0, 0, 0, -1))
DAY = 24 * 3600.0


class Clock:
    """Time that a test sets."""

    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> float:
        """The present time."""
        return self.now


def silent(message: str) -> None:
    """A report that must not come."""
    raise AssertionError(message)


def names(folder: Path) -> list[str]:
    """The files of a folder."""
    return sorted(path.name for path in folder.iterdir())


def test_a_folder_that_cannot_be_made_loses_lines_and_says_so_once(tmp_path: Path) -> None:
    """Nothing is raised, and lines are written again when that is possible."""
    (tmp_path / "logs").write_text("in the way")
    said: list[str] = []
    log = LogFile(tmp_path / "logs" / "a.log", said.append)
    log.write(b"one\n")
    log.write(b"two\n")
    assert log.lost_bytes == 8
    assert len(said) == 1
    assert "lost" in repr(log)
    (tmp_path / "logs").unlink()
    log.write(b"three\n")
    log.close()
    assert (tmp_path / "logs" / "a.log").read_bytes() == b"three\n"


def test_a_full_disk_loses_lines(tmp_path: Path) -> None:
    """Writing to a full device is reported and counted, never raised."""
    said: list[str] = []
    (tmp_path / "a.log").symlink_to("/dev/full")
    log = LogFile(tmp_path / "a.log", said.append)
    log.write(b"one\n")
    log.close()
    assert log.lost_bytes == 4
    assert os.strerror(errno.ENOSPC) in said[0]


def test_folders_are_made(tmp_path: Path) -> None:
    """As many as are missing."""
    path = tmp_path / "var" / "log" / "a.log"
    log = LogFile(path, silent, clock=Clock())
    log.write(b"new\n")
    log.close()
    assert path.read_bytes() == b"new\n"


def test_lines_are_appended(tmp_path: Path) -> None:
    """What was there before stays."""
    (tmp_path / "a.log").write_bytes(b"old\n")
    os.utime(tmp_path / "a.log", (NOON, NOON))
    log = LogFile(tmp_path / "a.log", silent, clock=Clock())
    log.write(b"new\n")
    log.close()
    assert (tmp_path / "a.log").read_bytes() == b"old\nnew\n"


def test_a_new_day_rolls_the_file(tmp_path: Path) -> None:
    """The old one is packed under the name of its day."""
    clock = Clock()
    log = LogFile(tmp_path / "a.log", silent, clock=clock)
    log.write(b"one\n")
    os.utime(tmp_path / "a.log", (NOON, NOON))
    clock.now += DAY
    log.write(b"two\n")
    log.close()
    assert (tmp_path / "a.log").read_bytes() == b"two\n"
    assert gzip.decompress((tmp_path / "a.22-Nov.log.gz").read_bytes()) == b"one\n"


def test_a_file_of_an_earlier_day_is_rolled_at_the_first_line(tmp_path: Path) -> None:
    """Also when the server was not running at midnight."""
    (tmp_path / "a.log").write_bytes(b"old\n")
    os.utime(tmp_path / "a.log", (NOON - DAY, NOON - DAY))
    log = LogFile(tmp_path / "a.log", silent, clock=Clock())
    log.write(b"new\n")
    log.close()
    assert names(tmp_path) == ["a.21-Nov.log.gz", "a.log"]


def test_a_large_file_is_rolled_and_old_ones_go(tmp_path: Path) -> None:
    """By size, several a day, and only the newest are kept."""
    log = LogFile(tmp_path / "a.log", silent, clock=Clock(), rotate_bytes=6, keep=2)
    for number in range(5):
        log.write(b"line%d\n" % number)
    log.close()
    packed = [name for name in names(tmp_path) if name.endswith(".gz")]
    assert len(packed) == 2
    assert (tmp_path / "a.log").read_bytes() == b"line4\n"
    assert gzip.decompress((tmp_path / packed[-1]).read_bytes()) == b"line3\n"


def test_the_console_gets_what_is_written() -> None:
    """In order, and all of it by the time it is closed."""
    reader, writer = os.pipe()
    console = Console(writer)
    console.write(b"one\n")
    console.write(b"two\n")
    console.close()
    console.write(b"late\n")
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        assert pipe.read() == b"one\ntwo\n"
    assert console.dropped_lines == 1


def test_a_reader_that_stopped_reading_does_not_stop_us() -> None:
    """Lines beyond the limit are dropped and reported when the reader goes on."""
    reader, writer = os.pipe()
    size = fcntl.fcntl(writer, fcntl.F_GETPIPE_SZ)
    console = Console(writer, limit_bytes=size + 100)
    console.write(b"x" * (size + 50) + b"\n")
    console.write(b"y" * 60 + b"\n")
    assert console.dropped_lines == 1
    assert "dropped=1" in repr(console)
    with os.fdopen(reader, "rb") as pipe:
        assert len(pipe.read(size + 51)) == size + 51
        while console.dropped_lines == 1:
            console.write(b"z\n")
            if b"1 lines were not printed" in pipe.readline() + pipe.readline():
                break
        console.close()
        os.close(writer)


def test_a_closed_console_is_survived() -> None:
    """Nobody reads any more: nothing is raised."""
    reader, writer = os.pipe()
    os.close(reader)
    console = Console(writer)
    console.write(b"one\n")
    console.close()
    os.close(writer)


def test_a_file_that_was_moved_away(tmp_path: Path) -> None:
    """Lines follow the file that somebody moved, until it is opened anew; then they go to a new one of the old name."""
    log = LogFile(tmp_path / "a.log", silent)
    log.write(b"one\n")
    (tmp_path / "a.log").rename(tmp_path / "b.log")
    log.write(b"two\n")
    log.reopen()
    log.write(b"three\n")
    log.close()
    assert (tmp_path / "b.log").read_bytes() == b"one\ntwo\n"
    assert (tmp_path / "a.log").read_bytes() == b"three\n"


def test_opening_anew_where_it_is_not_possible(tmp_path: Path) -> None:
    """The lines are lost and that is said; nothing is raised."""
    said: list[str] = []
    log = LogFile(tmp_path / "logs" / "a.log", said.append)
    (tmp_path / "logs").rename(tmp_path / "old")
    (tmp_path / "logs").write_text("in the way")
    log.reopen()
    log.write(b"one\n")
    assert log.lost_bytes == 4
    assert len(said) == 1
    log.close()
