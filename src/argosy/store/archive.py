"""Packs a model folder into an archive: streamed, reproducible, and either whole or not there."""

from __future__ import annotations

import contextlib
import enum
import errno
import gzip
import io
import os
import re
import secrets
import shutil
import stat
import tarfile
import zipfile
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, BinaryIO

from argosy.errors import ArgosyError, ErrorCode
from argosy.store import manifest

Progress = Callable[[int, int], None]
"""Told after each piece: bytes packed so far, bytes in all."""

_CHUNK = 1 << 20
_EPOCH = 315_532_800  # 1980-01-01, the first moment that a zip can express
_ZIP_EPOCH = (1980, 1, 1, 0, 0, 0)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_\-.]*")
_SKIPPED_FOLDERS = ("__MACOSX", "__pycache__")
_SKIPPED_SUFFIXES = (".pyc", ".DS_Store", ".mar")
_PARTIAL = ".partial.mar"  # ends in a suffix that packing skips, so that what a killed archiver left is never packed


class ArchiveFormat(enum.Enum):
    """How a packed model looks on disk; the values are those of `--archive-format`."""

    TGZ = "tgz"
    NO_ARCHIVE = "no-archive"
    DEFAULT = "default"

    @property
    def suffix(self) -> str:
        """What follows the model's name."""
        return {"tgz": ".tar.gz", "no-archive": "", "default": ".mar"}[self.value]


@dataclass(frozen=True, slots=True)
class Member:
    """A file that goes into an archive."""

    name: str
    """Its path in the archive, with forward slashes."""
    path: Path
    size: int
    executable: bool


def target_of(export_path: str, name: str, form: ArchiveFormat) -> str:
    """Where the archive of that model will be, spelled as the export path was."""
    return os.path.join(export_path, name + form.suffix)


def check_inputs(model_path: str, name: str, export_path: str) -> None:
    """Raises `ArgosyError` INVALID_REQUEST for a name that cannot be a file name, or a path that is no folder."""
    if _NAME.fullmatch(name) is None:
        rule = "The allowed regular expression filter for model name is: ^[A-Za-z0-9][A-Za-z0-9_\\-.]*$"
        raise ArgosyError(ErrorCode.INVALID_REQUEST, f"Model name contains special characters.\n{rule}")
    if not os.path.isdir(export_path):
        message = f"Given export-path {export_path} is not a directory. Point to a valid export-path directory."
        raise ArgosyError(ErrorCode.INVALID_REQUEST, message)
    if not os.path.isdir(model_path):
        message = f"Given model-path {model_path} is not a valid directory. Point to a valid model-path directory."
        raise ArgosyError(ErrorCode.INVALID_REQUEST, message)


def collect(model_path: Path, target: Path, exclude: Collection[str] = ()) -> list[Member]:
    """The files that an archive of that folder contains, sorted by name; `target` itself is not among them.

    Links to files are followed, links to folders are not, so that there are no loops. Raises `ArgosyError` INVALID_MODEL for
    what cannot be packed: a dangling link, a pipe, a socket, a device, a file where the manifest's folder goes.
    """
    return sorted(_walk(model_path, target.resolve(), exclude), key=lambda member: member.name)


def _walk(model_path: Path, target: Path, exclude: Collection[str]) -> Iterator[Member]:
    for root, folders, files in os.walk(model_path, onerror=_refuse_unreadable):
        here = Path(root).resolve()
        folders[:] = [name for name in folders if name not in _SKIPPED_FOLDERS and not name.startswith(".") and here / name != target]
        wanted = [name for name in files if _is_wanted(name, exclude) and here / name != target]
        yield from (_member(Path(root, name), model_path) for name in wanted)


def _is_wanted(file: str, exclude: Collection[str]) -> bool:
    return file != manifest.FILE and file not in exclude and not file.endswith(_SKIPPED_SUFFIXES)


def _refuse_unreadable(error: OSError) -> None:
    raise ArgosyError(ErrorCode.INVALID_MODEL, f"Cannot read {error.filename}: {error.strerror}. Check its permissions.") from error


def _member(path: Path, model_path: Path) -> Member:
    name = path.relative_to(model_path).as_posix()
    try:
        found = path.stat()
    except OSError as error:
        raise ArgosyError(ErrorCode.INVALID_MODEL, f"Cannot pack {path}: {error.strerror}. Mend or remove it.") from error
    if not stat.S_ISREG(found.st_mode) or name == manifest.FOLDER:
        raise ArgosyError(ErrorCode.INVALID_MODEL, f"Cannot pack {path}: only regular files and folders can be in a model archive. Remove it.")
    return Member(name, path, found.st_size, bool(found.st_mode & stat.S_IXUSR))


