"""`argosy sagemaker local`: endpoints on this machine, in the foreground."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from argosy import __version__
from argosy.cli.options import fail
from argosy.errors import ArgosyError, ErrorCode
from argosy.sagemaker.local import EndpointSettings, RuntimeSettings, Serverless, one_endpoint, read_file
from argosy.sagemaker.local.local import ADDRESS
from argosy.sagemaker.local.runtime import Runtime
from argosy.sagemaker.local.settings import AsyncSettings


@click.command("local", short_help="Run endpoints on this machine.")
@click.option("--name", help="Name of the endpoint.")
@click.option(
    "--model-data", default="", metavar="PLACE",
    help="Archive (tar.gz) or folder of the model, here or s3://…; with --multi-model what the target models are under.")
@click.option("--image", default="", help="Image to run. Without it a process serves the model.")
@click.option("--env", multiple=True, metavar="NAME=VALUE", help="Variable of the container; may be repeated.")
@click.option("--multi-model", is_flag=True, help="A multi-model endpoint.")
@click.option("--instances", type=click.IntRange(1, 64), default=1, help="How many containers. Default: 1.")
@click.option("--serverless", type=click.IntRange(1, 200), metavar="N", help="A serverless endpoint with N invocations at once.")
@click.option("--async-output", default="", metavar="S3", help="An asynchronous endpoint; the folder for its answers, s3://….")
@click.option("--async-failure", default="", metavar="S3", help="Folder for its failures. Default: that of the answers.")
@click.option("--config", "config_file", type=click.Path(path_type=Path), metavar="FILE", help="TOML or JSON file with any number of endpoints.")
@click.option("--host", help="Where to listen. Default: 127.0.0.1.")
@click.option("--port", type=click.IntRange(0, 65535), help="Port, 0 for a free one. Default: 0.")
@click.option("--engine", metavar="COMMAND", help="What runs images, with its options. Default: podman or docker.")
@click.option("--network", type=click.Choice(["host", "publish"]), help="How containers are reached. Default: host with podman, publish with docker.")
@click.option("--storage", metavar="FOLDER", help="Folder that stands for S3: its folders are the buckets. Default: S3.")
@click.option("--region", help="Region. Default: us-east-1.")
@click.option("--logs", metavar="FOLDER", help="Folder for the output of the containers. Default: a temporary one.")
@click.option("--show-logs", is_flag=True, default=None, help="Show the output of the containers.")
@click.option("--allow-unsigned", is_flag=True, default=None, help="Accept requests without a signature.")
def local_command(
    name: str | None, model_data: str, image: str, env: tuple[str, ...], multi_model: bool, instances: int, serverless: int | None,
    async_output: str, async_failure: str, config_file: Path | None, **options: Any,
) -> None:
    """Serve SageMaker endpoints on this machine until Ctrl-C: clients with AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME run unchanged.

    \b
    argosy sagemaker local --name sentiment --model-data model.tar.gz
    argosy sagemaker local --name sentiment --model-data model.tar.gz --image paddle-mms
    argosy sagemaker local --config endpoints.toml
    """
    with fail():
        if (config_file is None) == (name is None):
            raise _wrong("give either --name, with --model-data or --image, or --config")
        if config_file is not None:
            settings = read_file(config_file)
        else:
            endpoint = one_endpoint(name or "", model_data, image=image, env=_pairs(env), instances=instances, multi_model=multi_model)
            settings = RuntimeSettings((_completed(endpoint, serverless, async_output, async_failure),))
        given = {option: value for option, value in options.items() if value is not None}
        sys.exit(asyncio.run(_serve(dataclasses.replace(settings, **given))))


def _pairs(texts: tuple[str, ...]) -> dict[str, str]:
    """The variables; one without a value is taken from here, as container engines do it."""
    pairs = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not name or not (equals or name in os.environ):
            raise _wrong(f"--env {text} is not NAME=VALUE")
        pairs[name] = value if equals else os.environ[name]
    return pairs


def _completed(endpoint: EndpointSettings, serverless: int | None, output: str, failure: str) -> EndpointSettings:
    if failure and not output:
        raise _wrong("--async-failure needs --async-output")
    queue = AsyncSettings(output, failure) if output else None
    variants = tuple(dataclasses.replace(one, serverless=Serverless(serverless) if serverless else None) for one in endpoint.variants)
    return dataclasses.replace(endpoint, variants=variants, queue=queue)


def _wrong(message: str) -> ArgosyError:
    return ArgosyError(ErrorCode.INVALID_CONFIG, message)


async def _serve(settings: RuntimeSettings) -> int:
    """Until SIGTERM or SIGINT. Raises `ArgosyError` when it cannot start; on every path nothing is left behind."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    loop = asyncio.get_running_loop()
    asked_to_stop = asyncio.Event()
    runtime = Runtime(settings)

    def stop() -> None:
        if asked_to_stop.is_set():
            runtime.hurry()
        asked_to_stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    starting = loop.create_task(runtime.start())
    stopping = loop.create_task(asked_to_stop.wait())
    try:
        await asyncio.wait({starting, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if starting.done():
            starting.result()
            click.echo("\n".join(_banner(runtime)))
            await stopping
        return 0
    finally:
        starting.cancel()
        await asyncio.gather(starting, return_exceptions=True)
        stopping.cancel()
        await runtime.stop()


def _banner(runtime: Runtime) -> Iterator[str]:
    settings = runtime.settings
    yield f"Argosy {__version__}: SageMaker runtime on this machine"
    for endpoint in settings.endpoints:
        pools = ", ".join(f"{pool.name} ({pool.instances})" for pool in (*endpoint.variants, *endpoint.components))
        yield f"  {'endpoint':<11} {endpoint.name}: {pools}{', asynchronous' if endpoint.queue else ''}"
    yield f"  {'logs':<11} {runtime.logs}"
    yield f"  {'clients':<11} export {ADDRESS}={runtime.url}"
    yield from (f"  {label:<11} {text}" for label, text in _samples(settings.endpoints[0], runtime.url, settings.region))
    yield f"  {'stop':<11} Ctrl-C; a second one does not wait for what is being answered"


def _samples(endpoint: EndpointSettings, url: str, region: str) -> Iterator[tuple[str, str]]:
    """How to ask an endpoint, with keys that mean nothing."""
    signed = f"--aws-sigv4 aws:amz:{region}:sagemaker --user local:local"
    if endpoint.queue is not None:
        yield "try", f"curl {signed} -H 'X-Amzn-SageMaker-InputLocation: s3://BUCKET/KEY' -X POST {url}/endpoints/{endpoint.name}/async-invocations"
        return
    yield "try", f"curl {signed} {url}/endpoints/{endpoint.name}/invocations -H 'Content-Type: text/plain' -d 'hello'"
    client = f"boto3.client('sagemaker-runtime', region_name='{region}')"
    yield "in Python", f"{client}.invoke_endpoint(EndpointName='{endpoint.name}', ContentType='text/plain', Body='hello')['Body'].read()"
