"""Settings that make no endpoint are refused, with what is wrong."""

from __future__ import annotations

import dataclasses
import math

import pytest

from argosy.errors import ArgosyError, ErrorCode
from argosy.sagemaker.local.settings import AsyncSettings, ContainerSettings, EndpointSettings, Limits, RuntimeSettings, Serverless, VariantSettings

ONE = ContainerSettings(image="i")
VARIANT = VariantSettings(containers=(ONE,))
ENDPOINT = EndpointSettings("e", (VARIANT,))


@pytest.mark.parametrize(("make", "words"), [
    (lambda: EndpointSettings("a_b", (VARIANT,)), "'a_b' is no name"),
    (lambda: EndpointSettings("x" * 64, (VARIANT,)), "at most 63"),
    (lambda: EndpointSettings("e"), "variants or components"),
    (lambda: EndpointSettings("e", (VARIANT,), (VARIANT,)), "variants or components"),
    (lambda: EndpointSettings("e", (VARIANT, VARIANT)), "AllTraffic is there twice"),
    (lambda: EndpointSettings("e", (dataclasses.replace(VARIANT, weight=0),)), "weight 0"),
    (lambda: dataclasses.replace(VARIANT, weight=-1), "weight"),
    (lambda: dataclasses.replace(VARIANT, weight=math.nan), "weight must be at least 0"),
    (lambda: dataclasses.replace(VARIANT, weight=math.inf), "weight must be at least 0"),
    (lambda: dataclasses.replace(VARIANT, startup_timeout_s=0), "startup_timeout_s must be more than 0, not 0"),
    (lambda: dataclasses.replace(VARIANT, startup_timeout_s=math.nan), "startup_timeout_s must be more than 0, not nan"),
    (lambda: dataclasses.replace(VARIANT, startup_timeout_s=math.inf), "startup_timeout_s"),
    (lambda: dataclasses.replace(VARIANT, instances=0), "instances"),
    (lambda: dataclasses.replace(VARIANT, instances=65), "1 to 64"),
    (lambda: VariantSettings(), "model_data, image or command"),
    (lambda: VariantSettings(containers=(ONE,) * 16), "1 to 15 containers"),
    (lambda: VariantSettings(containers=(ONE, dataclasses.replace(ONE, multi_model=True, model_data="d"))), "stands alone"),
    (lambda: VariantSettings(containers=(dataclasses.replace(ONE, multi_model=True),)), "multi_model needs model_data"),
    (lambda: VariantSettings(containers=(dataclasses.replace(ONE, hostname="a"),) * 2), "a is there twice"),
    (lambda: AsyncSettings("/tmp/x"), "s3://"),
    (lambda: AsyncSettings("s3://b", "x"), "s3://"),
    (lambda: AsyncSettings("s3://b", max_concurrent=0), "max_concurrent"),
    (lambda: RuntimeSettings(()), "no endpoint"),
    (lambda: RuntimeSettings((ENDPOINT, ENDPOINT)), "endpoint e is there twice"),
    (lambda: RuntimeSettings((ENDPOINT,), network="bridge"), "network"),
    (lambda: RuntimeSettings((ENDPOINT,), port=65536), "port"),
    (lambda: Serverless(0), "max_concurrency must be 1 to 200, not 0"),
    (lambda: Serverless(201), "max_concurrency"),
])  # fmt: skip
def test_what_makes_no_endpoint_is_refused(make: object, words: str) -> None:
    """As a wrong configuration."""
    assert callable(make)
    with pytest.raises(ArgosyError) as caught:
        make()
    assert caught.value.code is ErrorCode.INVALID_CONFIG
    assert words in caught.value.message


def test_containers_have_host_names() -> None:
    """Their own, else numbered ones."""
    named = dataclasses.replace(ONE, hostname="tokens")
    assert VariantSettings(containers=(named, ONE)).hostnames == ("tokens", "container-2")


def test_serverless_bodies_are_smaller() -> None:
    """4 MB instead of 6."""
    assert Limits().of(VARIANT) == 6_291_456
    assert Limits().of(dataclasses.replace(VARIANT, serverless=Serverless())) == 4 * 1024 * 1024
