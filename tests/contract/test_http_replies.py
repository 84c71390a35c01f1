"""What a reply consists of, whatever a handler, a client or the configuration puts into it."""

from __future__ import annotations

import json

import pytest

from argosy.errors import ArgosyError, ErrorCode
from argosy.messages import Response
from argosy.protocols.endpoint import Call, HttpReply
from argosy.testing.http import FakeDialect, FakeModel, FakeSite, Reply

from .conftest import MakeSite

HOST = b"Host: a\r\n"
CORS = (("access-control-allow-origin", "http://a"), ("access-control-allow-methods", "GET, PUT"))


def ask(site: FakeSite, method: bytes = b"POST", headers: bytes = b"") -> Reply:
    """The reply to a prediction."""
    client = site.client().send(method + b" /predictions/echo HTTP/1.1\r\n" + HOST + headers + b"Content-Length: 0\r\n\r\n")
    (reply,) = client.replies([0] if method == b"HEAD" else [])
    return reply


def answered(make_site: MakeSite, response: Response, method: bytes = b"POST", cors: tuple[tuple[str, str], ...] = ()) -> Reply:
    """The reply to a prediction that the handler answers so."""
    return ask(make_site(model=FakeModel(handler=lambda _: response), cors=cors), method)


def test_head_of_a_prediction_has_no_body(make_site: MakeSite) -> None:
    """HEAD gets the headers of the answer, its length too, and no byte of it; the connection goes on."""
    reply = answered(make_site, Response(200, b"hello"), b"HEAD")
    assert (reply.status, reply.header("content-length"), reply.header("connection"), reply.body) == (200, "5", "keep-alive", b"")


def test_head_of_a_call_has_no_body(site: FakeSite) -> None:
    """So does the server itself, and the next reply begins where it should."""
    ping = b"/ping HTTP/1.1\r\n" + HOST + b"\r\n"
    first, second = site.client().send(b"HEAD " + ping + b"GET " + ping).replies([0])
    assert (first.header("content-length"), first.body, second.body) == ("22", b"", b'{"status": "Healthy"}\n')


@pytest.mark.parametrize("status", [204, 304])
def test_status_without_a_body(make_site: MakeSite, status: int) -> None:
    """These have neither a body nor a length, even if the handler returned one."""
    reply = answered(make_site, Response(status, b"ignored"))
    assert (reply.status, reply.header("content-length"), reply.header("connection")) == (status, None, "keep-alive")


@pytest.mark.parametrize("status", [200, 201, 302, 400, 418, 507, 599, 999])
def test_status_of_a_handler(make_site: MakeSite, status: int) -> None:
    """A handler chooses any final status and its phrase; from 400 on the connection ends."""
    reply = answered(make_site, Response(status, b"x", "As Told"))
    assert (reply.status, reply.phrase, reply.body) == (status, "As Told", b"x")
    assert reply.header("connection") == ("keep-alive" if status < 400 else "close")


@pytest.mark.parametrize("status", [-1, 0, 100, 101, 199, 1000])
def test_status_that_cannot_be_sent(make_site: MakeSite, status: int) -> None:
    """An interim status, or none, would break the connection: the handler's output is bad."""
    reply = answered(make_site, Response(status, b"x"))
    assert reply.status == 503
    assert str(status) in json.loads(reply.body)["message"]


@pytest.mark.parametrize(("phrase", "sent"), [
    ("", ""), ("Fine", "Fine"), ("a\r\nX: y", "a  X: y"), ("a\nb\0c\x7f", "a b c "), ("h\xe9", "h\xe9"), ("snow \u2603", "snow ?"), ("\u2028", " "),
])  # fmt: skip
def test_phrase_of_a_handler(make_site: MakeSite, phrase: str, sent: str) -> None:
    """A phrase stays in its line: control characters become blanks, what HTTP cannot spell a question mark."""
    reply = answered(make_site, Response(201, b"", phrase))
    assert (reply.phrase, len(reply.headers)) == (sent, 6)


