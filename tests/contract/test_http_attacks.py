"""Attacks on framing, targets and limits: on a fresh connection and behind good requests, cut at every byte; what follows is never answered."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from argosy.errors import ArgosyError, ErrorCode
from argosy.frontend.limits import Limits
from argosy.messages import Request, Response
from argosy.protocols.endpoint import HttpReply, HttpRequest
from argosy.testing.http import FakeClient, FakeDialect, FakeModel, FakeSite, Reply, echo
from conftest import Report
from faults.figures import Figure

from .attacks import REFUSED, TARGETS
from .conftest import MakeSite, Outcome, outcome
from .malformed import HIDDEN, HOST, MALFORMED, MORE_SMUGGLING, SMUGGLING, VALID

BAD = {**MALFORMED, **SMUGGLING, **MORE_SMUGGLING, **REFUSED}
EVERYTHING = {**BAD, **{name: data for name, (data, _) in VALID.items()}}
SMALL = Limits(arena_bytes=8, body_bytes=1000, head_bytes=2000, target_bytes=1000)
POST = b"POST /predictions/echo HTTP/1.1\r\n" + HOST
GOOD = (POST + b"Content-Length: 3\r\n\r\nabc", POST + b"Content-Length: 30\r\n\r\n" + b"abc" * 10)
"""A small and a large prediction; behind them the beginning of a connection's next request is known."""
BEFORE = {"fresh": (), "small": (GOOD[0],) * 2, "large": (GOOD[1],) * 2, "both": GOOD * 2}


def warmed(site: FakeSite, before: str) -> FakeClient:
    """A client that has sent good requests already."""
    client = site.client()
    for request in BEFORE[before]:
        assert client.send(request).reply().status == 200
    site.model.bodies.clear()
    return client


def after(site: FakeSite, before: str, data: bytes, cuts: list[int]) -> Outcome:
    """What comes of the bytes behind good requests."""
    return outcome(site, warmed(site, before), data, cuts)


@pytest.mark.parametrize("before", BEFORE)
@pytest.mark.parametrize("name", REFUSED)
def test_attacks_are_refused(site: FakeSite, name: str, before: str) -> None:
    """One refusal and the end, wherever on a connection it comes; the handler is not called, and the next client is served."""
    client = warmed(site, before).send(REFUSED[name])
    reply = client.reply()
    assert reply.status in (400, 405, 417, 501, 505)
    assert reply.header("connection") == "close"
    assert not client.is_open
    assert site.model.bodies == []
    assert not any("hidden" in line for line in site.log.lines)
    assert site.client().send(GOOD[0]).reply().body == b"abc"


@pytest.mark.parametrize("before", ["small", "both"])
@pytest.mark.parametrize("name", sorted(EVERYTHING))
def test_cuts_do_not_matter_behind_good_requests(make_site: MakeSite, name: str, before: str) -> None:
    """Where the beginning of a request may be known, packets change nothing either: every byte, and all of them."""
    site = make_site(limits=SMALL, model=FakeModel(handler=echo))
    data = EVERYTHING[name][:300]
    whole = after(site, before, data, [])
    for cut in range(1, len(data), 1 if before == "small" else 5):
        assert after(site, before, data, [cut]) == whole, data[:cut]
    assert after(site, before, data, list(range(1, len(data)))) == whole


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_cuts_of_attacks(make_site: MakeSite, name: str) -> None:
    """On a fresh connection too."""
    site = make_site(limits=SMALL, model=FakeModel(handler=echo))
    data = REFUSED[name][:300]
    whole = after(site, "fresh", data, [])
    for cut in range(1, len(data)):
        assert after(site, "fresh", data, [cut]) == whole, data[:cut]


