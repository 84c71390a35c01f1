"""Signatures have to be well-formed; who signed is not checked."""

from __future__ import annotations

import pytest

from argosy.sagemaker.local.failures import InvocationFailure
from argosy.sagemaker.local.signature import Signer, missing_signature, read_signature

GOOD = (
    "AWS4-HMAC-SHA256 Credential=AKID/20300101/eu-west-1/sagemaker/aws4_request, SignedHeaders=host;x-amz-date, "
    "Signature=0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
)
DATE = {"x-amz-date": "20300101T000000Z"}


def refusal(authorization: str, headers: dict[str, str] = DATE) -> InvocationFailure:
    """Why a header is refused."""
    with pytest.raises(InvocationFailure) as caught:
        read_signature({"authorization": authorization, **headers}, "")
    return caught.value


def test_a_signature_names_key_and_region() -> None:
    """As clients write it."""
    assert read_signature({"authorization": GOOD, **DATE}, "") == Signer("AKID", "eu-west-1")


def test_a_signature_for_several_regions_has_none() -> None:
    """The other algorithm leaves the region out of the scope."""
    text = GOOD.replace("HMAC-SHA256", "ECDSA-P256-SHA256").replace("/eu-west-1", "")
    assert read_signature({"authorization": text, **DATE}, "") == Signer("AKID", "")


def test_a_signature_may_be_in_the_query() -> None:
    """Presigned addresses."""
    query = "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKID%2F20300101%2Feu-west-1%2Fsagemaker%2Faws4_request&X-Amz-Signature=ab12"
    assert read_signature({}, query) == Signer("AKID", "eu-west-1")


def test_no_signature_is_none() -> None:
    """Whether that is refused is for others to say, and how, is said here."""
    assert read_signature({}, "") is None
    assert (missing_signature().status, missing_signature().kind) == (403, "MissingAuthenticationTokenException")


@pytest.mark.parametrize(("part", "named"), [("Credential", "Credential"), ("SignedHeaders", "SignedHeaders"), ("Signature=", "Signature")])
def test_each_part_is_needed(part: str, named: str) -> None:
    """The refusal names what is missing."""
    failure = refusal(GOOD.replace(part, "X"))
    assert failure.kind == "IncompleteSignatureException"
    assert f"'{named}'" in failure.message


@pytest.mark.parametrize("text", ["Bearer abc", "", "AWS3-HMAC-SHA256 x", GOOD.replace("aws4_request", "aws3"), GOOD.replace("20300101", "today"),
                                  GOOD.replace("AKID", ""), GOOD.replace("Signature=01", "Signature=zz")])  # fmt: skip
def test_what_is_malformed_is_refused(text: str) -> None:
    """With 403, as an incomplete signature."""
    assert (refusal(text).status, refusal(text).kind) == (403, "IncompleteSignatureException")


def test_the_date_is_needed() -> None:
    """In one of its two headers."""
    assert "Date" in refusal(GOOD, {}).message
    assert read_signature({"authorization": GOOD, "date": "today"}, "") is not None


def test_a_signature_for_another_service_is_refused() -> None:
    """The client was sent to the wrong place."""
    assert refusal(GOOD.replace("sagemaker", "s3")).kind == "InvalidSignatureException"
