"""Who gets how many jobs, as a table and as properties."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from argosy.dataplane.batcher import LARGEST, LONGEST_QUEUE_S, UNKNOWN_US, Decision, Policy, decide, may_prefetch, queue_s

ONE = Policy(batch_size=1, max_delay_s=0.1)
FOUR = Policy(batch_size=4, max_delay_s=0.1)

policies = st.builds(
    Policy,
    batch_size=st.integers(1, 3000),
    max_delay_s=st.floats(0, 10),
    max_jobs=st.integers(1, 4096),
    target_us=st.floats(0, 1e6),
)
times_us = st.floats(0, 1e9) | st.just(UNKNOWN_US)


@pytest.mark.parametrize(
    ("policy", "waiting", "age_s", "free", "job_us", "decision"),
    [
        # one at a time: an unknown or slow handler gets one job a message, a quick one gets many
        (ONE, 1, 0.0, 1, UNKNOWN_US, Decision(1)),
        (ONE, 100, 0.0, 1, UNKNOWN_US, Decision(1)),
        (ONE, 100, 0.0, 1, 600.0, Decision(1)),
        (ONE, 100, 0.0, 1, 100.0, Decision(5)),
        (ONE, 100, 0.0, 1, 0.0, Decision(64)),
        # free workers share what waits
        (ONE, 10, 0.0, 4, 1.0, Decision(3)),
        (ONE, 1, 0.0, 4, 1.0, Decision(1)),
        (ONE, 64, 0.0, 2, 1.0, Decision(32)),
        # a full batch goes at once, an incomplete one when its first job is old enough
        (FOUR, 3, 0.0, 1, UNKNOWN_US, Decision(0, 0.1)),
        (FOUR, 3, 0.04, 1, UNKNOWN_US, Decision(0, 0.1 - 0.04)),
        (FOUR, 3, 0.1, 1, UNKNOWN_US, Decision(3)),
        (FOUR, 4, 0.0, 1, UNKNOWN_US, Decision(4)),
        (FOUR, 7, 9.0, 1, UNKNOWN_US, Decision(4)),
        # whole batches only, shared as well
        (FOUR, 100, 0.0, 1, 50.0, Decision(8)),
        (FOUR, 17, 0.0, 2, 1.0, Decision(8)),
        # no delay: whatever waits
        (Policy(4, 0.0), 2, 0.0, 3, UNKNOWN_US, Decision(2)),
        (Policy(5000, 0.0), 4000, 0.0, 1, UNKNOWN_US, Decision(LARGEST)),
    ],
)
def test_the_table(policy: Policy, waiting: int, age_s: float, free: int, job_us: float, decision: Decision) -> None:
    """Each row is one rule of the policy."""
    assert decide(policy, waiting, age_s, free, job_us) == decision


@given(policies, st.integers(1, 5000), st.floats(0, 100), st.integers(1, 64), times_us)
def test_a_decision_can_be_carried_out(policy: Policy, waiting: int, age_s: float, free: int, job_us: float) -> None:
    """Never more jobs than wait or than a message may carry; none only while the first one may still wait, and then it is said how long."""
    found = decide(policy, waiting, age_s, free, job_us)
    assert 0 <= found.count <= min(waiting, LARGEST)
    if found.count:
        assert found.wait_s is None
    else:
        assert found.wait_s is not None
        assert 0 < found.wait_s <= policy.max_delay_s
        assert waiting < policy.batch_size
        assert age_s < policy.max_delay_s


@given(policies, times_us)
def test_a_message_carries_whole_batches(policy: Policy, job_us: float) -> None:
    """A full message is a number of whole batches, at least one, and never larger than the largest."""
    full = policy.message_jobs(job_us)
    size = min(policy.batch_size, LARGEST)
    assert size <= full <= LARGEST
    assert full % size == 0


@given(policies, st.integers(1, 5000), st.integers(1, 5000), st.integers(1, 64), times_us)
def test_free_workers_leave_something_for_each_other(policy: Policy, waiting: int, old: int, free: int, job_us: float) -> None:
    """With as many batches as free workers, each of them gets one, however long messages may be."""
    size = min(policy.batch_size, LARGEST)
    waiting = max(waiting, free * size)
    for left in range(free, 0, -1):
        found = decide(policy, waiting, float(old), left, job_us)
        assert found.count >= size
        waiting -= found.count
        assert waiting >= (left - 1) * size


@pytest.mark.parametrize(
    ("policy", "waiting", "in_flight", "job_us", "may"),
    [
        (ONE, 5, 5, 100.0, True),
        (ONE, 4, 5, 100.0, False),
        (ONE, 5, 6, 100.0, False),
        (ONE, 100, 1, 501.0, False),
        (ONE, 100, 1, UNKNOWN_US, False),
        (FOUR, 100, 4, 126.0, False),
        (FOUR, 100, 4, 125.0, True),
        (Policy(800, 0.0, target_us=1e9), 5000, 1, 1.0, False),
    ],
    ids=["full", "not-full", "second-in-flight", "slow", "unknown", "slow-batch", "quick-batch", "too-large"],
)
def test_only_short_jobs_go_early(policy: Policy, waiting: int, in_flight: int, job_us: float, may: bool) -> None:
    """A second message goes to a busy worker only when it is full, short, and the worker could still be told of every cancelled job."""
    assert may_prefetch(policy, waiting, in_flight, job_us) is may


@pytest.mark.parametrize(
    ("policy", "waiting", "job_us", "may"),
    [
        (FOUR, 4, 1250.0, True),
        (FOUR, 4, 1251.0, False),
        (FOUR, 3, 1250.0, False),
        (Policy(1, 0.0, max_jobs=1, target_us=-1.0), 9, 10.0, False),
    ],
    ids=["ten-times-as-long", "longer", "not-full", "one-by-one"],
)
def test_the_only_worker_may_have_more_early(policy: Policy, waiting: int, job_us: float, may: bool) -> None:
    """Jobs that no other worker could take are bound to theirs for up to ten times as long, but never those of a model that streams."""
    assert may_prefetch(policy, waiting, 4, job_us, is_only_worker=True) is may
    assert not may_prefetch(policy, waiting, 4, job_us)


@given(policies, st.integers(0, 5000), st.integers(0, 5000), times_us)
def test_what_a_worker_has_fits_its_page(policy: Policy, waiting: int, in_flight: int, job_us: float) -> None:
    """Two messages together are never more jobs than there are places for cancellations."""
    if may_prefetch(policy, waiting, in_flight, job_us, is_only_worker=True):
        assert in_flight + policy.message_jobs(job_us) <= LARGEST


@pytest.mark.parametrize(
    ("waiting", "job_us", "workers", "seconds"),
    [
        (100, 100_000.0, 2, 5),
        (100, 101_000.0, 2, 6),
        (0, 100_000.0, 1, 1),
        (100, 10.0, 1, 1),
        (100, UNKNOWN_US, 1, 1),
        (100, 100_000.0, 0, 1),
        (10_000, 60e6, 1, LONGEST_QUEUE_S),
    ],
    ids=["shared", "rounded-up", "empty", "quick", "unknown", "no-worker", "bounded"],
)
def test_when_the_queue_will_be_empty(waiting: int, job_us: float, workers: int, seconds: int) -> None:
    """What waits, times the measured time of a job, shared by the workers; in whole seconds from 1 to an hour."""
    assert queue_s(waiting, job_us, workers) == seconds
