"""Headers of an invocation: what the runtime checks, what a container gets to see, and what comes back."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from argosy.sagemaker.local.failures import InvocationFailure, validation_error

_PREFIX = "x-amzn-sagemaker-"
_ASCII = re.compile(r"[\x00-\x7f]{0,1024}")
_PRINTABLE = r"\S[ -~]*"
_NAME = r"[a-zA-Z0-9](?:-*[a-zA-Z0-9])*"
_RULES: dict[str, tuple[str, re.Pattern[str], int]] = {
    "custom-attributes": ("customAttributes", _ASCII, 1024),
    "target-model": ("targetModel", re.compile(_PRINTABLE), 1024),
    "target-variant": ("targetVariant", re.compile(_NAME), 63),
    "target-container-hostname": ("targetContainerHostname", re.compile(_NAME), 63),
    "inference-id": ("inferenceId", re.compile(_PRINTABLE), 64),
    "inference-component": ("inferenceComponentName", re.compile(_NAME), 63),
    "session-id": ("sessionId", re.compile(rf"NEW_SESSION|{_NAME}"), 256),
    "enable-explanations": ("enableExplanations", re.compile(r".+"), 64),
    "prefix-aware-id": ("prefixAwareId", re.compile(_PRINTABLE), 64),
    "inputlocation": ("inputLocation", re.compile(r"(https|s3)://[^/]+/?.*"), 1024),
    "filename": ("filename", re.compile(r"(?!.*\..*\.)[a-zA-Z0-9][a-zA-Z0-9_.-]*"), 32),
    "s3outputpathextension": ("s3OutputPathExtension", re.compile(r"(?!s3:|https:)[a-zA-Z0-9!_.*'()/-]+"), 512),
}
_NUMBERS = {"requestttlseconds": ("requestTTLSeconds", 60, 21_600), "invocationtimeoutseconds": ("invocationTimeoutSeconds", 1, 3_600)}
_PASSED_ON = ("custom-attributes", "inference-id", "target-model", "session-id", "inference-component")
_PASSED_BACK = ("custom-attributes", "new-session-id", "closed-session-id")
_SPELLING = {
    "custom-attributes": "X-Amzn-SageMaker-Custom-Attributes", "inference-id": "X-Amzn-SageMaker-Inference-Id",
    "target-model": "X-Amzn-SageMaker-Target-Model", "session-id": "X-Amzn-SageMaker-Session-Id",
    "inference-component": "X-Amzn-SageMaker-Inference-Component", "new-session-id": "X-Amzn-SageMaker-New-Session-Id",
    "closed-session-id": "X-Amzn-SageMaker-Closed-Session-Id",
}  # fmt: skip
VARIANT = "x-Amzn-Invoked-Production-Variant"
STREAM_TYPE = "X-Amzn-SageMaker-Content-Type"


@dataclass(frozen=True, slots=True)
class Asked:
    """What the headers of an invocation ask for. An empty text stands for a header that is not there."""

    values: Mapping[str, str]
    """By the name behind `X-Amzn-SageMaker-`, in lower case; checked."""
    numbers: Mapping[str, int]
    content_type: str
    accept: str

    def __getitem__(self, name: str) -> str:
        return self.values.get(name, "")

    def for_container(self) -> list[tuple[str, str]]:
        """What the container gets: everything else that the client sent stays here."""
        kept = [("Content-Type", self.content_type), ("Accept", self.accept)]
        kept += [(_SPELLING[name], self[name]) for name in _PASSED_ON]
        return [(name, value) for name, value in kept if value]


def read_headers(headers: Mapping[str, str], *, prefixed: frozenset[str] = frozenset()) -> Asked:
    """Check the headers of an invocation, given with names in lower case. Raises `InvocationFailure` 400 ValidationError.

    `prefixed` are those of `content-type` and `accept` that this operation takes behind `X-Amzn-SageMaker-`.
    """
    values = {name: headers[_PREFIX + name] for name in _RULES if _PREFIX + name in headers}
    for name, value in values.items():
        label, pattern, most = _RULES[name]
        if len(value) > most or not pattern.fullmatch(value):
            raise _refused(label, f"Member must satisfy regular expression pattern: {pattern.pattern}, and have length less than or equal to {most}")
    plain = {name: headers.get((_PREFIX if name in prefixed else "") + name, "") for name in ("content-type", "accept")}
    for label, value in plain.items():
        if not _ASCII.fullmatch(value):
            raise _refused(label, "Member must be ASCII and have length less than or equal to 1024")
    return Asked(values, _numbers(headers), plain["content-type"], plain["accept"])


def _numbers(headers: Mapping[str, str]) -> dict[str, int]:
    numbers = {}
    for name, (label, least, most) in _NUMBERS.items():
        text = headers.get(_PREFIX + name)
        if text is not None:
            if not (text.isascii() and text.isdecimal() and least <= int(text[:12]) <= most):
                raise _refused(label, f"Member must have value between {least} and {most}")
            numbers[name] = int(text)
    return numbers


def _refused(label: str, fault: str) -> InvocationFailure:
    return validation_error(f"1 validation error detected: Value at '{label}' failed to satisfy constraint: {fault}")


def from_container(headers: Mapping[str, str], variant: str) -> list[tuple[str, str]]:
    """What the client gets of the container's headers, given with names in lower case, beside its content type."""
    kept = [(_SPELLING[name], headers.get(_PREFIX + name, "")) for name in _PASSED_BACK]
    return [(VARIANT, variant), *((name, value) for name, value in kept if value)]
