"""When a free worker gets jobs, and how many: a pure policy."""

from __future__ import annotations

import math
from dataclasses import dataclass

LARGEST = 1024
"""No message carries more jobs; a larger `batch_size` acts like this one."""
UNKNOWN_US = 1_000_000.0
"""The assumed time of a handler that has not answered yet: so slow that it gets one batch at a time."""

_ONLY_WORKER = 10
"""So many times longer a message may be that is sent early where there is one worker: a few milliseconds, should another one come meanwhile."""

LONGEST_QUEUE_S = 3600
"""Nobody is told to come back later than that."""


@dataclass(frozen=True, slots=True)
class Policy:
    """How the jobs of a model are grouped.

    A handler is called with at most `batch_size` jobs; an incomplete batch waits until its first job is `max_delay_s` old. A message carries
    as many jobs as are worth `target_us` microseconds of the handler, at most `max_jobs`, but always one batch.
    """

    batch_size: int
    max_delay_s: float
    max_jobs: int = 64
    target_us: float = 500.0

    def message_jobs(self, job_us: float) -> int:
        """How many jobs a full message carries, whole batches, when the handler takes `job_us` for a job."""
        size = min(self.batch_size, LARGEST)
        most = min(self.max_jobs, LARGEST)
        # the mean of a handler that takes no time at all comes arbitrarily near to zero: compare before rounding
        worth = int(min(self.target_us / job_us, most)) if job_us > 0 else most
        return max(size, worth // size * size)


@dataclass(frozen=True, slots=True)
class Decision:
    """Send `count` jobs now, or none and look again in `wait_s` seconds (None: when something changes)."""

    count: int
    wait_s: float | None = None


_ONE = Decision(1)


def decide(policy: Policy, waiting: int, oldest_age_s: float, free_workers: int, job_us: float) -> Decision:
    """What one of `free_workers` workers without work gets of `waiting` jobs, at least one of each.

    Several free workers share what waits, so that none idles beside a long message.
    """
    size = min(policy.batch_size, LARGEST)
    if size == waiting == 1:
        return _ONE
    full = policy.message_jobs(job_us)
    if size == 1:
        return Decision(min(full, -(-waiting // free_workers)))
    if waiting >= size:
        batches = waiting // size
        return Decision(min(full, -(-batches // free_workers) * size))
    left_s = policy.max_delay_s - oldest_age_s
    if left_s > 0:
        return Decision(0, left_s)
    return Decision(waiting)


def queue_s(waiting: int, job_us: float, workers: int) -> int:
    """Whole seconds until `waiting` jobs are taken by so many workers that need `job_us` for each: at least 1, at most `LONGEST_QUEUE_S`.

    1 also while no time was measured or no worker is there: then a worker is about to come.
    """
    if not workers or job_us == UNKNOWN_US:
        return 1
    return min(LONGEST_QUEUE_S, max(1, math.ceil(waiting * job_us / 1e6 / workers)))


def may_prefetch(policy: Policy, waiting: int, in_flight: int, job_us: float, *, is_only_worker: bool = False) -> bool:
    """Whether a worker that still runs a message gets a second one early: only a full one, and only of short jobs.

    A job that is sent early is bound to its worker, so it may cost at most about `target_us` of waiting; ten times that where no other worker
    could take it anyway.
    """
    full = policy.message_jobs(job_us)
    most_us = policy.target_us * _ONLY_WORKER if is_only_worker else policy.target_us
    return waiting >= full and in_flight <= full and full * job_us <= most_us and 2 * full <= LARGEST
