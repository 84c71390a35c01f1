"""What is asked for when a model is registered, and how request, manifest and configuration become one `ModelSpec`."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from argosy.config import Config, User
from argosy.errors import ArgosyError, ErrorCode
from argosy.store.manifest import RUNTIMES, Manifest, check_model_name, check_supported
from argosy.supervisor.launch import MAIN
from argosy.supervisor.spec import ModelSpec

MAX_URL = 8192
"""Characters of the url of a model, a signed one included."""


@dataclass(frozen=True, slots=True)
class RegisterRequest:
    """What is asked for. None means: not said, so the manifest or the configuration decides."""

    url: str
    name: str | None = None
    handler: str | None = None
    runtime: str | None = None
    batch_size: int = 1
    max_batch_delay_ms: int = 100
    initial_workers: int | None = None
    synchronous: bool = True
    response_timeout_s: float | None = None
    preload: bool | None = None
    concurrency: int | None = None
    """How many requests a worker with an asynchronous handler takes at once, checked."""
    limits: Mapping[str, int] = field(default_factory=dict)
    """Limits of its workers by name, checked; they count where they are lower than the operator's."""


@dataclass(frozen=True, slots=True)
class Interpreters:
    """The programs that run workers."""

    own: str
    """The interpreter of the server, for runtime `python`."""
    which: Callable[[str], str | None]
    """Finds a program on the search path."""


def check_request(request: RegisterRequest) -> None:
    """Refuse what is wrong before any file is touched. Raises `ArgosyError` INVALID_REQUEST or INVALID_MODEL."""
    check_runtime(request.runtime)
    if len(request.url) > MAX_URL:
        message = f"Parameter url is {len(request.url)} characters long; at most {MAX_URL} are allowed: {request.url[:60]}…"
        raise ArgosyError(ErrorCode.INVALID_REQUEST, message)
    if request.name:
        check_model_name(request.name)


def check_runtime(runtime: str | None) -> None:
    """Raises `ArgosyError` INVALID_REQUEST for a runtime that does not exist; None is fine."""
    if runtime is not None and runtime not in RUNTIMES:
        raise ArgosyError(ErrorCode.INVALID_REQUEST, f"Invalid RuntimeType value: {runtime[:100]}")


def make_spec(
    request: RegisterRequest, manifest: Manifest, directory: Path, config: Config, interpreters: Interpreters, startup_name: str | None = None
) -> ModelSpec:
    """The registered model: what the request says, else the manifest, else the configuration.

    `startup_name` is given for models loaded at start, as the name of those that bring none. Raises `ArgosyError` INVALID_MODEL when name, handler,
    runtime or engine are missing, wrong or outside the model, or no interpreter fits.
    """
    found = manifest.resolve(
        name=request.name, handler=request.handler, runtime=request.runtime, default_name=startup_name,
        default_handler=config.default_service_handler)  # fmt: skip
    name, handler, runtime = found.model_name or "", found.handler or "", found.runtime or ""
    interpreter, confinement = _interpreter(name, runtime, interpreters), config.confinement(name).tightened(request.limits)
    if confinement.user is not None:
        check_readable(name, confinement.user, (MAIN, Path(interpreter), directory))
    return ModelSpec(
        name=name,
        version=found.model_version,
        url=request.url,
        directory=directory,
        handler=handler,
        runtime=runtime,
        interpreter=interpreter,
        manifest=found.raw,
        engine=found.engine_name,
        batch_size=request.batch_size,
        max_batch_delay_ms=request.max_batch_delay_ms,
        concurrency=config.worker_concurrency if request.concurrency is None else request.concurrency,
        response_timeout_s=config.response_timeout_s if request.response_timeout_s is None else request.response_timeout_s,
        startup_timeout_s=config.startup_timeout_s,
        preload=config.preload_model if request.preload is None else request.preload,
        loaded_at_startup=startup_name is not None,
        confinement=confinement,
    )


def _interpreter(name: str, runtime: str, interpreters: Interpreters) -> str:
    if runtime == "python":
        return interpreters.own
    check_supported(name, runtime)
    found = interpreters.which(runtime)
    if found is None:
        raise _invalid(f"Model {name} asks for runtime {runtime}, but there is no program {runtime} on the PATH of the server.")
    return found


def check_readable(model: str, user: User, paths: Iterable[Path]) -> None:
    """Raises `ArgosyError` INVALID_MODEL when the user of the workers may not read a file, or enter and read a folder. Goes by modes and owners."""
    for path in paths:
        for place in _way_to(path):
            missing = _missing(place, user, is_end=place == path.resolve())
            if missing:
                raise _invalid(
                    f"Model {model}: its workers run as user {user} (worker_user), who may not {missing} {place}. "
                    "Give this user the permission, or move the files to where it has it.")


def _way_to(path: Path) -> list[Path]:
    """Every folder on the way to a file or folder, links followed, and it itself."""
    found = path.resolve()
    return [*reversed(found.parents), found]


def _missing(place: Path, user: User, *, is_end: bool) -> str:
    """What the user may not do there, in a word; nothing if all is well, or if the place is gone, which others will say."""
    try:
        found = os.stat(place)
    except OSError:
        return ""
    shift = 6 if found.st_uid == user.uid else 3 if found.st_gid in user.ids else 0
    allowed = found.st_mode >> shift
    if stat.S_ISDIR(found.st_mode) and not allowed & 0o1:
        return "enter"
    return "read" if is_end and not allowed & 0o4 else ""


def _invalid(message: str) -> ArgosyError:
    return ArgosyError(ErrorCode.INVALID_MODEL, message)
