"""Addresses of listeners."""

from __future__ import annotations

import pytest

from argosy.config import Address, parse_address
from argosy.errors import ArgosyError, ErrorCode


@pytest.mark.parametrize("text", [
    "nonsense", "", "http://", "ftp://host:1", "http://host:port", "http://a b:1", "http://host:-1", "http://host:80/path", "http://user@host:1",
    "unix:", "unix:" + "x" * 108, "http://[::1:80", "http://host:99999", "127.0.0.1:8080",
])
def test_what_is_not_an_address_is_refused(text: str) -> None:
    """The message says which address and what is allowed."""
    with pytest.raises(ArgosyError, match="Invalid") as caught:
        parse_address(text)
    assert caught.value.code is ErrorCode.INVALID_CONFIG


@pytest.mark.parametrize(("text", "expected", "shown"), [
    ("http://127.0.0.1:8080", Address("http", "127.0.0.1", 8080), "http://127.0.0.1:8080"),
    ("HTTP://LocalHost:65535/", Address("http", "localhost", 65535), "http://localhost:65535"),
    ("http://host", Address("http", "host", 80), "http://host:80"),
    ("https://host", Address("https", "host", 443), "https://host:443"),
    ("http://[::1]:0", Address("http", "::1", 0), "http://[::1]:0"),
    ("unix:/run/a.sock", Address("unix", path="/run/a.sock"), "unix:/run/a.sock"),
    ("unix:///run/a.sock", Address("unix", path="/run/a.sock"), "unix:/run/a.sock"),
])
def test_addresses(text: str, expected: Address, shown: str) -> None:
    """Ports go up to 65535; an address prints as it is written."""
    assert parse_address(text) == expected
    assert str(expected) == shown


def test_default_ports_are_the_callers() -> None:
    """Management without a port is elsewhere than inference."""
    assert parse_address("https://h", (8081, 8444)).port == 8444


@pytest.mark.parametrize(("address", "expected"), [
    (Address("http", "127.0.0.1", 1), True), (Address("http", "127.8.8.8", 1), True), (Address("http", "localhost", 1), True),
    (Address("http", "::1", 1), True), (Address("unix", path="/a"), True), (Address("http", "0.0.0.0", 1), False), (Address("http", "::", 1), False),
])
def test_who_can_reach_it(address: Address, expected: bool) -> None:
    """Only loopback and unix sockets are private to the machine."""
    assert address.is_loopback is expected
