"""A model store for one run of `argosy serve`: links to what the command line names, with a manifest for plain handler files."""

from __future__ import annotations

import ast
import os
import re
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from argosy.config.settings import Target
from argosy.errors import ArgosyError, ErrorCode
from argosy.store import manifest

HANDLER_STEMS = ("handler", "model", "service")
_REMOTE = re.compile(r"https?://", re.IGNORECASE)
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_FUNCTIONS = ("predict", "handle")
_WITH_FUNCTION = re.compile(r"(.+\.py):([^\W\d]\w*)")
_SKIPPED = frozenset({"__pycache__", manifest.FOLDER})


@dataclass(frozen=True, slots=True)
class Found:
    """What a target of the command line stands for."""

    name: str | None
    path: Path
    is_handler: bool
    """A plain handler file, which has no manifest."""
    function: str | None = None
    """The function of the file, or its class, if the command line names one."""


def find(target: Target, cwd: Path, store: Path | None) -> Found:
    """Look a local target up, in the current folder first. A folder without a manifest stands for its handler file.

    `FILE.py:FUNCTION` names a function of a handler file.

    Raises `ArgosyError` MODEL_NOT_FOUND, or INVALID_REQUEST for an address that nothing is fetched from, or a path that the system will not look at.
    """
    path_or_url = target.url_or_path.removeprefix("file://")
    named = _WITH_FUNCTION.fullmatch(path_or_url)
    asked, function = named.groups() if named else (path_or_url, None)
    if not asked:
        raise ArgosyError(ErrorCode.MODEL_NOT_FOUND, "a TARGET is empty: give a handler file, a model folder or an archive; the current folder is .")
    if scheme := _SCHEME.match(asked):
        advice = f"{scheme[0]} is none of them: fetch it first, or give an address that begins with https://, as a presigned one does"
        raise ArgosyError(ErrorCode.INVALID_REQUEST, f"a TARGET is a file, a folder or an http(s) address; {advice}")
    try:
        return _look_up(target.name, asked, function, [cwd / asked, *([store / asked] if store else [])])
    except OSError as error:
        raise ArgosyError(ErrorCode.INVALID_REQUEST, f"cannot look at {asked}: {error.strerror} ({error.filename})") from None


def _look_up(name: str | None, asked: str, function: str | None, candidates: Sequence[Path]) -> Found:
    path = next((path.resolve() for path in candidates if path.exists()), None)
    if path is None:
        where = " or ".join(dict.fromkeys(str(path.parent) for path in candidates))
        advice = "give a handler file, a model folder or an archive"
        raise ArgosyError(ErrorCode.MODEL_NOT_FOUND, f"there is no {asked} in {where}: {advice}")
    if path.is_dir() and not (path / manifest.FOLDER / manifest.FILE).is_file():
        path = next((file for file in (path / f"{stem}.py" for stem in (*HANDLER_STEMS, path.name)) if file.is_file()), path)
    is_handler = path.is_file() and path.suffix == ".py"
    return Found(name or (handler_name(path) if is_handler else None), path, is_handler, function)


def handler_name(path: Path) -> str:
    """What a plain handler file is called: after itself, or after its folder when its own name says nothing."""
    name = path.parent.name if path.stem in HANDLER_STEMS and path.parent.name else path.stem
    return re.sub(r"[^A-Za-z0-9._-]", "_", name).lstrip("._-")[:128] or "model"


def entry_point(path: Path, function: str | None = None) -> str:
    """The handler of a plain file: the function asked for, `predict` or `handle`, else the module, whose class is then looked for by the worker."""
    if function is not None:
        return f"{path.stem}:{function}"
    try:
        body = ast.parse(path.read_bytes()).body
    except (SyntaxError, ValueError, OSError):
        # the worker says what is wrong with the file, with the traceback
        return path.stem
    functions = {node.name for node in body if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))}
    name = next((name for name in _FUNCTIONS if name in functions), None)
    return path.stem if name is None else f"{path.stem}:{name}"


@contextmanager
def ephemeral_store(targets: Sequence[Target], cwd: Path, store: Path | None, folder: Path) -> Iterator[tuple[Path | None, list[Target]]]:
    """The model store and the targets to start a server with. Gone at the end of the block.

    It is the operator's own store when everything lies in it. Otherwise it is a new folder below `folder` that also links what is in the
    operator's store. Raises `ArgosyError` MODEL_NOT_FOUND, INVALID_CONFIG when two targets have one name, or STORAGE_FULL when the folder cannot be
    written.
    """
    if store is not None and not os.path.exists(store):
        raise ArgosyError(ErrorCode.MODEL_NOT_FOUND, f"there is no model store {store}: make the folder, or give another one as --model-store")
    local = [(target, find(target, cwd, store)) for target in targets if not _REMOTE.match(target.url_or_path)]
    _refuse_namesakes([found for _, found in local])
    if all(store is not None and not found.is_handler and found.path.parent == store.resolve() for _, found in local):
        names = {target: Target(found.name, found.path.name) for target, found in local}
        yield store, [names.get(target, target) for target in targets]
        return
    with _folder(folder) as made:
        names = _fill(made, local, store)
        yield made, [names.get(target, target) for target in targets]


def _refuse_namesakes(targets: Sequence[Found]) -> None:
    seen: dict[str, Found] = {}
    for found in targets:
        name = found.name or found.path.stem
        other = seen.setdefault(name, found)
        if other is not found and (found.name is not None or other.path == found.path):
            advice = "give one of them another name, as NAME=TARGET"
            raise ArgosyError(ErrorCode.INVALID_CONFIG, f"two models would be called {name}, {other.path} and {found.path}: {advice}")


@contextmanager
def _folder(parent: Path) -> Iterator[Path]:
    try:
        made = tempfile.TemporaryDirectory(prefix="argosy-serve-", dir=parent)
    except OSError as error:
        raise _failed(parent, error) from None
    with made as name:
        yield Path(name)


def _failed(folder: Path, error: OSError) -> ArgosyError:
    return ArgosyError(ErrorCode.STORAGE_FULL, f"cannot prepare the models in {folder}: {error.strerror}")


def _fill(made: Path, local: Sequence[tuple[Target, Found]], store: Path | None) -> dict[Target, Target]:
    """Put all targets into the folder, and the operator's store beside them; what each is called there."""
    try:
        names = {target: _put(found, made, number) for number, (target, found) in enumerate(local, 1)}
        _link_all(store, made)
    except OSError as error:
        raise _failed(made, error) from None
    return names


def _put(found: Found, made: Path, number: int) -> Target:
    """Make one target part of the store and say how it is called there."""
    name = found.path.name if found.name is None or not found.is_handler else found.name
    place = made / name
    if place.exists():
        # two archives of one name from two folders: which models they are is in their manifests
        place = made / f"{number}-{name}"
    if not found.is_handler:
        place.symlink_to(found.path)
        return Target(found.name, place.name)
    place.mkdir()
    _link_all(found.path.parent, place)
    (place / manifest.FOLDER).mkdir()
    described = manifest.build_manifest(found.name or name, entry_point(found.path, found.function), "python")
    (place / manifest.FOLDER / manifest.FILE).write_text(described)
    return Target(found.name, place.name)


def _link_all(source: Path | None, made: Path) -> None:
    """Link what is in a folder, unless something of that name is there."""
    for path in source.iterdir() if source is not None else ():
        if path.name not in _SKIPPED and not path.name.startswith(".") and not (made / path.name).exists():
            (made / path.name).symlink_to(path.absolute())
