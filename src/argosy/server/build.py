"""Builds the parts of a server and joins them."""

from __future__ import annotations

import asyncio
import os
from concurrent.futures import ThreadPoolExecutor

from argosy.config import Config, default_start_workers, open_library, read_host, run_program, usable_gpus
from argosy.dataplane.registry import Registry
from argosy.frontend.head import access_lines
from argosy.frontend.site import HttpCounters
from argosy.logs import Logs, RecordLog
from argosy.metrics.host import Host
from argosy.server.confinement import check_confinement
from argosy.server.dialects import chosen_endpoints, make_dialects
from argosy.server.management import make_manager
from argosy.server.models import Gpus, model_maker, prediction_lines, surroundings
from argosy.server.observation import make_observability
from argosy.server.parts import Parts
from argosy.server.reports import Reports
from argosy.server.sites import Sites
from argosy.server.storage import make_repository
from argosy.server.threads import DaemonThreads
from argosy.server.tokens import make_tokens
from argosy.supervisor.process import Reaper

_FILE_THREADS = 8
_ENDPOINT_THREADS = 8


def build(config: Config, logs: Logs, loop: asyncio.AbstractEventLoop) -> Parts:
    """Build everything; nothing is bound or started yet, but the temporary folder is taken. Raises `ArgosyError` INVALID_CONFIG."""
    check_confinement(config, is_root=os.geteuid() == 0)
    endpoints = chosen_endpoints(config)
    gpus = Gpus(usable_gpus(config, run_program, open_library))
    workers, reason = default_start_workers(config, read_host(), gpus.count)
    reaper, registry, host, http = Reaper(loop), Registry(), Host(), HttpCounters()
    executor, threads = ThreadPoolExecutor(_FILE_THREADS, thread_name_prefix="argosy-files"), DaemonThreads(_ENDPOINT_THREADS, "argosy-endpoint")
    accesses = RecordLog(logs.access, access_lines, loop.time)
    predictions = RecordLog(logs.model_metrics, prediction_lines(), loop.time)
    tokens = make_tokens(config, registry.renew)
    sites = Sites(config, loop, registry, http, accesses, tokens.gate if tokens else None)
    repository = make_repository(config)
    make_model = model_maker(config, predictions, surroundings(config, logs, loop, reaper), gpus.next)
    manager = make_manager(config, registry, repository, make_model, executor)
    observability = make_observability(config, registry, manager, host, http, lambda: sites.are_draining)
    dialects = make_dialects(config, registry, manager, observability, endpoints, threads, host.resident_bytes)
    inference = management = sites.listener(dialects.inference, config.inference_address)
    if not config.is_one_listener:
        management = sites.listener(dialects.management, config.management_address)
    reports = Reports(loop, logs, (accesses, predictions), host, http, config.metric_time_interval)
    return Parts(
        config, logs, loop, reaper, repository, (executor, threads), registry, manager, inference, management, reports, workers, reason, tokens)
