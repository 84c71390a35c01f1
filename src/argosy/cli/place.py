"""Where a command was called."""

from __future__ import annotations

from pathlib import Path


def current_folder() -> Path:
    """The current folder. Ends the command with status 1 and the reason if that is gone, as after somebody has removed it."""
    try:
        return Path.cwd()
    except OSError as error:
        raise SystemExit(f"The current folder cannot be used: {error.strerror}. Change to another one and try again.") from None