@pytest.mark.parametrize("target", TARGETS)
def test_targets(make_site: MakeSite, target: bytes) -> None:
    """A path is what it says, decoded once: nothing is collapsed, cleaned or decoded again, so that no two readers can differ."""
    dialect = FakeDialect()
    seen: list[str] = []

    def call(request: HttpRequest) -> HttpReply:
        seen.append(request.path)
        return HttpReply(200, b"")

    dialect.calls["/ping"] = type(dialect.calls["/ping"])(call)
    site = make_site(dialect=dialect)
    status, path = TARGETS[target]
    client = site.client().send(b"GET " + target + b" HTTP/1.1\r\n" + HOST + b"\r\n")
    assert client.reply().status == status
    assert seen == ([path] if path else [])
    assert all(line.isprintable() for line in site.log.lines)


@pytest.mark.parametrize("first", [b"", POST + b"Content-Length: 20000\r\n\r\n" + b"x" * 20000,
    POST + b"Transfer-Encoding: chunked\r\n\r\n5000\r\n" + b"x" * 0x5000 + b"\r\n0\r\n\r\n"], ids=["nothing", "body", "chunked"])  # fmt: skip
def test_deep_pipelines_are_read_no_further(make_site: MakeSite, first: bytes) -> None:
    """Of thousands of requests behind one that runs no more is read than a small buffer holds, and all are answered in order."""
    site = make_site(model=FakeModel())
    count = 5000
    client = site.client()
    requests = [POST + b"Content-Length: 4\r\n\r\n%04d" % number for number in range(count)]
    client.send(first + b"".join(requests))
    held = site.site.receive_head.nbytes // len(requests[0]) + 1
    replies: list[Reply] = []
    if first:
        site.model.answer(Response(200, b"first"))
        assert client.pump().reply().body == b"first"
    assert client.transport.is_reading_paused
    while site.model.jobs:
        assert len(site.model.jobs) == 1
        assert len(client.connection.waiting) <= held
        site.model.answer(Response(200, site.model.jobs[0].body or b""))
        replies += client.pump().replies()
    assert [reply.body for reply in replies] == [b"%04d" % number for number in range(count)]


@pytest.mark.parametrize("failing", [0, 1, 5])
def test_pipelines_end_at_the_first_failure(make_site: MakeSite, failing: int) -> None:
    """A request that fails ends its connection: what was sent behind it is not run."""
    ran: list[bytes] = []

    def handler(request: Request) -> Response | ArgosyError:
        ran.append(bytes(request.body or b""))
        return ArgosyError(ErrorCode.HANDLER_FAILED, "no") if ran[-1] == b"%d" % failing else Response(200, b"")

    site = make_site(model=FakeModel(handler=handler))
    client = site.client().send(b"".join(POST + b"Content-Length: 1\r\n\r\n%d" % number for number in range(8)))
    assert [reply.status for reply in client.replies()] == [200] * failing + [503]
    assert ran == [b"%d" % number for number in range(failing + 1)]


@pytest.mark.parametrize("bomb", [
    b"GET /" + b"a" * 300_000, b"GET /" + b"%41" * 100_000, b"GET /ping HTTP/1.1\r\nHost: " + b"a" * 400_000,
    b"GET /ping HTTP/1.1\r\n" + HOST + b"X: y\r\n" * 20_000, b"GET /ping HTTP/1.1\r\n" + HOST + b"A:\r\n" * 60_000,
    b"GET /ping HTTP/1.1\r\n" + HOST + b"X" * 300_000 + b": y\r\n\r\n",
    POST + b"Transfer-Encoding: chunked\r\n\r\n1;" + b"x" * 4_000_000, POST + b"Transfer-Encoding: chunked\r\n\r\n0\r\n" + b"X: y\r\n" * 700_000,
    POST + b"Transfer-Encoding: chunked\r\n\r\n" + b"0" * 4_000_000,
], ids=["target", "escapes", "host", "fields", "empty-fields", "name", "extension", "trailers", "zeros"])  # fmt: skip
def test_bombs(site: FakeSite, bomb: bytes) -> None:
    """Whatever is sent without an end is refused with a reason."""
    client = site.client().send(bomb)
    assert client.reply().status in (400, 414, 431)
    assert not client.is_open
    assert site.model.bodies == []
    assert site.client().send(GOOD[0]).reply().status == 200


