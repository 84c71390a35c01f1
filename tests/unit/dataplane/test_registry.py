"""Which models there are."""

from __future__ import annotations

import pytest

from argosy.dataplane.registry import Registry
from argosy.errors import ArgosyError, ErrorCode
from fakes.serving import FakeModel, spec


def test_a_name_is_taken_once() -> None:
    """A second model of a name is refused and the first one stays."""
    registry = Registry()
    first = FakeModel(spec("m"))
    registry.add(first)
    with pytest.raises(ArgosyError, match="already registered") as caught:
        registry.add(FakeModel(spec("m")))
    assert caught.value.code is ErrorCode.CONFLICT
    assert registry.get("m") is first
    assert ("m" in registry, len(registry), repr(registry)) == (True, 1, "<Registry 1 models>")


def test_an_unknown_name_is_said() -> None:
    """Getting and removing name the model that is missing."""
    registry = Registry()
    for call in (registry.get, registry.remove):
        with pytest.raises(ArgosyError, match="Model not found: nobody") as caught:
            call("nobody")
        assert caught.value.code is ErrorCode.MODEL_NOT_FOUND
    assert registry.generation == 0


def test_models_are_sorted_and_may_go_while_they_are_read() -> None:
    """Iteration is a snapshot in order of the names; each write changes the generation."""
    registry = Registry()
    for name in "cab":
        registry.add(FakeModel(spec(name)))
    seen = []
    for model in registry:
        seen.append(model.spec.name)
        registry.remove(model.spec.name)
    assert seen == ["a", "b", "c"]
    assert (len(registry), registry.generation) == (0, 6)


def test_the_only_model_of_the_start() -> None:
    """It is known as such only while it is alone; models that were registered later do not count."""
    registry = Registry()
    assert registry.sole_startup_model is None
    only = FakeModel(spec("a", startup=True))
    registry.add(only)
    registry.add(FakeModel(spec("b")))
    assert registry.sole_startup_model is only
    registry.add(FakeModel(spec("c", startup=True)))
    assert registry.sole_startup_model is None
