"""Declarations of settings."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import pytest

from argosy.config.declare import Setting, ours, setting


@dataclass(frozen=True)
class Some:
    """Two settings."""

    theirs: int = setting(1, "integer", "A number.", low=0)
    own: str = ours("a", "text", "A text.", name="own", env=("OTHER",))


def declared(name: str) -> Setting:
    """The declaration of a field."""
    found: Setting = next(field for field in dataclasses.fields(Some) if field.name == name).metadata["setting"]
    return found


def test_an_unknown_property_of_a_declaration() -> None:
    """A slip of the pen does not become a setting without limits."""
    with pytest.raises(TypeError, match="lowest"):
        setting(1, "integer", "A number.", lowest=0)


def test_defaults_and_declarations() -> None:
    """The field has the default, the declaration the rest."""
    assert (Some().theirs, Some().own) == (1, "a")
    assert (declared("theirs").low, declared("theirs").ours, declared("theirs").mms_env, declared("theirs").env) == (0, False, True, ())


def test_variables_of_our_own_settings() -> None:
    """`ARGOSY_<NAME>` comes first, and `MMS_<NAME>` does not set them."""
    assert (declared("own").ours, declared("own").mms_env, declared("own").env) == (True, False, ("ARGOSY_OWN", "OTHER"))
