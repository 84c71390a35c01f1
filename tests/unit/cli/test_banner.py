"""What a terminal shows when a server has started, or a model has not."""

from __future__ import annotations

import pytest

from argosy.cli.banner import banner, curl, failures, hint
from argosy.testing.commands import FakeModel, FakeStatus


def test_the_banner_is_at_most_ten_lines() -> None:
    """With many models, some of which did not load."""
    models = [FakeModel(f"m{number}", 1, error="boom" if number == 0 else "") for number in range(20)]
    lines = banner(FakeStatus(models), "config.properties")
    assert len(lines) <= 10
    text = "\n".join(lines)
    for words in ("http://127.0.0.1:8080", "http://127.0.0.1:8081", "m0: did not load", "m1: 1 worker (one per processor", "and 17 more"):
        assert words in text
    assert "curl http://127.0.0.1:8080/predictions/m1 " in text


def test_the_banner_without_models() -> None:
    """It says what to do; one shared listener is one line."""
    lines = banner(FakeStatus([], management=["http://127.0.0.1:8080"]))
    assert "none yet" in "\n".join(lines)
    assert not any("try" in line.split()[:1] or "management " in line for line in lines[:2])


@pytest.mark.parametrize(("address", "expected"), [
    ("http://0.0.0.0:1", "curl http://127.0.0.1:1/predictions/m"),
    ("https://h:1", "curl -k https://h:1/predictions/m"),
    ("http://[::]:1", "curl http://[::1]:1/predictions/m"),
    ("unix:/a", "curl --unix-socket /a http://localhost/predictions/m"),
])
def test_a_line_to_try(address: str, expected: str) -> None:
    """It works from this machine, whatever the listener."""
    assert curl(address, "m") == f"{expected} -H 'Content-Type: text/plain' -d 'hello'"


def test_failures_come_with_a_hint() -> None:
    """For every model that did not load, and only for those, in the words of its handler, which do not command the terminal."""
    error = "ModuleNotFoundError: No module named 'torch'\n\x1b[2J"
    lines = failures(FakeStatus([FakeModel("bad", 0, error=error), FakeModel("good", 1)]))
    assert lines == ["model bad did not load:", "  ModuleNotFoundError: No module named 'torch'", "  \\x1b[2J", f"hint: {hint(error)}"]


def test_a_target_that_could_not_be_registered() -> None:
    """It is called by the name that it was to have, not by the place in the store of this run."""
    status = FakeStatus([FakeModel("a=2-a", 0, error="Model a is already registered.")])
    assert "  model       a: did not load, see below" in banner(status)
    assert failures(status)[0] == "model a did not load:"


@pytest.mark.parametrize(("error", "words"), [
    ("FileNotFoundError: x", "model folder"), ("MemoryError", "--workers 1"), ("ValueError", "correct the handler"),
    ("Model handler is not defined.", "FOLDER/FILE.py"), ("Model name is not defined.", "this is no archive"),
    ("Failed to download model from: http://h/m.mar\nrefused", "reaches the address"), ("Download model timeout: http://h/m", "reaches the address"),
    ("Failed to parse signature.json.\nMANIFEST.json is not an object", "pack it again"),
    ("Expected only one class in custom service code or a function entry point in m, found none", "FILE.py:FUNCTION"),
])
def test_hints(error: str, words: str) -> None:
    """What to do depends on what happened."""
    assert words in hint(error)
