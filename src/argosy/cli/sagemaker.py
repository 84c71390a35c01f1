"""The group `argosy sagemaker`: each of its commands is imported when it is called."""

from __future__ import annotations

import click

from argosy.cli.lazy import LazyGroup

_DEPLOY = "argosy.cli.sagemaker_deploy"
_COMMANDS: dict[str, tuple[str, str, str]] = {
    "local": ("argosy.cli.sagemaker_local", "local_command", "Run endpoints on this machine."),
    "deploy": (_DEPLOY, "deploy_command", "Bring a model to an endpoint."),
    "update": (_DEPLOY, "update_command", "Change an endpoint, blue/green."),
    "status": (_DEPLOY, "status_command", "How an endpoint is, what belongs to it, what is billed."),
    "logs": (_DEPLOY, "logs_command", "What its containers print."),
    "invoke": (_DEPLOY, "invoke_command", "Send it a request."),
    "delete": (_DEPLOY, "delete_command", "Remove everything that was made for it."),
    "policy": (_DEPLOY, "policy_command", "The permissions that deploying needs."),
}


@click.group("sagemaker", cls=LazyGroup, table=_COMMANDS)
def sagemaker_group() -> None:
    """Amazon SageMaker: bring a model to an endpoint, and look after it."""
