"""What the containers of an endpoint print, from CloudWatch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from argosy.sagemaker.deploy import names
from argosy.sagemaker.deploy.aws import Aws, AwsError

_TAIL_STREAMS = 2
_TAIL_LINES = 20
_FOLLOW_S = 2.0


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the log. `time_ms` is the time in milliseconds since 1970, `stream` tells the instance."""

    time_ms: int
    stream: str
    text: str


def log_tail(aws: Aws, name: str, lines: int = _TAIL_LINES) -> list[str]:
    """The last lines of the streams that were written last; none if there is no log, or it may not be read."""
    group = names.log_group_of(name)
    try:
        found = aws.find("logs", "describe_log_streams", logGroupName=group, orderBy="LastEventTime", descending=True, limit=_TAIL_STREAMS)
        streams = [] if found is None else [str(stream["logStreamName"]) for stream in found["logStreams"]]
        return [line for stream in streams for line in _end_of(aws, group, stream, lines)]
    except AwsError as error:
        return [f"(not to be read: {error.message})"]


def _end_of(aws: Aws, group: str, stream: str, lines: int) -> list[str]:
    found = aws.call("logs", "get_log_events", logGroupName=group, logStreamName=stream, limit=lines, startFromHead=False)
    return [str(event["message"]).rstrip() for event in found["events"]]


def log_lines(aws: Aws, name: str, since_ms: int) -> list[Line]:
    """The lines from that moment on, oldest first."""
    events = aws.pages("logs", "filter_log_events", "events", logGroupName=names.log_group_of(name), startTime=since_ms)
    lines = [Line(int(event["timestamp"]), str(event["logStreamName"]), str(event["message"]).rstrip()) for event in events]
    return sorted(lines, key=lambda line: line.time_ms)


def follow(aws: Aws, name: str, since_ms: int, pause: Callable[[float], None]) -> Iterator[Line]:
    """The lines from that moment on, and those to come, each once, until the caller stops asking."""
    shown: set[Line] = set()
    while True:
        found = log_lines(aws, name, since_ms)
        yield from (line for line in found if line not in shown)
        # lines of the last moment come again, so they are remembered; older ones are not asked for again
        since_ms = max((line.time_ms for line in found), default=since_ms)
        shown = {line for line in (*shown, *found) if line.time_ms >= since_ms}
        pause(_FOLLOW_S)
