"""The model as SageMaker wants it: one tar.gz, made from whatever archive or folder there is."""

from __future__ import annotations

import contextlib
import hashlib
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from argosy.errors import ArgosyError, ErrorCode
from argosy.sagemaker.deploy.spec import refuse
from argosy.store import archive, manifest, unpack

_GZIP = b"\x1f\x8b"
_SUFFIXES = (".tar.gz", ".tgz", ".mar", ".zip", ".tar")


@dataclass(frozen=True, slots=True)
class Artifact:
    """A tar.gz on this machine."""

    path: Path
    stem: str
    """Its name without suffix."""
    sha256: str
    size: int


@contextlib.contextmanager
def prepared(model: str) -> Iterator[Artifact]:
    """The archive as a tar.gz, until the block ends: a tar.gz as it is, anything else packed anew, the same bytes each time.

    Raises `ArgosyError`: MODEL_NOT_FOUND, INVALID_MODEL, or as packing and unpacking do.
    """
    path = Path(model).expanduser()
    if not path.exists():
        raise ArgosyError(ErrorCode.MODEL_NOT_FOUND, f"There is no model {model}: give an archive, a packed folder or an s3:// URL.")
    stem = _stem(path.resolve().name)
    with tempfile.TemporaryDirectory(prefix="argosy-model-") as scratch:
        ready = path if path.is_file() and _is_gzip(path) else _packed(path, stem, Path(scratch))
        yield Artifact(ready, stem, _digest(ready), ready.stat().st_size)


def _stem(name: str) -> str:
    return next((name.removesuffix(suffix) for suffix in _SUFFIXES if name.endswith(suffix)), name) or "model"


def _is_gzip(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(2) == _GZIP


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _packed(path: Path, stem: str, scratch: Path) -> Path:
    folder = path
    if path.is_file():
        folder = scratch / "unpacked"
        with path.open("rb") as file:
            unpack.unpack(file, folder, str(path))
    text = folder / manifest.FOLDER / manifest.FILE
    if not text.is_file():
        raise refuse(f"{path} has no manifest: pack it first with argosy archive --archive-format tgz.")
    target = scratch / f"{stem}.tar.gz"
    name = manifest.read_manifest(folder).model_name or stem
    archive.pack(folder, target, archive.ArchiveFormat.TGZ, name, text.read_text("utf-8"))
    return target
