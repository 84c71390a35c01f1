"""The command `argosy` and its subcommands that show and check."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import click
from click.testing import CliRunner, Result

from argosy import __version__
from argosy.cli.compatible import parser
from argosy.cli.lazy import LazyGroup
from argosy.cli.main import main

COMMANDS_PAGE = Path(__file__).resolve().parents[3] / "docs" / "reference" / "commands.md"


def run(*argv: str) -> Result:
    """The result of a command that looks at nothing but its arguments."""
    return CliRunner().invoke(main, list(argv))


def test_an_unknown_command() -> None:
    """Status 2 and its name."""
    result = run("golden")
    assert result.exit_code == 2
    assert "golden" in result.output


def test_help_and_version() -> None:
    """All commands are listed, each of them is there."""
    text = run("--help").output
    group = main
    assert isinstance(group, LazyGroup)
    with click.Context(group) as context:
        for name in group.list_commands(context):
            assert name in text
            assert isinstance(group.get_command(context, name), click.Command)
    assert run("--version").output == f"argosy {__version__}\n"
    assert run("version").output.startswith(f"argosy {__version__} (Python {sys.version.split()[0]}")


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
