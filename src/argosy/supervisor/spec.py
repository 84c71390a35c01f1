"""What a registered model is: everything needed to start a worker for it and to describe it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from argosy.config.confinement import Confinement


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """A registered model. Made by `control.manager` from the request, the manifest and the configuration, in this order of precedence."""

    name: str
    version: str | None
    url: str
    """As given at registration."""
    directory: Path
    """Where its files are; read-only for the server."""
    handler: str
    runtime: str
    """python, python2 or python3, as the manifest says it."""
    interpreter: str
    """The program that runs the workers."""
    manifest: Mapping[str, Any] | None
    """The parsed manifest as the handler's context shows it."""
    engine: str | None = None
    batch_size: int = 1
    max_batch_delay_ms: int = 100
    concurrency: int = 64
    """How many requests a worker takes at once, if its handler is asynchronous."""
    response_timeout_s: float = 7200.0
    """How long a worker may take for one batch; 0 means no limit."""
    startup_timeout_s: float = 600.0
    """How long a worker may take to load the model; 0 means no limit."""
    stop_timeout_s: float = 10.0
    """How long an idle worker may take to end when told to."""
    fork_timeout_s: float = 30.0
    """How long the process that preloaded the model may take to fork a worker."""
    preload: bool = False
    loaded_at_startup: bool = False
    confinement: Confinement = Confinement()  # noqa: RUF009 - frozen
    """What its workers may use, and as whom they run."""
