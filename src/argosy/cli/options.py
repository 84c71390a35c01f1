"""What the commands of `argosy` have in common: settings on the command line, and how a failure ends."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import click

from argosy.errors import ArgosyError
from argosy.printable import escape


@contextmanager
def fail() -> Iterator[None]:
    """A domain error in the block is shown without control characters, with its detail below, and ends the process with status 1."""
    try:
        yield
    except ArgosyError as error:
        lines, more = error.message.splitlines(), error.detail.splitlines()
        # a detail that lists several problems begins with the first, which is the message
        if more[:1] == [error.message]:
            del more[0]
        for line in (f"argosy: {lines[0] if lines else ''}", *lines[1:], *more):
            click.echo(escape(line), err=True)
        raise SystemExit(1) from None


def finite(context: click.Context, parameter: click.Parameter, number: float | None) -> float | None:
    """Refuses, as callback of an option, what no range of numbers keeps out: NaN and infinity."""
    if number is not None and not math.isfinite(number):
        raise click.BadParameter(f"{number} is no amount.")
    return number


def log_habits(*, is_container: bool) -> dict[str, str]:
    """What `argosy serve` does with logs unless somebody says otherwise: no files, and on a terminal events only."""
    return {"log_location": "none", "metrics_location": "none", **({} if is_container else {"log_console": "events"})}


def with_settings(function: Callable[..., None]) -> Callable[..., None]:
    """Add `--config FILE` and `--set NAME=VALUE`, given to the command as `config_file` and `settings`."""
    function = click.option(
        "--set", "settings", multiple=True, metavar="NAME=VALUE", callback=_pairs, help="Any setting; may be repeated.")(function)
    return click.option("--config", "config_file", metavar="FILE", help="Configuration file. Default: config.properties, if there is one.")(function)


def _pairs(context: click.Context, parameter: click.Parameter, texts: tuple[str, ...]) -> Any:
    pairs = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals:
            raise click.BadParameter(f"{text} is not NAME=VALUE")
        pairs[name.strip()] = value
    return pairs
