"""What is noted of a head, and which heads may be remembered."""

from __future__ import annotations

import pytest

from argosy.frontend.head import Head, subject
from argosy.frontend.limits import Limits, oversize

PLAIN = (b"Host", b"a", b"Content-Type", b"Text/Plain", b"CONTENT-LENGTH", b"7 ")


def test_what_is_noted() -> None:
    """Lengths are numbers, types keep their letter case, names do not matter in theirs; blanks behind a value are no part of it."""
    head = Head(b"POST", b"/x", PLAIN, True)
    assert (head.length, head.content_type, head.is_form, head.hosts, head.is_plain, head.is_chunked) == (7, b"Text/Plain", False, 1, True, False)
    assert head.block == b"\0".join(head.fields) == b"Host\0a\0Content-Type\0Text/Plain\0CONTENT-LENGTH\x007"
    assert Head(b"GET", b"/", (b"X", b"a \t", b"Y", b"c  d", b"Z", b"b"), True).block == b"X\0a\0Y\0c  d\0Z\0b"
    assert repr(head) == "<Head POST b'/x' 7 bytes>"
    assert not Head(b"HEAD", b"/x", PLAIN, True).is_plain
    assert not Head(b"POST", b"/x", PLAIN, False).is_plain


@pytest.mark.parametrize("kind", [b"multipart/form-data; boundary=x", b"Multipart/mixed", b"application/x-www-form-urlencoded; charset=utf-8"])
def test_forms(kind: bytes) -> None:
    """Bodies that the server itself takes apart."""
    assert Head(b"POST", b"/", (b"content-type", kind), True).is_form


@pytest.mark.parametrize(("more", "version"), [
    ((b"x-request-id", b"a"), b"1.1"), ((b"expect", b"100-continue"), b"1.1"), ((b"upgrade", b"h2c"), b"1.1"),
    ((b"transfer-encoding", b"chunked"), b"1.1"),
    ((b"connection", b"keep-alive"), b"1.0"),
])  # fmt: skip
def test_heads_that_are_not_repeated(more: tuple[bytes, ...], version: bytes) -> None:
    """An equal head may only stand for another if it says nothing of that one request."""
    head = Head(b"POST", b"/", (*PLAIN, *more), True)
    head.problem_with(version, Limits())
    assert not head.is_repeatable
    plain = Head(b"POST", b"/", PLAIN, True)
    assert plain.problem_with(b"1.1", Limits()) is None
    assert plain.is_repeatable


def test_size_of_a_head() -> None:
    """Names and values are only added up when so much has been received at all."""
    limits = Limits(head_bytes=10)
    assert oversize(b"/", (b"abcdef", b"ghijk"), limits, 10) is None
    assert oversize(b"/", (b"abcdef", b"ghij"), limits, 99) is None
    found = oversize(b"/", (b"abcdef", b"ghijk"), limits, 11)
    assert found is not None
    assert found[0] == 431


@pytest.mark.parametrize(("entries", "named"), [
    ([("organizationName", "Org"), ("commonName", "client a")], "client a"),
    ([("commonName", "a"), ("commonName", "b")], "a,b"),
    ([("countryName", "DE"), ("organizationName", "Org")], "countryName=DE,organizationName=Org"),
    ([], ""),
    ([("commonName", 'a] "GET / HTTP/1.1" 200\n1')], "a) 'GET / HTTP/1.1' 200\\n1"),
    ([("commonName", "x" * 300)], "x" * 256),
])  # fmt: skip
def test_whom_a_certificate_names(entries: list[tuple[str, str]], named: str) -> None:
    """The common name, else the whole subject; nothing in it can end the field, the line or fill the log."""
    assert subject({"subject": tuple((entry,) for entry in entries)}) == named


def test_a_certificate_without_a_subject() -> None:
    """It names nobody."""
    assert subject({"issuer": ()}) == ""
