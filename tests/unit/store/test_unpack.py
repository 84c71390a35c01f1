"""Unpacking archives of every kind: all of it below the folder, or nothing."""

from __future__ import annotations

import errno
import gzip
import io
import os
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from argosy.errors import ArgosyError, ErrorCode
from argosy.store.tree import Limits
from argosy.store.unpack import is_tar, unpack

Maker = Callable[[Mapping[str, bytes]], bytes]
SMALL = Limits(total_bytes=1 << 20, free_bytes=1 << 16, ratio=10, entries=20)


def refusal(data: bytes, directory: Path, limits: Limits | None = None) -> ArgosyError:
    """Why an archive is refused; that nothing stays is checked here for every test."""
    with pytest.raises(ArgosyError) as caught:
        unpack(io.BytesIO(data), directory, "bad.mar", limits)
    assert list(directory.parent.iterdir()) == []
    return caught.value


def contents(directory: Path) -> dict[str, bytes]:
    """All files below a folder."""
    return {path.relative_to(directory).as_posix(): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


@pytest.fixture
def target(tmp_path: Path) -> Path:
    """Where to unpack to: the only entry of its parent."""
    parent = tmp_path / "cache"
    parent.mkdir()
    return parent / "unpacked"


@pytest.fixture(params=["zipped", "tarred"])
def archived(request: pytest.FixtureRequest) -> Maker:
    """Both kinds of archives."""
    maker: Maker = request.getfixturevalue(request.param)
    return maker


class FailingFile(io.BytesIO):
    """An archive on a disk that fails in the middle."""

    def __init__(self, data: bytes, number: int) -> None:
        super().__init__(data)
        self._number = number
        self.armed = False

    def read(self, size: int | None = -1, /) -> bytes:
        if self.armed:
            raise OSError(self._number, os.strerror(self._number))
        return super().read(size)

    def seek(self, offset: int, whence: int = 0, /) -> int:
        self.armed = whence == os.SEEK_END or self.armed
        return super().seek(offset, whence)


FULL, BROKEN = ErrorCode.STORAGE_FULL, ErrorCode.INTERNAL


@pytest.mark.parametrize(("number", "code"), [(errno.ENOSPC, FULL), (errno.EDQUOT, FULL), (errno.EIO, BROKEN)])
def test_a_failing_disk_leaves_nothing(target: Path, archived: Maker, model_files: dict[str, bytes], number: int, code: ErrorCode) -> None:
    """A full disk is told apart from other trouble; what was unpacked so far is deleted."""
    with pytest.raises(ArgosyError, match=r"m\.mar") as caught:
        unpack(FailingFile(archived(model_files), number), target, "m.mar")
    assert caught.value.code is code
    assert not target.exists()


def test_a_good_archive_is_unpacked_whole(target: Path, archived: Maker, model_files: dict[str, bytes]) -> None:
    """Every file with its bytes, private to the owner."""
    unpack(io.BytesIO(archived(model_files)), target, "m")
    assert contents(target) == model_files
    assert all(path.stat().st_mode & 0o077 == 0 for path in [target, *target.rglob("*")])


def test_a_plain_tar_is_unpacked_too(target: Path, tarred: Maker, model_files: dict[str, bytes]) -> None:
    """Compression is the packer's choice."""
    plain = gzip.decompress(tarred(model_files))
    assert is_tar(io.BytesIO(plain))
    unpack(io.BytesIO(plain), target, "m.tar")
    assert contents(target) == model_files


def test_an_executable_stays_executable(target: Path) -> None:
    """The one bit of the mode that a model may need."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        entry = tarfile.TarInfo("run")
        entry.mode = 0o4755
        archive.addfile(entry)
    unpack(buffer, target, "m.tar")
    assert (target / "run").stat().st_mode & 0o7777 == 0o700


@pytest.mark.parametrize("data", [b"", b"text", b"<!DOCTYPE html>" * 100, b"\x7fELF" + bytes(1000), bytes(1024)])
def test_what_is_no_archive_gets_the_known_words_and_the_truth_for_the_operator(target: Path, data: bytes) -> None:
    """Clients see the message that they know; the detail says what the file really is."""
    error = refusal(data, target)
    assert (error.code, error.message) == (ErrorCode.INVALID_MODEL, "Model name is not defined.")
    assert error.detail.startswith("bad.mar is neither a zip nor a tar.gz archive: it ")


NAMES = [
    "../up",
    "a/../../up",
    "a/..",
    "/abs",
    "//abs",
    "..",
    "C:/windows",
    "C:evil",
    "a\\..\\b",
    "a\nb",
    "a\x7fb",
    "a//b",
    "x" * 256,
    "é" * 128,
    "/".join("d" * 65),
    "/".join([*["d" * 200] * 5, "d" * 25]),
]


@pytest.mark.parametrize("name", NAMES)
def test_a_name_that_is_not_plainly_inside_is_refused(target: Path, archived: Maker, name: str) -> None:
    """Names are refused, never mended, and the message says which one."""
    error = refusal(archived({"ok.py": b"1", name: b"evil"}), target)
    assert error.code is ErrorCode.INVALID_MODEL
    assert error.message.startswith("Model archive bad.mar has an entry")
    assert "(entry " in error.message


@pytest.mark.parametrize("name", ["x" * 255, "é" * 127 + "x", "/".join("d" * 64), "/".join([*["d" * 200] * 5, "d" * 24]), "a b", "..a", "a..", "~"])
def test_a_name_that_is_plainly_inside_is_fine(target: Path, archived: Maker, name: str) -> None:
    """Up to the limits of a path: 255 bytes a part, 64 parts, 1024 bytes in all."""
    unpack(io.BytesIO(archived({name: b"x"})), target, "m")
    assert contents(target) == {name: b"x"}


@pytest.mark.parametrize("names", [["a", "a"], ["a", "a/b"], ["a/b", "a"], ["a", "./a"], ["a/./b", "a/b"]])
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_entries_of_one_name_are_refused(target: Path, names: list[str]) -> None:
    """What is checked cannot be replaced afterwards, also not by a file in a folder's place."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in names:
            archive.writestr(name, name)
    assert "of one name" in refusal(buffer.getvalue(), target).message


@pytest.mark.parametrize(
    "names",
    [
        ["service.py", "Service.py"], ["MAR-INF/MANIFEST.json", "mar-inf/manifest.json"], ["code/a.py", "Code/b.py"], ["code", "CODE/a"],
        ["stra\u00dfe", "strasse"], ["caf\u00e9.py", "cafe\u0301.py"], ["\u212a.py", "k.py"],
    ],
)  # fmt: skip
def test_names_that_collide_where_case_does_not_count_are_refused(target: Path, archived: Maker, names: list[str]) -> None:
    """Which of two files counts must not depend on the file system, nor on who looks at the archive."""
    assert "differ only in letter case" in refusal(archived({name: name.encode() for name in names}), target).message


def test_folders_and_leading_dots_are_fine(target: Path) -> None:
    """`tar czf m.tar.gz ./` makes such names."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, kind in ((".", tarfile.DIRTYPE), ("./a", tarfile.DIRTYPE), ("./a/", tarfile.DIRTYPE), ("./a/f", tarfile.REGTYPE)):
            entry = tarfile.TarInfo(name)
            entry.type = kind
            archive.addfile(entry)
    unpack(buffer, target, "m")
    assert contents(target) == {"a/f": b""}


def test_a_bomb_is_refused(target: Path, archived: Maker) -> None:
    """An archive may unpack to a bounded multiple of its size; nothing of a larger one stays."""
    error = refusal(archived({"zeros": bytes(1 << 21)}), target, SMALL)
    assert "unpacks to more than 65536 bytes, which is the limit" in error.message
    assert "'zeros'" in error.message


def test_many_entries_are_refused(target: Path, archived: Maker) -> None:
    """The number of files is limited too."""
    assert "has more than 20 entries" in refusal(archived({f"f{index}": b"" for index in range(21)}), target, SMALL).message


def test_every_truncation_is_refused(target: Path, archived: Maker, model_files: dict[str, bytes]) -> None:
    """However little is missing, the archive is refused as damaged and nothing stays."""
    data = archived(model_files)
    for size in range(1, len(data)):
        error = refusal(data[:size], target)
        assert error.code is ErrorCode.INVALID_MODEL
        assert "bad.mar" in error.message + error.detail


def test_a_flipped_bit_in_the_content_is_refused(target: Path, zipped: Maker) -> None:
    """Checksums are verified, and the message names the entry."""
    data = bytearray(zipped({"weights.bin": os.urandom(1000)}))
    data[len("weights.bin") + 500] ^= 1
    error = refusal(bytes(data), target)
    assert "is damaged" in error.message
    assert "'weights.bin'" in error.message


def test_something_after_a_tar_gz_is_damage(target: Path, tarred: Maker, model_files: dict[str, bytes]) -> None:
    """Its checksum is verified to the end."""
    data = bytearray(tarred(model_files))
    assert "is damaged" in refusal(bytes(data) + b"garbage", target).message
    data[-8] ^= 1
    assert "CRC check failed" in refusal(bytes(data), target).message


def test_an_existing_folder_is_not_filled(target: Path, archived: Maker, model_files: dict[str, bytes]) -> None:
    """Two contents never mix."""
    target.mkdir()
    (target / "mine").touch()
    with pytest.raises(ArgosyError, match="Failed to save model: m"):
        unpack(io.BytesIO(archived(model_files)), target, "m")
    assert contents(target) == {"mine": b""}


NAME = st.one_of(
    st.lists(st.sampled_from(["a", "b", "..", ".", "", "C:", "a\\b", "MAR-INF", "x\0y", "é", "~"]), min_size=1, max_size=4).map("/".join),
    st.text(max_size=8),
)


def same_or_nothing(data: bytes) -> None:
    """Unpack in a folder of its own: afterwards either a tree of plain files below it, or nothing, and never anything elsewhere."""
    with tempfile.TemporaryDirectory() as home:
        root = Path(home)
        target = root / "deep" / "er" / "target"
        target.parent.mkdir(parents=True)
        (root / "witness").write_text("untouched")
        try:
            unpack(io.BytesIO(data), target, "fuzz", SMALL)
        except ArgosyError:
            assert not target.exists()
        found = {path for path in root.rglob("*") if target not in (path, *path.parents)}
        assert found == {root / "witness", root / "deep", root / "deep" / "er"}
        assert (root / "witness").read_text() == "untouched"
        assert all(path.is_dir() or path.is_file() for path in target.rglob("*"))
        assert not any(path.is_symlink() for path in target.rglob("*"))
        assert sum(path.stat().st_size for path in target.rglob("*") if path.is_file()) <= SMALL.total_bytes


@given(st.lists(st.tuples(NAME, st.binary(max_size=50), st.sampled_from([0, 0o100644, 0o120777, 0o40755, 0o10644])), max_size=6))
@settings(derandomize=True, deadline=None, max_examples=150)
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_no_zip_can_write_outside(entries: list[tuple[str, bytes, int]]) -> None:
    """Whatever names and kinds a zip claims, files appear below the folder or not at all."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data, mode in entries:
            info = zipfile.ZipInfo("placeholder")
            info.filename, info.create_system, info.external_attr = name, 3, mode << 16
            with suppress(ValueError, UnicodeEncodeError):
                archive.writestr(info, data)
    same_or_nothing(buffer.getvalue())


@given(st.lists(st.tuples(NAME, st.binary(max_size=50), st.sampled_from(list(b"0125346 7SLKxg"))), max_size=6), st.booleans())
@settings(derandomize=True, deadline=None, max_examples=150)
def test_no_tar_can_write_outside(entries: list[tuple[str, bytes, int]], compressed: bool) -> None:
    """The same for tar: links, devices, pipes, long names and extension headers included."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz" if compressed else "w") as archive:
        for name, data, kind in entries:
            info = tarfile.TarInfo(name)
            info.type, info.linkname, info.size = bytes([kind]), "../../witness", len(data)
            with suppress(ValueError, UnicodeEncodeError):
                archive.addfile(info, io.BytesIO(data))
    same_or_nothing(buffer.getvalue())


@given(st.sampled_from(["zip", "tar", "tgz"]), st.lists(st.tuples(st.integers(0, 4000), st.binary(min_size=1, max_size=8)), min_size=1, max_size=6))
@settings(derandomize=True, deadline=None, max_examples=300)
def test_no_damage_breaks_out(kind: str, patches: list[tuple[int, bytes]]) -> None:
    """A valid archive with bytes overwritten is unpacked or refused; no other failure, nothing elsewhere."""
    buffer = io.BytesIO()
    if kind == "zip":
        with zipfile.ZipFile(buffer, "w") as zipped:
            for name in ("a/b", "c", "d/"):
                zipped.writestr(name, b"data" * 10)
    else:
        with tarfile.open(fileobj=buffer, mode="w:gz" if kind == "tgz" else "w", format=tarfile.PAX_FORMAT) as tarred:
            for name in ("a/b", "c", "é" * 120):
                info = tarfile.TarInfo(name)
                info.size = 40
                tarred.addfile(info, io.BytesIO(b"data" * 10))
    data = bytearray(buffer.getvalue())
    for at, patch in patches:
        data[at % len(data) : at % len(data) + len(patch)] = patch
    same_or_nothing(bytes(data))
