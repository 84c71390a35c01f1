"""The command `argosy`: each subcommand is imported when it is called, so that all start fast."""

from __future__ import annotations

import importlib
import sys

import click

from argosy import __version__

_COMMANDS = {
    "serve": ("argosy.cli.serve", "serve_command", "Serve models in the foreground."),
    "archive": ("argosy.cli.archive", "archive_command", "Pack a model and its handler."),
    "config": ("argosy.cli.config_command", "config_command", "Show and check settings."),
    "version": ("argosy.cli.main", "version_command", "Print the version."),
}


class LazyGroup(click.Group):
    """A group whose commands are imported when they are asked for; the list of them needs no import."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names, in the order of the help page."""
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command, None if there is no such."""
        if cmd_name not in _COMMANDS:
            return None
        module, attribute, _ = _COMMANDS[cmd_name]
        command = getattr(importlib.import_module(module), attribute)
        return command if isinstance(command, click.Command) else None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list of commands for the help page."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary) for name, (_, _, summary) in _COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="argosy", message="%(prog)s %(version)s")
def main() -> None:
    """Serve machine-learning models of any framework over HTTP."""


@main.command("version")
def version_command() -> None:
    """Print the version of Argosy and of the Python that runs it."""
    click.echo(f"argosy {__version__} (Python {sys.version.split()[0]}, {sys.platform})")
