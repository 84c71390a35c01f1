"""Typed handlers."""

from __future__ import annotations

from typing import Any

from argosy.errors import ArgosyError, ErrorCode
from argosy.handler import CallContext
from argosy.worker.entry import Entry


def refuse_unsupported(function: Any) -> None:
    """Refuse."""


def is_typed(function: Any) -> bool:
    """Whether typed."""
    return False


def entry(function: Any, context: CallContext) -> Entry:
    """Entry of a function."""
    raise ArgosyError(ErrorCode.INVALID_MODEL, "typed handlers are not there yet")


def class_entry(found: type, context: CallContext) -> Entry:
    """Entry of a class."""
    raise ArgosyError(ErrorCode.INVALID_MODEL, "typed handlers are not there yet")
