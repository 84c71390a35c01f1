"""Several clients that do anything in any order: whatever happens, replies stay well-formed and all memory comes back."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from argosy.errors import ArgosyError, ErrorCode
from argosy.frontend.limits import Limits
from argosy.messages import Response
from argosy.testing.http import FakeClient, FakeModel, FakeSite, read_replies

POST = b"POST /predictions/echo HTTP/1.1\r\nHost: a\r\n"
LIMITS = Limits(
    arena_bytes=100, body_bytes=1500, head_bytes=300, target_bytes=200, header_timeout_s=5, body_timeout_s=5, idle_timeout_s=20, connections=3
)
REQUESTS = (
    b"GET /ping HTTP/1.1\r\nHost: a\r\n\r\n",
    POST + b"Content-Length: 3\r\n\r\nabc",
    POST + b"Content-Length: 150\r\n\r\n" + b"x" * 150,
    POST + b"Content-Length: 700\r\n\r\n" + b"y" * 700,
    POST + b"Expect: 100-continue\r\nContent-Length: 900\r\n\r\n" + b"z" * 900,
    POST + b"Connection: close\r\nContent-Length: 200\r\n\r\n" + b"x" * 200,
    POST + b"Connection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 300\r\n\r\n" + b"x" * 300,
    POST + b"Transfer-Encoding: chunked\r\n\r\n" + b"64\r\n%s\r\n" % (b"x" * 100) * 6 + b"0\r\nX: y\r\n\r\n",
    POST + b"Content-Length: 1001\r\n\r\n" + b"x" * 1001,
    POST + b"Content-Length: 1501\r\n\r\n",
    b"POST /show HTTP/1.1\r\nHost: a\r\nContent-Length: 400\r\n\r\n" + b"s" * 400,
    POST + b"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 200\r\n\r\n" + b"a=%41&" * 33 + b"b=",
    b"\0",
)
_STEPS = st.one_of(
    st.tuples(st.just("send"), st.integers(0, 2), st.integers(0, len(REQUESTS) - 1), st.integers(1, 1200)),
    st.tuples(st.just("more"), st.integers(0, 2), st.just(0), st.integers(1, 1200)),
    st.tuples(st.just("answer"), st.integers(0, 9), st.sampled_from([200, 204, 404, 0]), st.sampled_from([0, 10, 70_000])),
    st.tuples(st.sampled_from(["leave", "finish", "stick", "read", "drain"]), st.integers(0, 2), st.just(0), st.just(0)),
    st.tuples(st.just("wait"), st.just(0), st.just(0), st.sampled_from([1, 6, 21])),
)


class Story:
    """Three clients of one listener whose memory holds one large body, and what they still have to send."""

    def __init__(self) -> None:
        self.site = FakeSite(limits=LIMITS, budget_bytes=1000, model=FakeModel())
        self.clients: list[FakeClient | None] = [None] * 3
        self.unsent = [b""] * 3

    def client(self, index: int) -> FakeClient:
        """That client, who comes back if it has left."""
        found = self.clients[index]
        if found is None or found.transport.is_lost:
            self.unsent[index] = b""
            found = self.clients[index] = self.site.client()
        return found

    def step(self, what: str, index: int, choice: int, amount: int) -> None:
        """Do one thing."""
        if what in ("send", "more"):
            client = self.client(index)
            self.unsent[index] += REQUESTS[choice] if what == "send" else b""
            piece, self.unsent[index] = self.unsent[index][:amount], self.unsent[index][amount:]
            client.send(piece)
        elif what == "answer":
            self.answer(index, choice, amount)
        elif what == "wait":
            self.site.loop.advance(amount)
            for connection in tuple(self.site.listener._connections):
                connection.sweep(self.site.loop.now)
        elif what == "drain":
            for connection in tuple(self.site.listener._connections):
                connection.drain()
        else:
            self.behave(what, self.client(index))
        for known in self.clients:
            if known is not None and not known.transport.is_lost:
                known.pump()

    def answer(self, index: int, status: int, size: int) -> None:
        """Settle one of the waiting jobs."""
        jobs = self.site.model.jobs
        if jobs:
            outcome = Response(status, b"r" * size) if status else ArgosyError(ErrorCode.NO_WORKER, "busy")
            self.site.model.answer(outcome, index % len(jobs))
            self.site.loop.run()

    def behave(self, what: str, client: FakeClient) -> None:
        """What a client does besides sending."""
        if what == "leave":
            client.leave()
        elif what == "finish":
            client.finish()
        elif what == "stick":
            client.transport.stuck = True
        else:
            client.transport.read_on()

    def check(self) -> None:
        """Memory is within its bounds, and what was sent so far is well-formed."""
        assert 0 <= self.site.budget.used <= self.site.budget.total
        assert self.site.loop.failures == []
        for client in self.clients:
            if client is not None:
                read_replies(bytes(client.transport.sent))

    def end(self) -> None:
        """Every job is settled, and every client leaves."""
        while self.site.model.jobs:
            self.answer(0, 200, 1)
        for client in self.clients:
            if client is not None:
                client.leave()
        while self.site.model.jobs:
            self.answer(0, 200, 1)
        self.check()
        assert self.site.is_clean(), (self.site.budget, self.site.model.arena)
        assert repr(self.site.budget).endswith(" 0 waiting>")
        assert self.site.counters.connections == 0
        self.site.close()


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.lists(_STEPS, max_size=40))
def test_nothing_is_lost(steps: list[tuple[str, int, int, int]]) -> None:
    """After any story all memory is back, nobody waits for it any more, and no callback has failed."""
    story = Story()
    for step in steps:
        story.step(*step)
        story.check()
    story.end()


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.lists(st.sampled_from(range(7)), min_size=1, max_size=6), st.lists(st.integers(1, 4000), max_size=6))
def test_everything_is_answered(choices: list[int], cuts: list[int]) -> None:
    """Good requests of one client, in any packets, all get their reply in order as long as its connection goes on; large ones wait for memory."""
    site = FakeSite(limits=LIMITS, budget_bytes=1000, model=FakeModel())
    data = b"".join(REQUESTS[choice] for choice in choices)
    client = site.client().send_split(data, [cut for cut in cuts if cut < len(data)])
    while site.model.jobs:
        site.model.answer(Response(200, site.model.bodies[-1][:1]))
        client.pump()
    last = next((at for at, choice in enumerate(choices) if choice in (5, 6)), len(choices) - 1)
    replies = [reply for reply in client.replies() if reply.status >= 200]
    expected = [b'{"status": "Healthy"}\n' if choice == 0 else b"_axyzxx"[choice : choice + 1] for choice in choices[: last + 1]]
    assert [reply.body for reply in replies] == expected
    assert site.is_clean()
    site.close()
