"""The bounds of a folder that is being filled."""

from __future__ import annotations

import errno
import io
from pathlib import Path

import pytest

from argosy.errors import ArgosyError, ErrorCode
from argosy.store.tree import Limits, Tree


@pytest.mark.parametrize(("archive", "allowance"), [(0, 1000), (99, 1000), (200, 2000), (10_000, 5000)])
def test_the_allowance_grows_with_the_archive_between_a_floor_and_a_ceiling(archive: int, allowance: int) -> None:
    """Small archives may unpack to the floor, larger ones to a multiple of their size, none beyond the ceiling."""
    assert Limits(total_bytes=5000, free_bytes=1000, ratio=10).allowance(archive) == allowance


def test_what_cannot_fit_the_disk_is_refused_before_writing(tmp_path: Path) -> None:
    """The disk is asked when a size is announced."""
    tree = Tree(tmp_path, "m", Limits(total_bytes=1 << 62, free_bytes=1 << 62), 1, bool)
    with pytest.raises(OSError, match="No space left") as caught:
        tree.reserve(1 << 61)
    assert caught.value.errno == errno.ENOSPC


def test_bytes_count_across_entries(tmp_path: Path) -> None:
    """The limit is for the whole archive, also when no entry announces more than it may."""
    tree = Tree(tmp_path, "m", Limits(total_bytes=10, free_bytes=10), 1, bool)
    tree.file("a", io.BytesIO(b"123456"), 6, executable=False)
    assert repr(tree) == "<Tree m: 1 files, 4 bytes left>"
    with pytest.raises(ArgosyError, match="more than 10 bytes"):
        tree.file("b", io.BytesIO(b"12345"), 5, executable=False)


def test_unpacking_stops_when_the_server_does(tmp_path: Path) -> None:
    """In the middle of an entry."""
    answers = iter([False, True])
    tree = Tree(tmp_path, "m", Limits(), 1, lambda: next(answers))
    with pytest.raises(ArgosyError, match="the server is stopping") as caught:
        tree.file("a", io.BytesIO(bytes(3 << 20)), 3 << 20, executable=False)
    assert caught.value.code is ErrorCode.DRAINING


def test_a_file_never_replaces_what_is_there(tmp_path: Path) -> None:
    """Even a link that somebody else put into the folder is not followed."""
    (tmp_path / "outside").touch()
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "a").symlink_to(tmp_path / "outside")
    with pytest.raises(FileExistsError):
        Tree(folder, "m", Limits(), 1, bool).file("a", io.BytesIO(b"x"), 1, executable=False)
    assert (tmp_path / "outside").read_bytes() == b""


def test_a_body_of_another_length_than_announced_is_refused(tmp_path: Path) -> None:
    """An entry is whole or the archive is refused."""
    tree = Tree(tmp_path, "m", Limits(), 1, bool)
    tree.at("a")
    with pytest.raises(ArgosyError, match=r"Model archive m is cut off: there are 1 bytes of 2 \(entry 'a'\)\."):
        tree.file("a", io.BytesIO(b"x"), 2, executable=False)


def test_limits_may_be_reached(tmp_path: Path) -> None:
    """As many entries and bytes as are allowed are fine; one more is not."""
    tree = Tree(tmp_path, "m", Limits(total_bytes=10, free_bytes=10, entries=3), 1, bool)
    tree.check_count(3)
    with pytest.raises(ArgosyError, match="more than 3 entries"):
        tree.check_count(4)
    tree.file("a", io.BytesIO(b"123456"), 6, executable=False)
    tree.reserve(4)
    tree.file("b", io.BytesIO(b"7890"), 4, executable=False)
    tree.file("empty", io.BytesIO(b""), 0, executable=False)
    tree.reserve(0)
    with pytest.raises(ArgosyError, match="more than 10 bytes"):
        tree.reserve(1)
