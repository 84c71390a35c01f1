"""Finds the custom endpoints that are installed and loads those that the configuration names."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from argosy.errors import ArgosyError, ErrorCode
from argosy.plugins import GROUP
from argosy.protocols.custom import Endpoint, check_patterns, read_endpoint

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

_log = logging.getLogger("argosy.server")
ALL = "ALL"


def installed_endpoints() -> list[EntryPoint]:
    """Every entry point of the group, sorted by name."""
    from importlib.metadata import entry_points  # most servers have no endpoints of this kind, and start sooner without it

    return sorted(entry_points(group=GROUP), key=lambda entry: (entry.name, entry.value))


def load_endpoints(names: Sequence[str], installed: Iterable[EntryPoint]) -> list[Endpoint]:
    """The endpoints of these names, or all of them for `ALL`.

    Raises `ArgosyError` INVALID_CONFIG for a name that is not installed, an endpoint that cannot be loaded, and two that want the same paths.
    """
    known = list(installed)
    wants_all = ALL in (name.upper() for name in names)
    missing = [] if wants_all else [name for name in names if name not in {entry.name for entry in known}]
    if missing:
        others = ", ".join(sorted({entry.name for entry in known})) or "none"
        raise ArgosyError(ErrorCode.INVALID_CONFIG, f"endpoints names {', '.join(missing)}, which is not installed; installed are: {others}")
    endpoints = [_load(entry) for entry in known if wants_all or entry.name in names]
    check_patterns(endpoints)
    for endpoint in endpoints:
        _log.info("Custom endpoint /%s on the %s listener: %s", endpoint.pattern, endpoint.listener, endpoint.description or "no description")
    return endpoints


def _load(entry: EntryPoint) -> Endpoint:
    origin = f"{entry.name} ({entry.value}{f' of {entry.dist.name}' if entry.dist is not None else ''})"
    try:
        return read_endpoint(entry.load(), origin)
    except ArgosyError:
        raise
    except Exception as error:  # the boundary of foreign code, which may raise anything when it is loaded
        why = f"Endpoint {origin} cannot be loaded: {type(error).__name__}: {error}"
        raise ArgosyError(ErrorCode.INVALID_CONFIG, why) from error
