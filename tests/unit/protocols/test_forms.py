"""Query strings and forms: broken ones are the client's fault, limits hold, and everything else becomes named parts in order."""

from __future__ import annotations

from urllib.parse import unquote_to_bytes

import pytest
from hypothesis import given
from hypothesis import strategies as st

from argosy.errors import ArgosyError, ErrorCode
from argosy.messages import Part
from argosy.protocols.forms import MAX_PARTS, _Multipart, body_parts, media_type, query_parts, query_values

FORM = "application/x-www-form-urlencoded"
MULTIPART = "multipart/form-data; boundary=cut"


def pairs(parts: list[Part] | None) -> list[tuple[str, str, bytes]]:
    assert parts is not None
    return [(part.name, part.content_type, bytes(part.value)) for part in parts]


def part(disposition: str, value: bytes, *more: str) -> bytes:
    head = "\r\n".join([f"Content-Disposition: form-data; {disposition}", *more])
    return b"--cut\r\n" + head.encode() + b"\r\n\r\n" + value + b"\r\n"


@pytest.mark.parametrize(("query", "values"), [
    ("", []), ("a=1&b=2", [("a", b"1"), ("b", b"2")]), ("a=1;b=2", [("a", b"1"), ("b", b"2")]), ("a", [("a", b"")]), ("a=", [("a", b"")]),
    ("a=x+y%20z", [("a", b"x y z")]), ("%61+=1", [("a ", b"1")]), ("a=1&a=2", [("a", b"1"), ("a", b"2")]), ("=x", [("x", b"")]),
    ("&&a=1&", [("a", b"1")]),
    ("a=b=c", [("a", b"b=c")]), ("a=%ff", [("a", b"\xff")]), ("a=1#b=2", [("a", b"1")]),
])  # fmt: skip
def test_query_becomes_parts(query: str, values: list[tuple[str, bytes]]) -> None:
    """Blanks, escapes, bare names, repeated names and odd separators mean what they always meant."""
    assert pairs(query_parts(query)) == [(name, "", value) for name, value in values]


def test_first_value_of_a_repeated_name_counts_as_parameter() -> None:
    """Parameters of the server itself take the first value."""
    assert query_values("url=okay&url=classy&n=%C3%A9") == {"url": "okay", "n": "é"}


@pytest.mark.parametrize("broken", ["%", "%z", "%zz", "a=%2", "a=%%20"])
def test_broken_escapes_are_refused(broken: str) -> None:
    """A percent sign without two hexadecimal digits is refused, in a query and in a form."""
    with pytest.raises(ArgosyError, match="percent sign") as caught:
        query_parts(broken)
    assert caught.value.code is ErrorCode.INVALID_REQUEST
    with pytest.raises(ArgosyError, match="percent sign"):
        body_parts(FORM, broken.encode())


def test_too_many_parameters_are_refused() -> None:
    """A thousand parameters are enough."""
    assert len(query_parts("a&" * MAX_PARTS)) == MAX_PARTS
    with pytest.raises(ArgosyError, match="more than 1000"):
        query_parts("a&" * (MAX_PARTS + 1))


@pytest.mark.parametrize("content_type", [FORM, FORM.upper(), FORM + "; charset=utf-8"])
def test_form_becomes_parts(content_type: str) -> None:
    """Letter case and parameters of the type do not matter; a semicolon is part of the value."""
    assert pairs(body_parts(content_type, b"data=x%20y+z&n=1;2&empty=")) == [("data", "", b"x y z"), ("n", "", b"1;2"), ("empty", "", b"")]


@pytest.mark.parametrize("content_type", ["", "text/plain", "application/json", "multipart/form-data", "multipart/mixed; boundary=cut"])
def test_other_bodies_are_no_forms(content_type: str) -> None:
    """Any other type, and multipart without a boundary, is one ordinary input."""
    assert body_parts(content_type, b"a=1") is None


