"""What connections share: memory, counters, ids and the way from a target to a plan."""

from __future__ import annotations

import itertools
import re
from typing import cast

import pytest

from argosy.errors import ArgosyError
from argosy.frontend.http import Connection
from argosy.frontend.site import Budget, HttpCounters, Unread, request_ids
from argosy.frontend.target import split_target
from argosy.testing.http import FakeModel, FakeSite


def test_budget_is_given_in_turn() -> None:
    """Who waits first is served first, even when a later and smaller wish would fit; who gives up lets the next ones through."""
    budget, granted = Budget(100), list[str]()
    first, second, third = (lambda: granted.append("first")), (lambda: granted.append("second")), (lambda: granted.append("third"))
    assert budget.take(80)
    budget.wait(50, first)
    budget.wait(10, second)
    budget.wait(95, third)
    assert not budget.take(1)
    assert repr(budget) == "<Budget 80 of 100 bytes, 3 waiting>"
    budget.give_up(first)
    assert (granted, budget.used) == (["second"], 90)
    budget.give_back(80)
    assert granted == ["second"]
    budget.give_back(10)
    assert (granted, budget.used) == (["second", "third"], 95)
    budget.give_back(95)
    assert budget.take(100)
    assert not budget.take(1)


def test_counters_of_replies() -> None:
    """Each status counts in its class."""
    counters = HttpCounters()
    for status in (101, 200, 299, 300, 404, 499, 500, 999):
        counters.count(status)
    assert (counters.informational, counters.successful, counters.redirected, counters.client_errors, counters.server_errors) == (1, 2, 1, 2, 2)


def test_request_ids() -> None:
    """Ids have the form of a random UUID, and two servers do not give the same."""
    found = set(itertools.islice(request_ids(), 1000)) | set(itertools.islice(request_ids(), 1000))
    assert len(found) == 2000
    assert all(re.fullmatch(rb"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", id) for id in found)


def test_ends_of_heads_are_remembered() -> None:
    """Each length has its own; no more than a thousand or so are kept."""
    site = FakeSite().site
    tails = [site.tail(length) for length in range(3000)]
    assert tails[2999].startswith(b"\r\nPragma: no-cache\r\n")
    assert all(b"\r\ncontent-length: %d\r\nconnection: keep-alive\r\n\r\n" % length in tail for length, tail in enumerate(tails))
    assert site.tails == dict(enumerate(tails[:1024]))


def test_beginnings_of_heads_are_remembered() -> None:
    """Each choice of headers has its own, be they few or long; only some are kept, and none that cannot be sent."""
    site = FakeSite().site
    choices = [(("X-Number", str(number)),) for number in range(200)] * 2
    for headers in choices:
        assert site.beginning(headers) == b"HTTP/1.1 200 \r\nX-Number: %s\r\nx-request-id: " % headers[0][1].encode()
    assert site.beginning((("X", "y" * 5000),)) == b"HTTP/1.1 200 \r\nX: " + b"y" * 5000 + b"\r\nx-request-id: "
    for _ in range(2):
        assert site.beginning((("X", "a\r\nb"),)) is None
    assert len(site._beginnings) == 64


@pytest.mark.parametrize(("target", "path", "query"), [
    (b"/", "/", ""), (b"/a%20b/%C3%A9?x=%20&y", "/a b/é", "x=%20&y"), (b"/a?b?c", "/a", "b?c"), (b"*", "*", ""), (b"http://h", "/", ""),
    (b"HTTPS://u:p@h:1/a/b?c", "/a/b", "c"), (b"/%2e%2e/%252e", "/../%2e", ""), (b"/a+b", "/a+b", ""), (b"//h/a", "//h/a", ""),
    (b"http://h?a/b", "/", "a/b"),
])  # fmt: skip
def test_split_target(target: bytes, path: str, query: str) -> None:
    """The path is decoded once, the query not at all; scheme and host of an absolute target do not matter."""
    assert split_target(target) == (path, query)


@pytest.mark.parametrize("target", [b"", b"a", b"ftp://h/a", b"h:80", b"/%", b"/%4", b"/%4g", b"/%zz", b"/a%20%", b"/%ff", b"/%c3%28", b"**", b"?a"])
def test_split_target_refuses(target: bytes) -> None:
    """What is no path, or is spelled wrongly, is the client's fault."""
    with pytest.raises(ArgosyError) as caught:
        split_target(target)
    assert caught.value.code.name == "INVALID_REQUEST"


def test_plans_are_bounded() -> None:
    """Plans of predictions are kept until the models change, but not without end, and failures never."""
    site = FakeSite(model=FakeModel(arena_size=0))
    first = site.site.plan(b"POST", b"/invoke/echo?a=1")
    assert first.with_query
    plain = site.site.plan(b"POST", b"/invoke/echo")
    assert not plain.with_query
    assert site.site.plan(b"POST", b"/invoke/echo") is plain
    for number in range(3000):
        site.site.plan(b"POST", b"/invoke/echo?%d" % number)
        site.site.plan(b"POST", b"/invoke/no%d" % number)
    assert len(site.site._routes) == 1
    for number in range(3000):
        site.site.plan(b"M%d" % number, b"/invoke/echo")
        assert len(site.site._routes) <= 1024
    site.registry.add(FakeModel("two", arena_size=0))
    assert site.site.plan(b"POST", b"/invoke/echo") is not plain
    assert len(site.site._routes) == 1


class SlowClient:
    """A connection whose client has not taken so many bytes."""

    def __init__(self, unread_bytes: int) -> None:
        self.unread_bytes = unread_bytes
        self.aborted = False

    def abort(self) -> None:
        """Is cut off."""
        self.aborted = True


def slow(unread: Unread, *sizes: int) -> list[SlowClient]:
    """Clients that fell behind one after the other."""
    clients = [SlowClient(size) for size in sizes]
    for client in clients:
        unread.add(cast(Connection, client))
    return clients


def test_unread_answers_are_bounded() -> None:
    """Beyond the limit whoever has most left to read is cut off, as many as it takes; among equals those who fell behind first."""
    unread = Unread(100)
    clients = slow(unread, 10, 40, 40, 70)
    assert [client.aborted for client in clients] == [False, True, True, False]
    assert repr(unread) == "<Unread 80 of 100 bytes, 2 slow clients, 2 cut off>"


def test_clients_that_read_on_are_spared() -> None:
    """What counts is what is unread now, not what it was when they fell behind; who caught up or is gone does not count."""
    unread = Unread(100)
    first, second = slow(unread, 60, 40)
    unread.remove(cast(Connection, second))
    first.unread_bytes = 5
    (third,) = slow(unread, 90)
    assert [client.aborted for client in (first, second, third)] == [False, False, False]
    assert repr(unread) == "<Unread 95 of 100 bytes, 2 slow clients, 0 cut off>"


def test_an_answer_over_the_limit_is_sent() -> None:
    """The client that came last is never cut off, however large its answer is; and adding it twice does not count it twice."""
    unread = Unread(100)
    (client,) = slow(unread, 500)
    unread.add(cast(Connection, client))
    assert not client.aborted
    assert repr(unread) == "<Unread 500 of 100 bytes, 1 slow clients, 0 cut off>"
