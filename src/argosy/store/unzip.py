"""Unpacks the files and folders of a zip whose list of entries is plausible as a whole."""

from __future__ import annotations

import os
import stat
import struct
import zipfile
from typing import BinaryIO

from argosy.store.tree import Tree

_END = struct.Struct("<4s4H2LH")
_END64_BYTES = 56
_LOCATOR_BYTES = 20
_ENTRY_BYTES = 46


def unpack_zip(archive: BinaryIO, tree: Tree) -> None:
    """Unpack a zip that is open for reading. Names, kinds, sizes and places of all entries are checked before the first byte is written.

    Raises `ArgosyError` INVALID_MODEL for what is refused; whatever `zipfile` raises for a damaged archive passes through.
    """
    tree.check_count(_count_entries(archive, tree))
    with zipfile.ZipFile(archive) as members:
        entries = members.infolist()
        for entry in entries:
            tree.at(entry.orig_filename)
            _check(entry, tree)
        _check_overlap(entries, members.start_dir, tree)
        tree.reserve(sum(entry.file_size for entry in entries))
        for entry in entries:
            tree.at(entry.orig_filename)
            _unpack_entry(members, entry, tree)


def _unpack_entry(members: zipfile.ZipFile, entry: zipfile.ZipInfo, tree: Tree) -> None:
    if entry.orig_filename.endswith("/"):
        tree.folder(entry.orig_filename)
        return
    with members.open(entry) as source:
        tree.file(entry.orig_filename, source, entry.file_size, bool(entry.external_attr >> 16 & stat.S_IXUSR))


def _check(entry: zipfile.ZipInfo, tree: Tree) -> None:
    kind = stat.S_IFMT(entry.external_attr >> 16) if entry.create_system == 3 else 0
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise tree.refuse("has an entry that is neither a file nor a folder")
    if entry.flag_bits & 0x1:
        raise tree.refuse("has an encrypted entry")
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise tree.refuse("has an entry that is packed by another method than deflate")


def _check_overlap(entries: list[zipfile.ZipInfo], directory_offset: int, tree: Tree) -> None:
    """Entries that share bytes are how a small archive becomes a huge one."""
    free = 0
    for entry in sorted(entries, key=lambda found: found.header_offset):
        tree.at(entry.orig_filename)
        if entry.header_offset < free:
            raise tree.refuse("has overlapping entries")
        free = entry.header_offset + 30 + entry.compress_size
    if free > directory_offset:
        raise tree.refuse("has overlapping entries")


def _count_entries(archive: BinaryIO, tree: Tree) -> int:
    """How many entries `zipfile` would read into memory; it goes by the size of their list, whatever number the archive names."""
    end = archive.seek(0, os.SEEK_END)
    start = archive.seek(max(0, end - 0xFFFF - _END.size - _LOCATOR_BYTES - _END64_BYTES))
    tail = archive.read()
    at = tail.rfind(b"PK\x05\x06")
    if at < 0 or at + _END.size > len(tail):
        raise tree.refuse("is damaged: the list of its entries is missing, so it was probably cut off")
    size = _END.unpack_from(tail, at)[5]
    wide = at - _LOCATOR_BYTES - _END64_BYTES
    if wide >= 0 and tail[wide + _END64_BYTES :].startswith(b"PK\x06\x07"):
        size, at = struct.unpack_from("<Q", tail, wide + 40)[0], wide
    if size > start + at or size > tree.limits.entries * (_ENTRY_BYTES + tree.limits.name_bytes):
        raise tree.refuse("is damaged: the size of the list of its entries is wrong")
    archive.seek(start + at - size)
    return _count(archive.read(size))


def _count(directory: bytes) -> int:
    count = at = 0
    while at + _ENTRY_BYTES <= len(directory):
        at += _ENTRY_BYTES + sum(struct.unpack_from("<3H", directory, at + 28))
        count += 1
    return count
