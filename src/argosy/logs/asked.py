"""What a logging configuration that an operator brings asks for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class LogConfig:
    """What a configuration asks for."""

    levels: Mapping[str, int] = field(default_factory=dict)
    """By logger; the root is ''."""
    python: Mapping[str, Any] | None = None
    """For `logging.config.dictConfig`; None if there is nothing for it."""
    ini: Path | None = None
    """For `logging.config.fileConfig`."""
    loggers: frozenset[str] = frozenset()
    """Those that have handlers of their own."""
    ignored: tuple[str, ...] = ()
    """What has no effect here, in words."""
