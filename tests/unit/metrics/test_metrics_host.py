"""Figures of the machine have their units."""

from __future__ import annotations

import os

from argosy.metrics.host import Host


def test_system_metrics_are_in_their_order() -> None:
    """The seven figures of the system metrics log, with plausible values."""
    found = Host().system_metrics()
    assert [(metric.name, metric.unit) for metric in found] == [
        ("CPUUtilization", "Percent"), ("DiskAvailable", "Gigabytes"), ("DiskUsage", "Gigabytes"), ("DiskUtilization", "Percent"),
        ("MemoryAvailable", "Megabytes"), ("MemoryUsed", "Megabytes"), ("MemoryUtilization", "Percent"),
    ]  # fmt: skip
    assert all(metric.value >= 0 for metric in found)
    assert all(metric.value <= 100 for metric in found if metric.unit == "Percent")


def test_memory_of_a_process_that_is_gone_is_nothing() -> None:
    """No process and an unknown process have no memory; ours has some."""
    host = Host()
    assert host.resident_bytes(None) == 0
    assert host.resident_bytes(2**22 + 1) == 0
    assert host.resident_bytes(os.getpid()) > 1_000_000
