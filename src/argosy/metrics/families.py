"""All figures of the server as families of Prometheus."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from argosy.metrics import instruments as i
from argosy.metrics.host import Host
from argosy.metrics.instruments import Metric, ModelFigures

Family = CounterMetricFamily | GaugeMetricFamily
Sample = tuple[Sequence[str], float]


class Figures(Collector):
    """What a scrape collects: the models and the machine as they are then."""

    def __init__(
        self, models: Callable[[], Iterable[ModelFigures]], http_responses: Callable[[], Mapping[str, int]], host: Host, version: str
    ) -> None:
        self._models = models
        self._http_responses = http_responses
        self._host = host
        self._version = version

    def describe(self) -> Iterable[Family]:
        """Nothing: asking for names must not read the machine."""
        return ()

    def collect(self) -> Iterator[Family]:
        """All families, in the order of their declaration."""
        samples = {**self._of_models(list(self._models())), **self._of_server()}
        for metric in i.ALL:
            yield _family(metric, samples[metric])

    def _of_models(self, models: Sequence[ModelFigures]) -> dict[Metric, list[Sample]]:
        def each(value: Callable[[ModelFigures], float]) -> list[Sample]:
            return [((model.name,), value(model)) for model in models]

        return {
            i.MODELS: [((), len(models))],
            i.REQUESTS: [((model.name, outcome), count) for model in models for outcome, count in model.outcomes.items()],
            i.BATCHES: each(lambda model: model.batches),
            i.HANDLER_SECONDS: each(lambda model: model.handler_s),
            i.QUEUE_SECONDS: each(lambda model: model.queue_s),
            i.STREAMS: each(lambda model: model.streams),
            i.FIRST_PIECE_SECONDS: each(lambda model: model.first_piece_s),
            i.QUEUE_JOBS: each(lambda model: model.waiting),
            i.RUNNING_JOBS: each(lambda model: model.running),
            i.WORKERS: [((model.name, state), count) for model in models for state, count in _states(model).items()],
            i.RESTARTS: each(lambda model: model.restarts),
            i.WORKER_MEMORY: [
                ((model.name, worker.id), self._host.resident_bytes(worker.pid)) for model in models for worker in model.workers if worker.pid
            ],
        }

    def _of_server(self) -> dict[Metric, list[Sample]]:
        process = self._host.process()
        return {
            i.BUILD: [((self._version,), 1.0)],
            i.HTTP_RESPONSES: [((name,), count) for name, count in self._http_responses().items()],
            i.PROCESS_MEMORY: [((), process.resident_bytes)],
            i.PROCESS_CPU: [((), process.cpu_s)],
            i.PROCESS_FILES: [((), process.open_files)],
            i.PROCESS_START: [((), process.started_at)],
        }


def _states(model: ModelFigures) -> dict[str, int]:
    counts: dict[str, int] = {}
    for worker in model.workers:
        counts[worker.state] = counts.get(worker.state, 0) + 1
    return counts


def _family(metric: Metric, samples: Iterable[Sample]) -> Family:
    kind = CounterMetricFamily if metric.kind == i.COUNTER else GaugeMetricFamily
    family: Family = kind(metric.name, metric.help, labels=metric.labels)
    for labels, value in samples:
        family.add_metric(labels, value)
    return family
