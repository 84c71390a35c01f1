"""Another strict parser, h11, reads what we accept in the same way: method, target, headers and body of generated requests, valid and mutated.

We may be stricter. Where h11 is stricter than we are, the deviation and its reason are in `DEVIATIONS`.
"""

from __future__ import annotations

import os
import random
import re
from dataclasses import dataclass

import h11
import pytest

from argosy.errors import ArgosyError
from argosy.frontend.limits import Limits
from argosy.frontend.target import split_target
from argosy.protocols.endpoint import Action, Call, HttpReply, HttpRequest
from argosy.testing.http import FakeDialect, FakeModel, FakeSite, echo
from conftest import Report
from faults.figures import Figure

EXAMPLES = int(os.environ.get("ARGOSY_EXAMPLES", "200"))

DEVIATIONS: dict[str, re.Pattern[bytes]] = {
    "several blanks around the target: RFC 9112, 3 lets a server split the line into words": re.compile(rb"[A-Z]{3,} {2,}| {2,}HTTP/1\."),
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


RESERVED = (b"host", b"content-length", b"transfer-encoding", b"connection", b"expect", b"upgrade")
TARGETS = (b"/", b"/a/b", b"//a", b"/a/../b", b"/%41%c3%a9", b"/a?b=c&d", b"/?", b"http://a/b?c", b"*", b"/a;b=c", b"/a?%zz")
METHODS = (b"GET", b"POST", b"PUT", b"DELETE", b"OPTIONS", b"PATCH", b"HEAD")
CHANGES = (
    b"\r", b"\n", b"\0", b" ", b"\t", b":", b"\r\n", b",", b";", b"0", b"1", b"-", b"+", b"\x0b", b"\x85", b"\xa0", b"\xff", b"Content-Length: 1\r\n",
    b"Transfer-Encoding: chunked\r\n", b"Connection: close\r\n", b"HTTP/1.0", b"GET / HTTP/1.1\r\nHost: b\r\n\r\n",
)  # fmt: skip


def some(dice: random.Random, letters: str, least: int, most: int) -> bytes:
    """So many of these letters."""
    return "".join(dice.choices(letters, k=dice.randint(least, most))).encode("latin-1")


def field(dice: random.Random) -> bytes:
    """A header field that frames nothing."""
    name = some(dice, "abcXYZ019!#$%&'*+-.^_`|~", 1, 8)
    value = some(dice, "abc XYZ\t019:;,=\"()<>@/[]?{}\\\x80\xe9\xff", 0, 12)
    return (b"x" if name.lower() in RESERVED else b"") + name + b":" + dice.choice([b"", b" ", b"\t ", b"  "]) + value


def request(dice: random.Random) -> bytes:
    """A request that is right in every way."""
    lines = [field(dice) for _ in range(dice.randint(0, 4))]
    lines.insert(dice.randint(0, len(lines)), dice.choice([b"Host: a", b"host:a", b"HOST: a:80 "]))
    body = dice.randbytes(dice.randint(0, 20))
    match dice.choice(["none", "length", "chunked"]):
        case "length":
            lines.append(b"Content-Length: %d" % len(body))
        case "chunked":
            lines.append(b"Transfer-Encoding: " + dice.choice([b"chunked", b"Chunked", b"CHUNKED "]))
            body = b"".join(chunk(dice, piece) for piece in (body[:7], body[7:]) if piece) + b"0\r\n" + dice.choice([b"", b"X: y\r\n"]) + b"\r\n"
        case _:
            body = b""
    target = dice.choice(TARGETS) if dice.random() < 0.5 else b"/" + some(dice, "abc/.-_~!$&'()*+,;=:@?", 0, 20)
    return dice.choice(METHODS) + b" " + target + b" HTTP/1.1\r\n" + b"".join(line + b"\r\n" for line in lines) + b"\r\n" + body


def chunk(dice: random.Random, piece: bytes) -> bytes:
    """A chunk, perhaps with an extension."""
    size = dice.choice([b"%x", b"%X", b"0%x"]) % len(piece)
    return size + dice.choice([b"", b";a", b";a=b", b';a="b c"']) + b"\r\n" + piece + b"\r\n"


def mutated(dice: random.Random) -> bytes:
    """One to three requests with a few bytes changed, taken out, put in or repeated."""
    data = bytearray(b"".join(request(dice) for _ in range(dice.randint(1, 3))))
    for _ in range(dice.randint(1, 3)):
        at = dice.randint(0, len(data))
        data[at : at + dice.choice([0, 0, 1, 1, 2, 8])] = dice.choice(CHANGES) if dice.random() < 0.7 else dice.randbytes(dice.randint(0, 3))
    return bytes(data)


def test_both_accept_what_is_right(ours: Ours) -> None:
    """Every valid request is served, and read alike. More examples by ARGOSY_EXAMPLES=<number>."""
    for seed in range(EXAMPLES):
        dice = random.Random(seed)
        data = b"".join(request(dice) for _ in range(dice.randint(1, 3)))
        seen, accepted = ours.read(data)
        assert accepted, (seed, data)
        assert seen == theirs(data), (seed, data)


def test_what_we_accept_they_accept(ours: Ours, figure: Report) -> None:
    """Whatever was changed: each request that is served here is read by h11 too, and in the same way."""
    served = 0
    for seed in range(10 * EXAMPLES):
        data = mutated(random.Random(seed))
        seen, _ = ours.read(data)
        found = theirs(data)[: len(seen)]
        served += len(seen)
        assert found == seen or any(pattern.search(data) for pattern in DEVIATIONS.values()), (seed, data, seen, found)
    figure(Figure("mutated requests against h11", sent=10 * EXAMPLES, right=10 * EXAMPLES, figures=f"{served} requests served, each read alike"))
    assert served > EXAMPLES
