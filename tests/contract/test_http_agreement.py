"""Another strict parser, h11, reads what we accept in the same way: method, target, headers and body of generated requests, valid and mutated.

We may be stricter. Where h11 is stricter than we are, the deviation and its reason are in `DEVIATIONS`.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

import h11
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from argosy.errors import ArgosyError
from argosy.frontend.limits import Limits
from argosy.frontend.target import split_target
from argosy.protocols.endpoint import Action, Call, HttpReply, HttpRequest
from argosy.testing.http import FakeDialect, FakeModel, FakeSite, echo

EXAMPLES = int(os.environ.get("ARGOSY_EXAMPLES", "200"))

DEVIATIONS: dict[str, re.Pattern[bytes]] = {
    "several blanks around the target: RFC 9112, 3 lets a server split the line into words": re.compile(rb"^[A-Z]+ {2,}| {2,}HTTP/1\.", re.M),
    "empty lines before a request, also of CR or LF alone, are skipped as RFC 9112, 2.2 wants": re.compile(
        rb"(?<![\r\n])(?!\r\n\r\n[A-Z])[\r\n]+[A-Z]+ "),
    "the body behind an ignored upgrade is read, and nothing after it": re.compile(rb"upgrade", re.I),
}  # fmt: skip


@dataclass(frozen=True)
class Seen:
    """A request as a parser reads it; headers with their last values, path decoded, query raw."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes


class Recorder(FakeDialect):
    """Every path is a call that remembers its request."""

    def __init__(self) -> None:
        super().__init__()
        self.requests: list[Seen] = []

    def route(self, method: str, path: str, query: str) -> Action:
        """See `Dialect`."""
        return Call(self._remember)

    def _remember(self, request: HttpRequest) -> HttpReply:
        headers = {name: value.lower() if name == "transfer-encoding" else value for name, value in request.headers.items()}  # as h11 gives it
        self.requests.append(Seen(request.method, request.path, request.query, headers, request.body))
        return HttpReply(200, b"")


class Ours:
    """One listener for all examples; each has a connection of its own."""

    def __init__(self) -> None:
        self.dialect = Recorder()
        self.site = FakeSite(limits=Limits(arena_bytes=8), model=FakeModel(handler=echo), dialect=self.dialect)

    def read(self, data: bytes) -> tuple[list[Seen], bool]:
        """The requests that were served, and whether everything was accepted."""
        client = self.site.client().send(data)
        statuses = re.findall(rb"^HTTP/1\.1 ([2-9]\d\d) ", client.raw, re.M)
        client.leave()
        seen, self.dialect.requests = self.dialect.requests, []
        return seen, set(statuses) == {b"200"}


@pytest.fixture(scope="module")
def ours() -> Ours:
    """See `Ours`."""
    return Ours()


def theirs(data: bytes) -> list[Seen]:
    """The requests that h11 reads up to the end, to the first that ends the connection, or to one that it refuses."""
    peer = h11.Connection(h11.SERVER, max_incomplete_event_size=1 << 20)
    peer.receive_data(data)
    found: list[Seen] = []
    request, body = None, b""
    try:
        while True:
            event = peer.next_event()
            if isinstance(event, h11.Request):
                request, body = event, b""
            elif isinstance(event, h11.Data):
                body += event.data
            elif isinstance(event, h11.EndOfMessage):
                assert request is not None
                found.append(_seen(request, body))
                peer.send(h11.Response(status_code=200, headers=[("content-length", "0")]))
                peer.send(h11.EndOfMessage())
                if peer.our_state is h11.MUST_CLOSE:
                    return found
                peer.start_next_cycle()
            else:
                return found
    except h11.RemoteProtocolError:
        return found


def _seen(request: h11.Request, body: bytes) -> Seen:
    try:
        path, query = split_target(request.target)
    except ArgosyError:  # refused here
        path, query = "", ""
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in request.headers}
    return Seen(request.method.decode(), path, query, headers, body)


