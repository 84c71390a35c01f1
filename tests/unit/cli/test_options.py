"""What the commands have in common."""

from __future__ import annotations

from collections.abc import Mapping

import click
import pytest
from click.testing import CliRunner

from argosy.cli.options import fail, finite, with_settings
from argosy.errors import ArgosyError, ErrorCode


def test_a_failure_is_told_and_ends_with_1(capsys: pytest.CaptureFixture[str]) -> None:
    """The message, and what the detail says beyond it; no traceback."""
    for detail, told in (("why", "argosy: no\nwhy\n"), ("no", "argosy: no\n"), ("", "argosy: no\n"), ("no\nnone", "argosy: no\nnone\n")):
        with pytest.raises(SystemExit) as ended, fail():
            raise ArgosyError(ErrorCode.CONFLICT, "no", detail=detail)
        assert ended.value.code == 1
        assert capsys.readouterr().err == told


def test_a_defect_is_not_hidden() -> None:
    """What is no domain error keeps its traceback."""
    with pytest.raises(KeyError), fail():
        raise KeyError("x")


@click.command
@with_settings
def show(config_file: str | None, settings: Mapping[str, str]) -> None:
    """Print what was given."""
    click.echo(f"{config_file} {dict(settings)}")


def test_settings_of_the_command_line() -> None:
    """The last of several counts; what is no pair is refused with status 2."""
    result = CliRunner().invoke(show, ["--config", "f", "--set", "a=1", "--set", "b=x=y", "--set", "a =2"])
    assert result.output == "f {'a': '2', 'b': 'x=y'}\n"
    refused = CliRunner().invoke(show, ["--set", "a"])
    assert (refused.exit_code, "a is not NAME=VALUE" in refused.output) == (2, True)


@click.command
@click.option("--amount", type=click.FloatRange(min=0), callback=finite)
def weigh(amount: float | None) -> None:
    """Prints what it was given."""
    click.echo(repr(amount))


def test_amounts() -> None:
    """A number or nothing; what is no number and what has no end are refused, though no range keeps them out."""
    told = [CliRunner().invoke(weigh, words).output for words in ([], ["--amount", "1.5"])]
    assert told == ["None\n", "1.5\n"]
    for word in ("nan", "NaN", "inf", "1e309"):
        refused = CliRunner().invoke(weigh, ["--amount", word])
        assert (refused.exit_code, "is no amount" in refused.output) == (2, True)
