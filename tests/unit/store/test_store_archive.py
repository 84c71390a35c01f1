"""Packing: what goes in, that it is whole or not there, and always the same bytes."""

from __future__ import annotations

import errno
import os
import socket
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from argosy.errors import ArgosyError, ErrorCode
from argosy.store.archive import ArchiveFormat, check_inputs, collect, pack, target_of

TEXT = "{}"
FORMATS = list(ArchiveFormat)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """The export folder."""
    folder = tmp_path / "out"
    folder.mkdir()
    return folder


def packed_names(target: Path, form: ArchiveFormat) -> list[str]:
    """The files in an archive, the archive's own top folder cut off."""
    if form is ArchiveFormat.DEFAULT:
        return sorted(zipfile.ZipFile(target).namelist())
    if form is ArchiveFormat.TGZ:
        with tarfile.open(target) as archive:
            return sorted(name.partition("/")[2] for name in archive.getnames())
    return sorted(path.relative_to(target).as_posix() for path in target.rglob("*") if path.is_file())


def pack_into(out: Path, model: Path, form: ArchiveFormat, progress: Callable[[int, int], None] | None = None) -> Path:
    """Pack a model under the name m."""
    target = out / f"m{form.suffix}"
    pack(model, target, form, "m", TEXT, progress=progress)
    return target


def fail_with(number: int) -> Callable[[int, int], None]:
    """A watcher at whose call the disk fails."""

    def progress(done: int, total: int) -> None:
        raise OSError(number, os.strerror(number))

    return progress


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize(("number", "code"), [(errno.ENOSPC, ErrorCode.STORAGE_FULL), (errno.EIO, ErrorCode.INTERNAL)])
def test_a_failing_disk_leaves_the_export_folder_as_it_was(out: Path, model_dir: Path, form: ArchiveFormat, number: int, code: ErrorCode) -> None:
    """Nothing half-written, and the failure says which archive and what to do."""
    with pytest.raises(ArgosyError, match="Failed to save the model archive to") as caught:
        pack_into(out, model_dir, form, fail_with(number))
    assert caught.value.code is code
    assert list(out.iterdir()) == []


@pytest.mark.parametrize("form", FORMATS)
def test_an_interruption_leaves_the_old_archive(out: Path, model_dir: Path, form: ArchiveFormat) -> None:
    """Overwriting happens at the very end, in one step."""

    def interrupt(done: int, total: int) -> None:
        raise KeyboardInterrupt

    target = pack_into(out, model_dir, form)
    before = packed_names(target, form)
    (model_dir / "new.txt").write_text("new")
    with pytest.raises(KeyboardInterrupt):
        pack_into(out, model_dir, form, interrupt)
    assert packed_names(target, form) == before
    assert list(out.iterdir()) == [target]


@pytest.mark.parametrize("form", FORMATS)
def test_the_rules_of_what_is_packed_are_those_of_the_original(out: Path, model_dir: Path, form: ArchiveFormat) -> None:
    """Hidden files go in; hidden folders, caches, other archives, old manifests and empty folders do not."""
    for name in (".dotfile", "a.pyc", "x.DS_Store", "old.mar", "sub/MANIFEST.json", "__pycache__/x.py", "__MACOSX/x", ".git/c", "sub/.hid/c"):
        (model_dir / name).parent.mkdir(exist_ok=True)
        (model_dir / name).write_text("x")
    (model_dir / "empty").mkdir()
    target = pack_into(out, model_dir, form)
    assert packed_names(target, form) == [".dotfile", "MAR-INF/MANIFEST.json", "service.py", "sub/weights.bin"]


@pytest.mark.parametrize("form", [ArchiveFormat.DEFAULT, ArchiveFormat.TGZ])
def test_the_same_model_gives_the_same_bytes(out: Path, model_dir: Path, form: ArchiveFormat) -> None:
    """Neither times nor the order of the disk show in an archive."""
    first = pack_into(out, model_dir, form).read_bytes()
    for path in model_dir.rglob("*"):
        os.utime(path, (1, 1))
    assert pack_into(out, model_dir, form).read_bytes() == first


