"""`mms.metrics.system_metrics` of the old server: figures of the host, for scripts that collect them; needs psutil."""

import importlib
import logging
import types
from typing import Any, List

from argosy.worker.meters import Dimension, Metric

system_metrics: List[Metric] = []
dimension = [Dimension("Level", "Host")]

_GIGABYTE = 1024**3
_MEGABYTE = 1024**2


def _add(name: str, value: float, unit: str) -> None:
    system_metrics.append(Metric(name, value, unit, dimension))


def _psutil() -> Any:
    return importlib.import_module("psutil")


def cpu_utilization() -> None:
    """Percent of all processors since the last call."""
    _add("CPUUtilization", _psutil().cpu_percent(), "percent")


def memory_used() -> None:
    """Used memory in megabytes."""
    _add("MemoryUsed", _psutil().virtual_memory().used / _MEGABYTE, "MB")


def memory_available() -> None:
    """Available memory in megabytes."""
    _add("MemoryAvailable", _psutil().virtual_memory().available / _MEGABYTE, "MB")


def memory_utilization() -> None:
    """Percent of the memory in use."""
    _add("MemoryUtilization", _psutil().virtual_memory().percent, "percent")


def disk_used() -> None:
    """Used gigabytes of the root file system."""
    _add("DiskUsage", _psutil().disk_usage("/").used / _GIGABYTE, "GB")


def disk_utilization() -> None:
    """Percent of the root file system in use."""
    _add("DiskUtilization", _psutil().disk_usage("/").percent, "percent")


def disk_available() -> None:
    """Free gigabytes of the root file system."""
    _add("DiskAvailable", _psutil().disk_usage("/").free / _GIGABYTE, "GB")


def collect_all(mod: Any) -> None:
    """Call every public function of `mod` but this one, and log what is in `system_metrics`."""
    for name in sorted(vars(mod)):
        value = getattr(mod, name)
        if isinstance(value, types.FunctionType) and not name.startswith("_") and name not in ("collect_all", "log_msg"):
            value()
    for metric in system_metrics:
        logging.info(str(metric))
