"""How log lines look."""

from __future__ import annotations

import json
import logging
import re
import sys
import time

import pytest

from argosy.logs.layout import HeadedJsonLayout, HeadedLayout, JsonLayout, PlainLayout, RecordFormatter, Stamps

STAMP = "2026-11-22T09:50:28,639"


def test_stamps_have_a_comma_and_milliseconds() -> None:
    """Local time, the form of log4j."""
    when = 1795341028.6391
    assert Stamps().stamp(when) == time.strftime("%Y-%m-%dT%H:%M:%S", time.localtime(when)) + ",639"


def test_layouts() -> None:
    """A file of one kind has stamp and message; among others a line says what it is."""
    assert PlainLayout("ACCESS_LOG").block(STAMP, ["a", "b"]) == f"{STAMP} - a\n{STAMP} - b\n"
    assert PlainLayout("ACCESS_LOG").console(STAMP, ["a"]) == f"{STAMP} [INFO ] main ACCESS_LOG - a\n"
    assert HeadedLayout().block(STAMP, ["[WARN ] t c - a"]) == f"{STAMP} [WARN ] t c - a\n"
    assert json.loads(JsonLayout("ACCESS_LOG").block(STAMP, ['a "b"'])) == {
        "time": STAMP, "level": "INFO", "logger": "ACCESS_LOG", "message": 'a "b"'}
    assert json.loads(HeadedJsonLayout().console(STAMP, ['"message": "a"'])) == {"time": STAMP, "message": "a"}


def record(level: int, message: str, **more: object) -> logging.LogRecord:
    """An entry of a standard logger."""
    made = logging.LogRecord("argosy.server", level, __file__, 1, message, (), None)
    made.__dict__.update(more)
    return made


@pytest.mark.parametrize(("level", "word"), [
    (logging.DEBUG, "DEBUG"), (logging.INFO, "INFO "), (logging.WARNING, "WARN "), (logging.ERROR, "ERROR"), (logging.CRITICAL, "FATAL"),
])
def test_levels_are_padded_words(level: int, word: str) -> None:
    """The words of log4j."""
    line = RecordFormatter(as_json=False).format(record(level, "hi"))
    assert re.fullmatch(rf"\S+ \[{word}\] \S+ argosy\.server - hi", line)


def test_an_origin_takes_the_place_of_the_thread() -> None:
    """Also in JSON, which has the traceback in its message."""
    assert " W-okay-1 argosy.server - hi" in RecordFormatter(as_json=False).format(record(logging.INFO, "hi", origin="W-okay-1"))
    try:
        raise ValueError("boom")
    except ValueError:
        failed = record(logging.ERROR, "bad", origin="o\n", exc_info=sys.exc_info())
    fields = json.loads(RecordFormatter(as_json=True).format(failed))
    assert (fields["level"], fields["logger"], fields["thread"]) == ("ERROR", "argosy.server", "o\n")
    assert fields["message"].startswith("bad\nTraceback")
    assert "ValueError: boom" in fields["message"]
