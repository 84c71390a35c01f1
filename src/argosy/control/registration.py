"""What is asked for when a model is registered, and how request, manifest and configuration become one `ModelSpec`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from argosy.config import Config
from argosy.errors import ArgosyError, ErrorCode
from argosy.store.manifest import RUNTIMES, Manifest, check_model_name
from argosy.supervisor.spec import ModelSpec


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
    return ModelSpec(
        name=name,
        version=found.model_version,
        url=request.url,
        directory=directory,
        handler=handler,
        runtime=runtime,
        interpreter=_interpreter(name, runtime, interpreters),
        manifest=found.raw,
        engine=found.engine_name,
        batch_size=request.batch_size,
        max_batch_delay_ms=request.max_batch_delay_ms,
        response_timeout_s=config.response_timeout_s if request.response_timeout_s is None else request.response_timeout_s,
        startup_timeout_s=config.startup_timeout_s,
        preload=config.preload_model if request.preload is None else request.preload,
        loaded_at_startup=startup_name is not None,
    )


def _interpreter(name: str, runtime: str, interpreters: Interpreters) -> str:
    if runtime == "python":
        return interpreters.own
    if runtime == "python2":
        raise _invalid(f"Model {name} asks for runtime python2, which is not supported. Port its handler and register it with runtime=python3.")
    found = interpreters.which(runtime)
    if found is None:
        raise _invalid(f"Model {name} asks for runtime {runtime}, but there is no program {runtime} on the PATH of the server.")
    return found


def _invalid(message: str) -> ArgosyError:
    return ArgosyError(ErrorCode.INVALID_MODEL, message)
