"""Makes what serves a model: its workers' surroundings, its queue's policy, the lines about its batches."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import Callable
from typing import Any

from argosy.config import Config, oom_kills
from argosy.dataplane.batcher import Policy
from argosy.dataplane.served import ServedModel
from argosy.logs import Logs, RecordLog
from argosy.server.environment import worker_environment
from argosy.supervisor.member import Surroundings
from argosy.supervisor.memory import OomKills
from argosy.supervisor.process import Reaper
from argosy.supervisor.spec import ModelSpec
from argosy.wire import MAX_FRAME, read_output

MMS_VERSION = "1.1.11"
"""What handlers read as the version of the server: that of the Multi Model Server whose contract they rely on."""
_FIRST_NUMBER = 9000
_ARENA_BYTES = 256 * 1024 * 1024
_FRAME_EXTRA = 1024 * 1024
_SHORT_US = 2000
"""Times below it are written down once and for all."""


class Gpus:
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


def surroundings(config: Config, logs: Logs, loop: asyncio.AbstractEventLoop, reaper: Reaper) -> Surroundings:
    """What all workers are started with, and where their output and metrics go."""

    def output(model: str, worker: str, stream: str, line: bytes) -> None:
        origin, is_error = f"W-{worker}-{model}-{stream}", stream == "stderr"
        for ids, text in read_output(line):
            logs.output.write(origin, text.decode("utf-8", "replace"), is_error=is_error, request_id=ids)

    def metrics(model: str, lines: str) -> None:
        for line in filter(None, lines.split("\n")):
            logs.model_metrics.write(line)

    options = {
        "decode_input": config.decode_input_request,
        "server_name": "MMS",
        "server_version": MMS_VERSION,
        # messages come back without the exception's text: how much of it clients see is decided where replies are written
        "error_detail": "none",
        "max_response_size": config.max_response_size,
        "swallow_initialize_errors": False,
        "default_accept": config.default_accept,
    }
    environ = dict(os.environ)
    kills = OomKills(oom_kills)
    # 0 is no limit, for workers and for their frames alike
    frame_limit = config.max_response_size + _FRAME_EXTRA if config.max_response_size else MAX_FRAME
    return Surroundings(
        loop, reaper, lambda spec: worker_environment(spec, config, environ), options, output, metrics, frame_limit, time.time,
        kills.explains_one, config.answer_memory_bytes,
    )  # fmt: skip


def arena_bytes(config: Config) -> int:
    """The memory for large bodies of each model: room for the largest one that is allowed, or it would be kept in pieces, then copied whole."""
    largest = 1 << max(0, config.max_request_size - 1).bit_length()
    return min(max(_ARENA_BYTES, largest), config.request_memory_bytes)


def model_maker(
    config: Config, predictions: RecordLog, around: Surroundings, next_gpu: Callable[[], int | None]
) -> Callable[[ModelSpec], ServedModel]:
    """Makes models by the configuration; none has workers yet. Their first numbers are those that MMS gave as ports."""
    numbers = iter(range(_FIRST_NUMBER, 1 << 62))
    arena = arena_bytes(config) if hasattr(os, "memfd_create") else 0
    on_batch = predictions.write if predictions.enabled else None

    def make(spec: ModelSpec) -> ServedModel:
        policy = Policy(max(1, spec.batch_size), max(0, spec.max_batch_delay_ms) / 1e3, config.max_coalesced_jobs, float(config.target_message_us))
        return ServedModel(spec, around, next(numbers), policy, config.job_queue_size, arena, next_gpu, on_batch)

    return make


def prediction_lines() -> Callable[[list[tuple[Any, ...]]], list[str]]:
    """Makes the lines that say how long the handler took for each batch."""
    wall = time.time
    middle = f",Level:Model|#hostname:{socket.gethostname()},requestID:"
    short = [f"{micros / 1000:.2f}" for micros in range(_SHORT_US)]

    def lines(records: list[tuple[Any, ...]]) -> list[str]:
        end = f",timestamp:{int(wall())}"
        return [
            f"PredictionTime.Milliseconds:{short[micros] if micros < _SHORT_US else f'{micros / 1000:.2f}'}|#ModelName:{model}{middle}"
            f"{ids.decode('latin-1')}{end}"
            for _, model, micros, ids in records
        ]

    return lines
