"""The logs of a server, from its settings."""

from __future__ import annotations

import dataclasses
import json
import logging
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from argosy.config import Config
from argosy.errors import ArgosyError, ErrorCode
from argosy.logs import Logs, configure_logs
from argosy.logs.configure import SinkHandler
from argosy.logs.foreign import read_log_config
from argosy.logs.layout import RecordFormatter
from argosy.logs.sinks import LogFile

FILES = ["access_log.log", "mms_log.log", "mms_metrics.log", "model_log.log", "model_metrics.log"]
LOG4J2 = """<?xml version="1.0"?>
<Configuration><Appenders><Console name="STDOUT"/><RollingFile name="access"/></Appenders><Loggers>
<Logger name="ACCESS_LOG" level="warn"/><Logger name="MMS_METRICS" level="${sys:level}"/><Logger name="x"/>
<Logger name="com.amazonaws.ml.mms" level="error"/><Root level="info"/></Loggers></Configuration>"""


@contextmanager
def logs(folder: Path, **settings: object) -> Iterator[Logs]:
    """The logs of a server whose console is a file of the folder; closed at the end."""
    base = dataclasses.replace(Config(), log_location=folder / "logs", metrics_location=folder / "logs")
    fd = os.open(folder / "console", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    made = configure_logs(dataclasses.replace(base, **settings), console_fd=fd)  # type: ignore[arg-type]  # names and types are the test's
    try:
        yield made
    finally:
        made.close()
        os.close(fd)


def read(folder: Path, name: str) -> str:
    """The text of a log file."""
    return (folder / "logs" / name).read_text()


@pytest.mark.parametrize(("name", "text"), [
    ("a.xml", "<Configuration>"), ("a.json", "{"), ("a.json", "[1]"), ("a.json", '{"loggers": 1}'), ("a.toml", "="), ("a.ini", "[x]\n"),
    ("a.ini", "no section"), ("a.json", '{"handlers": {"h": {"class": "no.such"}}}'), ("missing.json", None), ("a.ini", "[loggers]\nkeys=root\n"),
])
def test_a_bad_log_config_is_refused(tmp_path: Path, name: str, text: str | None) -> None:
    """With the path of the file."""
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(ArgosyError, match=re.escape(str(tmp_path / name))) as caught, logs(tmp_path, log_config=tmp_path / name):
        pass
    assert caught.value.code is ErrorCode.INVALID_CONFIG


def test_the_five_files(tmp_path: Path) -> None:
    """Each kind of line is in its file, once, and all are on the console."""
    with logs(tmp_path) as made:
        made.access.write('/127.0.0.1:33330 "POST /predictions/okay HTTP/1.1" 200 6')
        made.metrics.write("CPUUtilization.Percent:0.0|#Level:Host|#hostname:vm,timestamp:1795341028")
        made.model_metrics.write("PredictionTime.Milliseconds:0.02|#ModelName:okay,Level:Model|#hostname:vm,requestID:1,timestamp:1795341029")
        made.output.write("W-okay-1-stdout", "printed")
        logging.getLogger("argosy.server").info("Model server started.")
        logging.getLogger("argosy.server").debug("detail")
        made.flush()
    assert sorted(path.name for path in (tmp_path / "logs").iterdir()) == FILES
    stamp = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d,\d{3}"
    assert re.fullmatch(stamp + r' - /127\.0\.0\.1:33330 "POST /predictions/okay HTTP/1\.1" 200 6\n', read(tmp_path, "access_log.log"))
    assert re.fullmatch(stamp + r" - CPUUtilization\.Percent:0\.0\|.*\n", read(tmp_path, "mms_metrics.log"))
    assert re.fullmatch(stamp + r" - PredictionTime\.Milliseconds:0\.02\|.*\n", read(tmp_path, "model_metrics.log"))
    assert re.fullmatch(stamp + r" \[INFO \] W-okay-1-stdout \S+WorkerLifeCycle - printed\n", read(tmp_path, "model_log.log"))
    server = read(tmp_path, "mms_log.log")
    assert [server.count(word) for word in ("Model server started.", "detail", "printed", "POST")] == [1, 1, 1, 0]
    console = (tmp_path / "console").read_text()
    assert [console.count(word) for word in ("started.", "detail", "printed", "ACCESS_LOG - ", "MMS_METRICS - ", "MODEL_METRICS - ")] == [1] * 6


def test_output_says_for_whom_it_was_printed(tmp_path: Path) -> None:
    """Behind the text, so that the line begins as ever; a field of its own in JSON."""
    with logs(tmp_path) as made:
        made.output.write("W-1-okay-stderr", "printed", is_error=True, request_id="a,b")
    assert read(tmp_path, "model_log.log").endswith("[WARN ] W-1-okay-stderr com.amazonaws.ml.mms.wlm.WorkerLifeCycle - printed [requestID:a,b]\n")
    (tmp_path / "json").mkdir()
    with logs(tmp_path / "json", log_format="json") as made:
        made.output.write("W-1-okay-stderr", "printed", request_id="a,b")
    entry = json.loads(read(tmp_path / "json", "model_log.log"))
    assert (entry["message"], entry["requestID"]) == ("printed", "a,b")


def test_a_terminal_gets_events_only(tmp_path: Path) -> None:
    """No metrics, no debug lines, no files."""
    with logs(tmp_path, log_console="events", log_location=None, metrics_location=None) as made:
        for log in (made.access, made.metrics, made.model_metrics):
            log.write("line")
        logging.getLogger("argosy.server").info("shown")
        logging.getLogger("argosy.server").debug("hidden")
    console = (tmp_path / "console").read_text()
    assert ["ACCESS_LOG" in console, "METRICS" in console, "shown" in console, "hidden" in console] == [True, False, True, False]
    assert not (tmp_path / "logs").exists()


def test_a_silent_console_and_no_access_log(tmp_path: Path) -> None:
    """Both can be switched off."""
    with logs(tmp_path, log_console="none", access_log=False) as made:
        made.access.write("line")
        logging.getLogger("argosy").warning("hi")
    assert (tmp_path / "console").read_text() == ""
    assert read(tmp_path, "access_log.log") == ""
    assert "hi" in read(tmp_path, "mms_log.log")


def test_json(tmp_path: Path) -> None:
    """Every line is an object with time, logger and message."""
    with logs(tmp_path, log_format="json") as made:
        made.access.write("line")
        made.output.write("W", "printed")
        logging.getLogger("argosy").warning("hi")
    for name, message in (("access_log.log", "line"), ("model_log.log", "printed")):
        assert json.loads(read(tmp_path, name))["message"] == message
    entries = [json.loads(line) for line in (tmp_path / "console").read_text().splitlines()]
    assert {"time", "logger", "message", "level"} <= set.intersection(*(set(entry) for entry in entries))
    assert len(entries) == 3


def test_a_broken_message_is_not_lost(tmp_path: Path) -> None:
    """Arguments that do not fit are shown as they are; nothing is raised."""
    file = LogFile(tmp_path / "a.log", lambda message: None)
    SinkHandler([file], RecordFormatter(as_json=False)).emit(logging.LogRecord("argosy", logging.INFO, "", 1, "%d", ("text",), None))
    file.close()
    assert "'%d' ('text',)" in (tmp_path / "a.log").read_text()


def test_closing_restores_the_loggers(tmp_path: Path) -> None:
    """A second server in one process starts from the same state."""
    root, ours = logging.getLogger(), logging.getLogger("argosy")
    before = (list(root.handlers), root.level, ours.level)
    with logs(tmp_path):
        assert ours.level == logging.DEBUG
    assert (list(root.handlers), root.level, ours.level) == before


def test_an_unwritable_folder_is_reported_on_the_console(tmp_path: Path) -> None:
    """The server starts anyway."""
    (tmp_path / "logs").write_text("in the way")
    with logs(tmp_path) as made:
        made.access.write("line")
    assert "cannot write" in (tmp_path / "console").read_text()


def test_levels_of_log4j2(tmp_path: Path) -> None:
    """They count; what is ignored is said."""
    (tmp_path / "log4j2.xml").write_text(LOG4J2)
    with logs(tmp_path, log_config=tmp_path / "log4j2.xml") as made:
        made.access.write("line")
        made.metrics.write("line")
        logging.getLogger("argosy").warning("too low")
        logging.getLogger("argosy").error("kept")
        assert [made.access.enabled, made.metrics.enabled] == [False, True]
        assert "Console STDOUT, RollingFile access" in made.notes[0]
        assert "level ${sys:level} of logger MMS_METRICS" in made.notes[1]
    assert read(tmp_path, "access_log.log") == ""
    assert "too low" not in read(tmp_path, "mms_log.log")
    assert "kept" in read(tmp_path, "mms_log.log")


def test_the_root_level_counts_for_lines_without_their_own(tmp_path: Path) -> None:
    """`off` is above everything."""
    (tmp_path / "a.xml").write_text('<Configuration><Loggers><Root level="off"/></Loggers></Configuration>')
    assert read_log_config(tmp_path / "a.xml").levels[""] > logging.CRITICAL
    with logs(tmp_path, log_config=tmp_path / "a.xml") as made:
        assert not made.model_metrics.enabled


@pytest.mark.parametrize(("name", "text"), [
    ("a.json", '{{"formatters": {{"f": {{"format": "%(name)s|%(message)s"}}}}, "handlers": {{"h": {{"class": "logging.FileHandler", '
     '"filename": "{file}", "formatter": "f"}}}}, "loggers": {{"ACCESS_LOG": {{"handlers": ["h"], "level": "INFO"}}, '
     '"argosy": {{"handlers": ["h"], "level": "INFO"}}}}}}'),
    ("a.toml", '[formatters.f]\nformat="%(name)s|%(message)s"\n[handlers.h]\nclass="logging.FileHandler"\nfilename="{file}"\nformatter="f"\n'
     '[loggers.ACCESS_LOG]\nhandlers=["h"]\nlevel="INFO"\n[loggers.argosy]\nhandlers=["h"]\nlevel="INFO"\n'),
    ("a.ini", "[loggers]\nkeys=root,a,b\n[handlers]\nkeys=h\n[formatters]\nkeys=f\n[formatter_f]\nformat=%(name)s|%(message)s\n[handler_h]\n"
     "class=FileHandler\nargs=('{file}',)\nformatter=f\n[logger_root]\nhandlers=\n[logger_a]\nqualname=ACCESS_LOG\nhandlers=h\nlevel=INFO\n"
     "[logger_b]\nqualname=argosy\nhandlers=h\nlevel=INFO\n"),
])
def test_a_python_configuration_takes_over(tmp_path: Path, name: str, text: str) -> None:
    """Server entries go to its handlers, access lines too when it names their logger; the other files stay."""
    (tmp_path / name).write_text(text.format(file=tmp_path / "own"))
    names = ("", "ACCESS_LOG", "argosy")
    before = {name: (list(logging.getLogger(name).handlers), logging.getLogger(name).level) for name in names}
    try:
        with logs(tmp_path, log_config=tmp_path / name) as made:
            made.access.write("line")
            made.metrics.write("metric")
            logging.getLogger("argosy.server").info("hi")
    finally:
        for one in names:
            logger = logging.getLogger(one)
            for handler in set(logger.handlers) - set(before[one][0]):
                handler.close()
            logger.handlers[:], logger.level = before[one]
    assert (tmp_path / "own").read_text() == "argosy.server|hi\nACCESS_LOG|line\n"
    assert "metric" in read(tmp_path, "mms_metrics.log")


@pytest.mark.parametrize(("level", "written"), [("debug", ["DEBUG", "INFO"]), ("info", ["INFO"])])
def test_entries_under_a_former_logger_follow_the_level_of_the_server(tmp_path: Path, level: str, written: list[str]) -> None:
    """Alarms look for the words and the logger of Multi Model Server when a worker comes or goes."""
    config = tmp_path / "log4j2.xml"
    config.write_text(f'<Configuration><Loggers><Logger name="com.amazonaws.ml.mms" level="{level}"/><Root level="error"/></Loggers></Configuration>')
    with logs(tmp_path, log_config=config):
        former = logging.getLogger("com.amazonaws.ml.mms.wlm.WorkerThread")
        former.debug("W-9000-okay State change WORKER_STARTED -> WORKER_MODEL_LOADED")
        former.info("Retry worker: 9000-ab03d264 in 1 seconds.")
    assert re.findall(r"\[(\w+) *\] \S+ com\.amazonaws\.ml\.mms\.wlm\.WorkerThread - ", read(tmp_path, "mms_log.log")) == written


@pytest.mark.parametrize(("text", "reason"), [("[" * 100_000, "it is nested too deep"), ("#" * ((1 << 20) + 1), "it is larger than a megabyte")])
def test_a_log_config_without_end_is_refused(tmp_path: Path, text: str, reason: str) -> None:
    """Neither its depth nor its length stops the server in another way than with the reason."""
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(ArgosyError, match=rf"Not a logging configuration: .*x\.json: {reason}") as caught:
        read_log_config(tmp_path / "x.json")
    assert caught.value.code is ErrorCode.INVALID_CONFIG
