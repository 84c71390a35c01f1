"""Builds the parts of a server and joins them."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import socket
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import argosy
from argosy.config import Config, Target, default_start_workers, open_library, read_host, run_program, usable_gpus
from argosy.control.manager import Manager
from argosy.control.registration import Interpreters
from argosy.dataplane.batcher import Policy
from argosy.dataplane.registry import Registry
from argosy.dataplane.served import ServedModel
from argosy.frontend.head import access_line
from argosy.frontend.limits import Limits
from argosy.frontend.listener import Listener
from argosy.frontend.site import Budget, HttpCounters, Site
from argosy.logs import Logs, RecordLog
from argosy.metrics.exposition import Exposition
from argosy.metrics.host import Host
from argosy.protocols.custom import Endpoint, WithEndpoints
from argosy.protocols.custom import Surroundings as EndpointSurroundings
from argosy.protocols.endpoint import Dialect
from argosy.protocols.management import Access, ManagementDialect, SharedDialect
from argosy.protocols.mms import InferenceDialect
from argosy.protocols.observability import Observability, model_figures
from argosy.protocols.openapi import INFERENCE, MANAGEMENT
from argosy.protocols.status import Detail
from argosy.server.endpoints import installed_endpoints, load_endpoints
from argosy.server.environment import worker_environment
from argosy.server.reports import Reports
from argosy.server.threads import DaemonThreads
from argosy.server.tls import tls_context
from argosy.store.address import AddressPolicy
from argosy.store.cache import Cache
from argosy.store.download import Downloader, DownloadLimits
from argosy.store.manifest import read_manifest
from argosy.store.repository import Repository, scan_store
from argosy.store.tree import Limits as UnpackLimits
from argosy.supervisor.member import Surroundings
from argosy.supervisor.process import Reaper
from argosy.supervisor.spec import ModelSpec
from argosy.wire import read_output

_log = logging.getLogger("argosy.server")
MMS_VERSION = "1.1.11"
"""What handlers read as the version of the server: that of the Multi Model Server whose contract they rely on."""
_FIRST_NUMBER = 9000
_ARENA_BYTES = 256 * 1024 * 1024
_FRAME_EXTRA = 1024 * 1024
_FILE_THREADS = 8
_ENDPOINT_THREADS = 8


@dataclass(slots=True)
class Parts:
    """A server, built and not started. `run` starts the parts in this order and stops them in reverse."""

    config: Config
    logs: Logs
    loop: asyncio.AbstractEventLoop
    reaper: Reaper
    repository: Repository
    executors: Sequence[Executor]
    """For blocking file work, and for custom endpoints."""
    registry: Registry
    manager: Manager
    inference: Listener
    management: Listener
    """The same object as `inference` when they share an address."""
    reports: Reports
    start_workers: int
    start_workers_reason: str

    @property
    def listeners(self) -> list[Listener]:
        """Each listener once."""
        return [self.inference] if self.inference is self.management else [self.inference, self.management]

    def start_targets(self, targets: Sequence[Target]) -> list[Target]:
        """What is loaded at start: what was asked for by hand, else what the configuration lists. Raises `ArgosyError` INVALID_CONFIG."""
        if targets:
            return list(targets)
        if self.config.loads_all:
            return [Target(None, url) for url in scan_store(self.config.model_store)] if self.config.model_store is not None else []
        return list(self.config.start_targets)


class _Gpus:
    """Deals GPUs to workers in turn, beginning with number 1 as MMS does."""

    def __init__(self, count: int) -> None:
        self.count = count
        self._last = 0

    def next(self) -> int | None:
        """The GPU of the next worker; None without GPUs."""
        if not self.count:
            return None
        self._last += 1
        return self._last % self.count


def build(config: Config, logs: Logs, loop: asyncio.AbstractEventLoop) -> Parts:
    """Build everything; nothing is bound or started yet, but the temporary folder is taken. Raises `ArgosyError` INVALID_CONFIG."""
    endpoints = load_endpoints(config.endpoints, installed_endpoints()) if config.endpoints else []
    machine = read_host()
    gpus = _Gpus(usable_gpus(config, run_program, open_library))
    workers, reason = default_start_workers(config, machine, gpus.count)
    reaper, registry, host, http = Reaper(loop), Registry(), Host(), HttpCounters()
    executor = ThreadPoolExecutor(_FILE_THREADS, thread_name_prefix="argosy-files")
    tls = tls_context(config) if config.uses_tls else None
    repository = _repository(config)
    around = _surroundings(config, logs, loop, reaper)
    accesses = RecordLog(logs.access, access_line, loop.time)
    predictions = RecordLog(logs.model_metrics, _prediction_time(), loop.time)
    make_model = _model_maker(config, predictions, around, gpus.next)
    manager = Manager(registry, config, repository, read_manifest, make_model, executor, Interpreters(sys.executable, shutil.which))
    exposition = Exposition(lambda: model_figures(registry), lambda: _responses(http), host, argosy.__version__)
    sites: list[Site] = []
    observability = Observability(
        registry, manager.startup, exposition, ping_always_200=config.ping_policy == "mms", is_draining=lambda: any(site.draining for site in sites)
    )
    budget = Budget(config.request_memory_bytes)

    def listener(dialect: Dialect, address: Any) -> Listener:
        access = accesses.write if accesses.enabled else None
        site = Site(loop, dialect, registry, _limits(config), budget, http, access, _cors(config))
        sites.append(site)
        return Listener(address, site, tls if address.scheme == "https" else None)

    speaks_inference = InferenceDialect(registry, observability, error_detail=Detail(config.error_detail))
    access_rules = Access(config.management_token, config.cors_allowed_origin, config.management_address.is_loopback)
    speaks_management = ManagementDialect(manager, observability, access_rules, host.resident_bytes)
    threads = DaemonThreads(_ENDPOINT_THREADS, "argosy-endpoint")
    extended = _extender(endpoints, EndpointSurroundings(config, registry, threads, host.resident_bytes), access_rules)
    if config.is_one_listener:
        both = extended(SharedDialect(speaks_inference, speaks_management), (INFERENCE, MANAGEMENT))
        inference = management = listener(both, config.inference_address)
    else:
        inference = listener(extended(speaks_inference, (INFERENCE,)), config.inference_address)
        management = listener(extended(speaks_management, (MANAGEMENT,)), config.management_address)
    reports = Reports(loop, logs, (accesses, predictions), host, http, config.metric_time_interval)
    return Parts(config, logs, loop, reaper, repository, (executor, threads), registry, manager, inference, management, reports, workers, reason)


def _extender(
    endpoints: Sequence[Endpoint], around: EndpointSurroundings, access: Access
) -> Callable[[Dialect, Sequence[str]], Dialect]:
    """Makes a dialect of one that has the endpoints of some listeners too."""

    def extended(dialect: Dialect, listeners: Sequence[str]) -> Dialect:
        ours = [endpoint for endpoint in endpoints if endpoint.listener in listeners]
        return WithEndpoints(dialect, ours, around, access.refusal) if ours else dialect

    return extended


def _repository(config: Config) -> Repository:
    patterns = [pattern.pattern for pattern in config.allowed_urls]
    guarded = config.management_address.is_loopback or config.management_token is not None
    policy = AddressPolicy(patterns if patterns or not guarded else None)
    cache = Cache(config.temp_dir / f".argosy-{os.getuid()}", UnpackLimits(total_bytes=config.max_archive_bytes))
    return Repository(config.model_store, cache, Downloader(policy, DownloadLimits(max_bytes=config.max_archive_bytes)))


def _surroundings(config: Config, logs: Logs, loop: asyncio.AbstractEventLoop, reaper: Reaper) -> Surroundings:
    def output(model: str, worker: str, stream: str, line: bytes) -> None:
        origin, is_error = f"W-{worker}-{model}-{stream}", stream == "stderr"
        for ids, text in read_output(line):
            logs.output.write(origin, text.decode("utf-8", "replace"), is_error=is_error, request_id=ids)

    def metrics(model: str, lines: str) -> None:
        for line in lines.splitlines():
            logs.model_metrics.write(line)

    options = {
        "decode_input": config.decode_input_request,
        "server_name": "MMS",
        "server_version": MMS_VERSION,
        # messages come back without the exception's text: how much of it clients see is decided where replies are written
        "error_detail": "none",
        "max_response_size": config.max_response_size,
        "swallow_initialize_errors": False,
    }
    environ = dict(os.environ)
    frame_limit = config.max_response_size + _FRAME_EXTRA
    return Surroundings(loop, reaper, lambda spec: worker_environment(spec, config, environ), options, output, metrics, frame_limit, time.time)


def _model_maker(
    config: Config, predictions: RecordLog, around: Surroundings, next_gpu: Callable[[], int | None]
) -> Callable[[ModelSpec], ServedModel]:
    numbers = iter(range(_FIRST_NUMBER, 1 << 62))
    arena = min(_ARENA_BYTES, config.request_memory_bytes) if hasattr(os, "memfd_create") else 0
    on_batch = predictions.write if predictions.enabled else None

    def make(spec: ModelSpec) -> ServedModel:
        policy = Policy(max(1, spec.batch_size), max(0, spec.max_batch_delay_ms) / 1e3, config.max_coalesced_jobs, float(config.target_message_us))
        return ServedModel(spec, around, next(numbers), policy, config.job_queue_size, arena, next_gpu, on_batch)

    return make


def _prediction_time() -> Callable[[tuple[Any, ...]], str]:
    """Makes the line that says how long the handler took for a batch."""
    hostname, wall = socket.gethostname(), time.time

    def line(record: tuple[Any, ...]) -> str:
        _, model, micros, ids = record
        return (
            f"PredictionTime.Milliseconds:{micros / 1000:.2f}|#ModelName:{model},Level:Model|#hostname:{hostname},"
            f"requestID:{ids.decode('latin-1')},timestamp:{int(wall())}"
        )

    return line


def _limits(config: Config) -> Limits:
    return Limits(
        body_bytes=config.max_request_size,
        header_timeout_s=config.header_timeout_s,
        body_timeout_s=config.body_timeout_s,
        idle_timeout_s=config.idle_timeout_s,
        connections=config.max_connections or 1000,
        arena_bytes=max(1, config.arena_threshold_bytes),
    )


def _cors(config: Config) -> tuple[tuple[str, str], ...]:
    if config.cors_allowed_origin is None:
        return ()
    values = (("origin", config.cors_allowed_origin), ("methods", config.cors_allowed_methods), ("headers", config.cors_allowed_headers))
    return tuple((f"access-control-allow-{name}", value) for name, value in values if value)


def _responses(http: HttpCounters) -> dict[str, int]:
    return {"1xx": http.informational, "2xx": http.successful, "3xx": http.redirected, "4xx": http.client_errors, "5xx": http.server_errors}
