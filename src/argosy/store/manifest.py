"""The manifest of a model: found in its folder, read, checked and, for the archiver, written."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from argosy.errors import ArgosyError, ErrorCode
from argosy.store.lenient import LenientError, read_lenient

FOLDER = "MAR-INF"
FILE = "MANIFEST.json"
RUNTIMES = ("python", "python2", "python3")
MAX_BYTES = 1 << 20
MAX_HANDLER = 1024
"""Characters of a handler's name; the system takes no path of more than 4096 bytes."""

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.\-]{0,127}")
_STRINGS = ("specificationVersion", "implementationVersion", "modelServerVersion", "description", "license")
_STRINGS_OF = {
    "model": ("modelName", "description", "modelVersion", "handler"),
    "engine": ("engineName", "engineVersion"),
    "publisher": ("author", "email"),
}


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a model says about itself. Absent entries are None; `resolve` fills and checks them."""

    model_name: str | None = None
    handler: str | None = None
    model_version: str | None = None
    runtime: str | None = "python"
    """python, python2 or python3; None when the manifest names something else."""
    engine_name: str | None = None
    has_engine: bool = False
    raw: Mapping[str, Any] | None = None
    """The parsed file as the handler's context shows it; None if there is no manifest."""
    legacy: bool = False
    """The model is of the 0.x format: `handler` names a service file, `raw` has the old keys."""

    def resolve(
        self,
        *,
        name: str | None = None,
        handler: str | None = None,
        runtime: str | None = None,
        default_name: str | None = None,
        default_handler: str | None = None,
    ) -> Manifest:
        """This manifest with the caller's wishes on top and the defaults below; name, handler and runtime are then set.

        `handler` counts even when it is empty, `name` does not. Raises `ArgosyError` INVALID_MODEL when something needed is
        missing, the name is not usable, or the handler has more than 1024 characters or (unless it is the operator's `default_handler`) lies outside
        of the model.
        """
        given = self.handler if handler is None else handler
        merged = replace(
            self,
            model_name=name or self.model_name or default_name,
            handler=default_handler if given is None else given,
            runtime=runtime or self.runtime,
        )
        _check(merged)
        if given is not None:
            check_handler(given)
        return merged


def check_model_name(name: str) -> None:
    """Raises `ArgosyError` INVALID_MODEL unless the name is 1 to 128 letters, digits, `_`, `.`, `-`, the first one not `.` or `-`."""
    if _NAME.fullmatch(name) is None:
        shown = name if len(name) <= 60 else name[:60] + "…"
        what = "use letters, digits, '_', '.' and '-', at most 128, the first one a letter, digit or '_'"
        raise _invalid(f"Model name {shown!r} is not allowed: {what}.")


def _check_length(handler: str) -> None:
    if len(handler) > MAX_HANDLER:
        shown = f"{handler[:60]}…"
        raise _invalid(f"Handler {shown!r} is {len(handler)} characters long; write module[:function], at most {MAX_HANDLER} characters.")


def check_supported(model: str, runtime: str) -> None:
    """Raises `ArgosyError` INVALID_MODEL for a runtime that no server runs any more."""
    if runtime == "python2":
        raise _invalid(f"Model {model} asks for runtime python2, which is not supported. Port its handler and register it with runtime=python3.")


def check_handler(handler: str) -> None:
    """Raises `ArgosyError` INVALID_MODEL when the handler's file would not lie inside of the model folder."""
    path = handler.split(":", 1)[0]
    outside = path.startswith("/") or ".." in path.split("/")
    if outside or not path.isprintable() or "\\" in path:
        forms = "module[:function] or folder/module.py[:function]"
        raise _invalid(f"Handler {handler[:100]!r} is not inside the model folder: write {forms}.")


def _check(manifest: Manifest) -> None:
    if not manifest.model_name:
        raise _invalid("Model name is not defined.")
    if manifest.handler is None:
        raise _invalid("Model handler is not defined.")
    _check_length(manifest.handler)
    if manifest.runtime is None:
        raise _invalid("Runtime is not defined or invalid.")
    if manifest.has_engine and manifest.engine_name is None:
        raise _invalid("engineName is required in <engine>.")
    check_model_name(manifest.model_name)