TOKEN = st.text("abcXYZ019!#$%&'*+-.^_`|~", min_size=1, max_size=8).map(str.encode)
VALUE = st.text("abc XYZ\t019:;,=\"()<>@/[]?{}\\\x80\xe9\xff", max_size=12).map(lambda text: text.strip().encode("latin-1"))
RESERVED = (b"host", b"content-length", b"transfer-encoding", b"connection", b"expect", b"upgrade")
FIELD = st.tuples(TOKEN.filter(lambda name: name.lower() not in RESERVED), st.sampled_from([b"", b" ", b"\t ", b"  "]), VALUE)
TARGET = st.one_of(
    st.sampled_from([b"/", b"/a/b", b"//a", b"/a/../b", b"/%41%c3%a9", b"/a?b=c&d", b"/?", b"http://a/b?c", b"*", b"/a;b=c", b"/a?%zz"]),
    st.text("abc/.-_~!$&'()*+,;=:@?", max_size=20).map(lambda text: b"/" + text.encode()),
)
METHOD = st.sampled_from([b"GET", b"POST", b"PUT", b"DELETE", b"OPTIONS", b"PATCH", b"HEAD"])


@st.composite
def requests(draw: st.DrawFn) -> bytes:
    """A request that is right in every way."""
    fields = draw(st.lists(FIELD, max_size=4))
    lines = [name + b":" + blank + value for name, blank, value in fields]
    lines.insert(draw(st.integers(0, len(lines))), draw(st.sampled_from([b"Host: a", b"host:a", b"HOST: a:80 "])))
    body = draw(st.binary(max_size=20))
    framing = draw(st.sampled_from(["none", "length", "chunked"]))
    if framing == "length":
        lines.append(b"Content-Length: %d" % len(body))
    elif framing == "chunked":
        lines.append(b"Transfer-Encoding: " + draw(st.sampled_from([b"chunked", b"Chunked", b"CHUNKED "])))
        last = b"0\r\n" + draw(st.sampled_from([b"", b"X: y\r\n"])) + b"\r\n"
        body = b"".join(_chunk(draw, piece) for piece in (body[:7], body[7:]) if piece) + last
    else:
        body = b""
    head = draw(METHOD) + b" " + draw(TARGET) + b" HTTP/1.1\r\n"
    return head + b"".join(line + b"\r\n" for line in lines) + b"\r\n" + body


def _chunk(draw: st.DrawFn, piece: bytes) -> bytes:
    size = draw(st.sampled_from([b"%x", b"%X", b"0%x"])) % len(piece)
    return size + draw(st.sampled_from([b"", b";a", b";a=b", b';a="b c"'])) + b"\r\n" + piece + b"\r\n"


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """One to three requests with a few bytes changed, taken out, put in or repeated."""
    data = bytearray(b"".join(draw(st.lists(requests(), min_size=1, max_size=3))))
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(data)))
        cut = draw(st.sampled_from([0, 0, 1, 1, 2, 8]))
        put = draw(st.one_of(
            st.sampled_from([b"\r", b"\n", b"\0", b" ", b"\t", b":", b"\r\n", b",", b";", b"0", b"1", b"-", b"+", b"\x0b", b"\x85", b"\xa0",
                             b"Content-Length: 1\r\n", b"Transfer-Encoding: chunked\r\n", b"Connection: close\r\n"]),
            st.binary(max_size=3)))  # fmt: skip
        data[at : at + cut] = put
    return bytes(data)


@settings(max_examples=EXAMPLES, deadline=None, derandomize=True)
@given(data=st.lists(requests(), min_size=1, max_size=3).map(b"".join))
def test_both_accept_what_is_right(ours: Ours, data: bytes) -> None:
    """Every valid request is served, and read alike."""
    seen, accepted = ours.read(data)
    assert accepted
    assert seen == theirs(data)


@settings(max_examples=5 * EXAMPLES, deadline=None, derandomize=True)
@given(data=mutated())
def test_what_we_accept_they_accept(ours: Ours, data: bytes) -> None:
    """Whatever was changed: each request that is served here is read by h11 too, and in the same way."""
    seen, _ = ours.read(data)
    found = theirs(data)[: len(seen)]
    assert found == seen or any(pattern.search(data) for pattern in DEVIATIONS.values()), (seen, found)
