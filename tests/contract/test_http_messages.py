"""Bytes in, bytes out: how requests follow each other on a connection, and where their bodies begin and end."""

from __future__ import annotations

import json
import re

import pytest

from argosy.errors import ArgosyError, ErrorCode
from argosy.frontend.limits import Limits
from argosy.messages import Response
from argosy.protocols.endpoint import Action, Call, HttpReply, HttpRequest
from argosy.testing.http import FakeDialect, FakeModel, FakeSite

from .conftest import MakeSite

HOST = b"Host: a\r\n"
PING = b"GET /ping HTTP/1.1\r\n" + HOST + b"\r\n"
POST = b"POST /predictions/echo HTTP/1.1\r\n" + HOST
NO_CACHE = b"Pragma: no-cache\r\nCache-Control: no-cache; no-store, must-revalidate, private\r\nExpires: Thu, 01 Jan 1970 00:00:00 UTC\r\n"
UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


def post(body: bytes, *headers: bytes) -> bytes:
    """A prediction that is answered with its own body."""
    return POST + b"".join(line + b"\r\n" for line in headers) + b"Content-Length: %d\r\n\r\n" % len(body) + body


def chunked(*chunks: bytes, last: bytes = b"0\r\n\r\n", headers: bytes = b"") -> bytes:
    """The same with a chunked body."""
    return POST + headers + b"Transfer-Encoding: chunked\r\n\r\n" + b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks) + last


def test_head_of_a_prediction(site: FakeSite) -> None:
    """A prediction has an empty phrase and exactly these headers in this order."""
    client = site.client().send(post(b"abc", b"x-request-id: one"))
    assert client.raw == (
        b"HTTP/1.1 200 \r\nx-request-id: one\r\n" + NO_CACHE + b"content-length: 3\r\nconnection: keep-alive\r\n\r\nabc"
    )


def test_head_of_a_reply_of_the_server(site: FakeSite) -> None:
    """A reply of the server itself starts with its phrase and content type."""
    client = site.client().send(PING.replace(b"\r\n\r\n", b"\r\nx-request-id: one\r\n\r\n"))
    assert client.raw == (
        b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nx-request-id: one\r\n" + NO_CACHE
        + b'content-length: 22\r\nconnection: keep-alive\r\n\r\n{"status": "Healthy"}\n'
    )  # fmt: skip


def test_connection_is_kept(site: FakeSite) -> None:
    """Requests of one connection are answered one after the other; each has a new id in the form of a UUID."""
    client = site.client()
    ids = [client.send(post(b"%d" % number)).reply().header("x-request-id") or "" for number in range(5)]
    assert len(set(ids)) == 5
    assert all(UUID.fullmatch(id) for id in ids)
    assert client.is_open
    assert site.model.bodies == [b"%d" % number for number in range(5)]


@pytest.mark.parametrize("line", [b"Connection: close", b"connection: CLOSE", b"Connection: foo, close"])
def test_connection_close(site: FakeSite, line: bytes) -> None:
    """A client that asks for it gets `connection: close`, and what it sends afterwards is ignored."""
    client = site.client().send(post(b"last", line) + PING, PING)
    reply = client.reply()
    assert (reply.status, reply.header("connection"), reply.body) == (200, "close", b"last")
    assert client.transport.closing
    assert len(site.model.bodies) == 1


def test_http_1_0(site: FakeSite) -> None:
    """HTTP/1.0 needs no Host, gets its answer from HTTP/1.1, and the connection ends."""
    client = site.client().send(b"GET /ping HTTP/1.0\r\n\r\n" + PING)
    assert client.reply().header("connection") == "close"
    assert client.transport.closing


def test_http_1_0_keep_alive(site: FakeSite) -> None:
    """HTTP/1.0 may ask to keep the connection; the same head in HTTP/1.1 still needs its Host."""
    client = site.client()
    for _ in range(2):
        client.send(b"POST /predictions/echo HTTP/1.0\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\nx")
        assert client.reply().header("connection") == "keep-alive"
    client.send(b"POST /predictions/echo HTTP/1.1\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\nx")
    assert client.reply().status == 400


