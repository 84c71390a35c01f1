"""Logging configurations that operators bring, whole, broken and hostile."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from argosy.errors import ArgosyError, ErrorCode
from argosy.logs.asked import LogConfig
from argosy.logs.foreign import apply_python, read_log_config

LOG4J2 = """<?xml version="1.0"?>
<Configuration><!-- old --><Appenders><Console name="out"/><RollingFile name="access"/></Appenders><Loggers>
<Logger name="com.amazonaws.ml.mms" level="DEBUG"/><AsyncLogger name="ACCESS_LOG" level=" info "/><Logger name="x" level="loud"/><Logger name="y"/>
<Root level="${env:LEVEL}"/></Loggers></Configuration>"""
INI = """[loggers]
keys=root,mine
[handlers]
keys={handler}
[formatters]
keys=
[logger_root]
level=WARNING
handlers=
[logger_mine]
qualname=mine
handlers={handler}
[handler_{handler}]
class=NullHandler
args={args}
"""


def read(tmp_path: Path, name: str, text: str | bytes) -> LogConfig:
    """What a file of that name asks for."""
    path = tmp_path / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return read_log_config(path)


@pytest.mark.parametrize(("name", "text", "words"), [
    ("a.xml", "<Configuration><Loggers>", "no element found"), ("a.json", "{", "Expecting property name"),
    ("a.json", "[1]", "an object with version"),
    ("a.json", '{"loggers": [1]}', "loggers must be an object"), ("a.toml", "a = ", "Invalid value"), ("a.ini", "[root]\n", r"a section \[loggers\]"),
    ("a.properties", "log4j.rootLogger=INFO", "no section headers"), ("a.json", b"\xff\xfe", "can't decode"), ("a", "", r"a section \[loggers\]"),
])  # fmt: skip
def test_what_is_no_configuration_is_refused(tmp_path: Path, name: str, text: str | bytes, words: str) -> None:
    """With the path and the reader's own words."""
    with pytest.raises(ArgosyError, match=words) as caught:
        read(tmp_path, name, text)
    assert caught.value.code is ErrorCode.INVALID_CONFIG
    assert str(tmp_path / name) in caught.value.message


def test_a_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    """Why, in the words of the system."""
    with pytest.raises(ArgosyError, match=f"Cannot read {tmp_path / 'none'}: No such file") as caught:
        read_log_config(tmp_path / "none")
    assert caught.value.code is ErrorCode.INVALID_CONFIG


def test_an_entity_that_grows_without_end_is_not_expanded(tmp_path: Path) -> None:
    """The parser refuses it before memory runs out."""
    entities = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10}">' for n in range(1, 12))
    bomb = f'<!DOCTYPE x [<!ENTITY e0 "0123456789">{entities}]><Configuration>&e11;</Configuration>'
    with pytest.raises(ArgosyError, match="limit on input amplification"):
        read(tmp_path, "a.xml", bomb)


def test_levels_of_log4j2_count_and_the_rest_is_named(tmp_path: Path) -> None:
    """MMS's loggers by our names, words in any letter case; a level that is no word is named and changes nothing."""
    found = read(tmp_path, "a.xml", LOG4J2)
    assert found.levels == {"argosy": logging.DEBUG, "ACCESS_LOG": logging.INFO}
    assert found.ignored == (
        "appenders (Console out, RollingFile access): files, layouts and rotation stay Argosy's own",
        "level loud of logger x: unknown", "level ${env:LEVEL} of logger root: unknown")  # fmt: skip
    assert (found.python, found.ini) == (None, None)


@pytest.mark.parametrize(("word", "level"), [("OFF", logging.CRITICAL + 10), ("all", 1), ("Trace", 1), ("FATAL", logging.CRITICAL), ("warn", 30)])
def test_every_level_of_log4j2_is_known(tmp_path: Path, word: str, level: int) -> None:
    """Off is above everything; namespaces do not matter."""
    text = f'<c:Configuration xmlns:c="urn:x"><c:Loggers><c:AsyncRoot level="{word}"/></c:Loggers></c:Configuration>'
    assert read(tmp_path, "log4j2.properties", text).levels == {"": level}


@pytest.mark.parametrize(("name", "text"), [
    ("a.json", '{"loggers": {"mine": {"level": "INFO"}}}'), ("a", ' {"loggers": {"mine": {"level": "INFO"}}}'),
    ("a.json", '\ufeff{"loggers": {"mine": {"level": "INFO"}}}'), ("a.toml", '[loggers.mine]\nlevel = "INFO"\n'),
])  # fmt: skip
def test_configurations_of_python_need_not_say_the_usual(tmp_path: Path, name: str, text: str) -> None:
    """The version is 1, and loggers that are there already go on; a byte order mark is none of the text."""
    found = read(tmp_path, name, text)
    assert found.python == {"version": 1, "disable_existing_loggers": False, "loggers": {"mine": {"level": "INFO"}}}
    assert found.loggers == {"mine"}


def test_an_ini_file_says_which_loggers_have_handlers(tmp_path: Path) -> None:
    """The root is not among them; it is Python that reads the rest."""
    found = read(tmp_path, "a.conf", INI.format(handler="null", args="()"))
    assert (found.ini, found.loggers, found.python) == (tmp_path / "a.conf", frozenset({"mine"}), None)


@pytest.mark.parametrize(("name", "text"), [
    ("a.json", '{"handlers": {"h": {"class": "no.such.Handler"}}}'), ("a.json", '{"version": 7}'),
    ("a.json", '{"loggers": {"mine": {"handlers": ["none"]}}}'), ("a.json", '{"handlers": {"h": 7}}'),
    ("a.json", '{"handlers": {"h": {"class": "logging.FileHandler", "filename": "/no/such/folder/log"}}}'),
    ("a.ini", INI.format(handler="null", args="(nothing,)")), ("a.ini", INI.format(handler="null", args="(")),
    ("a.ini", INI.format(handler="null", args="(1 / 0,)")), ("a.ini", INI.format(handler="null", args="()").replace("qualname=mine", "")),
    ("a.ini", INI.format(handler="null", args="()").replace("keys=root,mine", "")),
])  # fmt: skip
def test_what_python_refuses_is_told_with_the_path(tmp_path: Path, name: str, text: str) -> None:
    """Whatever it raises: the file is the operator's, and so is the mistake."""
    found = read(tmp_path, name, text)
    with pytest.raises(ArgosyError, match=f"Logging configuration {tmp_path / name} does not work: ") as caught:
        apply_python(found, tmp_path / name)
    assert caught.value.code is ErrorCode.INVALID_CONFIG