@pytest.mark.parametrize("form", FORMATS)
def test_an_executable_stays_executable(out: Path, model_dir: Path, form: ArchiveFormat) -> None:
    """A model may bring a program."""
    (model_dir / "service.py").chmod(0o755)
    target = pack_into(out, model_dir, form)
    if form is ArchiveFormat.DEFAULT:
        mode = zipfile.ZipFile(target).getinfo("service.py").external_attr >> 16
    elif form is ArchiveFormat.TGZ:
        with tarfile.open(target) as archive:
            mode = archive.getmember("m/service.py").mode
    else:
        mode = (target / "service.py").stat().st_mode
    assert mode & 0o100


def test_links_to_files_are_followed_and_links_to_folders_are_not(out: Path, model_dir: Path, tmp_path: Path) -> None:
    """Weights may live elsewhere; a link cannot lead round in a circle."""
    (tmp_path / "blob").write_bytes(b"weights")
    (model_dir / "linked.bin").symlink_to(tmp_path / "blob")
    (model_dir / "loop").symlink_to(model_dir)
    target = pack_into(out, model_dir, ArchiveFormat.TGZ)
    with tarfile.open(target) as archive:
        entry = archive.extractfile("m/linked.bin")
        assert entry is not None
        assert entry.read() == b"weights"
        assert not [name for name in archive.getnames() if "loop" in name]


def test_what_cannot_be_packed_is_named(model_dir: Path, tmp_path: Path) -> None:
    """A dangling link, a pipe or a file in the manifest's place stops packing before anything is written."""
    (model_dir / "dangling").symlink_to(tmp_path / "nowhere")
    with pytest.raises(ArgosyError, match=r"Cannot pack .*dangling: No such file"):
        collect(model_dir, tmp_path / "m.mar")
    (model_dir / "dangling").unlink()
    os.mkfifo(model_dir / "pipe")
    with pytest.raises(ArgosyError, match=r"Cannot pack .*pipe: only regular files"):
        collect(model_dir, tmp_path / "m.mar")
    (model_dir / "pipe").unlink()
    (tmp_path / "flat").mkdir()
    (tmp_path / "flat" / "MAR-INF").touch()
    with pytest.raises(ArgosyError, match="MAR-INF: only regular files"):
        collect(tmp_path / "flat", tmp_path / "m.mar")


def test_a_name_that_a_zip_cannot_hold_is_named(out: Path, model_dir: Path) -> None:
    """The reason comes before any file, with what to do instead, and that works."""
    before = sorted(out.iterdir())
    Path(os.fsdecode(os.fsencode(model_dir) + b"/\xff.txt")).write_text("x")
    with pytest.raises(ArgosyError, match=r"Cannot pack '\\udcff.txt': names in a zip are UTF-8. Rename it, or use the archive format tgz") as caught:
        pack_into(out, model_dir, ArchiveFormat.DEFAULT)
    assert (caught.value.code, sorted(out.iterdir())) == (ErrorCode.INVALID_MODEL, before)
    assert "\udcff.txt" in packed_names(pack_into(out, model_dir, ArchiveFormat.TGZ), ArchiveFormat.TGZ)


def test_a_folder_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    """With the reason."""
    with pytest.raises(ArgosyError, match=r"Cannot read .*gone: No such file"):
        collect(tmp_path / "gone", tmp_path / "m.mar")


