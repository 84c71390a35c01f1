"""Custom metrics: what is kept, how a line is written."""

from __future__ import annotations

import json
import re

import pytest

from argosy.worker.meters import Dimension, Metric, MetricEncoder, MetricsStore, Units, emit_metrics, lines


@pytest.fixture
def store() -> MetricsStore:
    """The store of a batch of two."""
    return MetricsStore({0: "a", 1: "b"}, "m")


def first_parts(store: MetricsStore) -> list[str]:
    """The lines without host and time."""
    return [re.sub(r"hostname:[^,]+,|timestamp:\d+", "", line) for line in lines(store).decode().splitlines()]


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        (lambda s: s.add_counter("C", 5), "C.Count:5|#ModelName:m,Level:Model|#requestID:a,b,"),
        (lambda s: s.add_counter("C", 5, 1), "C.Count:5|#ModelName:m,Level:Model|#requestID:b,"),
        (lambda s: s.add_counter("C", 5, 9), "C.Count:5|#ModelName:m,Level:Model|#requestID:a,b,"),
        (lambda s: s.add_time("T", 1.5), "T.Milliseconds:1.5|#ModelName:m,Level:Model|#requestID:a,b,"),
        (lambda s: s.add_time("T", 2, None, "s"), "T.Seconds:2|#ModelName:m,Level:Model|#requestID:a,b,"),
        (lambda s: s.add_size("S", 4), "S.Megabytes:4|#ModelName:m,Level:Model|#requestID:a,b,"),
        (lambda s: s.add_size("S", 4, None, "kB"), "S.Kilobytes:4|#ModelName:m,Level:Model|#requestID:a,b,"),
        (lambda s: s.add_size("S", 4, unit="GB"), "S.Gigabytes:4|#ModelName:m,Level:Model|#requestID:a,b,"),
        (lambda s: s.add_size("S", 4, unit="B"), "S.Bytes:4|#ModelName:m,Level:Model|#requestID:a,b,"),
        (lambda s: s.add_percent("P", 55.5), "P.Percent:55.5|#ModelName:m,Level:Model|#requestID:a,b,"),
        (lambda s: s.add_metric("M", 8), "M.unit:8|#ModelName:m,Level:Model|#requestID:a,b,"),
        (lambda s: s.add_metric("M", 9, None, "furlong"), "M.furlong:9|#ModelName:m,Level:Model|#requestID:a,b,"),
        (lambda s: s.add_error("E", "went\nwrong"), "E.unit:went wrong|#Level:Error|#"),
        (lambda s: s.add_time("T", 1, dimensions=[Dimension("D", "x")]), "T.Milliseconds:1|#D:x,ModelName:m,Level:Model|#requestID:a,b,"),
        (lambda s: s.add_metric("M", 1, None, "count", [Dimension("D", "x")]), "M.Count:1|#D:x,ModelName:m,Level:Model|#requestID:a,b,"),
    ],
)
def test_line_of_each_kind(store: MetricsStore, call: object, expected: str) -> None:
    """Name, unit, value, dimensions of the caller first, then request ids: those of one or of all."""
    assert callable(call)
    call(store)
    assert first_parts(store) == [expected]


def test_counters_add_up_and_others_are_replaced(store: MetricsStore) -> None:
    """Per name, unit, request and dimensions."""
    for value in (1, 2):
        store.add_counter("C", value)
        store.add_counter("C", value, 0)
        store.add_time("T", value)
        store.add_counter("C", value, dimensions=[Dimension("D", "x")])
    assert [(metric.name, metric.value) for metric in store.store] == [("C", 3), ("C", 3), ("T", 2), ("C", 3)]
    assert len(store.cache) == 4


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda s: s.add_time("x", 1, None, "minutes"), "the unit for a timed metric should be one of ['ms', 's']"),
        (lambda s: s.add_size("x", 1, None, "TB"), "The unit for size based metric is one of ['MB','kB', 'GB', 'B']"),
        (lambda s: s.add_counter("x", 1, None, "notalist"), "Please provide a list of dimensions"),
    ],
)
def test_wrong_unit_or_dimensions(store: MetricsStore, call: object, message: str) -> None:
    """The words are those that handlers of the old server know."""
    assert callable(call)
    with pytest.raises(ValueError, match=re.escape(message)):
        call(store)


def test_public_names_are_those_of_the_old_store(store: MetricsStore) -> None:
    """Code that looks into the store finds what it knows."""
    names = ["add_counter", "add_error", "add_metric", "add_percent", "add_size", "add_time", "cache", "model_name", "request_ids", "store"]
    assert [name for name in dir(store) if not name.startswith("_")] == names


def test_metric_as_text_and_json(capsys: pytest.CaptureFixture[str]) -> None:
    """Both forms that code of the old server may use."""
    metric = Metric("N", 1, "ms", [Dimension("A", "b")], request_id="r")
    assert re.fullmatch(r"N\.Milliseconds:1\|#A:b\|#hostname:[^,]+,\d+,r", str(metric))
    found = json.loads(json.dumps([metric], cls=MetricEncoder))[0]
    assert (found["MetricName"], found["Unit"], found["Dimensions"], found["RequestId"]) == ("N", "Milliseconds", [{"Name": "A", "Value": "b"}], "r")
    emit_metrics([metric])
    emit_metrics(None)
    assert capsys.readouterr().out.startswith("[METRICS]N.Milliseconds:1|")
    assert Units().units["kB"] == "Kilobytes"
    with pytest.raises(TypeError):
        json.dumps(object(), cls=MetricEncoder)


def test_what_is_no_store_has_no_lines() -> None:
    """A handler may put anything in place of the store."""
    assert lines(None) == b""
    assert lines("text") == b""
