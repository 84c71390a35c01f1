"""The commands that bring a model to a SageMaker endpoint and look after it."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import click

from argosy.cli.options import fail, finite
from argosy.cli.sagemaker_wishes import wished, with_wishes
from argosy.sagemaker.deploy import Deployed, Deployment, Display, Pending, Spec, Status

_MINUTE_MS = 60_000
_BODY = "application/octet-stream"


def _with_account(function: Callable[..., None]) -> Callable[..., None]:
    """Add NAME, `--region` and `--profile`."""
    function = click.option("--profile", help="Profile of the AWS configuration.")(function)
    function = click.option("--region", help="AWS region. Default: as the AWS configuration says.")(function)
    return click.argument("name")(function)


def _with_run(function: Callable[..., None]) -> Callable[..., None]:
    """Add what says how a deployment is carried out."""
    for option in (
        click.option("--sample", type=click.File("rb"), help="File with a request: the model must answer it here before, and there afterwards."),
        click.option("--content-type", default=_BODY, show_default=True, help="Content type of the sample."),
        click.option("--no-check", "check", is_flag=True, default=True, flag_value=False, help="Do not try the archive on this machine first."),
        click.option("--no-wait", "wait", is_flag=True, default=True, flag_value=False, help="Do not wait until the endpoint is in service."),
        click.option("--dry-run", is_flag=True, help="Show what is there and what would be made, and change nothing."),
    ):
        function = option(function)
    return function


def _display() -> Display:
    return Display(sys.stderr, time.monotonic, is_terminal=sys.stderr.isatty())


@contextlib.contextmanager
def _going_on() -> Iterator[None]:
    """Failures in one line; an interruption says how it goes on."""
    try:
        with fail():
            yield
    except KeyboardInterrupt:
        click.echo("\nargosy: interrupted; the same command goes on from here", err=True)
        raise SystemExit(130) from None


@click.command("deploy")
@_with_account
@with_wishes
@_with_run
def deploy_command(
    name: str, region: str | None, profile: str | None, sample: BinaryIO | None, content_type: str, check: bool, wait: bool, dry_run: bool,
    **given: Any,
) -> None:
    """Bring a model to the endpoint NAME: bucket, upload, image, role, model, configuration, endpoint, each only if it is not there.

    The same command may be given again at any time: after a failure it goes on, and when everything is there it does nothing.

    \b
    argosy sagemaker deploy sentiment --model paddle_sentiment.tar.gz --image paddle-mms
    """
    with _going_on():
        spec = wished(Spec(name), given)
        deployment = Deployment(spec, region=region, profile=profile, report=_display())
        _told(_carried_out(deployment, sample, content_type, check=check, wait=wait, dry_run=dry_run), dry_run)


@click.command("update")
@_with_account
@with_wishes
@_with_run
def update_command(
    name: str, region: str | None, profile: str | None, sample: BinaryIO | None, content_type: str, check: bool, wait: bool, dry_run: bool,
    **given: Any,
) -> None:
    """Change what the options say about the endpoint NAME, and nothing else: blue/green, and back when an alarm rings.

    \b
    argosy sagemaker update sentiment --model new.tar.gz --traffic canary --alarm sentiment-errors
    """
    with _going_on():
        current = Deployment(name, region=region, profile=profile)
        deployment = Deployment(wished(current.current(), given), aws=current.aws, report=_display())
        _told(_carried_out(deployment, sample, content_type, check=check, wait=wait, dry_run=dry_run), dry_run)


def _carried_out(deployment: Deployment, sample: BinaryIO | None, content_type: str, **how: bool) -> Deployed:
    body = None if sample is None else sample.read()
    return deployment.deploy(sample=body, content_type=content_type, **how)


def _told(deployed: Deployed, dry_run: bool) -> None:
    count = len(deployed.actions)
    if dry_run:
        click.echo(f"{count} actions would be taken; nothing was changed." if count else "Everything is there; nothing would be done.")
        return
    done = f"{count} actions were taken" if count else "everything was there already"
    click.echo(f"Endpoint {deployed.endpoint}: {done}.")
    click.echo(f"  try    argosy sagemaker invoke {deployed.endpoint} --data 'hello' --content-type text/plain")
    click.echo(f"  stop   argosy sagemaker delete {deployed.endpoint}   (it is billed until then)")


@click.command("status")
@_with_account
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@click.option("--bucket", help="Bucket that was given when it was deployed; needed only where no model was made.")
def status_command(name: str, region: str | None, profile: str | None, as_json: bool, bucket: str | None) -> None:
    """Show how the endpoint NAME is, what belongs to it and what is billed. Ends with status 1 unless it is in service."""
    with fail():
        status = Deployment(name, region=region, profile=profile, bucket=bucket).status()
    click.echo(json.dumps({**dataclasses.asdict(status), "costs": status.costs}, indent=2) if as_json else "\n".join(_lines(status)))
    if status.endpoint != "InService":
        raise SystemExit(1)


def _lines(status: Status) -> Iterator[str]:
    yield f"endpoint  {status.name}: {status.endpoint}{' (' + status.reason + ')' if status.reason else ''}"
    for label, text in (("config", status.config), ("image", status.image), ("model", status.model_url)):
        if text:
            yield f"{label:<9} {text}"
    for variant in status.variants:
        count = "serverless" if variant.instances is None else f"{variant.instances} of {variant.wanted} instances"
        yield f"variant   {variant.name}: {count}, {variant.capacity}, weight {variant.weight:g}"
    yield from (f"made      {text}" for text in status.belongings)
    yield from (f"billed    {text}" for text in status.costs)


@click.command("logs")
@_with_account
@click.option("-f", "--follow", is_flag=True, help="Go on with what is printed from now on, until Ctrl-C.")
@click.option(
    "--since", "minutes", type=click.FloatRange(min=0), callback=finite, default=60, show_default=True, help="How many minutes back.")
def logs_command(name: str, region: str | None, profile: str | None, follow: bool, minutes: float) -> None:
    """Show what the containers of the endpoint NAME printed."""
    deployment = Deployment(name, region=region, profile=profile)
    since_ms = max(0, int(time.time() * 1000 - minutes * _MINUTE_MS))
    with _going_on():
        for line in deployment.follow_logs(since_ms) if follow else deployment.logs(since_ms):
            moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(line.time_ms / 1000))
            click.echo(f"{moment} {line.stream}: {line.text}")


@click.command("invoke")
@_with_account
@click.argument("file", type=click.File("rb"), required=False)
@click.option("--data", help="The request itself, instead of FILE.")
@click.option("--content-type", default="", help="Content type of the request.")
@click.option("--accept", default="", help="Content type that the answer should have.")
@click.option("--target-model", default="", help="Which model of a multi-model endpoint.")
@click.option("--target-variant", default="", help="Which variant must answer.")
@click.option("--inference-id", default="", help="An id of your own, kept with captured data.")
@click.option("--custom-attributes", default="", help="Passed on to the handler.")
@click.option("--stream", is_flag=True, help="Print the pieces of the answer as they come.")
@click.option("--async", "later", is_flag=True, help="Queue the request and wait for the answer in S3.")
@click.option("--no-wait", "wait", is_flag=True, default=True, flag_value=False, help="With --async: print where the answer will be.")
def invoke_command(
    name: str, region: str | None, profile: str | None, file: BinaryIO | None, data: str | None, stream: bool, later: bool, wait: bool,
    **options: str,
) -> None:
    """Send a request to the endpoint NAME and print the answer. The request is FILE, `-` for standard input, or --data."""
    if (file is None) == (data is None):
        raise click.UsageError("Give either FILE or --data.")
    body = data.encode() if file is None and data is not None else file.read() if file is not None else b""
    deployment = Deployment(name, region=region, profile=profile)
    with _going_on():
        for piece in _answers(deployment, body, options, stream=stream, later=later, wait=wait):
            sys.stdout.buffer.write(piece)
            sys.stdout.buffer.flush()


def _answers(deployment: Deployment, body: bytes, options: Mapping[str, str], *, stream: bool, later: bool, wait: bool) -> Iterator[bytes]:
    if stream:
        yield from deployment.stream(body, **options)
    elif later:
        pending = deployment.invoke_later(body, **options)
        yield deployment.answer(pending) if wait else _where(pending)
    else:
        yield deployment.invoke(body, **options).body


def _where(pending: Pending) -> bytes:
    return f"{pending.output}\n".encode()


@click.command("delete")
@_with_account
@click.option("--bucket", help="Bucket that was given when it was deployed; needed only where no model was made.")
@click.option("--repository", help="ECR repository that was given when it was deployed.")
@click.option("--keep-data", is_flag=True, help="Keep bucket, images and log.")
@click.option("--dry-run", is_flag=True, help="Show what would be removed.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
def delete_command(
    name: str, region: str | None, profile: str | None, bucket: str | None, repository: str | None, keep_data: bool, dry_run: bool, yes: bool
) -> None:
    """Remove everything that the deployment NAME made, and nothing else."""
    if not yes and not dry_run:
        click.confirm(f"Remove the endpoint {name} and {'its configuration' if keep_data else 'all that was made for it'}?", abort=True, err=True)
    with _going_on():
        deployment = Deployment(name, region=region, profile=profile, bucket=bucket, repository=repository, report=_display())
        actions = deployment.delete(dry_run=dry_run, keep_data=keep_data)
    click.echo(f"{len(actions)} things {'would be' if dry_run else 'were'} removed." if actions else f"There is nothing of {name} to remove.")


@click.command("policy")
@_with_account
@click.option("--bucket", help="Existing bucket.")
@click.option("--repository", help="Existing ECR repository.")
@click.option("--role", help="ARN of an existing execution role.")
@click.option("--kms-key", help="KMS key that encrypts.")
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="File to write. Default: standard output.")
def policy_command(name: str, region: str | None, profile: str | None, output: Path | None, **places: Any) -> None:
    """Print the IAM policy that whoever deploys, watches and deletes NAME needs, and no more."""
    with fail():
        text = json.dumps(Deployment(name, region=region, profile=profile, **places).policy(), indent=2)
    if output is None:
        click.echo(text)
    else:
        output.write_text(f"{text}\n")