def test_a_socket_in_the_folder_is_refused(model_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading it would fail half-way."""
    monkeypatch.chdir(model_dir)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("s")
        with pytest.raises(ArgosyError, match="only regular files"):
            collect(model_dir, tmp_path / "m.mar")


@pytest.mark.parametrize("form", FORMATS)
def test_an_archive_inside_the_model_folder_does_not_contain_itself(model_dir: Path, form: ArchiveFormat) -> None:
    """The export folder may be the model folder, again and again."""
    first = packed_names(pack_into(model_dir, model_dir, form), form)
    assert packed_names(pack_into(model_dir, model_dir, form), form) == first == ["MAR-INF/MANIFEST.json", "service.py", "sub/weights.bin"]


def test_leftovers_of_a_killed_archiver_are_not_packed(model_dir: Path, tmp_path: Path) -> None:
    """SIGKILL cannot be cleaned up after, but does no further harm."""
    (model_dir / ".m.tar.gz.0123abcd.partial.mar").touch()
    assert [member.name for member in collect(model_dir, tmp_path / "m.mar")] == ["service.py", "sub/weights.bin"]


def test_a_folder_is_merged_and_loses_nothing(out: Path, model_dir: Path) -> None:
    """`no-archive` onto an existing folder replaces what it brings and keeps the rest."""
    target = pack_into(out, model_dir, ArchiveFormat.NO_ARCHIVE)
    (target / "kept.txt").write_text("kept")
    (model_dir / "service.py").write_text("new")
    pack_into(out, model_dir, ArchiveFormat.NO_ARCHIVE)
    assert (target / "kept.txt").read_text() == "kept"
    assert (target / "service.py").read_text() == "new"
    assert list(out.iterdir()) == [target]


def test_a_folder_exported_onto_itself_gets_its_manifest(model_dir: Path) -> None:
    """However the two paths are spelled, the model stays and the manifest is written into it."""
    spelled = model_dir.parent / "x" / ".." / "model"
    (model_dir.parent / "x").mkdir()
    pack(model_dir, spelled, ArchiveFormat.NO_ARCHIVE, "model", TEXT)
    assert (model_dir / "MAR-INF" / "MANIFEST.json").read_text() == TEXT
    assert (model_dir / "service.py").exists()


def test_extra_files_take_the_place_of_others(out: Path, model_dir: Path, tmp_path: Path) -> None:
    """What a conversion made is packed instead of what it replaces."""
    (tmp_path / "service.py").write_text("converted")
    pack(model_dir, out / "m.mar", ArchiveFormat.DEFAULT, "m", TEXT, exclude=["weights.bin"], extra={"service.py": tmp_path / "service.py"})
    archive = zipfile.ZipFile(out / "m.mar")
    assert archive.read("service.py") == b"converted"
    assert archive.namelist() == ["service.py", "MAR-INF/MANIFEST.json"]


@pytest.mark.parametrize("form", FORMATS)
def test_progress_ends_at_the_whole(out: Path, model_dir: Path, form: ArchiveFormat) -> None:
    """A watcher sees every byte of the model counted once."""
    seen: list[tuple[int, int]] = []
    pack_into(out, model_dir, form, lambda done, total: seen.append((done, total)))
    assert seen[-1][0] == seen[-1][1] == sum(member.size for member in collect(model_dir, out))


@pytest.mark.parametrize(
    ("path", "name", "export", "message"),
    [
        (".", "bad name", ".", r"Model name contains special characters\.\nThe allowed regular expression filter"),
        (".", "-x", ".", "special characters"),
        (".", "a/b", ".", "special characters"),
        (".", "a\n", ".", "special characters"),
        ("nope", "m", "gone", "Given export-path gone is not a directory"),
        ("nope", "m", ".", "Given model-path nope is not a valid directory"),
    ],
)
def test_wrong_inputs_are_refused_in_the_known_words_and_order(path: str, name: str, export: str, message: str) -> None:
    """Scripts look for these texts."""
    with pytest.raises(ArgosyError, match=message):
        check_inputs(path, name, export)


def test_the_target_is_spelled_as_the_export_path() -> None:
    """Messages show what the user typed."""
    assert target_of("./out", "m", ArchiveFormat.TGZ) == "./out/m.tar.gz"
    assert [form.suffix for form in FORMATS] == [".tar.gz", "", ".mar"]
