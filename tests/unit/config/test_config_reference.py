"""The reference page."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from argosy.config import Address, declarations, reference
from argosy.config.reference import show

PAGE = Path(__file__).resolve().parents[3] / "docs" / "reference" / "configuration.md"


def test_the_page_is_what_the_declarations_say() -> None:
    """Run `python -c "from argosy.config import reference; print(reference(), end='')"` into the file when this fails."""
    assert PAGE.read_text() == reference()


def test_every_setting_is_on_the_page() -> None:
    """Each has a row, or is among those without effect."""
    page = reference()
    assert [name for name in declarations() if f"| `{name}` |" not in page and f"- `{name}`:" not in page] == []


def test_every_declaration_is_complete() -> None:
    """Help is a sentence, our own settings carry their unit, words are listed where they are needed."""
    for name, (setting, default) in declarations().items():
        assert re.fullmatch(r"[A-Z`].*\.", setting.help), name
        assert (setting.kind in ("word", "scopes")) == bool(setting.words), name
        assert set(default if isinstance(default, tuple) else [default]) <= set(setting.words) or not setting.words, name
        if setting.ours and setting.unit == "seconds":
            assert name.endswith("_s"), name


@pytest.mark.parametrize(("value", "text"), [
    (True, "true"), (None, ""), (1.5, "1.5"), (30.0, "30"), (Address("unix", path="/a"), "unix:/a"), (Path("/b"), "/b"),
    (re.compile("a|b"), "a|b"), ((re.compile("a"), re.compile("b")), "a,b"),
])
def test_values_print_as_they_are_written(value: object, text: str) -> None:
    """What `config show` prints could stand in a file."""
    assert show(value) == text
