"""The command `argosy`: each subcommand is imported when it is called, so that all start fast."""

from __future__ import annotations

import sys

import click

from argosy import __version__
from argosy.cli.lazy import LazyGroup

_COMMANDS = {
    "serve": ("argosy.cli.serve", "serve_command", "Serve models in the foreground."),
    "archive": ("argosy.cli.archive", "archive_command", "Pack a model and its handler."),
    "docker": ("argosy.cli.docker_command", "docker_group", "Build container images."),
    "k8s": ("argosy.cli.k8s_command", "k8s_command", "Write manifests for Kubernetes and KServe."),
    "config": ("argosy.cli.config_command", "config_command", "Show and check settings."),
    "sagemaker": ("argosy.cli.sagemaker", "sagemaker_group", "Amazon SageMaker: endpoints on this machine and at AWS."),
    "token": ("argosy.cli.token_command", "token_command", "Make a bearer token."),
    "version": ("argosy.cli.main", "version_command", "Print the version."),
}


@click.group(cls=LazyGroup, table=_COMMANDS, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="argosy", message="%(prog)s %(version)s")
def main() -> None:
    """Serve machine-learning models of any framework over HTTP."""


@main.command("version")
def version_command() -> None:
    """Print the version of Argosy and of the Python that runs it."""
    click.echo(f"argosy {__version__} (Python {sys.version.split()[0]}, {sys.platform})")