def build_manifest(name: str, handler: str, runtime: str) -> str:
    """The text of `MAR-INF/MANIFEST.json` for an archive that is being packed; without a final newline."""
    versions = {"modelServerVersion": "1.0", "implementationVersion": "1.0", "specificationVersion": "1.0"}
    return json.dumps({"runtime": runtime, "model": {"modelName": name, "handler": handler}, **versions}, indent=2)


def read_manifest(directory: Path) -> Manifest:
    """The manifest of the model in that folder; an empty `Manifest` if it has none.

    Raises `ArgosyError` INVALID_MODEL for a file that is not a manifest, with the reason in `detail`.
    """
    current = directory / FOLDER / FILE
    if current.is_file():
        return parse_manifest(_read(current))
    legacy = find_legacy(directory)
    return parse_legacy(_read(legacy)) if legacy else Manifest()


def find_legacy(directory: Path) -> Path | None:
    """The `MANIFEST.json` (any letter case) of a 0.x model at the top of the folder, or None."""
    return next((path for path in sorted(directory.iterdir()) if path.name.lower() == FILE.lower() and path.is_file()), None)


def parse_manifest(data: bytes) -> Manifest:
    """A manifest from the bytes of its file. Raises `ArgosyError` INVALID_MODEL."""
    raw = _parse(data)
    if "model" in raw and raw["model"] is None:
        raise _invalid("Missing Model entry in manifest file.")
    _check_types(raw)
    model, engine = raw.get("model", {}), raw.get("engine")
    runtime = raw.get("runtime", "python")
    return Manifest(
        model_name=_text(model.get("modelName")),
        handler=_text(model.get("handler")),
        model_version=_text(model.get("modelVersion")),
        runtime=runtime if runtime in RUNTIMES else None,
        engine_name=_text(engine.get("engineName")) if engine else None,
        has_engine=engine is not None,
        raw=raw,
    )


def parse_legacy(data: bytes) -> Manifest:
    """A manifest of the 0.x format, translated. Raises `ArgosyError` INVALID_MODEL."""
    raw = _parse(data)
    model, engine = _mapping(raw, "Model"), _mapping(raw, "Engine")
    _check_strings(model, ("Model-Name", "Service", "Symbol", "Parameters", "Signature", "Description"))
    if not model.get("Service"):
        raise _invalid("Missing Service entry in MANIFEST.json")
    mxnet = engine.get("MXNet") is not None
    return Manifest(
        model_name=_text(model.get("Model-Name")),
        handler=_text(model["Service"]),
        model_version="snapshot",
        engine_name="MXNet" if mxnet else None,
        has_engine=mxnet,
        raw=raw,
        legacy=True,
    )


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise _unreadable(f"{path}: {os.strerror(error.errno or 0)}") from error
    if len(data) > MAX_BYTES:
        raise _unreadable(f"{path} is larger than {MAX_BYTES} bytes")
    return data


def _parse(data: bytes) -> dict[str, Any]:
    try:
        raw = read_lenient(data.decode("utf-8-sig"))
    except (UnicodeDecodeError, LenientError) as error:
        raise _unreadable(f"{FILE}, {error}") from error
    if type(raw) is not dict:
        raise _unreadable(f"{FILE} is not an object")
    return raw


def _check_types(raw: Mapping[str, Any]) -> None:
    _check_strings(raw, _STRINGS)
    _mapping(raw, "userData")
    for section, names in _STRINGS_OF.items():
        _check_strings(_mapping(raw, section), names)
    _mapping(_mapping(raw, "model"), "extensions")


def _mapping(raw: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = raw.get(name)
    if value is None:
        return {}
    if type(value) is not dict:
        raise _unreadable(f"{FILE}, {name} is not an object")
    return value


def _check_strings(raw: Mapping[str, Any], names: Iterable[str]) -> None:
    for name in names:
        if type(raw.get(name)) in (dict, list):
            raise _unreadable(f"{FILE}, {name} is not a text")


def _text(value: str | float | bool | None) -> str | None:
    """Numbers and booleans are read as the texts that they look like."""
    return value if value is None or type(value) is str else json.dumps(value)


def _invalid(message: str, detail: str = "") -> ArgosyError:
    return ArgosyError(ErrorCode.INVALID_MODEL, message, detail=detail)


def _unreadable(detail: str) -> ArgosyError:
    return _invalid("Failed to parse signature.json.", detail)
