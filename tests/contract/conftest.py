"""A listener without a socket for each test, which must get all memory for bodies back."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from argosy.testing.http import FakeClient, FakeSite, Reply, read_replies

MakeSite = Callable[..., FakeSite]


Outcome = tuple[list[Reply], list[bytes], bool]


def outcome(site: FakeSite, client: FakeClient, data: bytes, cuts: list[int]) -> Outcome:
    """What comes of the bytes: final replies without their ids, the bodies that the model got, whether the connection goes on. The client leaves."""
    client.send_split(data, cuts)
    replies = [
        Reply(reply.status, reply.phrase, tuple(field for field in reply.headers if field[0] != "x-request-id"), reply.body)
        for reply in read_replies(client.raw)
        if reply.status >= 200
    ]
    bodies, is_open = list(site.model.bodies), client.is_open
    site.model.bodies.clear()
    client.leave()
    return replies, bodies, is_open


@pytest.fixture
def make_site() -> Iterator[MakeSite]:
    """Makes listeners; arguments are those of `FakeSite`. Nothing may be held, and nothing may have failed, once all clients are gone."""
    made: list[FakeSite] = []

    def make(**options: Any) -> FakeSite:
        made.append(FakeSite(**options))
        return made[-1]

    yield make
    for site in made:
        site.listener.close()
        site.loop.run()
        assert site.is_clean(), (site.budget, site.model.arena)
        assert site.counters.connections == 0
        assert site.loop.failures == []
        site.close()


@pytest.fixture
def site(make_site: MakeSite) -> FakeSite:
    """A listener whose model echoes."""
    return make_site()
