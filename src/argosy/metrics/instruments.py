"""Every metric of the server, declared once: name, kind, labels, help."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

COUNTER = "counter"
GAUGE = "gauge"


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric as Prometheus shows it. The name of a counter ends in `_total`."""

    name: str
    kind: str
    help: str
    labels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class WorkerFigures:
    """One worker at the moment of a scrape."""

    id: str
    state: str
    pid: int | None


@dataclass(frozen=True, slots=True)
class ModelFigures:
    """One model at the moment of a scrape. Counts are since its registration, times in seconds."""

    name: str
    outcomes: Mapping[str, int]
    """Requests by outcome: answered, refused, expired, cancelled, failed."""
    batches: int = 0
    handler_s: float = 0.0
    queue_s: float = 0.0
    streams: int = 0
    first_piece_s: float = 0.0
    restarts: int = 0
    waiting: int = 0
    running: int = 0
    workers: tuple[WorkerFigures, ...] = field(default_factory=tuple)


BUILD = Metric("argosy_build_info", GAUGE, "Always 1; the label tells the version of the server.", ("version",))
MODELS = Metric("argosy_models", GAUGE, "Registered models.")
REQUESTS = Metric(
    "argosy_requests_total", COUNTER,
    "Prediction requests by how they ended: answered, failed, refused (no worker or queue full), expired (deadline passed in the queue) or "
    "cancelled (the client left).", ("model", "outcome"))  # fmt: skip
BATCHES = Metric("argosy_batches_total", COUNTER, "Calls of the handler.", ("model",))
HANDLER_SECONDS = Metric("argosy_handler_seconds_total", COUNTER, "Time that handlers ran.", ("model",))
QUEUE_SECONDS = Metric("argosy_queue_seconds_total", COUNTER, "Time that answered requests waited for a worker.", ("model",))
STREAMS = Metric("argosy_streams_total", COUNTER, "Answers that came in pieces and were begun.", ("model",))
FIRST_PIECE_SECONDS = Metric(
    "argosy_stream_first_piece_seconds_total", COUNTER, "Time from the arrival of these requests to the first piece of the answer.", ("model",))
QUEUE_JOBS = Metric("argosy_queue_jobs", GAUGE, "Requests that wait for a worker.", ("model",))
RUNNING_JOBS = Metric("argosy_running_jobs", GAUGE, "Requests that a worker has.", ("model",))
WORKERS = Metric("argosy_workers", GAUGE, "Workers by state.", ("model", "state"))
RESTARTS = Metric("argosy_worker_restarts_total", COUNTER, "Workers started again after they had died.", ("model",))
WORKER_MEMORY = Metric("argosy_worker_resident_bytes", GAUGE, "Resident memory of a worker process.", ("model", "worker"))
HTTP_RESPONSES = Metric("argosy_http_responses_total", COUNTER, "Replies on all listeners by class of status.", ("class",))
PROCESS_MEMORY = Metric("argosy_process_resident_bytes", GAUGE, "Resident memory of the server process, workers not included.")
PROCESS_CPU = Metric("argosy_process_cpu_seconds_total", COUNTER, "Processor time of the server process, workers not included.")
PROCESS_FILES = Metric("argosy_process_open_files", GAUGE, "Open file descriptors of the server process.")
PROCESS_START = Metric("argosy_process_start_time_seconds", GAUGE, "When the server process was started, in seconds since the epoch.")

ALL: tuple[Metric, ...] = (
    BUILD, MODELS, REQUESTS, BATCHES, HANDLER_SECONDS, QUEUE_SECONDS, STREAMS, FIRST_PIECE_SECONDS, QUEUE_JOBS, RUNNING_JOBS, WORKERS,
    RESTARTS, WORKER_MEMORY, HTTP_RESPONSES, PROCESS_MEMORY, PROCESS_CPU, PROCESS_FILES, PROCESS_START,
)  # fmt: skip


def reference() -> str:
    """The table of all metrics for the documentation, as Markdown."""
    rows = [f"| `{metric.name}` | {metric.kind} | {', '.join(f'`{label}`' for label in metric.labels)} | {metric.help} |" for metric in ALL]
    return "\n".join(["| metric | kind | labels | meaning |", "|---|---|---|---|", *rows]) + "\n"
