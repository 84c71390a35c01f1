"""Figures of this machine and of processes on it."""

from __future__ import annotations

from dataclasses import dataclass

import psutil

_MIB = 1024.0**2
_GIB = 1024.0**3


@dataclass(frozen=True, slots=True)
class SystemMetric:
    """One figure of the machine as the log of system metrics names it."""

    name: str
    unit: str
    value: float


@dataclass(frozen=True, slots=True)
class ProcessFigures:
    """The server process itself."""

    resident_bytes: int
    cpu_s: float
    open_files: int
    started_at: float
    """Seconds since the epoch."""


class Host:
    """Reads the machine through psutil. Reads of /proc only: microseconds each, so safe on the event loop."""

    def __init__(self) -> None:
        self._own = psutil.Process()
        # the first call has nothing to compare with and would say 0.0
        psutil.cpu_percent(interval=None)

    def __repr__(self) -> str:
        return f"<Host pid {self._own.pid}>"

    def system_metrics(self, disk: str = "/") -> list[SystemMetric]:
        """Processor load since the last call, disk and memory, in the order and units of the system metrics log; units are powers of 1024."""
        usage, memory = psutil.disk_usage(disk), psutil.virtual_memory()
        return [
            SystemMetric("CPUUtilization", "Percent", psutil.cpu_percent(interval=None)),
            SystemMetric("DiskAvailable", "Gigabytes", usage.free / _GIB),
            SystemMetric("DiskUsage", "Gigabytes", usage.used / _GIB),
            SystemMetric("DiskUtilization", "Percent", usage.percent),
            SystemMetric("MemoryAvailable", "Megabytes", memory.available / _MIB),
            SystemMetric("MemoryUsed", "Megabytes", memory.used / _MIB),
            SystemMetric("MemoryUtilization", "Percent", memory.percent),
        ]

    def process(self) -> ProcessFigures:
        """This process now."""
        times = self._own.cpu_times()
        return ProcessFigures(self._own.memory_info().rss, times.user + times.system, self._own.num_fds(), self._own.create_time())

    def resident_bytes(self, pid: int | None) -> int:
        """Resident memory of a process; 0 when there is none."""
        if pid is None:
            return 0
        try:
            return int(psutil.Process(pid).memory_info().rss)
        except psutil.Error:
            return 0
