"""Options become a wish; what was not given stays as it was."""

from __future__ import annotations

from typing import Any

import click
import pytest
from click.testing import CliRunner

from argosy.cli.sagemaker_wishes import wished, with_wishes
from argosy.errors import ArgosyError
from argosy.sagemaker.deploy import Asynchronous, Capture, Rollout, Scaling, Serverless, Spec, Variant

FULL = Spec(
    "n", model="m", image="i", bucket="bbb", variants=(Variant("a", "ml.c5.large", 2, 3.0),), asynchronous=Asynchronous("s3://o/o", 4),
    capture=Capture(5, "s3://c"), scaling=Scaling(1, 4, 7.0, 9, 8), rollout=Rollout("canary", 5, 6, ("x",)), environment={"A": "1"}, tags={"t": "1"},
    startup_timeout_s=100)  # fmt: skip


def of(base: Spec, *argv: str) -> Spec:
    """The wish that a command line makes of another one."""
    found: list[Spec] = []

    @click.command()
    @with_wishes
    def command(**given: Any) -> None:
        found.append(wished(base, given))

    result = CliRunner().invoke(command, list(argv))
    if result.exception is not None:
        raise result.exception
    return found[0]


def test_no_option_changes_nothing() -> None:
    """An update without options is what is deployed."""
    assert of(FULL) == FULL
    assert of(Spec("n")) == Spec("n")


@pytest.mark.parametrize(("argv", "field", "expected"), [
    (["--model", "x"], "model", "x"),
    (["--startup-timeout", "60"], "startup_timeout_s", 60),
    (["--immutable-tags"], "immutable_tags", True),
    (["--env", "B=2", "--env", "C=a=b"], "environment", {"A": "1", "B": "2", "C": "a=b"}),
    (["--tag", "t=2"], "tags", {"t": "2"}),
    (["--instance-count", "5"], "variants", (Variant("a", "ml.c5.large", 5, 3.0),)),
    (["--instance-type", "ml.x.y"], "variants", (Variant("a", "ml.x.y", 2, 3.0),)),
    (["--async-concurrency", "9"], "asynchronous", Asynchronous("s3://o/o", 9)),
    (["--capture", "0"], "capture", None),
    (["--capture", "50"], "capture", Capture(50, "s3://c")),
    (["--scale", "off"], "scaling", None),
    (["--scale", "2:3"], "scaling", Scaling(2, 3, 7.0, 9, 8)),
    (["--scale-target", "1.5"], "scaling", Scaling(1, 4, 1.5, 9, 8)),
    (["--traffic", "linear", "--traffic-wait", "1"], "rollout", Rollout("linear", 5, 1, ("x",))),
    (["--alarm", "y", "--alarm", "z"], "rollout", Rollout("canary", 5, 6, ("y", "z"))),
])  # fmt: skip
def test_an_option_changes_its_own_value(argv: list[str], field: str, expected: object) -> None:
    """And no other."""
    changed = of(FULL, *argv)
    assert getattr(changed, field) == expected
    same = [name for name in Spec.__dataclass_fields__ if name != field and getattr(changed, name) != getattr(FULL, name)]
    assert same == []


def test_from_nothing() -> None:
    """What was not there before gets the defaults of its kind."""
    assert of(Spec("n"), "--async").asynchronous == Asynchronous()
    assert of(Spec("n"), "--capture-to", "s3://x").capture == Capture(100, "s3://x")
    assert of(Spec("n"), "--scale", "1:9").scaling == Scaling(1, 9)
    assert of(Spec("n"), "--serverless-concurrency", "7").variants == (Variant(serverless=Serverless(2048, 7)),)
    assert of(Spec("n"), "--variant", "x=ml.a.b", "--variant", "y=ml.c.d:3:0.5").variants == (Variant("x", "ml.a.b"), Variant("y", "ml.c.d", 3, 0.5))
    serverless = Spec("n", variants=(Variant(serverless=Serverless(1024, 3)),))
    assert of(serverless, "--serverless-memory", "3072").variants[0].serverless == Serverless(3072, 3)
    assert of(serverless, "--instance-type", "ml.a.b").variants == (Variant(instance_type="ml.a.b"),)


@pytest.mark.parametrize(("argv", "said"), [
    (["--variant", "x"], "x is not NAME=VALUE"),
    (["--variant", "x=ml.a.b:many"], r"x=ml.a.b:many is not NAME=TYPE\[:COUNT\[:WEIGHT\]\]"),
    (["--tag", "x"], "x is not NAME=VALUE"),
    (["--scale", "1"], "neither MIN:MAX nor off"),
    (["--scale", "3:1"], "from 3 to 1 instances"),
    (["--serverless-memory", "1024", "--instance-type", "ml.a.b"], "not both"),
    (["--serverless-memory", "1024"], "in steps, and back on an alarm, only where one variant with instances serves"),
])  # fmt: skip
def test_refusals(argv: list[str], said: str) -> None:
    """What makes no sense is told."""
    with pytest.raises(ArgosyError, match=said):
        of(FULL, *argv)


def test_sizes_of_several_variants() -> None:
    """One size for two variants would be a guess."""
    two = Spec("n", variants=(Variant("a"), Variant("b")))
    with pytest.raises(ArgosyError, match="say with --variant"):
        of(two, "--instance-count", "3")
