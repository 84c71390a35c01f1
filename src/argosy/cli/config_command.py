"""`argosy config`: what the settings are, where they come from, whether a file is right."""

from __future__ import annotations

import importlib
import json
import os
from collections.abc import Iterator, Mapping

import click

from argosy.cli.options import fail, log_habits, with_settings
from argosy.cli.place import current_folder
from argosy.config import Loaded, container_defaults, declarations, load_config, read_host
from argosy.config.reference import show
from argosy.printable import escape


@click.group("config", short_help="Show and check settings.")
def config_command() -> None:
    """Show and check settings."""


@config_command.command("show")
@click.option("--origin", is_flag=True, help="Also say where each value comes from.")
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", help="How to print it.")
@with_settings
def show_command(origin: bool, output: str, config_file: str | None, settings: Mapping[str, str]) -> None:
    """Print every setting as `argosy serve` would see it here."""
    with fail():
        container = None if settings.keys() & {"load_models", "model_store"} else container_defaults(os.environ)
        habits = log_habits(is_container=container is not None)
        loaded = load_config(settings, os.environ, current_folder(), config_file=config_file, host=read_host(), defaults=container, habits=habits)
    if output == "json":
        click.echo(json.dumps({name: _entry(value, where, origin) for name, value, where in rows(loaded)}, indent=2))
    else:
        for name, value, where in rows(loaded):
            click.echo(escape(f"{name}={value}" + (f"  # {where}" if origin else "")))
    for warning in loaded.warnings:
        click.echo(f"warning: {warning}", err=True)


def _entry(value: str, where: str, origin: bool) -> object:
    return {"value": value, "origin": where} if origin else value


def rows(loaded: Loaded) -> Iterator[tuple[str, str, str]]:
    """Name, value as text and origin of every setting that has an effect; secrets are not shown."""
    for name, (setting, default) in declarations().items():
        if setting.needless:
            continue
        value = getattr(loaded.config, name)
        where = loaded.origins.get(name, "default" if value == default or not setting.unset else setting.unset)
        yield name, "***" if setting.secret and value and value != default else show(value), where


@config_command.command("check")
@click.argument("file", type=click.Path(exists=True, dir_okay=False))
def check_command(file: str) -> None:
    """Check FILE, and the tokens, keys and certificates that it names, as a server would read them; exit status 1 if a server would not start."""
    with fail():
        environ = {name: value for name, value in os.environ.items() if name != "MMS_CONFIG_FILE"}
        loaded = load_config({}, environ, current_folder(), config_file=file)
        # imported only when it is wanted, as for `argosy serve`
        importlib.import_module("argosy.server.check").check_files(loaded.config)
    for warning in loaded.warnings:
        click.echo(f"warning: {warning}")
    for note in loaded.notes:
        click.echo(f"note: {note}")
    click.echo(f"{escape(file)}: {len(loaded.origins)} settings, no error")
