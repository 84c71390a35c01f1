"""Whether this server can confine its workers as configured."""

from __future__ import annotations

from argosy.config import Config
from argosy.errors import ArgosyError, ErrorCode


def check_confinement(config: Config, *, is_root: bool) -> None:
    """Raises `ArgosyError` INVALID_CONFIG for what would silently have no effect, or fail with each worker."""
    if config.worker_users and not is_root:
        raise _invalid("worker_user needs a server that runs as root, for only root can give its workers to another user; this one does not.")
    models = [(entry.model, config.confinement(entry.model)) for entry in config.model_limits.entries]
    limited = [model for model, found in models if found.processes and found.user is None]
    if config.worker_processes and config.worker_user is None:
        limited.append("worker_processes")
    if limited and is_root:
        raise _invalid(f"the limit of processes ({', '.join(limited)}) does not bind workers that run as root: set worker_user as well.")


def _invalid(message: str) -> ArgosyError:
    return ArgosyError(ErrorCode.INVALID_CONFIG, f"Cannot confine workers: {message}")