def pack(
    model_path: Path,
    target: Path,
    form: ArchiveFormat,
    name: str,
    manifest_text: str,
    *,
    exclude: Collection[str] = (),
    extra: Mapping[str, Path] | None = None,
    progress: Progress | None = None,
) -> int:
    """Write the archive of that folder to `target`, replacing what is there, and return the number of files packed.

    A folder (`NO_ARCHIVE`) is merged into an existing one, file by file, the manifest last. `extra` files (name → path) are added or
    take the place of files of the same name; file names in `exclude` are left out. Whatever interrupts it, `target` is the old or the new one
    (a merge may stop between two whole files) and nothing else stays behind.

    Raises `ArgosyError`: INVALID_MODEL as `collect`, STORAGE_FULL, INTERNAL for other trouble with the disk.
    """
    added = [_member(path, path.parent) for path in (extra or {}).values()]
    members = collect(model_path, target, {*exclude, *(extra or {})}) + added
    writer = {ArchiveFormat.TGZ: _write_tar, ArchiveFormat.DEFAULT: _write_zip}.get(form)
    meter = _Meter(sum(member.size for member in members), progress)
    try:
        if writer is not None:
            with _replaced(target) as file:
                writer(file, members, name, manifest_text.encode(), meter)
        elif target.exists() and target.samefile(model_path):
            _replace_text(target / manifest.FOLDER / manifest.FILE, manifest_text)
        else:
            _write_folder(target, members, manifest_text, meter)
    except OSError as error:
        raise _failure(target, error) from error
    return len(members)


def _failure(target: Path, error: OSError) -> ArgosyError:
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    advice = "Free some space and try again" if full else "Check the path and its permissions and try again"
    reason = error.strerror or str(error)
    where = f" ({error.filename})" if error.filename else ""
    code = ErrorCode.STORAGE_FULL if full else ErrorCode.INTERNAL
    return ArgosyError(code, f"Failed to save the model archive to {target}: {reason}{where}. {advice}.")


class _Meter:
    """Counts what was packed, for whoever watches."""

    def __init__(self, total: int, progress: Progress | None) -> None:
        self._done = 0
        self._total = total
        self._progress = progress

    def count(self, size: int) -> None:
        self._done += size
        if self._progress is not None:
            self._progress(self._done, self._total)


class _Metered(io.RawIOBase):
    """A file whose reading is counted."""

    def __init__(self, file: BinaryIO, meter: _Meter) -> None:
        super().__init__()
        self._file = file
        self._meter = meter

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(min(size, _CHUNK) if size >= 0 else _CHUNK)
        self._meter.count(len(data))
        return data


def _copy(source: IO[bytes], target: IO[bytes], meter: _Meter) -> None:
    while data := source.read(_CHUNK):
        target.write(data)
        meter.count(len(data))


def _write_zip(file: BinaryIO, members: list[Member], name: str, manifest_data: bytes, meter: _Meter) -> None:
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for member in members:
            entry = _zip_entry(member.name, member.executable)
            with member.path.open("rb") as source, archive.open(entry, "w", force_zip64=member.size >= 1 << 30) as packed:
                _copy(source, packed, meter)
        archive.writestr(_zip_entry(f"{manifest.FOLDER}/{manifest.FILE}", executable=False), manifest_data)


def _zip_entry(name: str, executable: bool) -> zipfile.ZipInfo:
    try:
        name.encode()
    except UnicodeEncodeError:
        message = f"Cannot pack {name!r}: names in a zip are UTF-8. Rename it, or use the archive format tgz."
        raise ArgosyError(ErrorCode.INVALID_MODEL, message) from None
    entry = zipfile.ZipInfo(name, _ZIP_EPOCH)
    entry.compress_type = zipfile.ZIP_DEFLATED
    entry.create_system = 3
    entry.external_attr = (stat.S_IFREG | (0o755 if executable else 0o644)) << 16
    return entry


def _write_tar(file: BinaryIO, members: list[Member], name: str, manifest_data: bytes, meter: _Meter) -> None:
    with (
        gzip.GzipFile(filename="", mode="wb", compresslevel=6, fileobj=file, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive,
    ):
        for member in members:
            with member.path.open("rb") as source:
                archive.addfile(_tar_entry(f"{name}/{member.name}", member.size, member.executable), _Metered(source, meter))
        entry = _tar_entry(f"{name}/{manifest.FOLDER}/{manifest.FILE}", len(manifest_data), executable=False)
        archive.addfile(entry, io.BytesIO(manifest_data))


def _tar_entry(name: str, size: int, executable: bool) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.size = size
    entry.mtime = _EPOCH
    entry.mode = 0o755 if executable else 0o644
    return entry


def _write_folder(target: Path, members: list[Member], manifest_text: str, meter: _Meter) -> None:
    """The whole folder is built beside the target first; then it takes its name, or its files move over one by one."""
    staging = target.with_name(_partial_name(target))
    try:
        for member in members:
            path = staging / member.name
            path.parent.mkdir(parents=True, exist_ok=True)
            with member.path.open("rb") as source, path.open("xb") as copy:
                _copy(source, copy, meter)
            path.chmod(path.stat().st_mode | (0o111 if member.executable else 0))
        path = staging / manifest.FOLDER / manifest.FILE
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(manifest_text)
        if target.exists():
            _merge(staging, target, [*(member.name for member in members), f"{manifest.FOLDER}/{manifest.FILE}"])
        else:
            staging.rename(target)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _merge(staging: Path, target: Path, names: list[str]) -> None:
    for name in names:
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        (staging / name).replace(target / name)


def _replace_text(path: Path, text: str) -> None:
    path.parent.mkdir(exist_ok=True)
    with _replaced(path) as file:
        file.write(text.encode())


@contextlib.contextmanager
def _replaced(target: Path) -> Iterator[BinaryIO]:
    """A new file that takes the target's place when the block ends well, and is gone otherwise."""
    partial = target.with_name(_partial_name(target))
    try:
        with partial.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)


def _partial_name(target: Path) -> str:
    return f".{target.name}.{secrets.token_hex(4)}{_PARTIAL}"
