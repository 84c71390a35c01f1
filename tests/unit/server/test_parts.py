"""Which models a server loads at its start, and on which listeners."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from argosy.config import Config, Target
from argosy.errors import ArgosyError, ErrorCode
from argosy.server.parts import Parts


def parts(config: Config, inference: object = None, management: object = None) -> Parts:
    """A server of which only these parts are there."""
    nothing: Any = None
    listeners: tuple[Any, Any] = (inference, management)
    return Parts(config, nothing, nothing, nothing, nothing, (), nothing, nothing, *listeners, nothing, 1, "one", None)


def names(config: Config, *asked: Target) -> list[str]:
    """What is loaded at the start."""
    return [str(target) for target in parts(config).start_targets(asked)]


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A model store with two models, and something that is none."""
    for name in ("b", "a"):
        (tmp_path / name / "MAR-INF").mkdir(parents=True)
        (tmp_path / name / "MAR-INF" / "MANIFEST.json").write_text('{"model": {"modelName": "x", "handler": "h:f"}}')
    (tmp_path / "notes.txt").write_text("none")
    return tmp_path


def test_what_is_asked_for_by_hand_comes_before_the_configuration(store: Path) -> None:
    """`argosy serve TARGET` serves that alone."""
    assert names(Config(load_models="ALL", model_store=store), Target("n", "here")) == ["n=here"]


def test_the_configuration_may_list_models_or_mean_the_whole_store(store: Path) -> None:
    """By their names in it, in order."""
    assert names(Config(load_models="n=a,b", model_store=store)) == ["n=a", "b"]
    assert names(Config(load_models="ALL", model_store=store)) == ["a", "b"]
    assert names(Config(model_store=store)) == []


def test_all_of_no_store_is_nothing() -> None:
    """No failure: models may be registered later."""
    assert names(Config(load_models="ALL")) == []


def test_a_store_that_is_not_there_is_told(tmp_path: Path) -> None:
    """Whoever meant it mistyped it."""
    with pytest.raises(ArgosyError, match="none") as caught:
        names(Config(load_models="ALL", model_store=tmp_path / "none"))
    assert caught.value.code is ErrorCode.INVALID_CONFIG


def test_one_listener_is_started_and_stopped_once() -> None:
    """It is the same for both APIs when they share an address."""
    one, other = object(), object()
    assert parts(Config(), one, one).listeners == [one]
    assert parts(Config(), one, other).listeners == [one, other]
