"""A listener without a socket for each test, which must get all memory for bodies back."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from argosy.testing.http import FakeSite

MakeSite = Callable[..., FakeSite]


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
