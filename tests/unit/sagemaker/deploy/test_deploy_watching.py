"""What the containers of an endpoint print, as CloudWatch has it."""

from __future__ import annotations

import itertools

import pytest

from argosy.sagemaker.deploy.aws import AwsError
from argosy.sagemaker.deploy.watching import Line, follow, log_lines, log_tail
from fakes.scripted_aws import Script, refusal


def events(*lines: tuple[int, str]) -> dict[str, object]:
    """A page of lines with their times."""
    return {"events": [{"timestamp": time, "logStreamName": "s", "message": text} for time, text in lines]}


def test_the_tail_is_that_of_the_streams_that_were_written_last() -> None:
    """Two of them, the last lines of each, without what stands at their ends."""
    script = Script({
        "describe_log_streams": {"logStreams": [{"logStreamName": "a"}, {"logStreamName": "b"}]},
        "get_log_events": [events((1, "one\n"), (2, "two  ")), events((3, "three"))],
    })  # fmt: skip
    assert log_tail(script.aws, "e", 7) == ["one", "two", "three"]
    assert script.asked("describe_log_streams")[0]["logGroupName"] == "/aws/sagemaker/Endpoints/e"
    assert [(asked["logStreamName"], asked["limit"]) for asked in script.asked("get_log_events")] == [("a", 7), ("b", 7)]


def test_a_tail_is_never_a_failure() -> None:
    """It belongs to the message of another one: no log is no line, and a log that may not be read is one that says so."""
    assert log_tail(Script().aws, "e") == []
    (line,) = log_tail(Script({"describe_log_streams": refusal("AccessDeniedException", "not authorized")}).aws, "e")
    assert line.startswith("(not to be read: logs:describe_log_streams failed: not authorized")


def test_lines_come_in_the_order_of_their_times() -> None:
    """Streams are not sorted among themselves; no log is no line."""
    assert log_lines(Script({"filter_log_events": events((2, "b"), (1, "a\n"))}).aws, "e", 0) == [Line(1, "s", "a"), Line(2, "s", "b")]
    assert log_lines(Script().aws, "e", 0) == []


def test_a_log_that_is_asked_for_and_may_not_be_read_is_a_failure() -> None:
    """Nothing to show would be a lie."""
    with pytest.raises(AwsError, match="logs:filter_log_events failed"):
        log_lines(Script({"filter_log_events": refusal("AccessDeniedException")}).aws, "e", 0)


def test_who_follows_sees_each_line_once() -> None:
    """Also lines of the same millisecond that come later, and a line that is printed again; older ones are not asked for again."""
    pages = [events((1, "a"), (5, "b")), events((5, "b"), (5, "c")), {"events": []}, events((5, "b"), (5, "c"), (6, "b"))]
    script, pauses = Script({"filter_log_events": pages}), list[float]()
    found = itertools.islice(follow(script.aws, "e", 1, pauses.append), 4)
    assert [(line.time_ms, line.text) for line in found] == [(1, "a"), (5, "b"), (5, "c"), (6, "b")]
    assert [asked["startTime"] for asked in script.asked("filter_log_events")] == [1, 5, 5, 5]
    assert pauses == [2.0, 2.0, 2.0]
