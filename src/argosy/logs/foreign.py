"""Logging configurations that operators bring: Python's own as JSON, TOML or ini, and the levels of log4j2 XML."""

from __future__ import annotations

import configparser
import json
import logging
import logging.config
import tomllib
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from argosy.errors import ArgosyError, ErrorCode
from argosy.logs.asked import LogConfig

_LEVELS = {
    "all": 1, "trace": 1, "debug": logging.DEBUG, "info": logging.INFO, "warn": logging.WARNING, "warning": logging.WARNING,
    "error": logging.ERROR, "fatal": logging.CRITICAL, "off": logging.CRITICAL + 10,
}
_LARGEST = 1 << 20
OURS = {"com.amazonaws.ml.mms": "argosy"}
"""Loggers of Multi Model Server that have another name here."""


def read_log_config(path: Path) -> LogConfig:
    """Read a logging configuration; its suffix and its first character say which. Raises `ArgosyError` INVALID_CONFIG."""
    try:
        with path.open("rb") as file:
            data = file.read(_LARGEST + 1)
        if len(data) > _LARGEST:
            raise ValueError("it is larger than a megabyte")
        return _read(path, data.decode("utf-8-sig"))
    except OSError as error:
        raise ArgosyError(ErrorCode.INVALID_CONFIG, f"Cannot read {path}: {error.strerror}") from None
    except RecursionError:
        raise ArgosyError(ErrorCode.INVALID_CONFIG, f"Not a logging configuration: {path}: it is nested too deep") from None
    except (ValueError, ElementTree.ParseError, configparser.Error) as error:
        raise ArgosyError(ErrorCode.INVALID_CONFIG, f"Not a logging configuration: {path}: {error}") from None


def _read(path: Path, text: str) -> LogConfig:
    if text.lstrip("\ufeff \t\r\n").startswith("<"):
        return _log4j2(text)
    if path.suffix == ".json" or text.lstrip().startswith("{"):
        return _python(json.loads(text))
    if path.suffix == ".toml":
        return _python(tomllib.loads(text))
    return _ini(path, text)


def _python(asked: Any) -> LogConfig:
    if not isinstance(asked, dict):
        raise ValueError("an object with version, handlers and loggers is expected")
    complete = {"version": 1, "disable_existing_loggers": False, **asked}
    loggers = complete.get("loggers", {})
    if not isinstance(loggers, dict):
        raise ValueError("loggers must be an object")
    return LogConfig(python=complete, loggers=frozenset(loggers))


def _ini(path: Path, text: str) -> LogConfig:
    parser = configparser.ConfigParser(interpolation=None)
    parser.read_string(text)
    if not parser.has_section("loggers"):
        raise ValueError("expected log4j2 XML, or Python's logging configuration as JSON, TOML or ini with a section [loggers]")
    names = (parser.get(section, "qualname", fallback="") for section in parser.sections() if section.startswith("logger_"))
    return LogConfig(ini=path, loggers=frozenset(name for name in names if name))


def _log4j2(text: str) -> LogConfig:
    root = ElementTree.fromstring(text)  # noqa: S314 - the operator's own file, named on the command line
    levels: dict[str, int] = {}
    ignored: list[str] = []
    for element in root.iter():
        kind = _local(element.tag)
        if kind in ("Root", "AsyncRoot", "Logger", "AsyncLogger"):
            _note_level(element, levels, ignored)
        elif kind == "Appenders":
            names = ", ".join(f"{_local(appender.tag)} {appender.get('name', '')}".strip() for appender in element)
            ignored.append(f"appenders ({names}): files, layouts and rotation stay Argosy's own")
    return LogConfig(levels=levels, ignored=tuple(ignored))


def _note_level(element: ElementTree.Element, levels: dict[str, int], ignored: list[str]) -> None:
    name = element.get("name", "") if _local(element.tag).endswith("Logger") else ""
    word = element.get("level")
    if word is None:
        return
    level = _LEVELS.get(word.strip().lower())
    if level is None:
        ignored.append(f"level {word} of logger {name or 'root'}: unknown")
    else:
        levels[OURS.get(name, name)] = level


def _local(tag: str) -> str:
    return tag.rpartition("}")[2]


def apply_python(config: LogConfig, path: Path) -> None:
    """Hand the configuration to Python's logging. Raises `ArgosyError` INVALID_CONFIG when it is refused."""
    try:
        if config.python is not None:
            logging.config.dictConfig(dict(config.python))
        if config.ini is not None:
            logging.config.fileConfig(config.ini, disable_existing_loggers=False)
    except Exception as error:  # the boundary to the operator's own code: what the file names is imported, and its expressions are evaluated
        raise ArgosyError(ErrorCode.INVALID_CONFIG, f"Logging configuration {path} does not work: {error}") from error
