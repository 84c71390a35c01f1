"""The group `argosy sagemaker`: each of its commands is imported when it is called."""

from __future__ import annotations

import click

from argosy.cli.lazy import LazyGroup

_COMMANDS: dict[str, tuple[str, str, str]] = {
    "local": ("argosy.cli.sagemaker_local", "local_command", "Run endpoints on this machine."),
}


@click.group("sagemaker", cls=LazyGroup, table=_COMMANDS)
def sagemaker_group() -> None:
    """Amazon SageMaker: bring a model to an endpoint, and look after it."""
