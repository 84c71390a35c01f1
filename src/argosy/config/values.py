"""How the text of a setting becomes its value, and what is said when it cannot."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path

from argosy.config.address import parse_address, parse_ports
from argosy.config.confinement import parse_model_limits, parse_user
from argosy.config.declare import Setting
from argosy.errors import ArgosyError

_INTEGER = re.compile(r"[+-]?\d{1,18}")
_YES = frozenset({"yes", "true", "y", "1"})
_NO = frozenset({"no", "false", "n", "0"})


def parse_value(text: str, setting: Setting) -> object:
    """The value of a setting whose text is not blank. Raises ValueError whose text says what is wrong with it."""
    return PARSERS[setting.kind](text, setting)


def allowed(setting: Setting) -> str:
    """What a setting may be, in words."""
    if setting.words:
        return ("words separated by commas of " if setting.kind == "scopes" else "one of ") + ", ".join(setting.words)
    noun = _NOUNS.get(setting.kind, "a text")
    unit = f" of {setting.unit}" if setting.unit else ""
    if setting.low is not None and setting.high is not None:
        return f"{noun}{unit} from {setting.low:g} to {setting.high:g}"
    if setting.low is not None:
        return f"{noun}{unit}, at least {setting.low:g}"
    return noun + unit


def _integer(text: str, setting: Setting) -> int:
    stripped = text.strip()
    if not _INTEGER.fullmatch(stripped):
        raise ValueError(f'For input string: "{text}"')
    return int(_within(int(stripped), stripped, setting))


def _number(text: str, setting: Setting) -> float:
    try:
        value = float(text)
    except ValueError:
        raise ValueError(f'For input string: "{text}"') from None
    if value != value or value in (float("inf"), float("-inf")):
        raise ValueError(f'For input string: "{text}"')
    return _within(value, text, setting)


def _within(value: float, text: str, setting: Setting) -> float:
    if (setting.low is not None and value < setting.low) or (setting.high is not None and value > setting.high):
        raise ValueError(f"Out of range: {text}")
    return value


def _boolean(text: str, setting: Setting) -> bool:
    return text.strip().lower() == "true"


def _choice(text: str, setting: Setting) -> bool:
    word = text.strip().lower()
    if word not in _YES | _NO:
        raise ValueError(f"Not a yes or no: {text}")
    return word in _YES


def _word(text: str, setting: Setting) -> str:
    word = text.strip().lower()
    if word not in setting.words:
        raise ValueError(f"Unknown word: {text}")
    return word


def _text(text: str, setting: Setting) -> str:
    return text if setting.secret else text.strip()


def _path(text: str, setting: Setting) -> Path:
    if "\0" in text:
        raise ValueError("A path has no zero character")
    return Path(text.strip())


def _path_or_none(text: str, setting: Setting) -> Path | None:
    return None if text.strip().lower() == "none" else _path(text, setting)


def _regex(text: str, setting: Setting) -> re.Pattern[str]:
    try:
        return re.compile(text)
    except re.error as error:
        raise ValueError(f"Not a regular expression: {text} ({error})") from None


def _regexes(text: str, setting: Setting) -> tuple[re.Pattern[str], ...]:
    return tuple(_regex(item.strip(), setting) for item in text.split(",") if item.strip())


def _names(text: str, setting: Setting) -> tuple[str, ...]:
    return tuple(item.strip() for item in text.split(",") if item.strip())


def _user(text: str, setting: Setting) -> object:
    return parse_user(text)


def _model_limits(text: str, setting: Setting) -> object:
    return parse_model_limits(text)


def _scopes(text: str, setting: Setting) -> tuple[str, ...]:
    found = _names(text, setting)
    unknown = [word for word in found if word not in setting.words]
    if unknown:
        raise ValueError(f"Unknown word: {unknown[0]}")
    return found


def _inference(text: str, setting: Setting) -> object:
    return _address(text, (80, 443))


def _management(text: str, setting: Setting) -> object:
    return _address(text, (8081, 8444))


def _address(text: str, ports: tuple[int, int]) -> object:
    try:
        return parse_address(text.strip(), ports)
    except ArgosyError as error:
        raise ValueError(error.message) from None


def _ports(text: str, setting: Setting) -> object:
    try:
        return parse_ports(text)
    except ArgosyError as error:
        raise ValueError(error.message) from None


PARSERS: Mapping[str, Callable[[str, Setting], object]] = {
    "integer": _integer, "number": _number, "boolean": _boolean, "choice": _choice, "word": _word, "text": _text, "any": _text, "path": _path,
    "path_or_none": _path_or_none, "regex": _regex, "regexes": _regexes, "names": _names, "ports": _ports, "user": _user,
    "model_limits": _model_limits, "scopes": _scopes,
    "address": _inference, "management_address": _management,
}
"""One parser for each kind of setting."""

_NOUNS = {
    "integer": "an integer", "number": "a number", "boolean": "true or false", "choice": "true or false", "path": "a path",
    "path_or_none": "a path or none", "regex": "a regular expression", "regexes": "regular expressions separated by commas",
    "names": "names separated by commas", "user": "user[:group], by name or number, not root", "model_limits": "a JSON object of models",
    "ports": "low-high, ports from 1 to 65535",
    "address": "http://host[:port], https://host[:port] or unix:/path", "management_address": "http://host[:port], https://host[:port] or unix:/path",
}
