"""Exceptions as text for people."""

from __future__ import annotations

import importlib
import importlib.util
from pathlib import Path

import pytest

from argosy.worker.tracebacks import one_line, place, text


def raised(function: object) -> BaseException:
    """The exception that a function raises."""
    assert callable(function)
    try:
        function()
    except BaseException as error:
        return error
    raise AssertionError


def fail_with_cause() -> None:
    """Raises with a cause, and that with another."""
    try:
        try:
            raise KeyError("first")
        except KeyError as error:
            raise ValueError("second") from error
    except ValueError:
        raise OSError("third\nline") from None


@pytest.mark.parametrize(
    ("error", "line"), [(ValueError("a\n b"), "ValueError: a b"), (KeyError(), "KeyError"), (ValueError("x" * 1000), "ValueError: " + "x" * 488)]
)
def test_one_line(error: Exception, line: str) -> None:
    """Type and text, without line breaks, bounded."""
    assert one_line(error) == line


def test_place_is_the_innermost_line_of_the_handler() -> None:
    """File and line; none for an exception that was never raised."""
    found = place(raised(fail_with_cause))
    assert found is not None
    assert found.startswith(__file__ + ":")
    assert place(ValueError()) is None


def test_place_of_a_syntax_error_is_in_the_source() -> None:
    """Not in whoever compiled it."""
    assert place(raised(lambda: compile("a b", "svc.py", "exec"))) == "svc.py:1"


def test_place_of_a_failed_import_is_who_imported() -> None:
    """Not Python's own machinery of imports."""
    error = raised(lambda: importlib.import_module("no_such_module"))
    assert (place(error) or "").startswith(__file__ + ":")
    assert "importlib/__init__.py" not in text(error)


def test_text_of_very_long_tracebacks_is_cut_in_the_middle() -> None:
    """Beginning and end are what people read."""
    whole = text(ValueError("x" * 100_000))
    assert len(whole) < 40_000
    assert whole.startswith("ValueError: xxx")
    assert "[…]" in whole


def test_chain_of_exceptions_is_bounded() -> None:
    """A chain that never ends, or a group, does no harm."""
    error: BaseException = ValueError("0")
    for number in range(50):
        following = ValueError(str(number))
        following.__context__ = error
        error = following
    assert "ValueError: 49" in text(error)


def test_a_linked_file_is_shown_where_its_author_finds_it(tmp_path: Path) -> None:
    """In the traceback, as the place, and for a syntax error."""
    for name, lines in (("raises", "raise ValueError(1)"), ("syntax", "def (")):
        real, link = tmp_path / f"{name}.py", tmp_path / f"link_{name}.py"
        real.write_text(lines)
        link.symlink_to(real)
        spec = importlib.util.spec_from_file_location(name, link)
        assert spec is not None
        assert spec.loader is not None
        module, loader = importlib.util.module_from_spec(spec), spec.loader
        error = raised(lambda loader=loader, module=module: loader.exec_module(module))
        assert place(error) == f"{real}:1"
        assert f'File "{real}", line 1' in text(error)
        assert "link_" not in text(error)
