"""Folders that the system gives to every program."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path


def temporary_folder(environ: Mapping[str, str], cwd: Path) -> Path:
    """Where the system keeps temporary files: `TMPDIR`, `TEMP`, `TMP` if they are folders, else /tmp, else the current folder."""
    named = [cwd / environ[name] for name in ("TMPDIR", "TEMP", "TMP") if environ.get(name)]
    candidates = (*named, Path("/tmp"), Path("/var/tmp"))  # noqa: S108 - the system's own answer, what tempfile says too
    return next((folder for folder in candidates if os.path.isdir(folder)), cwd)
