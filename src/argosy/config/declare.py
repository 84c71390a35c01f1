"""How a setting is declared: name, kind, default, limits, where it may be set, and what it does."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Setting:
    """What is known of one setting besides its name, type and default, which are those of the field."""

    kind: str
    """How a text becomes a value: see `values.PARSERS`."""
    help: str
    """One or two sentences for the reference page."""
    unit: str = ""
    low: float | None = None
    high: float | None = None
    words: tuple[str, ...] = ()
    """The allowed words of kind `word`."""
    ours: bool = False
    """Whether Argosy added it; otherwise it is a property of Multi Model Server."""
    mms_env: bool = True
    """Whether `MMS_<NAME>` sets it when `enable_envvars_config` is on."""
    env: tuple[str, ...] = ()
    """Environment variables that always set it; the first one that is set counts."""
    forms: tuple[tuple[str, str], ...] = ()
    """Variables of a platform that always set it too, in terms of their own: name and form, see `sagemaker.FORMS`. Those of `env` come first."""
    flag: str | None = None
    """The command line option that sets it."""
    unset: str = ""
    """What the reference says as the default when the value is found at start."""
    secret: bool = False
    """Its value is never shown."""
    needless: bool = False
    """Accepted because configurations carry it, without effect here."""


def setting(default: Any, kind: str, help: str, **more: Any) -> Any:
    """A field of `Config` with its declaration. `more` are fields of `Setting`."""
    return dataclasses.field(default=default, metadata={"setting": Setting(kind, help, **more)})


def ours(default: Any, kind: str, help: str, *, name: str, **more: Any) -> Any:
    """A setting of Argosy's own: also set by the variable `ARGOSY_<NAME>`, not by `MMS_<NAME>`."""
    env = (f"ARGOSY_{name.upper()}", *more.pop("env", ()))
    return setting(default, kind, help, ours=True, mms_env=False, env=env, **more)
