"""The targets: what is promised of the speed, and whether a run kept it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from benchmarks.resources import Footprint, Idle
from benchmarks.rounds import Result
from benchmarks.workloads import LATE, MLP_BATCHED, NOOP, NOOP_TLS, OUT_1MB, OUT_10MB, PRIVATE_1MB, VIEW_1MB, VIEW_10MB, Workload

OURS = "argosy"
METRICS = {"cpu_us": ("CPU a request", "µs"), "rate": ("requests a second", "/s"), "p50_us": ("p50", "µs"), "batch": ("mean batch", "")}
FOOTPRINTS = {"start_s": ("start to first prediction", "s"), "idle_mb": ("idle memory, 1 worker", "MB"), "further_mb": ("each further worker", "MB")}


@dataclass(frozen=True, slots=True)
class Figures:
    """Everything that one run measured."""

    results: Sequence[Result] = ()
    footprints: Sequence[Footprint] = ()
    process_start_s: float = 0.0
    idle: Sequence[Idle] = ()
    problems: Sequence[str] = field(default_factory=list)

    def result(self, workload: Workload, system: str) -> Result | None:
        """What a system reached at a workload; None if that was not measured."""
        return next((result for result in self.results if (result.workload, result.system) == (workload.key, system)), None)


@dataclass(frozen=True, slots=True)
class Row:
    """One promise and what became of it. `ratio` and `is_met` are None when ours or the reference was not measured."""

    what: str
    reference: str
    goal: str
    measured_reference: str
    ours: str
    ratio: float | None
    is_met: bool | None
    remark: str = ""


@dataclass(frozen=True, slots=True)
class Ratio:
    """Ours to a reference of the same run: at most `limit`, or at least when more is better."""

    workload: Workload
    metric: str
    system: str
    reference: str
    limit: float
    more_is_better: bool = False

    def row(self, figures: Figures) -> Row:
        """Compare."""
        name, unit = METRICS[self.metric]
        goal = f"{'≥' if self.more_is_better else '≤'} {self.limit:g} ×"
        results = [figures.result(self.workload, system) for system in (self.system, OURS)]
        theirs, ours = (None if result is None else float(getattr(result, self.metric)) for result in results)
        ratio = ours / theirs if ours is not None and theirs else None
        met = None if ratio is None else (ratio >= self.limit if self.more_is_better else ratio <= self.limit)
        remark = _remark([result for result in results if result is not None])
        return Row(f"{self.workload.key}: {name}", self.reference, goal, amount(theirs, unit), amount(ours, unit), ratio, met, remark)


@dataclass(frozen=True, slots=True)
class AtMost:
    """A figure of ours by itself; those of others stand beside it."""

    metric: str
    limit: float

    def row(self, figures: Figures) -> Row:
        """Compare."""
        name, unit = FOOTPRINTS[self.metric]
        found = {each.system: float(getattr(each, self.metric)) for each in figures.footprints}
        if self.metric == "start_s" and "bare" in found:
            found["bare and one process start"] = found.pop("bare") + figures.process_start_s
        ours = found.pop(OURS, None)
        others = ", ".join(f"{system} {amount(value, unit)}" for system, value in found.items())
        met = None if ours is None else ours <= self.limit
        return Row(name, "no reference" if not others else "beside it", f"≤ {self.limit:g} {unit}", others or "-", amount(ours, unit), None, met)


TARGETS: Sequence[Ratio | AtMost] = (
    Ratio(NOOP, "cpu_us", "floor", "C server with a worker process", 2.5),
    Ratio(NOOP, "rate", "original", "MMS 1.1.11", 10, more_is_better=True),
    Ratio(NOOP, "rate", "triton", "Triton, Python backend", 5, more_is_better=True),
    Ratio(NOOP.at(1), "p50_us", "bare", "bare uvloop and httptools, no worker", 2.5),
    Ratio(MLP_BATCHED, "cpu_us", "bare", "the same forward passes, batched in a bare process", 1.35),
    Ratio(MLP_BATCHED, "cpu_us", "triton", "Triton, Python backend", 1),
    Ratio(VIEW_1MB, "cpu_us", "floor", "C server that drops the bytes", 1.25),
    Ratio(VIEW_10MB, "cpu_us", "floor", "C server that drops the bytes", 1.25),
    Ratio(PRIVATE_1MB, "cpu_us", "floor", "C server that drops the bytes", 3),
    Ratio(OUT_1MB, "cpu_us", "floor", "C server that sends from memory", 2),
    Ratio(OUT_10MB, "cpu_us", "floor", "C server that sends from memory", 2),
    Ratio(LATE, "batch", "bare", "ideal late batching in one process", 0.95, more_is_better=True),
    Ratio(LATE, "p50_us", "bare", "ideal late batching in one process", 1.1),
    AtMost("start_s", 0.5),
    AtMost("idle_mb", 45),
    AtMost("further_mb", 9),
    Ratio(NOOP_TLS, "cpu_us", "bare", "bare uvloop with TLS", 2),
)


def plan(names: Sequence[str]) -> Mapping[Workload, Sequence[str]]:
    """The workloads of the targets and the systems, of those chosen, that each needs; all of them serve the no-op."""
    needed: dict[Workload, set[str]] = {NOOP: set(names)}
    for target in TARGETS:
        if isinstance(target, Ratio):
            needed.setdefault(target.workload, {OURS}).add(target.system)
    return {workload: [name for name in names if name in systems] for workload, systems in needed.items()}


def rows(figures: Figures) -> list[Row]:
    """Every target beside what was measured."""
    return [target.row(figures) for target in TARGETS]


def verdict(row: Row) -> str:
    """In a word."""
    return {None: "not measured", True: "met", False: "missed"}[row.is_met]


def amount(value: float | None, unit: str) -> str:
    """A figure with as many digits as mean something."""
    if value is None:
        return "-"
    digits = f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"
    return f"{digits} {unit}".strip() if not unit.startswith("/") else f"{digits}{unit}"


def _remark(results: Sequence[Result]) -> str:
    words = [f"{result.system}: {result.errors} errors" for result in results if result.errors]
    return "; ".join(words + [f"{result.system}: disturbed" for result in results if result.disturbed])
