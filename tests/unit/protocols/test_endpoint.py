"""What may be sent as a header."""

from __future__ import annotations

import pytest

from argosy.protocols.endpoint import Call, HttpReply, Scope, is_header


@pytest.mark.parametrize(("name", "value"), [
    ("", "v"), ("a b", "v"), ("a:", "v"), ("ä", "v"), ("a\n", "v"), ("a", "v\r\nSet-Cookie: x"), ("a", "v\n"), ("a", "\0"), ("a", "€"), ("a", "\x7f"),
])  # fmt: skip
def test_what_cannot_be_sent(name: str, value: str) -> None:
    """Neither names that are no token nor values that would break out of their line or have no byte."""
    assert not is_header(name, value)


@pytest.mark.parametrize(("name", "value"), [("X-A", ""), ("a!#", "a b\tc"), ("a", "\xe4")])
def test_what_can_be_sent(name: str, value: str) -> None:
    """Tokens, and one line of Latin-1."""
    assert is_header(name, value)


def test_what_is_not_said_needs_the_most() -> None:
    """A function of the server is for management unless it says otherwise."""
    assert Call(lambda _: HttpReply(200)).scope is Scope.MANAGEMENT
