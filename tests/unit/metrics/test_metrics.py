"""Every declared metric is exposed and documented; figures of the machine have their units."""

from __future__ import annotations

import os
from pathlib import Path

from argosy.metrics import instruments
from argosy.metrics.exposition import Exposition
from argosy.metrics.host import Host
from argosy.metrics.instruments import ModelFigures, WorkerFigures

ROOT = Path(__file__).resolve().parents[3]


def scrape(*models: ModelFigures) -> str:
    return Exposition(lambda: models, lambda: {"2xx": 5}, Host(), "1.2").render().decode()


def test_every_metric_is_exposed_once_with_its_help() -> None:
    """A scrape of an idle server already names all metrics."""
    text = scrape()
    for metric in instruments.ALL:
        assert text.count(f"# HELP {metric.name} ") == 1
        assert f"# TYPE {metric.name} {metric.kind}" in text


def test_names_follow_the_rules() -> None:
    """Names are unique, begin with ours, and only those of counters end in _total."""
    names = [metric.name for metric in instruments.ALL]
    assert len(set(names)) == len(names)
    assert all(name.startswith("argosy_") for name in names)
    assert all(metric.name.endswith("_total") == (metric.kind == instruments.COUNTER) for metric in instruments.ALL)


def test_reference_page_is_up_to_date() -> None:
    """The documentation holds the table that the declarations give."""
    assert instruments.reference() in (ROOT / "docs/reference/metrics.md").read_text("utf-8")


def test_figures_of_models_are_labelled() -> None:
    """Each model, outcome, state and worker has its sample; memory is that of the worker's process."""
    workers = (WorkerFigures("w1", "IDLE", os.getpid()), WorkerFigures("w2", "IDLE", None))
    text = scrape(ModelFigures("m", {"answered": 2}, batches=1, streams=3, first_piece_s=1.5, restarts=4, workers=workers))
    assert 'argosy_requests_total{model="m",outcome="answered"} 2.0' in text
    assert 'argosy_workers{model="m",state="IDLE"} 2.0' in text
    assert 'argosy_worker_restarts_total{model="m"} 4.0' in text
    assert 'argosy_streams_total{model="m"} 3.0' in text
    assert 'argosy_stream_first_piece_seconds_total{model="m"} 1.5' in text
    assert 'argosy_http_responses_total{class="2xx"} 5.0' in text
    assert 'argosy_build_info{version="1.2"} 1.0' in text
    assert text.count("argosy_worker_resident_bytes{") == 1


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
