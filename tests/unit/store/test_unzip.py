"""Zip files whose list of entries does not fit their content."""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from argosy.errors import ArgosyError
from argosy.store.tree import Limits, Tree
from argosy.store.unzip import unpack_zip

Maker = Callable[[Mapping[str, bytes]], bytes]


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    """An empty folder to unpack into."""
    return Tree(tmp_path, "m.mar", Limits(total_bytes=1 << 20, free_bytes=1 << 20, entries=50), 1, bool)


def refusal(data: bytes, tree: Tree, folder: Path) -> str:
    """Why a zip is refused; nothing is written before it is."""
    with pytest.raises(ArgosyError) as caught:
        unpack_zip(io.BytesIO(data), tree)
    assert list(folder.iterdir()) == []
    return caught.value.message


def patched(data: bytes, offset: int, form: str, value: int, entry: int = 0) -> bytes:
    """The zip with a field of one entry in its central list changed."""
    at = -1
    for _ in range(entry + 1):
        at = data.index(b"PK\x01\x02", at + 1)
    changed = bytearray(data)
    struct.pack_into(form, changed, at + offset, value)
    return bytes(changed)


def test_overlapping_entries_are_refused(tree: Tree, tmp_path: Path, zipped: Maker) -> None:
    """Many names for the same bytes are how a few kilobytes become petabytes."""
    data = zipped({"a": b"x" * 100, "b": b"y" * 100})
    assert "overlapping" in refusal(patched(data, 42, "<L", 0, entry=1), tree, tmp_path)
    assert "overlapping" in refusal(patched(data, 20, "<L", 5000, entry=1), tree, tmp_path)


@pytest.mark.parametrize(("offset", "value", "complaint"), [(8, 1, "encrypted"), (10, 12, "another method"), (10, 99, "another method")])
def test_encryption_and_other_methods_are_refused(tree: Tree, tmp_path: Path, zipped: Maker, offset: int, value: int, complaint: str) -> None:
    """Only what every server can read: stored or deflated."""
    said = refusal(patched(zipped({"first": b"x", "odd": b"x"}), offset, "<H", value, entry=1), tree, tmp_path)
    assert complaint in said
    assert "entry 'odd'" in said


@pytest.mark.parametrize("mode", [0o120777, 0o10644, 0o20644, 0o60644, 0o140644])
def test_links_and_devices_are_refused(tree: Tree, tmp_path: Path, mode: int) -> None:
    """A zip made on Unix can carry them."""
    buffer = io.BytesIO()
    info = zipfile.ZipInfo("odd")
    info.create_system, info.external_attr = 3, mode << 16
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(info, "/etc/passwd")
    assert "neither a file nor a folder" in refusal(buffer.getvalue(), tree, tmp_path)


@pytest.mark.parametrize("attributes", [0x20, 0o120777 << 16])
def test_kinds_count_only_where_unix_wrote_them(tree: Tree, tmp_path: Path, attributes: int) -> None:
    """A zip made on Windows has none, whatever stands in their place: its entries are files."""
    buffer = io.BytesIO()
    info = zipfile.ZipInfo("plain")
    info.create_system, info.external_attr = 0, attributes
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(info, "x")
    unpack_zip(buffer, tree)
    assert (tmp_path / "plain").is_symlink() is False
    assert (tmp_path / "plain").read_text() == "x"


def test_names_with_nul_are_refused(tree: Tree, zipped: Maker) -> None:
    """The library would cut such a name silently."""
    with pytest.raises(ArgosyError, match="unusable name"):
        unpack_zip(io.BytesIO(zipped({"aXb": b"x"}).replace(b"aXb", b"a\0b")), tree)


def test_a_list_longer_than_the_limit_is_refused_unread(tree: Tree, tmp_path: Path, zipped: Maker) -> None:
    """The count is taken from the list itself, not from the number beside it."""
    data = bytearray(zipped({f"f{index}": b"" for index in range(51)}))
    end = data.rfind(b"PK\x05\x06")
    struct.pack_into("<2H", data, end + 8, 1, 1)
    assert "more than 50 entries" in refusal(bytes(data), tree, tmp_path)


@pytest.mark.parametrize("size", [0xFFFFFFFE, 1 << 24])
def test_a_list_of_impossible_size_is_refused(tree: Tree, tmp_path: Path, zipped: Maker, size: int) -> None:
    """No allocation goes by a number of the archive alone."""
    data = bytearray(zipped({"a": b"x"}))
    struct.pack_into("<L", data, data.rfind(b"PK\x05\x06") + 12, size)
    assert "size of the list" in refusal(bytes(data), tree, tmp_path)


def test_a_wide_list_counts_too(tree: Tree, tmp_path: Path, zipped: Maker) -> None:
    """The 64-bit form has its own place for the size; it is the one that the library believes."""
    data = zipped({f"f{index}": b"" for index in range(51)})
    end = data.rfind(b"PK\x05\x06")
    start, size = data.index(b"PK\x01\x02"), end - data.index(b"PK\x01\x02")
    wide = struct.pack("<4sQ2H2L4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, 51, 51, size, start)
    locator = struct.pack("<4sLQL", b"PK\x06\x07", 0, end, 1)
    tail = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0)
    assert "more than 50 entries" in refusal(data[:end] + wide + locator + tail, tree, tmp_path)


def test_a_missing_list_is_told_as_a_cut(tree: Tree, tmp_path: Path) -> None:
    """The likeliest reason is an upload that did not finish."""
    assert "probably cut off" in refusal(b"PK\x03\x04" + bytes(100), tree, tmp_path)


def test_a_claimed_total_beyond_the_limit_is_refused_unwritten(tree: Tree, tmp_path: Path, zipped: Maker) -> None:
    """Announced sizes are added up before the first byte is written."""
    data = zipped({"a": b"x", "b": b"y"})
    assert "unpacks to more than" in refusal(patched(data, 24, "<L", 1 << 24, entry=1), tree, tmp_path)


def test_an_entry_longer_than_announced_is_damage(tree: Tree, zipped: Maker) -> None:
    """The announced size is a promise; the checksum shows that it was broken."""
    with pytest.raises(zipfile.BadZipFile, match="CRC"):
        unpack_zip(io.BytesIO(patched(zipped({"a": b"x" * 100}), 24, "<L", 50)), tree)


def test_a_comment_and_folders_are_fine(tree: Tree, tmp_path: Path) -> None:
    """Ordinary zips of other tools."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.comment = b"made elsewhere"
        archive.writestr("d/", "")
        archive.writestr("d/f", "x")
    unpack_zip(buffer, tree)
    assert (tmp_path / "d" / "f").read_text() == "x"
