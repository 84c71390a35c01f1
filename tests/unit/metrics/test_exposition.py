"""A scrape has every declared metric, with the figures of each model."""

from __future__ import annotations

import os

from argosy.metrics import instruments
from argosy.metrics.exposition import Exposition
from argosy.metrics.host import Host
from argosy.metrics.instruments import ModelFigures, WorkerFigures


def scrape(*models: ModelFigures) -> str:
    return Exposition(lambda: models, lambda: {"2xx": 5}, Host(), "1.2").render().decode()


def test_every_metric_is_exposed_once_with_its_help() -> None:
    """A scrape of an idle server already names all metrics."""
    text = scrape()
    for metric in instruments.ALL:
        assert text.count(f"# HELP {metric.name} ") == 1
        assert f"# TYPE {metric.name} {metric.kind}" in text


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
