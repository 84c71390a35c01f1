"""Sessions live where the model opened them, until it closes them or their time is over."""

from __future__ import annotations

import pytest

from argosy.sagemaker.local.sessions import Place, Sessions

HERE = Place("AllTraffic", 1, 3)
NEVER = "2099-01-01T00:00:00Z"


def test_an_opened_session_is_found() -> None:
    """With the place that was given."""
    sessions = Sessions()
    assert sessions.opened(f"a1-b2; Expires={NEVER}", HERE, 0.0)
    assert sessions.find("a1-b2", 0.0) == HERE
    assert sessions.find("other", 0.0) is None


def test_a_closed_session_is_gone() -> None:
    """Closing one that is not open is no failure."""
    sessions = Sessions()
    sessions.opened(f"a; Expires={NEVER}", HERE, 0.0)
    sessions.closed("a")
    sessions.closed("a")
    assert sessions.find("a", 0.0) is None


def test_a_session_ends_at_its_time() -> None:
    """Not a second before."""
    sessions = Sessions()
    sessions.opened("a; Expires=1970-01-01T00:01:00Z", HERE, 0.0)
    assert sessions.find("a", 59.0) == HERE
    assert sessions.find("a", 60.0) is None


@pytest.mark.parametrize("header", [
    "", "a", "a; Expires=tomorrow", "a; Expires=2030-99-01T00:00:00Z", f"a b; Expires={NEVER}", f"-a; Expires={NEVER}"])
def test_what_is_no_session_opens_none(header: str) -> None:
    """A model that writes the header wrongly does not break anything."""
    sessions = Sessions()
    assert not sessions.opened(header, HERE, 0.0)
    assert repr(sessions) == "<Sessions 0 open>"


def test_sessions_that_are_over_do_not_pile_up() -> None:
    """When very many are open, those that are over are forgotten."""
    sessions = Sessions()
    for number in range(10_000):
        sessions.opened(f"s{number}; Expires=1970-01-01T00:00:10Z", HERE, 0.0)
    sessions.opened(f"last; Expires={NEVER}", HERE, 20.0)
    assert repr(sessions) == "<Sessions 1 open>"
