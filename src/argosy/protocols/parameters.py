"""What the parameters of a management request say; those that are wrong and accepted, as Multi Model Server accepted them, are logged."""

from __future__ import annotations

import difflib
import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass

from argosy.config import MOST_CONCURRENT, OWN_LIMITS, check_limit
from argosy.control.registration import RegisterRequest, check_runtime
from argosy.errors import ArgosyError, ErrorCode
from argosy.protocols.endpoint import HttpRequest
from argosy.protocols.forms import media_type, query_values
from argosy.store.lenient import LenientError, read_lenient

_log = logging.getLogger("argosy.protocols")

_REGISTRATION = (
    "url", "model_name", "handler", "runtime", "batch_size", "max_batch_delay", "initial_workers", "synchronous", "response_timeout",
    "preload_model", "concurrency", *(f"worker_{name}" for name in OWN_LIMITS),
)  # fmt: skip
_INTEGER = re.compile(r"[+-]?[0-9]{1,10}")
_INT_MAX = 2**31 - 1
_DIGITS = re.compile(r"[0-9]{1,18}")
_YES = frozenset({"yes", "true", "y", "1"})
_NO = frozenset({"no", "false", "n", "0"})
_SHOWN = 100
_MOST_UNKNOWN = 5


@dataclass(frozen=True, slots=True)
class Parameters:
    """The parameters of one request. `about` says in the log what it was."""

    values: Mapping[str, str]
    about: str
    is_strict: bool = False
    """Whether what is no number is refused: in JSON it is, in a query it never was."""

    def integer(self, name: str, default: int, instead: str = "") -> int:
        """An integer of 32 bits; the default when it is absent, or wrong and accepted, for which the log has the word `instead`.

        Raises `ArgosyError` INVALID_REQUEST for a wrong one if that is not accepted.
        """
        found = self.values.get(name)
        if found is None:
            return default
        if _INTEGER.fullmatch(found) and -_INT_MAX <= int(found) <= _INT_MAX:
            return int(found)
        if self.is_strict:
            raise _wrong(f"Parameter {name} must be an integer, not {found[:_SHOWN]}.")
        self._warn(f"{self._shown(name)} is no integer of 32 bits; {instead or default} is used")
        return default

    def is_true(self, name: str, *, default: bool) -> bool:
        """Whether it is the word `true`: no other means yes."""
        word = self.values.get(name, str(default)).lower()
        if word != "true" and word not in _NO:
            self._warn(f"{self._shown(name)} is neither true nor false; false is used")
        return word == "true"

    def batch_size(self) -> int:
        """What is asked for; less than 1 acts as 1."""
        size = self.integer("batch_size", 1)
        if size < 1:
            self._warn(f"{self._shown('batch_size')} is less than 1; 1 is used")
        return size

    def max_batch_delay(self) -> int:
        """Milliseconds; less than 0 acts as 0."""
        delay = self.integer("max_batch_delay", 100)
        if delay < 0:
            self._warn(f"{self._shown('max_batch_delay')} is less than 0; 0 is used")
        return delay

    def warn_of_unknown(self) -> None:
        """Say which parameters of a registration there are none of."""
        for name in [name for name in self.values if name not in _REGISTRATION][:_MOST_UNKNOWN]:
            near = difflib.get_close_matches(name[:_SHOWN], _REGISTRATION, 1)
            self._warn(f"{self._shown(name)} is unknown and ignored" + (f"; did you mean {near[0]}?" if near else ""))

    def _shown(self, name: str) -> str:
        return f"parameter {name[:_SHOWN]}={self.values[name][:_SHOWN]}"

    def _warn(self, what: str) -> None:
        _log.warning("%s: %s", self.about[:_SHOWN], what)


def read_registration(request: HttpRequest) -> RegisterRequest:
    """What a registration asks for: from a JSON body alone, else from the query alone.

    The response timeout is in minutes in a query and in seconds in JSON; 0 means no limit. Raises `ArgosyError` INVALID_REQUEST.
    """
    is_json = media_type(request.headers.get("content-type", "")).lower() == "application/json"
    values = _json_values(request.body) if is_json else query_values(request.query)
    check_runtime(values.get("runtime"))
    if "url" not in values:
        raise _wrong("Parameter url is required.")
    asked = Parameters(values, f"registration of {values['url']}", is_strict=is_json)
    timeout = asked.integer("response_timeout", -1, "default_response_timeout")
    read = RegisterRequest(
        url=values["url"],
        name=values.get("model_name") or None,
        handler=values.get("handler"),
        runtime=values.get("runtime"),
        batch_size=asked.batch_size(),
        max_batch_delay_ms=asked.max_batch_delay(),
        initial_workers=_workers(asked),
        synchronous=asked.is_true("synchronous", default=True),
        response_timeout_s=None if timeout < 0 else timeout * (1.0 if is_json else 60.0),
        preload=_choice(values.get("preload_model")),
        limits=_limits(values),
        concurrency=_concurrency(values.get("concurrency")),
    )
    asked.warn_of_unknown()
    return read


def _workers(asked: Parameters) -> int | None:
    """How many; None when that is left to the configuration."""
    absent = -_INT_MAX - 1
    number = asked.integer("initial_workers", absent, "default_workers_per_model")
    return None if number == absent else number


def _json_values(body: bytes) -> dict[str, str]:
    """The entries of a JSON object as texts; null counts as absent, and so does what is no parameter. Raises `ArgosyError` INVALID_REQUEST."""
    try:
        found = read_lenient(body.decode("utf-8"))
    except (UnicodeDecodeError, LenientError) as error:
        raise ArgosyError(ErrorCode.INVALID_REQUEST, f"The body is not JSON: {error}.") from error
    if not isinstance(found, dict):
        raise _wrong("The body must be a JSON object with the parameters of the registration.")
    wrong = next((name for name in _REGISTRATION if isinstance(found.get(name), (list, dict))), None)
    if wrong is not None:
        raise _wrong(f"Parameter {wrong} must be one value, not a list or an object.")
    return {name: _text(value) for name, value in found.items() if isinstance(value, (str, int, float, bool))}


def _text(value: str | float | bool) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _choice(word: str | None) -> bool | None:
    """A yes or no; None when nothing was said. Raises `ArgosyError` INVALID_REQUEST for another word."""
    if word is None:
        return None
    if word.lower() not in _YES | _NO:
        raise _wrong(f"Parameter preload_model must be true or false, not {word[:_SHOWN]}.")
    return word.lower() in _YES


def _concurrency(text: str | None) -> int | None:
    """How many requests at once a worker shall take. Raises `ArgosyError` INVALID_REQUEST for what cannot be."""
    if text is None:
        return None
    number = _integer_of(text)
    if number is None or not 1 <= number <= MOST_CONCURRENT:
        raise _wrong(f"Parameter concurrency must be a whole number from 1 to {MOST_CONCURRENT}, not {text[:_SHOWN]}.")
    return number


def _limits(values: Mapping[str, str]) -> dict[str, int]:
    """The limits of workers that are asked for. Raises `ArgosyError` INVALID_REQUEST for one that cannot be."""
    try:
        return {name: check_limit(name, _integer_of(text)) for name in OWN_LIMITS if (text := values.get(f"worker_{name}")) is not None}
    except ValueError as error:
        raise ArgosyError(ErrorCode.INVALID_REQUEST, f"Parameter worker_{error}.") from error


def _integer_of(text: str) -> int | None:
    return int(text) if _DIGITS.fullmatch(text) else None


def _wrong(message: str) -> ArgosyError:
    return ArgosyError(ErrorCode.INVALID_REQUEST, message)