def test_empty_lines_before_a_request(site: FakeSite) -> None:
    """Line breaks between requests do not matter."""
    assert [reply.status for reply in site.client().send(b"\r\n\r\n" + PING + b"\r\n" + PING).replies()] == [200, 200]


def test_head_line_by_line(site: FakeSite) -> None:
    """A target and headers that come in pieces are put together."""
    data = post(b"abc", b"x-request-id: a-long-one")
    client = site.client().send(*(data[at : at + 1] for at in range(len(data))))
    reply = client.reply()
    assert (reply.header("x-request-id"), reply.body) == ("a-long-one", b"abc")
    assert site.log.lines == ['/192.0.2.7:4711 "POST /predictions/echo HTTP/1.1" 200 0']


# -- pipelining ------------------------------------------------------------------------------------------------------


def test_pipelined_requests_are_answered_in_order(make_site: MakeSite) -> None:
    """The second request starts when the first is answered, though both came at once; nothing more is read until then."""
    site = make_site(model=FakeModel())
    client = site.client().send(post(b"1") + post(b"2") + post(b"3"), post(b"4"))
    assert site.model.bodies == [b"1"]
    assert client.transport.is_reading_paused
    for number in range(1, 5):
        site.model.answer(Response(200, b"answer %d" % number))
        client.pump()
        assert client.reply().body == b"answer %d" % number
    assert not client.transport.is_reading_paused
    assert client.is_open


def test_pipelined_with_an_error_in_the_middle(make_site: MakeSite) -> None:
    """A refused request is answered in its turn and ends the connection; later ones are not started."""
    site = make_site(model=FakeModel())
    bad = b"GET /ping HTTP/1.1\r\n\r\n"
    client = site.client().send(post(b"1") + bad + post(b"2"))
    assert client.raw == b""
    site.model.answer(Response(200, b"one"))
    assert [(reply.status, reply.header("connection")) for reply in client.pump().replies()] == [(200, "keep-alive"), (400, "close")]
    assert client.transport.eof_sent
    assert site.model.bodies == [b"1"]


def test_pipelined_garbage_after_a_request(make_site: MakeSite) -> None:
    """What cannot be parsed is refused after the requests before it were answered."""
    site = make_site(model=FakeModel())
    client = site.client().send(post(b"1") + post(b"2") + b"\0\0\0")
    for answer in (b"one", b"two"):
        site.model.answer(Response(200, answer))
        client.pump()
    assert [(reply.status, reply.body[:3]) for reply in client.replies()] == [(200, b"one"), (200, b"two"), (400, b'{\n ')]


def test_failure_ends_the_connection(make_site: MakeSite) -> None:
    """A reply of 400 and more closes the connection, as it always did; what was pipelined behind it is not answered."""
    site = make_site(model=FakeModel(handler=lambda _: ArgosyError(ErrorCode.NO_WORKER, "busy")))
    client = site.client().send(post(b"1") + post(b"2"))
    reply = client.reply()
    assert (reply.status, reply.header("connection"), reply.header("retry-after")) == (503, "close", "1")
    assert json.loads(reply.body)["message"] == "busy"
    assert client.transport.closing


