"""What the server is told about a handler that was loaded."""

from __future__ import annotations

import pytest

from argosy.worker.entry import PLAIN, Entry
from argosy.worker.manner import Manner


def entry(manner: Manner = PLAIN, *, batch: bool = True, view: bool = False) -> Entry:
    """One that gives nothing."""
    return Entry("function", lambda inputs, context: [], manner=manner, batch=batch, view=view)


@pytest.mark.parametrize(("manner", "asked", "batch"), [
    (PLAIN, True, True), (PLAIN, False, False), (Manner(streams=True, asynchronous=False), True, False),
    (Manner(streams=False, asynchronous=True), True, False), (Manner(streams=True, asynchronous=True), True, False),
])  # fmt: skip
def test_only_plain_handlers_take_batches(manner: Manner, asked: bool, batch: bool) -> None:
    """One that streams or is asynchronous gets one request a call, whatever it can do."""
    made = entry(manner, batch=asked)
    assert made.describe() == {
        "style": "function", "batch": batch, "view": False, "streams": manner.streams, "asynchronous": manner.asynchronous}  # fmt: skip
    assert repr(made) == f"<Entry function batch={batch} view=False>"


def test_what_holds_nothing_is_closed_by_doing_nothing() -> None:
    """And is called with the context it was loaded with, unless it has one of its own."""
    made = entry(view=True)
    made.close()
    assert (made.context, made.view) == (None, True)