def test_headers_of_a_handler(make_site: MakeSite) -> None:
    """They come first, in order and as spelled, repeated ones too; those that the server sets itself are left out."""
    headers = [("X-One", "1"), ("Content-Type", "text/x"), ("X-One", "2\t\xe9"), ("Content-Length", "99"), ("connection", "close"),
               ("Transfer-Encoding", "chunked"), ("X-Request-Id", "fake"), ("Expires", "never"), ("X-Empty", "")]  # fmt: skip
    reply = answered(make_site, Response(200, b"abc", headers=headers))
    assert reply.headers[:4] == (("x-one", "1"), ("content-type", "text/x"), ("x-one", "2\t\xe9"), ("x-empty", ""))
    assert [name for name, _ in reply.headers[4:]] == ["x-request-id", "pragma", "cache-control", "expires", "content-length", "connection"]
    assert (reply.header("content-length"), reply.header("connection"), reply.body) == ("3", "keep-alive", b"abc")


def test_answers_with_other_headers_in_turn(make_site: MakeSite) -> None:
    """What is remembered of one answer's headers never comes with another's, also when the server begins to close connections."""
    site = make_site(model=FakeModel())
    client = site.client()
    choices: list[list[tuple[str, str]] | None] = [None, [("X", "1")], [("X", "2")], None, [("X", "1")], [("X", "1"), ("X", "1")], [("x", "1")], []]
    for number, headers in enumerate(choices * 3):
        client.send(b"POST /predictions/echo HTTP/1.1\r\n" + HOST + b"Content-Length: 1\r\n\r\nx")
        site.model.answer(Response(200, b"%d" % number, headers=headers))
        (reply,) = client.replies()
        sent = reply.headers[: [name for name, _ in reply.headers].index("x-request-id")]
        assert (sent, reply.body) == (tuple((name.lower(), value) for name, value in headers or ()), b"%d" % number)
        assert reply.header("connection") == "keep-alive"
    client.send(b"POST /predictions/echo HTTP/1.1\r\n" + HOST + b"Content-Length: 1\r\n\r\nx")
    site.site.drain()
    site.model.answer(Response(200, b"last", headers=[("X", "1")]))
    reply = client.reply()
    assert (reply.header("x"), reply.header("connection"), client.is_open) == ("1", "close", False)


@pytest.mark.parametrize(("name", "value"), [
    ("X", "a\r\nSet-Cookie: evil=1"), ("X", "a\r\n\r\nHTTP/1.1 200 OK"), ("X", "a\nb"), ("X", "a\rb"), ("X", "a\0b"), ("X", "a\x7f"), ("X", "\u2603"),
    ("X\r\nY", "a"), ("X Y", "a"), ("X:", "a"), ("", "a"), ("X\n", "a"), ("\xe9", "a"),
])  # fmt: skip
def test_headers_that_cannot_be_sent(make_site: MakeSite, name: str, value: str) -> None:
    """A header with a line break, or anything else that would be read as something else, fails the request; nothing of it is sent."""
    reply = answered(make_site, Response(200, b"abc", headers=[(name, value)]))
    assert reply.status == 503
    assert "evil" not in str(reply.headers)
    assert "cannot be sent" in json.loads(reply.body)["message"]


def test_large_answer(make_site: MakeSite) -> None:
    """An answer of any size arrives whole."""
    body = bytes(range(256)) * 2000
    assert answered(make_site, Response(200, body)).body == body


@pytest.mark.parametrize("response", [Response(200, b"x"), Response(404, b""), Response(204, b"")])
def test_cors(make_site: MakeSite, response: Response) -> None:
    """Configured CORS headers are on every reply, behind the request id, with or without an Origin."""
    reply = answered(make_site, response, cors=CORS)
    names = [name for name, _ in reply.headers]
    assert names[names.index("x-request-id") + 1 :][:2] == [name for name, _ in CORS]
    assert reply.header("access-control-allow-origin") == "http://a"


def test_cors_of_a_handler(make_site: MakeSite) -> None:
    """What the handler sets itself is not set again."""
    reply = answered(make_site, Response(200, b"x", headers=[("Access-Control-Allow-Origin", "http://mine")]), cors=CORS)
    assert reply.header("access-control-allow-origin") == "http://mine"
    assert reply.header("access-control-allow-methods") == "GET, PUT"


