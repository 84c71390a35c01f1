"""What Kubernetes takes for a name, a quantity, an image or a host, checked before anything is written."""

from __future__ import annotations

import re
from decimal import Decimal

from argosy.errors import ArgosyError, ErrorCode

_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?")
_SUBDOMAIN = re.compile(rf"{_LABEL.pattern}(\.{_LABEL.pattern})*")
_QUANTITY = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,9})?)(m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei|)")
_FACTORS = {
    "": Decimal(1), "m": Decimal("0.001"), **{unit: Decimal(1000) ** power for power, unit in enumerate("kMGTPE", 1)},
    **{f"{unit}i": Decimal(1024) ** power for power, unit in enumerate("KMGTPE", 1)},
}  # fmt: skip
_IMAGE = re.compile(
    r"(?:[A-Za-z0-9.-]+(?::[0-9]+)?/)?[a-z0-9]+(?:[._/-]+[a-z0-9]+)*(?::[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?(?:@sha256:[0-9a-f]{64})?")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_METRIC = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_LONGEST_LABEL, _LONGEST_NAME = 63, 253


def refuse(message: str) -> ArgosyError:
    """The error for a wish that cannot be met."""
    return ArgosyError(ErrorCode.INVALID_REQUEST, message)


def check_service_name(text: str, longest: int = _LONGEST_LABEL) -> str:
    """The name of an application, which is that of its Service too. Raises `ArgosyError` INVALID_REQUEST unless it is a label of DNS (RFC 1035)."""
    if _LABEL.fullmatch(text) is None or not text[0].isalpha() or len(text) > longest:
        raise refuse(
            f"NAME {_shown(text)} is no name for a Service: use small letters, digits and '-', at most {longest}, "
            "beginning with a letter and not ending with '-'")
    return text


def check_label(text: str, what: str) -> str:
    """A name of one part, as of a namespace. Raises `ArgosyError` INVALID_REQUEST."""
    if _LABEL.fullmatch(text) is None or len(text) > _LONGEST_LABEL:
        raise refuse(f"{what} {_shown(text)} is not a name: use small letters, digits and '-' between them, at most {_LONGEST_LABEL}")
    return text


def check_name(text: str, what: str) -> str:
    """A name that may have dots, as of a Secret or a host. Raises `ArgosyError` INVALID_REQUEST."""
    if _SUBDOMAIN.fullmatch(text) is None or len(text) > _LONGEST_NAME or any(len(part) > _LONGEST_LABEL for part in text.split(".")):
        raise refuse(f"{what} {_shown(text)} is not a name: use small letters, digits, and '-' and '.' between them, at most {_LONGEST_NAME}")
    return text


def check_image(text: str, what: str) -> str:
    """The reference of an image. Raises `ArgosyError` INVALID_REQUEST."""
    if _IMAGE.fullmatch(text) is None:
        raise refuse(f"{what} {_shown(text)} is not an image: write [REGISTRY/]NAME[:TAG] or NAME@sha256:DIGEST, the name in small letters")
    return text


def check_variable(text: str) -> str:
    """The name of an environment variable. Raises `ArgosyError` INVALID_REQUEST."""
    if _VARIABLE.fullmatch(text) is None:
        raise refuse(f"--env {_shown(text)} is not the name of a variable: use letters, digits and '_', not beginning with a digit")
    return text


def check_metric(text: str) -> str:
    """The name of a metric of Prometheus. Raises `ArgosyError` INVALID_REQUEST."""
    if _METRIC.fullmatch(text) is None:
        raise refuse(f"--scale-on {_shown(text)} is not a metric: write cpu, or the name of a metric as argosy_queue_jobs")
    return text


def check_text(text: str, what: str) -> str:
    """A text that can be written as UTF-8 and has no line breaks or other control characters. Raises `ArgosyError` INVALID_REQUEST."""
    if any(ord(letter) < 32 or 0xD800 <= ord(letter) <= 0xDFFF for letter in text):
        raise refuse(f"{what} {_shown(text)} has characters that no manifest takes: leave line breaks and control characters out")
    return text


def check_quantity(text: str, what: str, example: str, least: str) -> str:
    """An amount of a resource. Raises `ArgosyError` INVALID_REQUEST unless it is one and at least `least`, of which it is a multiple."""
    if _QUANTITY.fullmatch(text) is None:
        raise refuse(f"{what} {_shown(text)} is not a quantity: write a number with or without a unit, as {example}")
    amount, unit = amount_of(text), amount_of(least)
    if amount < unit or amount % unit:
        raise refuse(f"{what} {_shown(text)} cannot be: it has to be a multiple of {least}, as {example}")
    return text


def amount_of(quantity: str) -> Decimal:
    """The number that a quantity stands for. Raises ValueError for a text that is none."""
    found = _QUANTITY.fullmatch(quantity)
    if found is None:
        raise ValueError(f"{quantity} is not a quantity")
    return Decimal(found[1]) * _FACTORS[found[2]]


def _shown(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:60] + "…")
