"""Builds the logs of a server from its settings: which line goes to which file, and what the console shows."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from argosy.logs.asked import LogConfig
from argosy.logs.layout import BareLayout, HeadedJsonLayout, HeadedLayout, JsonLayout, Layout, PlainLayout, RecordFormatter
from argosy.logs.lines import LineLog, OutputLog
from argosy.logs.sinks import Console, LogFile, Sink

ACCESS, METRICS, MODEL_METRICS, MODEL = "ACCESS_LOG", "MMS_METRICS", "MODEL_METRICS", "MODEL_LOG"
SERVER = "argosy"
FORMER = "com.amazonaws.ml.mms"
"""Entries that keep the logger they had in Multi Model Server; its level is the server's."""


class LogSettings(Protocol):
    """The settings that matter here; `Config` has them all."""

    @property
    def log_location(self) -> Path | None:
        """Folder of the log files, None for no files."""

    @property
    def metrics_location(self) -> Path | None:
        """Folder of the metrics files, None for no files."""

    @property
    def log_config(self) -> Path | None:
        """The operator's logging configuration."""

    @property
    def log_format(self) -> str:
        """`text` or `json`."""

    @property
    def log_console(self) -> str:
        """`all`, `events` or `none`."""

    @property
    def access_log(self) -> bool:
        """Whether requests are logged."""


class SinkHandler(logging.Handler):
    """Hands the entries of standard loggers to sinks. Never raises."""

    def __init__(self, sinks: Sequence[Sink], formatter: logging.Formatter, level: int = logging.NOTSET) -> None:
        super().__init__(level)
        self._sinks = sinks
        self.setFormatter(formatter)

    def emit(self, record: logging.LogRecord) -> None:
        """Write one entry."""
        try:
            data = f"{self.format(record)}\n".encode("utf-8", "backslashreplace")
        except (TypeError, ValueError, KeyError) as error:
            # arguments that do not fit the message: say so rather than lose the entry
            data = f"{record.name}: {record.msg!r} {record.args!r}: {error}\n".encode("utf-8", "backslashreplace")
        for sink in self._sinks:
            sink.write(data)


class LoggerSink:
    """Lines that go to a standard logger, because the operator's configuration has handlers for it."""

    def __init__(self, name: str) -> None:
        self._logger = logging.getLogger(name)

    def write(self, data: bytes) -> None:
        """Log each line."""
        for line in data.decode("utf-8", "replace").splitlines():
            self._logger.info("%s", line)

    def close(self) -> None:
        """Nothing is held."""


@dataclass(frozen=True, slots=True)
class Logs:
    """All logs of one server. Made by `configure_logs`; whoever made it calls `flush` regularly and `close` at the end."""

    access: LineLog
    metrics: LineLog
    """System metrics and counts of replies."""
    model_metrics: LineLog
    output: OutputLog
    """What handlers print."""
    notes: tuple[str, ...]
    """What the logging configuration asks for and does not get; to be logged once."""
    _sinks: tuple[Sink, ...]
    _handlers: tuple[logging.Handler, ...]
    _levels: tuple[tuple[logging.Logger, int], ...]
    """The levels before; `close` restores them."""

    def flush(self) -> None:
        """Write every line that waits. Never raises."""
        for log in (self.access, self.metrics, self.model_metrics, self.output):
            log.flush()

    def reopen(self) -> None:
        """Write the next lines to new files: the old ones may have been moved away."""
        self.flush()
        for sink in self._sinks:
            if isinstance(sink, LogFile):
                sink.reopen()

    def close(self) -> None:
        """Write everything, take the handlers off the standard loggers, close the files. Takes a few seconds at most."""
        self.flush()
        for handler in self._handlers:
            logging.getLogger().removeHandler(handler)
        for logger, level in self._levels:
            logger.setLevel(level)
        for sink in self._sinks:
            sink.close()