def test_multipart_becomes_parts() -> None:
    """A field has no type; a file has its own without parameters, or that of raw bytes; order and repeated names stay."""
    body = (
        part('name="field"', b"one", "Content-Type: text/plain") + part('name="file"; filename="a.txt"', b"two", "Content-Type: text/csv; charset=x")
        + part('name="raw"; filename="b"', b"\x00\r\n--cu") + part('name="field"', b"") + b"--cut--\r\n"
    )  # fmt: skip
    assert pairs(body_parts(MULTIPART, body)) == [
        ("field", "", b"one"), ("file", "text/csv", b"two"), ("raw", "application/octet-stream", b"\x00\r\n--cu"), ("field", "", b""),
    ]  # fmt: skip


def test_multipart_may_be_empty_or_a_view() -> None:
    """No body holds no parts; a view of shared memory is read like bytes; the boundary may be quoted."""
    assert body_parts(MULTIPART, b"") == []
    body = memoryview(part('name="a"', b"1") + b"--cut--")
    assert pairs(body_parts('Multipart/Form-Data; boundary="cut"', body)) == [("a", "", b"1")]


@pytest.mark.parametrize("body", [
    b"abcd", part('name="a"', b"1"), part('name="a"', b"1")[:-5], part("", b"1") + b"--cut--", b"--cut\r\nbroken header\r\n\r\nx\r\n--cut--",
    part('name="a"', b"1", "X-Long: " + "x" * 9000) + b"--cut--", part('name="a"', b"1", *[f"X-{n}: {'x' * 1500}" for n in range(7)]) + b"--cut--",
    part('name="a"', b"1") * (MAX_PARTS + 1) + b"--cut--",
], ids=["text", "unfinished", "cut", "nameless", "header", "long header", "many headers", "many parts"])  # fmt: skip
def test_broken_multipart_is_refused(body: bytes) -> None:
    """A multipart body that is broken or beyond its limits is the client's fault, in words."""
    with pytest.raises(ArgosyError, match=r"^The multipart body cannot be read: ") as caught:
        body_parts(MULTIPART, body)
    assert caught.value.code is ErrorCode.INVALID_REQUEST


def test_long_boundary_is_refused() -> None:
    """Boundaries have at most 70 bytes."""
    with pytest.raises(ArgosyError, match="70 bytes"):
        body_parts("multipart/form-data; boundary=" + "b" * 71, b"x")


@given(st.binary(max_size=300))
def test_no_multipart_body_gets_past_the_checks(body: bytes) -> None:
    """Any bytes are parts or an `ArgosyError`, nothing else."""
    for content in (body, b"--cut\r\n" + body, part('name="a"', body) + b"--cut--"):
        try:
            body_parts(MULTIPART, content)
        except ArgosyError as error:
            assert error.code is ErrorCode.INVALID_REQUEST  # noqa: PT017 - either outcome is fine


@given(st.text())
def test_no_query_gets_past_the_checks(query: str) -> None:
    """Any text is parts or an `ArgosyError`, nothing else."""
    try:
        query_values(query)
    except ArgosyError as error:
        assert error.code is ErrorCode.INVALID_REQUEST  # noqa: PT017 - either outcome is fine


def test_millions_of_separators_are_refused_at_once() -> None:
    """What cannot be within the limit is not taken apart first; empty items count as far as that."""
    for body in (b"a&" * 3_000_000, b"&" * 3_000_000, b"a&" * 1000 + b"a"):
        with pytest.raises(ArgosyError, match="more than 1000 parameters"):
            body_parts(FORM, body)
    assert len(pairs(body_parts(FORM, b"a&" * 1000))) == 1000


@given(st.binary().map(lambda raw: "".join(f"%{byte:02x}" if byte % 3 else chr(byte) for byte in raw).encode("latin-1")))
def test_escapes_mean_what_they_say(text: bytes) -> None:
    """A value is decoded like any percent-encoded text, whatever stands between its escapes."""
    clean = text.replace(b"&", b"").replace(b"+", b"").replace(b"%26", b"")
    assert pairs(body_parts(FORM, b"a=" + clean)) == [("a", "", unquote_to_bytes(clean))]


def test_media_type_keeps_its_letter_case() -> None:
    """Workers compare types as clients wrote them."""
    assert media_type("APPLICATION/JSON ; charset=utf-8") == "APPLICATION/JSON"


def test_reader_of_multipart_tells_how_far_it_is() -> None:
    """In one line."""
    assert repr(_Multipart(b"cut")) == "<_Multipart 0 parts>"
