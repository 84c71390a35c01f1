"""The options that say what is to be deployed, and the `Spec` that they make of another one."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import click

from argosy.cli.options import finite
from argosy.sagemaker.deploy import Asynchronous, Capture, Rollout, Scaling, Serverless, Spec, Variant
from argosy.sagemaker.deploy.spec import refuse

_PLAIN = ("model", "image", "bucket", "repository", "role", "kms_key", "startup_timeout_s", "download_timeout_s")
_OPTIONS = (
    click.option("--model", help="Archive (.tar.gz, .mar, packed folder), or s3:// URL of one."),
    click.option("--image", help="Container image of this machine, or URI of one in ECR."),
    click.option("--bucket", help="Bucket for the model. Default: one of its own."),
    click.option("--repository", help="ECR repository for the image. Default: one of its own."),
    click.option("--immutable-tags", is_flag=True, default=None, help="Tags in its own repository cannot be moved."),
    click.option("--role", help="ARN of an existing execution role. Default: one of its own with just the permissions that it needs."),
    click.option("--kms-key", help="KMS key for bucket, repository and the instances' disks. Default: keys of AWS."),
    click.option("--instance-type", help="Type of the instances. Default: ml.m5.large."),
    click.option("--instance-count", type=click.IntRange(1), help="How many instances. Default: 1."),
    click.option("--variant", "variants", multiple=True, metavar="NAME=TYPE[:COUNT[:WEIGHT]]", help="One variant of several."),
    click.option("--serverless-memory", type=int, metavar="MB", help="Serverless instead of instances, with that much memory: 1024 to 6144."),
    click.option("--serverless-concurrency", type=click.IntRange(1, 200), help="Requests at once of a serverless endpoint. Default: 5."),
    click.option("--async", "is_async", is_flag=True, default=None, help="Requests are queued and answered in S3."),
    click.option("--async-output", metavar="S3-URL", help="Where answers of queued requests go. Default: the bucket."),
    click.option("--async-concurrency", type=click.IntRange(1, 1000), help="Queued requests that an instance works on at once."),
    click.option("--capture", type=click.IntRange(0, 100), metavar="PERCENT", help="Keep so many per cent of requests and answers in S3."),
    click.option("--capture-to", metavar="S3-URL", help="Where they are kept. Default: the bucket."),
    click.option("--scale", metavar="MIN:MAX", help="Scale between so many instances; off for not at all."),
    click.option(
        "--scale-target", type=click.FloatRange(min=0, min_open=True), callback=finite, help="Requests a minute for an instance. Default: 100."),
    click.option("--env", "environment", multiple=True, metavar="NAME=VALUE", help="Environment variable of the container; may be repeated."),
    click.option("--tag", "tags", multiple=True, metavar="NAME=VALUE", help="Tag of everything that is made; may be repeated."),
    click.option("--startup-timeout", "startup_timeout_s", type=click.IntRange(60, 3600), help="Seconds until /ping must answer."),
    click.option("--download-timeout", "download_timeout_s", type=click.IntRange(60, 3600), help="Seconds for fetching the model."),
    click.option("--traffic", type=click.Choice(["all-at-once", "canary", "linear"]), help="How an update moves requests. Default: all-at-once."),
    click.option("--traffic-percent", type=click.IntRange(1, 50), help="The step of canary and linear. Default: 10."),
    click.option("--traffic-wait", type=click.IntRange(0, 3600), help="Seconds between steps. Default: 60."),
    click.option("--alarm", "alarms", multiple=True, help="CloudWatch alarm that makes an update go back; may be repeated."),
)


def with_wishes(function: Callable[..., None]) -> Callable[..., None]:
    """Add the options that say what is to be deployed."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


def wished(base: Spec, given: Mapping[str, Any]) -> Spec:
    """`base` with what the options say; an option that was not given leaves it as it is. Raises `ArgosyError` INVALID_REQUEST."""
    changes = {name: given[name] for name in _PLAIN if given[name] is not None}
    if given["immutable_tags"]:
        changes["immutable_tags"] = True
    for name in ("environment", "tags"):
        if given[name]:
            changes[name] = {**getattr(base, name), **dict(_pair(text) for text in given[name])}
    return dataclasses.replace(
        base, **changes, variants=_variants(base.variants, given), asynchronous=_asynchronous(base.asynchronous, given),
        capture=_capture(base.capture, given), scaling=_scaling(base.scaling, given), rollout=_rollout(base.rollout, given))  # fmt: skip


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise refuse(f"{text} is not NAME=VALUE.")
    return name, value


def _changed(given: Mapping[str, Any], **names: str) -> dict[str, Any]:
    """The fields whose option was given."""
    return {field: given[option] for field, option in names.items() if given[option] is not None}


def _variants(base: tuple[Variant, ...], given: Mapping[str, Any]) -> tuple[Variant, ...]:
    if given["variants"]:
        return tuple(_variant(text) for text in given["variants"])
    capacity = _changed(given, memory_mb="serverless_memory", max_concurrency="serverless_concurrency")
    size = _changed(given, instance_type="instance_type", instance_count="instance_count")
    if capacity and size:
        raise refuse("An endpoint is serverless or has instances, not both.")
    if capacity:
        return (dataclasses.replace(base[0], serverless=dataclasses.replace(base[0].serverless or Serverless(), **capacity)),)
    if size and len(base) > 1:
        raise refuse("The endpoint has several variants: say with --variant how each should be.")
    return (dataclasses.replace(base[0], serverless=None, **size),) if size else base


def _variant(text: str) -> Variant:
    name, rest = _pair(text)
    kind, _, rest = rest.partition(":")
    count, _, weight = rest.partition(":")
    try:
        return Variant(name, kind, int(count or 1), float(weight or 1))
    except ValueError:
        raise refuse(f"{text} is not NAME=TYPE[:COUNT[:WEIGHT]].") from None


def _asynchronous(base: Asynchronous | None, given: Mapping[str, Any]) -> Asynchronous | None:
    changes = _changed(given, output="async_output", max_concurrency="async_concurrency")
    return dataclasses.replace(base or Asynchronous(), **changes) if changes or given["is_async"] else base


def _capture(base: Capture | None, given: Mapping[str, Any]) -> Capture | None:
    if given["capture"] == 0:
        return None
    changes = _changed(given, percent="capture", destination="capture_to")
    return dataclasses.replace(base or Capture(), **changes) if changes else base


def _scaling(base: Scaling | None, given: Mapping[str, Any]) -> Scaling | None:
    if given["scale"] == "off":
        return None
    changes = _changed(given, invocations="scale_target")
    if given["scale"] is not None:
        low, _, high = given["scale"].partition(":")
        if not (low.isdecimal() and high.isdecimal()):
            raise refuse(f"--scale {given['scale']} is neither MIN:MAX nor off.")
        changes |= {"minimum": int(low), "maximum": int(high)}
    return dataclasses.replace(base or Scaling(), **changes) if changes else base


def _rollout(base: Rollout, given: Mapping[str, Any]) -> Rollout:
    changes = _changed(given, kind="traffic", percent="traffic_percent", wait_s="traffic_wait")
    if given["alarms"]:
        changes["alarms"] = tuple(given["alarms"])
    return dataclasses.replace(base, **changes)