class _Builder:
    """Opens files and makes logs; belongs to one call of `configure_logs`."""

    def __init__(self, settings: LogSettings, asked: LogConfig, console: Console, clock: Callable[[], float]) -> None:
        self.settings = settings
        self.asked = asked
        self.console = console
        self.clock = clock
        self.as_json = settings.log_format == "json"
        self.files: list[LogFile] = []

    def file(self, folder: Path | None, name: str) -> list[Sink]:
        """The file as the only member of a list, or nothing."""
        if folder is None:
            return []
        self.files.append(LogFile(folder / name, self._report, clock=self.clock))
        return [self.files[-1]]

    def line_log(self, logger: str, folder: Path | None, name: str, *, enabled: bool = True, on_console: bool = True) -> LineLog:
        """A log of one kind of line."""
        if logger in self.asked.loggers:
            return LineLog(BareLayout(), [LoggerSink(logger)], None, enabled=enabled, clock=self.clock)
        layout: Layout = JsonLayout(logger) if self.as_json else PlainLayout(logger)
        return LineLog(layout, self.file(folder, name), self.shown(on_console), enabled=enabled and self.is_wanted(logger), clock=self.clock)

    def output_log(self, server: Sequence[Sink]) -> OutputLog:
        """Handlers' output: in the model log and among the server's own entries."""
        files = [*self.file(self.settings.log_location, "model_log.log"), *server]
        layout: Layout = HeadedJsonLayout() if self.as_json else HeadedLayout()
        lines = LineLog(layout, files, self.shown(True), enabled=self.is_wanted(SERVER), clock=self.clock)
        return OutputLog(lines, as_json=self.as_json)

    def shown(self, wanted: bool) -> Console | None:
        """The console, if such lines are shown."""
        return self.console if wanted and self.settings.log_console != "none" else None

    def is_wanted(self, logger: str) -> bool:
        """Whether entries of level info pass."""
        return self.asked.levels.get(logger, self.asked.levels.get("", logging.INFO) if logger != SERVER else logging.INFO) <= logging.INFO

    def handlers(self, server: Sequence[Sink]) -> list[logging.Handler]:
        """Handlers of the root logger; none when the operator brings a Python configuration."""
        if self.asked.python is not None or self.asked.ini is not None:
            return []
        formatter = RecordFormatter(as_json=self.as_json)
        made: list[logging.Handler] = [SinkHandler(server, formatter)] if server else []
        if self.settings.log_console != "none":
            level = logging.INFO if self.settings.log_console == "events" else logging.NOTSET
            made.append(SinkHandler([self.console], formatter, level))
        return made

    def _report(self, message: str) -> None:
        self.console.write(f"WARNING: {message}\n".encode("utf-8", "backslashreplace"))


def configure_logs(settings: LogSettings, *, console_fd: int = 1, clock: Callable[[], float] = time.time) -> Logs:
    """Open the files and set up the standard loggers below `argosy`. Raises `ArgosyError` INVALID_CONFIG for a bad `log_config`.

    A folder that cannot be written is reported on the console and does not stop anything.
    """
    asked = LogConfig() if settings.log_config is None else _foreign(settings.log_config)
    builder = _Builder(settings, asked, Console(console_fd), clock)
    everything = settings.log_console == "all"
    server = builder.file(settings.log_location, "mms_log.log")
    handlers = builder.handlers(server)
    return Logs(
        access=builder.line_log(ACCESS, settings.log_location, "access_log.log", enabled=settings.access_log),
        metrics=builder.line_log(METRICS, settings.metrics_location, "mms_metrics.log", on_console=everything),
        model_metrics=builder.line_log(MODEL_METRICS, settings.metrics_location, "model_metrics.log", on_console=everything),
        output=builder.output_log(server),
        notes=tuple(f"{settings.log_config}: ignored: {what}" for what in asked.ignored),
        _sinks=(*builder.files, builder.console), _handlers=tuple(handlers), _levels=_install(handlers, asked),
    )


def _foreign(path: Path) -> LogConfig:
    """Read the operator's configuration and put what concerns Python's logging into force."""
    from argosy.logs.foreign import apply_python, read_log_config  # parsers of three languages, which a server without one starts sooner without

    asked = read_log_config(path)
    apply_python(asked, path)
    return asked


def _install(handlers: Sequence[logging.Handler], asked: LogConfig) -> tuple[tuple[logging.Logger, int], ...]:
    """Put the handlers on the root logger and set levels; returns the levels before."""
    if not handlers:
        return ()
    wanted = {"": logging.INFO, SERVER: logging.DEBUG, **asked.levels}
    wanted[FORMER] = wanted[SERVER]
    before = tuple((logging.getLogger(name), logging.getLogger(name).level) for name in wanted)
    for name, level in wanted.items():
        logging.getLogger(name).setLevel(level)
    for handler in handlers:
        logging.getLogger().addHandler(handler)
    return before
