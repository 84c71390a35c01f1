"""Tokens on the wire: who has none gets a reason before the body is read, and the model never sees one."""

from __future__ import annotations

import json

import pytest

from argosy.frontend.limits import Limits
from argosy.protocols.endpoint import Call, HttpReply, Scope
from argosy.protocols.tokens import SCOPES, Gate, new_token
from argosy.testing.http import FakeDialect, FakeModel, FakeSite, Reply, echo

from .conftest import MakeSite

POST = b"POST /predictions/echo HTTP/1.1\r\nHost: a\r\n"


class Site:
    """A listener whose model and metrics need a token, and two secrets."""

    def __init__(self, make_site: MakeSite) -> None:
        self.infer, infer = new_token("infer", [Scope.INFERENCE])
        self.scrape, scrape = new_token("scrape", [Scope.SCRAPE])
        self.tokens = [infer, scrape]
        dialect = FakeDialect()
        dialect.calls["/metrics"] = Call(lambda _: HttpReply(200, b"metrics"), Scope.SCRAPE)
        dialect.calls["/ping"] = Call(lambda _: HttpReply(200, b"pong"), Scope.HEALTH)
        self.gate = Gate(self.tokens, SCOPES)
        self.model = FakeModel(handler=echo)
        cors = (("access-control-allow-origin", "https://a.example"),)
        self.fake: FakeSite = make_site(gate=self.gate, dialect=dialect, model=self.model, cors=cors, limits=Limits(arena_bytes=1000))

    def ask(self, data: bytes) -> Reply:
        """The only reply."""
        return self.fake.client().send(data).reply()


@pytest.fixture
def site(make_site: MakeSite) -> Site:
    return Site(make_site)


def post(token: str, body: bytes = b"x", more: bytes = b"") -> bytes:
    """A prediction with a token."""
    return POST + b"Authorization: Bearer %s\r\n%sContent-Length: %d\r\n\r\n" % (token.encode(), more, len(body)) + body


@pytest.mark.parametrize("target", ["/predictions/echo", "/predictions/nobody", "/metrics", "/no/such/path", "/show"])
def test_nothing_without_a_token(site: Site, target: str) -> None:
    """401 with our JSON and the challenge; whether a model or a path is there, a stranger does not learn."""
    reply = site.ask(b"GET %s HTTP/1.1\r\nHost: a\r\n\r\n" % target.encode())
    assert reply.status == 401
    assert reply.header("www-authenticate") == 'Bearer realm="argosy"'
    said = json.loads(reply.body)
    assert (said["code"], said["type"]) == (401, "UnauthorizedException")
    assert said["message"].startswith("A token is needed.")
    assert site.model.bodies == []


def test_a_token_for_something_else(site: Site) -> None:
    """403 with our JSON and no challenge: the token is known."""
    reply = site.ask(post(site.scrape))
    assert (reply.status, json.loads(reply.body)["message"]) == (403, "This token is not for inference.")
    assert reply.header("www-authenticate") is None
    assert site.ask(b"GET /metrics HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer %s\r\n\r\n" % site.infer.encode()).status == 403
    assert site.model.bodies == []


def test_health_is_open(site: Site) -> None:
    """Load balancers carry no tokens."""
    assert site.ask(b"GET /ping HTTP/1.1\r\nHost: a\r\n\r\n").body == b"pong"


def test_the_right_token(site: Site) -> None:
    """It passes, again and again on one connection."""
    client = site.fake.client().send(post(site.infer, b"one"), post(site.infer, b"two"), post(site.infer, b"three"))
    assert [reply.body for reply in client.replies()] == [b"one", b"two", b"three"]


@pytest.mark.parametrize("size", [1, 5000])
@pytest.mark.parametrize("more", [b"", b"AUTHORIZATION-2: kept\r\n", b"X-Last: yes\r\n"])
def test_the_model_does_not_see_the_token(make_site: MakeSite, size: int, more: bytes) -> None:
    """The header is for the server; all other fields reach the handler as they came."""
    site = Site(make_site)
    site.model.handler = None
    client = site.fake.client().send(post(site.infer, b"x" * size, more))
    (request,) = site.model.jobs
    assert site.infer.encode() not in bytes(request.headers)
    assert bytes(request.headers).lower().startswith(b"host\0a\0")
    assert all(piece in bytes(request.headers) for piece in more.strip().split(b": ") if piece)
    client.leave()


def test_a_large_body_is_refused_before_it_is_read(site: Site) -> None:
    """Neither memory nor an invitation is given to strangers, and the connection ends."""
    client = site.fake.client().send(POST + b"Expect: 100-continue\r\nContent-Length: 500000\r\n\r\n")
    reply = client.reply()
    assert (reply.status, reply.header("connection")) == (401, "close")
    assert site.fake.budget.used == 0
    client.leave()


def test_a_token_that_was_taken_away_ends_with_the_next_request(site: Site) -> None:
    """Also on a connection that has sent the same head before."""
    client = site.fake.client().send(post(site.infer), post(site.infer))
    assert [reply.status for reply in client.replies()] == [200, 200]
    site.gate.replace(site.tokens[1:])
    site.fake.registry.renew()
    assert client.send(post(site.infer)).reply().status == 401


def test_a_wrong_token_after_a_right_one(site: Site) -> None:
    """Each request of a connection shows its own token."""
    client = site.fake.client().send(post(site.infer), post(site.infer + "x"))
    assert [reply.status for reply in client.replies()] == [200, 401]
    assert len(site.model.bodies) == 1


@pytest.mark.parametrize("target", [b"/predictions/echo", b"/predictions/nobody"])
def test_a_preflight_needs_no_token_and_tells_nothing(site: Site, target: bytes) -> None:
    """Browsers send none; the answer has the configured headers, whether the model exists or not, and calls nobody."""
    head = b"Origin: https://a.example\r\nAccess-Control-Request-Method: POST\r\nAccess-Control-Request-Headers: authorization\r\n"
    reply = site.ask(b"OPTIONS %s HTTP/1.1\r\nHost: a\r\n%s\r\n" % (target, head))
    assert (reply.status, reply.body) == (200, b"")
    assert reply.header("access-control-allow-origin") == "https://a.example"
    assert site.model.bodies == []
    assert site.ask(b"OPTIONS %s HTTP/1.1\r\nHost: a\r\n\r\n" % target).status == 401


def test_a_preflight_is_answered_for_options_only(site: Site) -> None:
    """The fields of a preflight open nothing for other methods."""
    head = b"Origin: https://a.example\r\nAccess-Control-Request-Method: POST\r\n"
    assert site.ask(POST + head + b"Content-Length: 1\r\n\r\nx").status == 401
    assert site.model.bodies == []


def test_the_log_has_no_token(site: Site) -> None:
    """Neither of those who pass nor of those who do not."""
    site.ask(post(site.infer))
    site.ask(post(site.scrape))
    assert len(site.fake.log.lines) == 2
    assert not [line for line in site.fake.log.lines if site.infer in line or site.scrape in line]
