"""The one representation of a prediction."""

from __future__ import annotations

from argosy.messages import JobState, Part, Request, Response
from fakes.dataplane import Client, FakeSlot


def test_what_one_request_has_no_other_gets() -> None:
    """Defaults are shared; what is set belongs to one request alone."""
    slot, part = FakeSlot(), Part("a", "", b"1")
    full = Request(b"1", b"text/plain", b"", None, Client(), (part,), slot, 5.0)
    full.state = JobState.SENT
    full.returned = 2
    bare = Request(b"2", b"", b"", b"x", Client())
    assert (full.parts, full.slot, full.deadline) == ((part,), slot, 5.0)
    assert (bare.parts, bare.slot, bare.deadline, bare.state, bare.returned) == ((), None, 0.0, JobState.NEW, 0)


def test_states_go_forward() -> None:
    """Their numbers grow on the way of a job."""
    assert JobState.NEW < JobState.WAITING < JobState.SENT < JobState.SETTLED


def test_repr_shows_no_body() -> None:
    """A log line must not hold what a model answered."""
    assert repr(Response(200, b"secret")) == "<Response 200 6 bytes>"
