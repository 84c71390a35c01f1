"""Messages from attackers, and the same messages cut into any packets."""

from __future__ import annotations

import h11
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from argosy.frontend.limits import Limits
from argosy.testing.http import FakeModel, FakeSite, echo

from .conftest import MakeSite, Outcome, outcome
from .malformed import MALFORMED, MORE_SMUGGLING, SMUGGLING, VALID

EVERYTHING = {**MALFORMED, **SMUGGLING, **MORE_SMUGGLING, **{name: data for name, (data, _) in VALID.items()}}
SMALL = Limits(arena_bytes=8, body_bytes=1000, head_bytes=2000, target_bytes=1000)
"""Bodies of eight bytes are large here, so that few bytes reach every branch."""


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_messages_are_refused(site: FakeSite, name: str) -> None:
    """Each is answered with 4xx or 505 and the connection ends; the server goes on."""
    client = site.client().send(MALFORMED[name])
    reply = client.reply()
    assert 400 <= reply.status < 500 or reply.status == 505
    assert reply.header("connection") == "close"
    assert not client.is_open
    assert site.model.bodies == []
    assert site.client().send(VALID["get"][0]).reply().status == 200


@pytest.mark.parametrize("name", [*SMUGGLING, *MORE_SMUGGLING])
def test_smuggled_requests_are_never_answered(site: FakeSite, name: str) -> None:
    """What could be read in two ways is refused at its first doubt: there is one reply, and nothing after it."""
    client = site.client().send(EVERYTHING[name])
    reply = client.reply()
    assert reply.status in (400, 501)
    assert not client.is_open
    assert site.model.bodies == []
    assert not any("hidden" in line for line in site.log.lines)


@pytest.mark.parametrize("name", VALID)
def test_valid_messages_are_answered(site: FakeSite, name: str) -> None:
    """Strictness refuses nothing that is right."""
    data, count = VALID[name]
    replies, _, _ = outcome(site, site.client(), data, [])
    assert len(replies) == count
    assert all(reply.status in (200, 404) for reply in replies)


@pytest.mark.parametrize("name", EVERYTHING)
def test_cuts_do_not_matter(make_site: MakeSite, name: str) -> None:
    """A message cut in two at any place has the same outcome, and so has one that comes byte by byte."""
    site = make_site(limits=SMALL)
    data = EVERYTHING[name][:600] if name == "method-long" else EVERYTHING[name]
    whole = outcome(site, site.client(), data, [])
    for cut in range(1, len(data)):
        assert outcome(site, site.client(), data, [cut]) == whole, data[:cut]
    assert outcome(site, site.client(), data, list(range(1, len(data)))) == whole
    assert site.is_clean()


class Workbench:
    """One listener for many examples."""

    def __init__(self) -> None:
        self.site = FakeSite(limits=SMALL, model=FakeModel(handler=echo))

    def outcome(self, data: bytes, cuts: list[int]) -> Outcome:
        """See `outcome`."""
        found = outcome(self.site, self.site.client(), data, cuts)
        assert self.site.is_clean()
        assert self.site.counters.connections == 0
        return found


@pytest.fixture(scope="module")
def bench() -> Workbench:
    """See `Workbench`."""
    return Workbench()


_PIECE = st.one_of(
    st.sampled_from([
        b"GET /ping HTTP/1.1\r\n", b"POST /predictions/echo HTTP/1.1\r\n", b"POST /predictions/echo HTTP/1.0\r\n", b"Host: a\r\n", b"\r\n",
        b"Content-Length: 3\r\n", b"Content-Length: 9\r\n", b"Transfer-Encoding: chunked\r\n", b"Connection: close\r\n", b"X: y\r\n",
        b"Connection: keep-alive\r\n", b"Connection: Upgrade\r\nUpgrade: h2c\r\n", b"Expect: 100-continue\r\n", b"abc", b"123456789", b"0\r\n\r\n",
        b"3\r\nabc\r\n", b"9;x=y\r\n123456789\r\n", b"Content-Type: application/x-www-form-urlencoded\r\n", b"--b--\r\n",
        b"Content-Type: multipart/form-data; boundary=b\r\n", b" ", b"\n", b":", b"\0",
    ]),
    st.binary(max_size=4),
)  # fmt: skip
_MESSAGES = st.one_of(
    st.lists(_PIECE, max_size=12).map(b"".join),
    st.lists(st.sampled_from(sorted(EVERYTHING.values(), key=bytes)), max_size=4).map(b"".join),
)


@settings(max_examples=400, deadline=None, derandomize=True)
@given(data=_MESSAGES, cuts=st.lists(st.integers(0, 1000), max_size=8))
def test_any_bytes_in_any_packets(bench: Workbench, data: bytes, cuts: list[int]) -> None:
    """Whatever comes, its packets do not change the replies, each reply is well-formed, and all memory is given back."""
    assert bench.outcome(data, [cut % (len(data) + 1) for cut in cuts]) == bench.outcome(data, [])


def by_h11(data: bytes) -> list[bytes] | None:
    """The bodies of the requests that h11 reads in `data` up to the first that ends the connection; None if it refuses."""
    peer = h11.Connection(h11.SERVER, max_incomplete_event_size=1 << 20)
    peer.receive_data(data)
    bodies: list[bytes] = []
    try:
        while True:
            event = peer.next_event()
            if isinstance(event, h11.Request):
                bodies.append(b"")
            elif isinstance(event, h11.Data):
                bodies[-1] += event.data
            elif isinstance(event, h11.EndOfMessage):
                peer.send(h11.Response(status_code=200, headers=[("content-length", "0")]))
                peer.send(h11.EndOfMessage())
                if peer.our_state is h11.MUST_CLOSE:
                    return bodies
                peer.start_next_cycle()
            else:
                return bodies
    except h11.RemoteProtocolError:
        return None


_OTHERWISE = frozenset({"upgrade", "upgrade-chunked", "not-found", "two-blanks", "http-1.0-kept", "form"})
"""Where h11 stops early, refuses what is harmless, or knows nothing of the content."""


@pytest.mark.parametrize("name", sorted(set(EVERYTHING) - _OTHERWISE))
def test_another_parser_agrees(site: FakeSite, name: str) -> None:
    """What is accepted here is accepted by h11 too, with the same bodies; it is we who may be stricter."""
    replies, bodies, _ = outcome(site, site.client(), EVERYTHING[name], [])
    if all(reply.status < 400 or reply.status == 404 for reply in replies):
        theirs = by_h11(EVERYTHING[name])
        assert theirs is not None
        assert len(theirs) == len(replies)
        assert [body for body in theirs if body] == [body for body in bodies if body]


@settings(max_examples=400, deadline=None, derandomize=True)
@given(data=_MESSAGES)
def test_another_parser_agrees_on_any_bytes(bench: Workbench, data: bytes) -> None:
    """The same for random messages that are not refused here and hold nothing of `_OTHERWISE`."""
    replies, bodies, is_open = bench.outcome(data, [])
    if not replies or any(reply.status >= 400 for reply in replies) or any(word in data for word in (b"pgrade", b"form", b"  /", b"1.0")):
        return
    theirs = by_h11(data)
    assert theirs is not None
    if is_open:
        theirs = theirs[: len(replies)]
    assert len(theirs) == len(replies)
    assert [body for body in theirs if body][: len(bodies)] == [body for body in bodies if body]