def test_many_tiny_chunks(make_site: MakeSite) -> None:
    """Chunks of a byte cost no more than their bytes, and the limit on the body counts."""
    site = make_site(limits=Limits(body_bytes=150_000), budget_bytes=1 << 22)
    client = site.client().send(POST + b"Transfer-Encoding: chunked\r\n\r\n" + b"1\r\nx\r\n" * 100_000 + b"0\r\n\r\n")
    assert client.reply().body == b"x" * 100_000
    assert site.client().send(POST + b"Transfer-Encoding: chunked\r\n\r\n" + b"1\r\nx\r\n" * 200_000 + b"0\r\n\r\n").reply().status == 413


@pytest.mark.parametrize("dripped", [
    b"GET /ping HTTP/1.1\r\nHost: a\r\nX: ", POST + b"Content-Length: 1000000\r\n\r\n", POST + b"Transfer-Encoding: chunked\r\n\r\nf4240;",
    POST + b"Transfer-Encoding: chunked\r\n\r\nf4240\r\n", POST + b"Transfer-Encoding: chunked\r\n\r\n0\r\nX: ", b"\r\n",
], ids=["head", "body", "chunk-extension", "chunk", "trailer", "empty-lines"])  # fmt: skip
def test_slow_clients_of_every_kind(make_site: MakeSite, dripped: bytes) -> None:
    """A byte every half second buys no more than the limits of time, in every part of a request and behind good ones."""
    limits = Limits(header_timeout_s=5, body_timeout_s=6, idle_timeout_s=7, linger_s=1)
    site = make_site(limits=limits, budget_bytes=1 << 22)
    for before in BEFORE:
        client = warmed(site, before).send(dripped)
        for _ in range(30):
            client.send(b"\r\n" if dripped == b"\r\n" else b"1").wait(0.5, 0.5)
        assert client.transport.is_lost
        assert [reply.status for reply in client.replies()] in ([408], [])
        assert site.client().send(GOOD[0]).reply().status == 200


def test_invitations_are_not_wasted(make_site: MakeSite) -> None:
    """A client that expects 100 and never sends is refused in time, costs no handler, and gives its memory back."""
    site = make_site(limits=Limits(body_timeout_s=5, linger_s=1), budget_bytes=1 << 21)
    clients = [site.client().send(POST + b"Expect: 100-continue\r\nContent-Length: 1000000\r\n\r\n") for _ in range(4)]
    assert [client.raw for client in clients] == [b"HTTP/1.1 100 Continue\r\n\r\n"] * 2 + [b""] * 2, "memory for two of them"
    for client in clients:
        client.wait(20)
    assert site.model.bodies == []
    assert site.budget.used == 0


def test_many_cuts_do_not_matter(figure: Report) -> None:
    """Messages behind each other, behind good ones, in any packets: the same replies, byte for byte but for their ids, and all memory back."""
    site, tried = FakeSite(limits=SMALL, model=FakeModel(handler=echo)), 0

    @settings(max_examples=120, deadline=None, derandomize=True)
    @given(
        names=st.lists(st.sampled_from(sorted(EVERYTHING)), min_size=1, max_size=4), cuts=st.lists(st.integers(0, 2000), max_size=10),
        before=st.sampled_from(sorted(BEFORE)),
    )  # fmt: skip
    def attack(names: list[str], cuts: list[int], before: str) -> None:
        nonlocal tried
        tried += 1
        data = b"".join(EVERYTHING[name][:600] for name in names)
        assert after(site, before, data, sorted(cut for cut in cuts if cut < len(data))) == after(site, before, data, [])
        assert site.is_clean()

    attack()
    figure(Figure("good and bad messages, cut anywhere", sent=tried, right=tried))
    assert tried > 50


def test_hidden_is_what_it_should_be(site: FakeSite) -> None:
    """The request that hides behind attacks would be answered and logged if it were not hidden."""
    site.client().send(HIDDEN).reply()
    assert any("hidden" in line for line in site.log.lines)