@pytest.mark.parametrize("size", [65535, 65536, 65537, 200_000, 500_000])
def test_pipelined_large_body(make_site: MakeSite, size: int) -> None:
    """A large body behind a small request, and a request behind the large body, keep their places and bytes."""
    site = make_site(model=FakeModel())
    body = bytes(range(256)) * (size // 256 + 1)
    client = site.client().send(post(b"1") + post(body[:size]) + post(b"3"))
    for number, expected in enumerate((b"1", body[:size], b"3")):
        assert site.model.bodies[number] == expected
        site.model.answer(Response(200, b"%d" % number))
        client.pump()
    assert [reply.body for reply in client.replies()] == [b"0", b"1", b"2"]


# -- chunks ----------------------------------------------------------------------------------------------------------


def test_chunked_body(site: FakeSite) -> None:
    """Chunks are put together; their extensions and the letter case of their sizes do not matter."""
    data = POST + b"Transfer-Encoding: Chunked\r\n\r\n" + b'5;name="a b";x\r\nhello\r\n0A\r\n, world!!!\r\n000\r\n\r\n'
    assert site.client().send(data + PING).replies()[0].body == b"hello, world!!!"
    assert site.model.bodies == [b"hello, world!!!"]


def test_trailers_are_dropped(make_site: MakeSite) -> None:
    """Trailers become neither headers of the request nor of the next one."""
    site = make_site(model=FakeModel())
    trailers = b"0\r\nX-Late: 1\r\nContent-Type: text/evil\r\nx-request-id: late\r\n\r\n"
    client = site.client().send(chunked(b"abc", last=trailers, headers=b"x-request-id: early\r\n") + post(b"next"))
    job = site.model.jobs[0]
    assert (job.id, job.content_type, job.headers) == (b"early", b"", b"\0".join([b"Host", b"a", b"x-request-id", b"early",
                                                                                  b"Transfer-Encoding", b"chunked"]))  # fmt: skip
    site.model.answer(Response(200, b""))
    client.pump()
    assert b"Late" not in site.model.jobs[0].headers
    site.model.answer(Response(200, b""))


def test_many_small_chunks(make_site: MakeSite) -> None:
    """A body in tiny chunks takes memory for its bytes, not for its chunks."""
    site = make_site(model=FakeModel())
    client = site.client().send(POST + b"Transfer-Encoding: chunked\r\n\r\n", b"2\r\nab\r\n" * 100_000)
    reading = client.connection.reading
    assert reading is not None
    assert len(reading.chunks) < 10
    client.send(b"0\r\n\r\n")
    assert site.model.bodies == [b"ab" * 100_000]


def test_large_chunked_body_counts_against_the_budget(make_site: MakeSite) -> None:
    """A body without a length reserves memory as it grows and gives it back with the answer."""
    site = make_site(model=FakeModel())
    site.client().send(chunked(b"x" * 300_000))
    assert 300_000 - 65536 <= site.budget.used <= 400_000
    site.model.answer(Response(200, b""))
    assert site.budget.used == 0


# -- expectations ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [3, 100_000])
def test_expect_continue(site: FakeSite, size: int) -> None:
    """The body is asked for once the head is accepted."""
    client = site.client().send(POST + b"Expect: 100-Continue\r\nContent-Length: %d\r\n\r\n" % size)
    assert client.raw == b"HTTP/1.1 100 Continue\r\n\r\n"
    assert client.send(b"x" * size).reply().body == b"x" * size


def test_expect_continue_waits_for_its_turn(make_site: MakeSite) -> None:
    """An interim reply never comes before the reply to an earlier request."""
    site = make_site(model=FakeModel())
    client = site.client().send(post(b"1") + POST + b"Expect: 100-continue\r\nContent-Length: 1\r\n\r\n")
    assert client.raw == b""
    site.model.answer(Response(200, b"one"))
    assert [reply.status for reply in client.pump().replies()] == [200, 100]
    client.send(b"2")
    site.model.answer(Response(200, b"two"))
    assert client.reply().body == b"two"


def test_body_that_did_not_wait_for_the_invitation(site: FakeSite) -> None:
    """A client may send the body at once."""
    client = site.client().send(POST + b"Expect: 100-continue\r\nContent-Length: 1\r\n\r\nx")
    assert [reply.status for reply in client.replies()] == [100, 200]


def test_http_1_0_is_not_invited(site: FakeSite) -> None:
    """HTTP/1.0 knows no interim replies."""
    client = site.client().send(b"POST /predictions/echo HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n")
    assert client.raw == b""
    assert client.send(b"x").reply().status == 200


def test_too_large_is_said_before_the_body_is_asked_for(make_site: MakeSite) -> None:
    """A body over the limit is refused without an invitation."""
    site = make_site(limits=Limits(body_bytes=10))
    client = site.client().send(POST + b"Expect: 100-continue\r\nContent-Length: 11\r\n\r\n")
    assert client.reply().status == 413


# -- upgrades --------------------------------------------------------------------------------------------------------

UPGRADE = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n"


@pytest.mark.parametrize("data", [
    POST + UPGRADE + b"Content-Length: 11\r\n\r\nhello world",
    POST + UPGRADE + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6;x=y\r\n world\r\n0\r\nX: late\r\n\r\n",
], ids=["length", "chunked"])  # fmt: skip
def test_upgrade_is_ignored_at_every_cut(make_site: MakeSite, data: bytes) -> None:
    """A client that offers HTTP/2 is answered in HTTP/1.1 with its whole body, wherever the packets are cut; the connection then ends."""
    for cut in range(len(data)):
        site = make_site()
        client = site.client().send_split(data, [cut])
        reply = client.reply()
        assert (reply.status, reply.body, reply.header("connection")) == (200, b"hello world", "close"), cut


def test_upgrade_without_a_body(site: FakeSite) -> None:
    """A GET with an upgrade is answered like one without; what follows might be of the other protocol and is not read."""
    client = site.client().send(b"GET /ping HTTP/1.1\r\n" + HOST + UPGRADE + b"\r\n" + b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
    assert client.reply().status == 200
    assert client.transport.closing


@pytest.mark.parametrize("along", [0, 1, 70_000, 100_000])
def test_upgrade_with_a_large_body(site: FakeSite, along: int) -> None:
    """A large body behind an upgrade still goes to the arena."""
    body = b"0123456789" * 10_000
    client = site.client().send(POST + UPGRADE + b"Content-Length: 100000\r\n\r\n" + body[:along], body[along:])
    assert client.reply().body == body


def test_upgrade_with_expectation(site: FakeSite) -> None:
    """Both together."""
    client = site.client().send(POST + UPGRADE + b"Expect: 100-continue\r\nContent-Length: 3\r\n\r\n")
    assert client.reply().status == 100
    assert client.send(b"abc").reply().body == b"abc"


@pytest.mark.parametrize("framing", [b"Upgrade: h2c\r\n", b"Connection: Upgrade\r\n"])
def test_half_an_upgrade(site: FakeSite, framing: bytes) -> None:
    """Only both headers together are an upgrade; else the connection goes on."""
    client = site.client().send(POST + framing + b"Content-Length: 3\r\n\r\nabc" + PING)
    assert [reply.status for reply in client.replies()] == [200, 200]


def test_refused_upgrade(make_site: MakeSite) -> None:
    """An upgrade with a body over the limit is refused like any other."""
    site = make_site(limits=Limits(body_bytes=2))
    client = site.client().send(POST + UPGRADE + b"Content-Length: 3\r\n\r\nabc")
    assert client.reply().status == 413


def test_garbage_behind_an_upgrade(site: FakeSite) -> None:
    """The body behind an upgrade is checked like any other."""
    client = site.client().send(POST + UPGRADE + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n")
    assert client.reply().status == 400


# -- where bodies go -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("size", "in_arena"), [(99, False), (100, True), (101, True)])
@pytest.mark.parametrize("along", [0, 50, 99])
def test_arena_threshold(make_site: MakeSite, size: int, in_arena: bool, along: int) -> None:
    """Bodies from the threshold on lie in the arena, however they came; shorter ones do not."""
    site = make_site(model=FakeModel(), limits=Limits(arena_bytes=100))
    body = bytes(range(size))
    client = site.client().send(POST + b"Content-Length: %d\r\n\r\n" % size + body[:along], body[along:])
    assert (site.model.jobs[0].slot is not None) is in_arena
    assert site.model.bodies == [body]
    assert site.budget.used == (size if in_arena else 0)
    site.model.answer(Response(200, b"done"))
    assert client.reply().body == b"done"
    assert site.is_clean()


def test_full_arena(make_site: MakeSite) -> None:
    """Without room in the arena a body is kept in memory."""
    site = make_site(model=FakeModel(arena_size=65536))
    first, second = site.client().send(post(b"1" * 65536)), site.client().send(post(b"2" * 65537))
    assert [job.slot is not None for job in site.model.jobs] == [True, False]
    for client in (first, second):
        site.model.answer(Response(200, b"done"))
        assert client.reply().body == b"done"


def test_model_without_an_arena(make_site: MakeSite) -> None:
    """Where there is no shared memory, bodies are kept in memory."""
    site = make_site(model=FakeModel(arena_size=0))
    site.client().send(post(b"1" * 70_000))
    assert site.model.bodies == [b"1" * 70_000]
    site.model.answer(Response(200, b""))


def test_large_forms_are_parsed(make_site: MakeSite) -> None:
    """A form is never put into the arena: the server itself reads it."""
    site = make_site(model=FakeModel())
    site.client().send(post(b"a=" + b"1" * 70_000, b"Content-Type: application/x-www-form-urlencoded"))
    job = site.model.jobs[0]
    assert (job.slot, job.body, [(part.name, len(part.value)) for part in job.parts]) == (None, None, [("a", 70_000)])
    site.model.answer(Response(200, b""))


def test_large_body_of_a_call(site: FakeSite) -> None:
    """The server's own calls get large bodies as bytes."""
    body = b"x" * 70_000
    client = site.client().send(b"POST /show HTTP/1.1\r\n" + HOST + b"Content-Length: 70000\r\n\r\n" + body[:10], body[10:])
    assert client.reply().body == body


# -- inputs ----------------------------------------------------------------------------------------------------------


def test_query_and_form_become_parts(make_site: MakeSite) -> None:
    """Query parameters come before form fields; a broken form is the client's fault."""
    site = make_site(model=FakeModel())
    site.client().send(
        b"POST /invoke/echo?q=%20x&r HTTP/1.1\r\n" + HOST + b"Content-Type: Application/x-www-form-urlencoded\r\nContent-Length: 3\r\n\r\nf=1"
    )
    assert [(part.name, part.value) for part in site.model.jobs[0].parts] == [("q", b" x"), ("r", b""), ("f", b"1")]
    site.model.answer(Response(200, b""))
    assert site.client().send(post(b"a=%zz", b"Content-Type: application/x-www-form-urlencoded")).reply().status == 400
    assert site.client().send(b"POST /invoke/echo?a=%z HTTP/1.1\r\n" + HOST + b"Content-Length: 0\r\n\r\n").reply().status == 400


def test_call_sees_the_request(make_site: MakeSite) -> None:
    """A call gets the decoded path, the raw query, lower-case header names and the peer."""
    dialect = FakeDialect()
    site = make_site(dialect=dialect)
    site.client().send(b"POST /sh%6Fw?a=%20 HTTP/1.1\r\n" + HOST + b"X-Two: 1\r\nX-Two: 2\r\nx-request-id: me\r\nContent-Length: 1\r\n\r\n!")
    headers = {"host": "a", "x-two": "2", "x-request-id": "me", "content-length": "1"}
    assert dialect.seen == [HttpRequest("POST", "/show", "a=%20", headers, b"!", "me", "/192.0.2.7:4711")]


def test_calls_that_take_time_or_fail(make_site: MakeSite, caplog: pytest.LogCaptureFixture) -> None:
    """A call may answer later; whatever it raises, its client gets an answer and the log the reason."""

    async def later(request: HttpRequest) -> HttpReply:
        if request.body == b"known":
            raise ArgosyError(ErrorCode.CONFLICT, "taken")
        if request.body == b"bug":
            raise ValueError("secret")
        return HttpReply(202, b"later", "text/plain")

    def now(request: HttpRequest) -> HttpReply:
        raise ArgosyError(ErrorCode.CONFLICT, "taken") if request.body == b"known" else ValueError("secret")

    dialect = FakeDialect()
    dialect.calls |= {"/later": Call(later), "/now": Call(now)}
    site = make_site(dialect=dialect)

    def status(path: bytes, body: bytes) -> int:
        client = site.client().send(b"POST %s HTTP/1.1\r\n%sContent-Length: %d\r\n\r\n%s" % (path, HOST, len(body), body))
        reply = client.pump().reply()
        assert b"secret" not in reply.body
        return reply.status

    assert [status(b"/later", body) for body in (b"", b"known", b"bug")] == [202, 409, 500]
    assert [status(b"/now", body) for body in (b"known", b"bug")] == [409, 500]
    assert caplog.text.count("ValueError: secret") == 2


def test_bug_behind_a_prediction(make_site: MakeSite, caplog: pytest.LogCaptureFixture) -> None:
    """An unforeseen failure in the server is answered with 500, never with silence."""

    def fail(_: object) -> Response:
        raise RuntimeError("bug")

    site = make_site(model=FakeModel(handler=fail))
    assert site.client().send(post(b"1")).reply().status == 500
    assert site.client().send(post(b"1").replace(b"/predictions/echo", b"/invoke/echo?a")).reply().status == 500
    assert caplog.text.count("RuntimeError: bug") == 2


def test_form_without_a_boundary_is_a_body(make_site: MakeSite) -> None:
    """A multipart body that cannot be taken apart stays one input."""
    site = make_site(model=FakeModel())
    site.client().send(post(b"abc", b"Content-Type: multipart/form-data"))
    assert (site.model.bodies, list(site.model.jobs[0].parts)) == ([b"abc"], [])
    site.model.answer(Response(200, b""))


def test_server_without_an_access_log(site: FakeSite) -> None:
    """Replies need no log."""
    site.site.access = None
    assert site.client().send(PING).reply().status == 200


def test_bug_behind_a_path(make_site: MakeSite, caplog: pytest.LogCaptureFixture) -> None:
    """An unforeseen failure while a path is looked up is answered with 500 in its turn."""

    class Broken(FakeDialect):
        def route(self, method: str, path: str, query: str) -> Action:
            raise RuntimeError("bug") if path == "/bug" else LookupError

    site = make_site(dialect=Broken())
    assert site.client().send(PING.replace(b"/ping", b"/bug")).reply().status == 500
    assert "RuntimeError: bug" in caplog.text


@pytest.mark.parametrize(("data", "status", "type"), [
    (b"GET /ping HTTP/1.1\r\n\r\n", 400, "BadRequestException"),
    (b"GET /ping HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400, "BadRequestException"),
    (b"GET /ping HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n", 400, "BadRequestException"),
    (b"CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n", 405, "MethodNotAllowedException"),
    (POST + b"Expect: magic\r\nContent-Length: 0\r\n\r\n", 417, "ExpectationFailedException"),
    (POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501, "NotImplementedException"),
    (POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400, "BadRequestException"),
    (b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 501, "NotImplementedException"),
    (b"GET /ping HTTP/2.0\r\nHost: a\r\n\r\n", 505, "HttpVersionNotSupportedException"),
    (b"GET /ping\r\n\r\n", 505, "HttpVersionNotSupportedException"),
    *((b"GET /ping HTTP/%s\r\nHost: a\r\n\r\n" % version, 505, "HttpVersionNotSupportedException") for version in (b"9.9", b"1.2", b"3.0", b"0.1")),
    *((b"GET /ping HTTP/%s\r\nHost: a\r\n\r\n" % version, 400, "BadRequestException") for version in (b"1", b"1.10", b"11.1", b"1.x", b"v.1")),
    (b"GET /ping HTTP/1.1\r\nHost a\r\n\r\n", 400, "BadRequestException"),
])  # fmt: skip
def test_refusals(site: FakeSite, data: bytes, status: int, type: str) -> None:
    """Each reason to refuse a head has its status and type, and ends the connection."""
    client = site.client().send(data, PING)
    reply = client.reply()
    assert (reply.status, json.loads(reply.body)["type"], reply.header("connection")) == (status, type, "close")
    assert not client.is_open


@pytest.mark.parametrize("cut", range(1, 18))
def test_an_unknown_version_behind_a_good_request(site: FakeSite, cut: int) -> None:
    """The request before it is answered, it is refused by the same words as version 2, what follows it is not read, however its line was cut."""
    told = json.loads(site.client().send(b"GET /ping HTTP/2.0\r\nHost: a\r\n\r\n").reply().body)
    line = b"GET /ping HTTP/9.9"
    good, refused = site.client().send(PING + line[:cut], line[cut:] + b"\r\nHost: a\r\n\r\n" + PING).replies()
    assert (good.status, refused.status, json.loads(refused.body)) == (200, 505, told)