def test_cors_on_refusals(make_site: MakeSite) -> None:
    """Refused requests and replies of the server have them too."""
    site = make_site(cors=CORS)
    for data in (b"GET /ping HTTP/1.1\r\n\r\n", b"garbage\r\n\r\n", b"GET /ping HTTP/1.1\r\n" + HOST + b"\r\n"):
        assert site.client().send(data).reply().header("access-control-allow-origin") == "http://a"


@pytest.mark.parametrize("id", [
    b"a", b"x" * 128, b"Root=1-67891233-abcdef012345678912345678", b"6ba7b810-9dad-11d1-80b4-00c04fd430c8", b"a.b_c:d/e+f=",
])  # fmt: skip
def test_request_id_is_kept(make_site: MakeSite, id: bytes) -> None:
    """A well-formed id of the client comes back and reaches the handler; the next request without one gets its own."""
    site = make_site(model=FakeModel())
    head = b"POST /predictions/echo HTTP/1.1\r\n" + HOST
    client = site.client().send(head + b"X-Request-ID: " + id + b"\r\nContent-Length: 0\r\n\r\n" + head + b"Content-Length: 0\r\n\r\n")
    assert site.model.jobs[0].id == id
    for _ in range(2):
        site.model.answer(Response(200, b""))
        client.pump()
    first, second = client.replies()
    assert first.header("x-request-id") == id.decode()
    assert len(second.header("x-request-id") or "") == 36


@pytest.mark.parametrize("id", [b"", b"x" * 129, b"a b", b'a"b', b"a\xe9", b"a\tb", b"a,b", b"<script>"])
def test_request_id_is_replaced(site: FakeSite, id: bytes) -> None:
    """Any other is replaced: it goes into logs and headers."""
    assert len(ask(site, headers=b"X-Request-ID: " + id + b"\r\n").header("x-request-id") or "") == 36


def test_failures_of_a_prediction(make_site: MakeSite) -> None:
    """A failure is written in the words of the dialect, with the request id and a closed connection."""
    site = make_site(model=FakeModel(handler=lambda _: ArgosyError(ErrorCode.WORKER_DIED, "Worker died.")))
    reply = ask(site, headers=b"x-request-id: one\r\n")
    assert (reply.status, reply.phrase, reply.header("connection")) == (500, "Internal Server Error", "close")
    assert (reply.header("x-request-id"), reply.header("content-type")) == ("one", "application/json")
    assert json.loads(reply.body) == {"code": 500, "type": "InternalServerException", "message": "Worker died."}


@pytest.mark.parametrize(("target", "status"), [
    (b"/ping", 200), (b"/%70ing", 200), (b"/p%69ng?x=%zz", 200), (b"http://a/ping", 200), (b"HTTP://a:80/ping", 200), (b"https://u@a/ping", 200),
    (b"/pin%g", 400), (b"/ping%", 400), (b"/ping%7", 400), (b"/ping%g7", 400), (b"/%ff", 400), (b"/%2570ing", 404), (b"//ping", 404), (b"/PING", 404),
    (b"ftp://a/ping", 400), (b"http://a", 404), (b"http://a?ping", 404), (b"/ping%00", 404), (b"/..%2fping", 404), (b"*", 404), (b"/ping#x", 404),
])  # fmt: skip
def test_targets(site: FakeSite, target: bytes, status: int) -> None:
    """Paths are decoded once and strictly, as UTF-8; an absolute target is the same as its path."""
    assert site.client().send(b"GET " + target + b" HTTP/1.1\r\n" + HOST + b"\r\n").reply().status == status


def test_options_for_the_server(site: FakeSite) -> None:
    """`OPTIONS *` reaches the dialect like any path."""
    assert site.client().send(b"OPTIONS * HTTP/1.1\r\n" + HOST + b"\r\n").reply().status == 404


def test_unknown_model(site: FakeSite) -> None:
    """A model that is not there is found out before the job is made."""
    reply = site.client().send(b"GET /predictions/other HTTP/1.1\r\n" + HOST + b"\r\n").reply()
    assert (reply.status, json.loads(reply.body)["message"]) == (404, "Model not found: other")


