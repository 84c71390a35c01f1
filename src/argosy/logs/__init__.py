"""The server's logs: the files and line formats that operators know, written off the request path, never a reason to fail."""

from argosy.logs.configure import Logs, configure_logs
from argosy.logs.lines import LineLog, OutputLog
from argosy.logs.records import RecordLog

__all__ = ["LineLog", "Logs", "OutputLog", "RecordLog", "configure_logs"]
