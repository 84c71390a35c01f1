"""Walks over the entries of a tar stream, forward only, with bounded memory, and unpacks the files and folders.

The standard library's reader is not used: it believes sizes and offsets of the archive (CVE-2025-8194), keeps every entry, and
reads extension headers of any size into memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from argosy.store.tree import Source, Tree

_BLOCK = 512
_CHUNK = 1 << 20
_MAX_EXTENSION_BYTES = 1 << 16
_MAX_TRAILER_BYTES = 1 << 24
_FILE_TYPES = (b"0", b"\0", b"7")
_FOLDER_TYPE = b"5"
_LONG_NAME, _LONG_LINK, _PAX, _PAX_GLOBAL = b"L", b"K", b"x", b"g"


@dataclass(frozen=True, slots=True)
class _Header:
    name: str
    size: int
    type: bytes
    executable: bool


def unpack_tar(stream: Source, tree: Tree) -> None:
    """Unpack a tar that is read from the stream, to its very end so that a checksum around it is verified too.

    Raises `ArgosyError` INVALID_MODEL for anything but files and folders, `ValueError` or `EOFError` for a damaged archive.
    """
    for count, (header, body) in enumerate(_entries(stream), 1):
        tree.at(header.name)
        tree.check_count(count)
        if header.type == _FOLDER_TYPE:
            tree.folder(header.name)
        elif header.type in _FILE_TYPES:
            tree.reserve(header.size)
            tree.file(header.name, body, header.size, header.executable)
        else:
            raise tree.refuse("has an entry that is neither a file nor a folder")
    _finish(stream)


def first_name(stream: Source) -> str:
    """The name of the first entry, empty if there is none. Raises `ValueError` or `EOFError` for a damaged archive."""
    return next((header.name for header, _ in _entries(stream)), "")


class _Body:
    """The bytes of one entry."""

    def __init__(self, stream: Source, size: int) -> None:
        self._stream = stream
        self._left = size

    def read(self, size: int = _CHUNK, /) -> bytes:
        data = self._stream.read(min(size, self._left))
        if not data and self._left:
            raise EOFError("it ends in the middle of an entry")
        self._left -= len(data)
        return data


def _entries(stream: Source) -> Iterator[tuple[_Header, _Body]]:
    """The entries, long names applied. The body of an entry must be read whole before the next one is asked for."""
    name, size, sparse = "", None, False
    extensions = 0
    while (header := _read_header(stream)) is not None:
        if header.type in (_LONG_NAME, _LONG_LINK, _PAX, _PAX_GLOBAL):
            extensions += 1
            if extensions > 4:
                raise ValueError("too many extension headers in a row")
            data = _read_extension(stream, header.size)
            if header.type == _LONG_NAME:
                name = _text(data)
            elif header.type == _PAX:
                records = _pax_records(data)
                name, sparse = records.get("path", name), any(key.startswith("GNU.sparse.") for key in records)
                size = _decimal(records["size"]) if "size" in records else None
            continue
        entry = _Header(name or header.name, header.size if size is None else size, b"S" if sparse else _type_of(header), header.executable)
        yield entry, _Body(stream, entry.size)
        if entry.type in _FILE_TYPES:
            _skip(stream, -entry.size % _BLOCK)
        name, size, sparse, extensions = "", None, False, 0


def _type_of(header: _Header) -> bytes:
    """Very old archives mark a folder by its name only."""
    return _FOLDER_TYPE if header.type == b"\0" and header.name.endswith("/") else header.type


def _read_header(stream: Source) -> _Header | None:
    block = _read_available(stream, _BLOCK)
    if not block.strip(b"\0"):
        return None  # the end marker, or the very end: some tools leave the marker out
    if len(block) < _BLOCK:
        raise EOFError("it ends in the middle of an entry")
    if sum(block) - sum(block[148:156]) + 8 * 32 != _octal(block[148:156]):
        raise ValueError("the checksum of an entry's header is wrong")
    name = _text(block[:100])
    prefix = _text(block[345:500]) if block[257:263] == b"ustar\0" else ""
    return _Header(f"{prefix}/{name}" if prefix else name, _number(block[124:136]), block[156:157], bool(_octal(block[100:108]) & 0o100))


def _read_extension(stream: Source, size: int) -> bytes:
    if size > _MAX_EXTENSION_BYTES:
        raise ValueError(f"an extension header has more than {_MAX_EXTENSION_BYTES} bytes")
    data = _read_exactly(stream, size)
    _skip(stream, -size % _BLOCK)
    return data


def _pax_records(data: bytes) -> dict[str, str]:
    """Records of the form `length key=value\\n`, the length counting all of it."""
    records = {}
    while data:
        length = _decimal(data.partition(b" ")[0].decode("ascii"))
        record = data[:length]
        key, found, value = record.partition(b" ")[2].partition(b"=")
        if not found or len(record) != length or not record.endswith(b"\n"):
            raise ValueError("an extension header is wrong")
        records[key.decode("utf-8", "surrogateescape")] = value[:-1].decode("utf-8", "surrogateescape")
        data = data[length:]
    return records


def _decimal(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) <= 20):
        raise ValueError("a number in an extension header is wrong")
    return int(text)


def _number(field: bytes) -> int:
    """Octal digits, or binary when the first bit is set."""
    if field[0] == 0x80:
        return int.from_bytes(field[1:], "big")
    if field[0] & 0x80:
        raise ValueError("an entry has a negative size")
    return _octal(field)


def _octal(field: bytes) -> int:
    digits = field.partition(b"\0")[0].strip(b" ")
    if digits.strip(b"01234567"):
        raise ValueError("a number in an entry's header is wrong")
    return int(digits or b"0", 8)


def _text(field: bytes) -> str:
    return field.partition(b"\0")[0].decode("utf-8", "surrogateescape")


def _read_exactly(stream: Source, size: int) -> bytes:
    data = _read_available(stream, size)
    if len(data) < size:
        raise EOFError("it ends in the middle of an entry")
    return data


def _read_available(stream: Source, size: int) -> bytes:
    pieces = []
    while size and (piece := stream.read(size)):
        pieces.append(piece)
        size -= len(piece)
    return b"".join(pieces)


def _skip(stream: Source, size: int) -> None:
    while size:
        piece = stream.read(size)
        if not piece:
            raise EOFError("it ends in the middle of an entry")
        size -= len(piece)


def _finish(stream: Source) -> None:
    read = 0
    while data := stream.read(_CHUNK):
        read += len(data)
        if read > _MAX_TRAILER_BYTES:
            raise ValueError("much follows its end")
