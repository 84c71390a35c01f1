"""A stand-in for the server: tests of commands see what it was asked to serve, and no process is started."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from argosy.cli.banner import ModelStatus, ServerStatus
from argosy.config import Config, Target
from argosy.errors import ArgosyError


@dataclass(frozen=True, slots=True)
class FakeModel:
    """How a model is doing."""

    name: str
    workers: int
    state: str = "READY"
    error: str = ""


@dataclass(frozen=True, slots=True)
class FakeStatus:
    """What a server says of itself."""

    models: Sequence[ModelStatus] = ()
    inference: Sequence[str] = ("http://127.0.0.1:8080",)
    management: Sequence[str] = ("http://127.0.0.1:8081",)
    workers_reason: str = "one per processor: 1 may be used"


@dataclass(slots=True)
class FakeServer:
    """Called like `argosy.server.run`: is ready at once and ends at once, or raises `error`."""

    status: ServerStatus = field(default_factory=FakeStatus)
    result: int = 0
    error: ArgosyError | None = None
    while_running: Callable[[], None] = lambda: None
    config: Config | None = None
    """What it was given; None until it is called."""
    targets: list[Target] = field(default_factory=list)

    def __call__(self, config: Config, *, targets: Sequence[Target] = (), on_ready: Callable[[ServerStatus], None]) -> int:
        """The exit status. Raises `error` if there is one."""
        self.config = config
        self.targets = list(targets)
        if self.error is not None:
            raise self.error
        on_ready(self.status)
        self.while_running()
        return self.result
