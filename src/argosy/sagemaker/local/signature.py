"""Signatures of requests (SigV4): well-formed or not. They are never verified, since nobody here knows the keys."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qs

from argosy.sagemaker.local.failures import InvocationFailure

_ALGORITHMS = ("AWS4-HMAC-SHA256", "AWS4-ECDSA-P256-SHA256")
_NEEDED = ("Credential", "SignedHeaders", "Signature")
_HEX = re.compile(r"[0-9a-fA-F]+")
_SERVICE = "sagemaker"


@dataclass(frozen=True, slots=True)
class Signer:
    """Who signed, as far as it can be known."""

    access_key: str
    region: str
    """Empty for signatures that are valid in several regions."""


def read_signature(headers: Mapping[str, str], query: str) -> Signer | None:
    """The signer of a request, by its `authorization` header or its query; None when it is not signed.

    Raises `InvocationFailure` 403 for a signature that is malformed or made for another service.
    """
    text = headers.get("authorization")
    if text is None:
        return _of_query(query)
    algorithm, _, rest = text.partition(" ")
    if algorithm not in _ALGORITHMS:
        raise _incomplete(f"Unsupported AWS 'algorithm': '{algorithm[:40]}'.")
    given = dict(_pair(part) for part in rest.split(",") if part.strip())
    for name in _NEEDED:
        if not given.get(name):
            raise _incomplete(f"Authorization header requires '{name}' parameter.")
    if "x-amz-date" not in headers and "date" not in headers:
        raise _incomplete("Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header.")
    return _checked(given["Credential"], given["Signature"])


def _of_query(query: str) -> Signer | None:
    values = parse_qs(query)
    if "X-Amz-Credential" not in values:
        return None
    return _checked(values["X-Amz-Credential"][0], values.get("X-Amz-Signature", [""])[0])


def _checked(credential: str, signature: str) -> Signer:
    """`KEY/DATE/REGION/SERVICE/aws4_request`; the other algorithm leaves the region out."""
    scope = credential.split("/")
    if len(scope) not in (4, 5) or scope[-1] != "aws4_request" or not all(scope) or not re.fullmatch(r"\d{8}", scope[1]):
        raise _incomplete("Credential must be KEY/DATE/REGION/SERVICE/aws4_request.")
    if scope[-2] != _SERVICE:
        raise InvocationFailure(403, "InvalidSignatureException", f"Credential should be scoped to correct service: '{_SERVICE}'.")
    if not _HEX.fullmatch(signature):
        raise _incomplete("The signature is not hexadecimal.")
    return Signer(scope[0], scope[2] if len(scope) == 5 else "")


def missing_signature() -> InvocationFailure:
    """The request is not signed, and has to be."""
    return InvocationFailure(403, "MissingAuthenticationTokenException", "Missing Authentication Token")


def _incomplete(message: str) -> InvocationFailure:
    return InvocationFailure(403, "IncompleteSignatureException", message)


def _pair(part: str) -> tuple[str, str]:
    name, _, value = part.strip().partition("=")
    return name, value
