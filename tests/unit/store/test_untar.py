"""Walking over tar streams that lie."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from argosy.errors import ArgosyError
from argosy.store.tree import Limits, Tree
from argosy.store.untar import first_name, unpack_tar

END = bytes(1024)


def header(name: bytes, size: int | bytes = 0, kind: bytes = b"0", *, magic: bytes = b"ustar\x0000", prefix: bytes = b"") -> bytes:
    """The header of an entry with a right checksum, whatever else it says."""
    sized = size if isinstance(size, bytes) else b"%011o\0" % size
    start = name.ljust(100, b"\0") + b"0000644\0" + b"0000000\0" * 2 + sized + b"00000000000\0"
    rest = kind + bytes(100) + magic.ljust(8, b"\0") + bytes(80) + prefix.ljust(167, b"\0")
    return start + b"%06o\0 " % (sum(start) + 8 * 32 + sum(rest)) + rest


def padded(data: bytes) -> bytes:
    """Content as it stands in a tar."""
    return data + bytes(-len(data) % 512)


def pax(*records: tuple[str, str]) -> bytes:
    """An extension header."""
    body = b""
    for key, value in records:
        line = f" {key}={value}\n".encode()
        size = len(line) + len(str(len(line)))
        body += str(size + (len(str(size)) - len(str(len(line))))).encode() + line
    return header(b"pax", len(body), b"x") + padded(body)


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    """An empty folder to unpack into."""
    return Tree(tmp_path, "m.tar", Limits(total_bytes=1 << 20, free_bytes=1 << 20, entries=5), 1, bool)


def unpacked(data: bytes, tree: Tree, folder: Path) -> dict[str, bytes]:
    """What a tar unpacks to."""
    unpack_tar(io.BytesIO(data), tree)
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        (header(b"a", 10) + b"12345", "ends in the middle"),
        (header(b"a", 600) + bytes(512), "ends in the middle"),
        (header(b"a", 1) + b"x", "ends in the middle"),
        (header(b"a")[:300], "ends in the middle"),
        (header(b"a", 512, b"x"), "ends in the middle"),
        (header(b"a")[:-1] + b"!", "checksum"),
        (header(b"a", b"\xff" * 12), "negative size"),
        (header(b"a", b"999999999999"), "number in an entry's header"),
        (header(b"a", 1 << 20, b"x") + bytes(1 << 20), "extension header has more than"),
        (header(b"a", 4, b"x") + padded(b"99 x"), "extension header is wrong"),
        (header(b"a", 6, b"x") + padded(b"6 ab=c"), "extension header is wrong"),
        (header(b"a", 2, b"x") + padded(b"-1"), "number in an extension header"),
        (header(b"a", 7, b"x") + padded(b"7 ab=c\n") + pax(("size", "-5")) + header(b"a"), "number in an extension header"),
        (pax(("comment", "c")) * 5 + header(b"a") + END, "too many extension headers"),
        (header(b"a") + END + bytes(17 << 20), "much follows its end"),
    ],
)
def test_damage_is_found(tree: Tree, data: bytes, complaint: str) -> None:
    """Sizes, numbers, checksums and ends are checked; nothing makes the reader loop or allocate at will."""
    with pytest.raises((ValueError, EOFError), match=complaint):
        unpack_tar(io.BytesIO(data), tree)


@pytest.mark.parametrize("kind", [b"1", b"2", b"3", b"4", b"6", b"S", b"D", b"V", b"\xff"])
def test_only_files_and_folders_are_made(tree: Tree, tmp_path: Path, kind: bytes) -> None:
    """Links, devices, pipes, sparse files and what nobody knows are refused by name."""
    with pytest.raises(ArgosyError, match=r"neither a file nor a folder \(entry 'odd'\)"):
        unpack_tar(io.BytesIO(header(b"odd", 0, kind) + END), tree)
    assert list(tmp_path.iterdir()) == []


def test_a_sparse_file_in_disguise_is_refused(tree: Tree) -> None:
    """The newer formats mark sparse files in an extension header only."""
    with pytest.raises(ArgosyError, match="neither a file nor a folder"):
        unpack_tar(io.BytesIO(pax(("GNU.sparse.major", "1")) + header(b"a") + END), tree)


def test_an_extension_header_can_rename_but_not_escape(tree: Tree) -> None:
    """The name that counts is the one that is checked."""
    with pytest.raises(ArgosyError, match="leave the model folder"):
        unpack_tar(io.BytesIO(pax(("path", "../up")) + header(b"harmless") + END), tree)


def test_an_announced_size_beyond_the_limit_is_refused_unread(tree: Tree) -> None:
    """Eight gigabytes of promise cost nothing."""
    with pytest.raises(ArgosyError, match="unpacks to more than"):
        unpack_tar(io.BytesIO(header(b"a", b"\x80" + (1 << 33).to_bytes(11, "big"))), tree)


def test_too_many_entries_are_refused(tree: Tree) -> None:
    """The count is bounded while reading."""
    with pytest.raises(ArgosyError, match="more than 5 entries"):
        unpack_tar(io.BytesIO(b"".join(header(b"f%d" % index) for index in range(6)) + END), tree)


def test_the_forms_of_names_are_understood(tree: Tree, tmp_path: Path) -> None:
    """Prefixes, long names of both families, sizes in extension headers, old folders, a missing end marker."""
    long = b"d/" + b"n" * 150
    data = (
        header(b"name", 1, prefix=b"pre/fix")
        + padded(b"1")
        + header(b"././@LongLink", len(long) + 1, b"L", magic=b"ustar  \0")
        + padded(long + b"\0")
        + header(b"cut", 2, magic=b"ustar  \0", prefix=b"ignored")
        + padded(b"22")
        + pax(("path", "ä"), ("size", "3"), ("mtime", "1.5"))
        + header(b"cut", 0)
        + padded(b"333")
        + header(b"old/", 0, b"\0", magic=b"")
    )
    assert unpacked(data, tree, tmp_path) == {"pre/fix/name": b"1", long.decode(): b"22", "ä": b"333"}
    assert (tmp_path / "old").is_dir()


def test_what_the_standard_library_writes_is_read(tree: Tree, tmp_path: Path) -> None:
    """All three formats, with long and foreign names."""
    for number, form in enumerate((tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT)):
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w", format=form) as archive:
            entry = tarfile.TarInfo(f"{number}/" + "long-" * 10 + "/" + "näme-" * 10)
            entry.size = 700
            archive.addfile(entry, io.BytesIO(b"x" * 700))
        assert f"{number}/" + "long-" * 10 + "/" + "näme-" * 10 in unpacked(buffer.getvalue(), tree, tmp_path)


def test_the_first_name_is_told_without_reading_on() -> None:
    """The store asks where a tar would have been unpacked to."""
    assert first_name(io.BytesIO(header(b"m/a", 1 << 30))) == "m/a"
    assert first_name(io.BytesIO(END)) == ""
    with pytest.raises(ValueError, match="number in an entry's header"):
        first_name(io.BytesIO(b"x" * 512))


@pytest.mark.parametrize("kind", [b"0", b"\0", b"7"])
def test_all_kinds_of_files(tmp_path: Path, kind: bytes) -> None:
    """Ordinary ones, those of very old archives, and those that once lay in one piece on a disk."""
    data = header(b"a", 3, kind) + padded(b"abc") + END
    unpack_tar(io.BytesIO(data), Tree(tmp_path, "m", Limits(), len(data), bool))
    assert (tmp_path / "a").read_bytes() == b"abc"
