"""The command `argosy` and its subcommands that show and check."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from argosy import __version__
from argosy.cli.compatible import parser
from argosy.cli.lazy import LazyGroup
from argosy.cli.main import main

COMMANDS_PAGE = Path(__file__).resolve().parents[3] / "docs" / "reference" / "commands.md"


@pytest.fixture
def runner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CliRunner:
    """Runs commands in an empty folder, without variables that count."""
    monkeypatch.chdir(tmp_path)
    return CliRunner(env=dict.fromkeys(("MMS_CONFIG_FILE", "LOG_LOCATION", "METRICS_LOCATION", "TEMP")))


def run(runner: CliRunner, *argv: str) -> Result:
    """The result of a command."""
    return runner.invoke(main, list(argv))


def test_an_unknown_command(runner: CliRunner) -> None:
    """Status 2 and its name."""
    result = run(runner, "golden")
    assert result.exit_code == 2
    assert "golden" in result.output


def test_help_and_version(runner: CliRunner) -> None:
    """All commands are listed, each of them is there."""
    text = run(runner, "--help").output
    group = main
    assert isinstance(group, LazyGroup)
    with click.Context(group) as context:
        for name in group.list_commands(context):
            assert name in text
            assert isinstance(group.get_command(context, name), click.Command)
    assert run(runner, "--version").output == f"argosy {__version__}\n"
    assert run(runner, "version").output.startswith(f"argosy {__version__} (Python {sys.version.split()[0]}")


def test_a_command_imports_only_what_it_needs() -> None:
    """Help is quick: neither the server nor its protocols are loaded."""
    code = "import sys; from argosy.cli import main, serve; print(sorted({'asyncio', 'httptools', 'argosy.server'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert done.stdout == "[]\n"


def test_every_option_of_the_server_command_is_documented() -> None:
    """The reference page of the commands names it."""
    page = COMMANDS_PAGE.read_text()
    for action in parser()._actions:
        assert f"`{action.option_strings[-1]}" in page, action.option_strings