def test_models_come_and_go(make_site: MakeSite) -> None:
    """A head that comes again is looked up again when the models have changed."""
    site = make_site()
    client = site.client()
    request = b"POST /predictions/%s HTTP/1.1\r\n" + HOST + b"Content-Length: 0\r\n\r\n"
    assert client.send(request % b"echo").reply().status == 200
    site.registry.add(FakeModel("two", handler=lambda _: Response(200, b"first"), arena_size=0))
    assert [client.send(request % name).reply().status for name in (b"echo", b"two", b"two")] == [200, 200, 200]
    site.registry.remove("two")
    site.registry.add(FakeModel("two", handler=lambda _: Response(200, b"second"), arena_size=0))
    assert client.send(request % b"two").reply().body == b"second"
    site.registry.remove("two")
    assert client.send(request % b"two").reply().status == 404


def test_same_head_again(make_site: MakeSite) -> None:
    """A head that comes again byte for byte means the same; a change of method, target, version or any field is seen."""
    site = make_site(model=FakeModel())
    client = site.client()
    base = b"POST /predictions/echo?a HTTP/1.1\r\n" + HOST + b"X: 1\r\nContent-Length: 1\r\n\r\n"
    variants = [base, base, base.replace(b"X: 1", b"X: 2"), base, base.replace(b"?a", b"?b"), base.replace(b"POST", b"PUT"), base]
    seen = []
    for number, head in enumerate(variants):
        client.send(head + b"%d" % number)
        seen.append((site.model.jobs[0].headers, bytes(site.model.jobs[0].body or b"")))
        site.model.answer(Response(200, b""))
        assert client.reply().status == 200
    fields = [b"\0".join([b"Host", b"a", b"X", b"2" if number == 2 else b"1", b"Content-Length", b"1"]) for number in range(7)]
    assert seen == [(fields[number], b"%d" % number) for number in range(7)]
    assert [line.split('"')[1] for line in site.log.lines] == [head.split(b"\r\n")[0].decode() for head in variants]


def test_access_log(make_site: MakeSite) -> None:
    """One line for each reply: peer with whom its certificate names, request line, status, milliseconds; also for what could not be read."""
    site = make_site(model=FakeModel())
    client = site.client(peer=("2001:db8::1", 5, 0, 0)).send(b"POST /predictions/echo?a=%0A HTTP/1.1\r\n" + HOST + b"Content-Length: 0\r\n\r\n")
    site.loop.advance(0.25)
    site.model.answer(Response(201, b"x"))
    client.send(b"GET /" + b"x" * 5000 + b" HTTP/1.1\r\n\r\n")
    site.client(peer="").send(b"\0")
    site.client(peer="", certificate={"subject": ((("commonName", "client a"),),)}).send(b"GET /ping HTTP/1.0\r\n\r\n")
    assert site.log.lines == [
        '/2001:db8::1:5 "POST /predictions/echo?a=%0A HTTP/1.1" 201 250',
        '/2001:db8::1:5 "GET /' + "x" * 1023 + ' HTTP/1.1" 400 0',
        '0.0.0.0 "GET / HTTP/1.1" 400 0',
        '0.0.0.0 [client a] "GET /ping HTTP/1.0" 200 0',
    ]


def test_counters(make_site: MakeSite) -> None:
    """Replies are counted by the class of their status."""
    site = make_site(model=FakeModel())
    for status in (200, 204, 302, 404, 500, 503):
        site.client().send(b"GET /predictions/echo HTTP/1.1\r\n" + HOST + b"\r\n")
        site.model.answer(Response(status, b""))
    counters = site.counters
    assert (counters.successful, counters.redirected, counters.client_errors, counters.server_errors) == (2, 1, 1, 2)


def test_reply_without_a_content_type(make_site: MakeSite) -> None:
    """A reply of the server may carry headers and a phrase of its own, and no content type."""
    dialect = FakeDialect()
    dialect.calls["/x"] = Call(lambda _: HttpReply(200, b"", None, (("Allow", "GET"),), "As Told"))
    reply = make_site(dialect=dialect).client().send(b"GET /x HTTP/1.1\r\n" + HOST + b"\r\n").reply()
    assert (reply.phrase, reply.header("allow"), reply.header("content-type")) == ("As Told", "GET", None)
