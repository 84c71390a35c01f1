"""Names, quantities and images that a cluster would refuse are refused here, with what to write instead."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

import pytest

from argosy.errors import ArgosyError, ErrorCode
from argosy.k8s import grammar

DIGEST = "sha256:" + "0a" * 32


def refused(call: Callable[[], object]) -> str:
    """The message of the refusal."""
    with pytest.raises(ArgosyError) as caught:
        call()
    assert caught.value.code is ErrorCode.INVALID_REQUEST
    return caught.value.message


@pytest.mark.parametrize("text", ["", "Words", "1words", "-w", "w-", "a_b", "a.b", "w" * 64, "wörter", "w\n", "w ", "é"])
def test_bad_service_names(text: str) -> None:
    """What DNS does not take for a service."""
    assert "is no name for a Service: use small letters" in refused(lambda: grammar.check_service_name(text))


@pytest.mark.parametrize("text", ["w", "words", "a-1", "w" * 63])
def test_good_service_names(text: str) -> None:
    """Come back as they are."""
    assert grammar.check_service_name(text) == text


@pytest.mark.parametrize("text", ["", "A", "a.b", "-a", "a" * 64, "a\n"])
def test_bad_labels(text: str) -> None:
    """The option is named."""
    assert refused(lambda: grammar.check_label(text, "--namespace")).startswith("--namespace ")


def test_good_labels() -> None:
    """Digits may come first."""
    assert grammar.check_label("1-a", "--namespace") == "1-a"


@pytest.mark.parametrize("text", ["", "a..b", ".a", "a.", "A.b", "a/b", "*.b", "a" * 64 + ".b", ".".join(["a" * 60] * 5)])
def test_bad_names(text: str) -> None:
    """Each part is a label, and the whole is not endless."""
    assert "is not a name" in refused(lambda: grammar.check_name(text, "--ingress"))


def test_good_names() -> None:
    """Dots may be between the parts."""
    assert grammar.check_name("models.example.com", "--ingress") == "models.example.com"


@pytest.mark.parametrize("text", ["", "Words", "a b", "a:", "a:b:c", "a@sha256:12", "a//:1", ":1", "a:-1", "http://a/b", "a\n", "a;b", "a$b"])
def test_bad_images(text: str) -> None:
    """What no registry knows."""
    assert "is not an image" in refused(lambda: grammar.check_image(text, "--image"))


@pytest.mark.parametrize("text", [
    "words", "words:1", "argosy:base-cpu-py3.11", "localhost:5000/a/b:v1", "registry.example/a_b/c__d:1.2", f"a@{DIGEST}", f"a:1@{DIGEST}",
])
def test_good_images(text: str) -> None:
    """With and without registry, tag and digest."""
    assert grammar.check_image(text, "--image") == text


@pytest.mark.parametrize("text", ["", "two", "-1", "1.", ".5", "1 Gi", "1GB", "1gi", "1e3", "1" * 16, "NaN", "１"])
def test_what_is_no_quantity(text: str) -> None:
    """An example says how to write it."""
    assert "is not a quantity: write a number with or without a unit, as 2Gi" in refused(lambda: grammar.check_quantity(text, "--memory", "2Gi", "1"))


@pytest.mark.parametrize(("text", "least"), [("0", "1"), ("0", "1m"), ("500m", "1"), ("0.5", "1"), ("0.0001", "1m")])
def test_quantities_that_cannot_be(text: str, least: str) -> None:
    """Nothing, and parts of what cannot be divided."""
    assert f"it has to be a multiple of {least}" in refused(lambda: grammar.check_quantity(text, "--cpu", "2", least))


@pytest.mark.parametrize(("text", "amount"), [
    ("500m", "0.5"), ("1.5", "1.5"), ("2Gi", "2147483648"), ("1.5Ki", "1536"), ("3k", "3000"), ("1Ei", str(2**60)),
])
def test_amounts(text: str, amount: str) -> None:
    """Exactly what the unit says."""
    assert grammar.amount_of(text) == Decimal(amount)
    assert grammar.check_quantity(text, "--cpu", "2", "1m") == text


def test_amount_of_something_else() -> None:
    """A mistake of the program, not of a user."""
    with pytest.raises(ValueError, match="x is not a quantity"):
        grammar.amount_of("x")


@pytest.mark.parametrize("text", ["", "1A", "A-B", "A B", "A.B", "Ä"])
def test_bad_variables(text: str) -> None:
    """What a shell would not take."""
    assert "is not the name of a variable" in refused(lambda: grammar.check_variable(text))


@pytest.mark.parametrize("text", ["", "queue length", "1a", "a-b"])
def test_bad_metrics(text: str) -> None:
    """What Prometheus would not take."""
    assert "is not a metric: write cpu, or" in refused(lambda: grammar.check_metric(text))


@pytest.mark.parametrize("text", ["a\nb", "\x00", "a\udc80", "\x1b"])
def test_bad_texts(text: str) -> None:
    """What cannot be written down."""
    assert "leave line breaks and control characters out" in refused(lambda: grammar.check_text(text, "--env A"))


def test_good_words() -> None:
    """Come back as they are."""
    assert (grammar.check_variable("_A1"), grammar.check_metric("a:b_1"), grammar.check_text("ä b", "--env")) == ("_A1", "a:b_1", "ä b")


def test_long_texts_are_cut() -> None:
    """A message stays readable."""
    assert len(refused(lambda: grammar.check_label("A" * 5000, "--namespace"))) < 250
