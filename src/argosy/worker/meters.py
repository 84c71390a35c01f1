"""Custom metrics of handlers: counters, times, sizes and percentages, and the lines that the server logs and exposes."""

from __future__ import annotations

import json
import socket
import sys
import time
from typing import Any, Dict, List, Optional

UNITS: Dict[Optional[str], str] = {
    "ms": "Milliseconds",
    "s": "Seconds",
    "percent": "Percent",
    "count": "Count",
    "MB": "Megabytes",
    "GB": "Gigabytes",
    "kB": "Kilobytes",
    "B": "Bytes",
    None: "unit",
}


class Units:
    """The words for short unit names, in the shape that existing code imports."""

    def __init__(self) -> None:
        self.units = dict(UNITS)


class Dimension:
    """A name and value that tells a metric apart."""

    def __init__(self, name: str, value: Any) -> None:
        self.name = name
        self.value = value

    def __str__(self) -> str:
        return "{}:{}".format(self.name, self.value)

    def to_dict(self) -> Dict[str, Any]:
        """For JSON."""
        return {"Name": self.name, "Value": self.value}


class Metric:
    """One measured value. With `metric_method` counter an update adds, else it replaces."""

    def __init__(
        self,
        name: str,
        value: Any,
        unit: Optional[str],
        dimensions: List[Dimension],
        request_id: Optional[str] = None,
        metric_method: Optional[str] = None,
    ) -> None:
        self.name = name
        self.unit = UNITS.get(unit, unit)
        self.metric_method = metric_method
        self.value = value
        self.dimensions = dimensions
        self.request_id = request_id

    def update(self, value: Any) -> None:
        """Take in a further value."""
        self.value = self.value + value if isinstance(self.metric_method, str) and self.metric_method.startswith("counter") else value

    def __str__(self) -> str:
        dimensions = ",".join(str(dimension) for dimension in self.dimensions)
        request = ",{}".format(self.request_id) if self.request_id else ""
        return "{}.{}:{}|#{}|#hostname:{},{}{}".format(
            self.name, self.unit, self.value, dimensions, socket.gethostname(), int(time.time()), request
        )

    def to_dict(self) -> Dict[str, Any]:
        """For JSON."""
        return {
            "MetricName": self.name,
            "Value": self.value,
            "Unit": self.unit,
            "Dimensions": self.dimensions,
            "Timestamp": int(time.time()),
            "HostName": socket.gethostname(),
            "RequestId": self.request_id,
        }


class MetricEncoder(json.JSONEncoder):
    """Writes metrics and dimensions as JSON."""

    def default(self, obj: Any) -> Any:
        """The dict of a metric or dimension."""
        return obj.to_dict() if isinstance(obj, (Metric, Dimension)) else super().default(obj)


class MetricsStore:
    """The metrics of one batch. A counter adds up; anything else of the same name, unit, request and dimensions is overwritten.

    `idx` is the place of a request in the batch; without it a metric belongs to all of them. Wrong units and dimensions raise ValueError.
    """

    def __init__(self, request_ids: Dict[int, str], model_name: str) -> None:
        self.store: List[Metric] = []
        self.request_ids = request_ids
        self.model_name = model_name
        self.cache: Dict[str, Metric] = {}

    def _request(self, idx: Optional[int]) -> str:
        ids = self.request_ids or {}
        return str(ids[idx]) if idx is not None and idx in ids else ",".join(str(value) for value in ids.values())

    def _put(self, name: str, value: Any, request: str, unit: Optional[str], dimensions: Optional[List[Dimension]], method: str = "") -> None:
        own = [Dimension("ModelName", self.model_name), Dimension("Level", "Model")] if method != "error" else [Dimension("Level", "Error")]
        every = list(dimensions or ()) + own
        key = "-".join([name, str(unit), request] + [str(dimension) for dimension in every])
        known = self.cache.get(key)
        if known is not None:
            known.update(value)
            return
        metric = Metric(name, value, unit, every, request or None, method or None)
        self.store.append(metric)
        self.cache[key] = metric

    def add_counter(self, name: str, value: int, idx: Optional[int] = None, dimensions: Optional[List[Dimension]] = None) -> None:
        """Count: values of one batch add up."""
        if dimensions is not None and not isinstance(dimensions, list):
            raise ValueError("Please provide a list of dimensions")
        self._put(name, value, self._request(idx), "count", dimensions, "counter")

    def add_time(self, name: str, value: float, idx: Optional[int] = None, unit: str = "ms", dimensions: Optional[List[Dimension]] = None) -> None:
        """A duration in ms or s."""
        if unit not in ("ms", "s"):
            raise ValueError("the unit for a timed metric should be one of ['ms', 's']")
        self._put(name, value, self._request(idx), unit, dimensions)

    def add_size(self, name: str, value: float, idx: Optional[int] = None, unit: str = "MB", dimensions: Optional[List[Dimension]] = None) -> None:
        """A size in MB, kB, GB or B."""
        if unit not in ("MB", "kB", "GB", "B"):
            raise ValueError("The unit for size based metric is one of ['MB','kB', 'GB', 'B']")
        self._put(name, value, self._request(idx), unit, dimensions)

    def add_percent(self, name: str, value: float, idx: Optional[int] = None, dimensions: Optional[List[Dimension]] = None) -> None:
        """A percentage."""
        self._put(name, value, self._request(idx), "percent", dimensions)

    def add_error(self, name: str, value: Any, dimensions: Optional[List[Dimension]] = None) -> None:
        """An error, with any text as its value."""
        self._put(name, value, "", "", dimensions, "error")

    def add_metric(
        self, name: str, value: Any, idx: Optional[int] = None, unit: Optional[str] = None, dimensions: Optional[List[Dimension]] = None
    ) -> None:
        """A value of any unit."""
        self._put(name, value, self._request(idx), unit, dimensions)


def line(metric: Any, host: str, now_s: int) -> str:
    """One metric as the server logs it; line breaks become blanks."""
    dimensions = ",".join(str(dimension) for dimension in metric.dimensions)
    request = "requestID:{},".format(metric.request_id) if metric.request_id else ""
    text = "{}.{}:{}|#{}|#hostname:{},{}timestamp:{}".format(metric.name, metric.unit or "unit", metric.value, dimensions, host, request, now_s)
    return " ".join(text.split("\n")).replace("\r", " ")


def lines(store: Any) -> bytes:
    """The metrics of a store, one line each, as a METRIC frame carries them; empty for anything that is not a store."""
    host, now_s = socket.gethostname(), int(time.time())
    metrics = getattr(store, "store", None)
    if not isinstance(metrics, list):
        return b""
    return "".join(line(metric, host, now_s) + "\n" for metric in metrics if isinstance(metric, Metric)).encode("utf-8", "replace")


def emit_metrics(metrics: Any) -> None:
    """Print metrics to standard output, where the log is; the old server's function of that name."""
    for metric in metrics or ():
        sys.stdout.write("[METRICS]{}\n".format(metric))
