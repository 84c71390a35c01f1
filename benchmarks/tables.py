"""What a run prints."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.resources import Idle
from benchmarks.rounds import Result
from benchmarks.targets import Figures, Row, amount, rows, verdict

PERCENTILES = ("p50", "p90", "p99", "p999")


def results_table(results: Sequence[Result]) -> str:
    """The systems at one workload; ratios to the first of them."""
    first = results[0]
    header = f"{'system':12}{'CPU µs/req':>12}{'× ' + first.system:>10}{'req/s':>10}{'÷ ' + first.system:>10}"
    more = f"{'start s':>9}{'PSS MB':>8}{'foreign':>9}{'steal':>7}"
    lines = [f"\n{first.workload}", "  " + header + "".join(f"{name + ' µs':>10}" for name in ("p50", "p90", "p99", "p99.9")) + more]
    for result in results:
        ratios = f"{result.cpu_us:12.1f}{quotient(result.cpu_us, first.cpu_us):>10}{result.rate:10.0f}{quotient(result.rate, first.rate):>10}"
        times = "".join(f"{getattr(result, name + '_us'):10.0f}" for name in PERCENTILES)
        load = f"{result.start_s:9.2f}{result.pss_mb:8.1f}{result.foreign_cores:9.2f}{result.stolen_cores:7.2f}"
        lines.append(f"  {result.system:12}{ratios}{times}{load}  {remarks(result)}".rstrip())
    return "\n".join(lines)


def quotient(value: float, reference: float) -> str:
    """A ratio, or a dash when the reference is nothing."""
    return f"{value / reference:.2f}" if reference else "-"


def remarks(result: Result) -> str:
    """What a reader must know before believing a row."""
    words = [f"batches of {result.batch:.2f}"] if result.batch else []
    words += [f"{result.errors} errors"] if result.errors else []
    words += [f"{result.disturbed}/{result.repetitions} disturbed"] if result.disturbed else []
    return ", ".join(words)


def targets_table(figures: Figures) -> str:
    """The targets as text."""
    cells: list[tuple[str, ...]] = [("workload", "reference", "goal", "reference", "ours", "ratio", "")]
    cells += [_cells(row) for row in rows(figures)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(cells[0]))]
    return "\n".join("  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip() for line in cells)


def targets_markdown(figures: Figures) -> str:
    """The targets as a table of a page."""
    lines = ["| workload | reference | goal | reference measured | ours | ratio | |", "|---|---|---|--:|--:|--:|---|"]
    return "\n".join(lines + ["| " + " | ".join(_cells(row)) + " |" for row in rows(figures)])


def _cells(row: Row) -> tuple[str, ...]:
    ratio = "-" if row.ratio is None else f"{row.ratio:.2f} ×"
    judged = f"{verdict(row)} ({row.remark})" if row.remark else verdict(row)
    return row.what, row.reference, row.goal, row.measured_reference, row.ours, ratio, judged


def results_markdown(results: Sequence[Result]) -> str:
    """All results as a table of a page."""
    heads = ("workload", "system", "CPU a request", "requests a second", "p50", "p90", "p99", "p99.9", "memory", "other load")
    lines = [f"| {' | '.join(heads)} |", f"|---|---|{'--:|' * (len(heads) - 2)}"]
    for result in results:
        times = " | ".join(amount(getattr(result, name + "_us"), "µs") for name in PERCENTILES)
        figures = f"{amount(result.cpu_us, 'µs')} | {amount(result.rate, '')} | {times} | {amount(result.pss_mb, 'MB')}"
        lines.append(f"| {result.workload} | {result.system} | {figures} | {result.foreign_cores:.2f} |")
    return "\n".join(lines)


def idle_line(idle: Idle) -> str:
    """What connections that do nothing cost."""
    return (
        f"{idle.system}, beside {idle.connections:,} idle connections: p50 of one client {amount(idle.beside_us, 'µs')} "
        f"({amount(idle.alone_us, 'µs')} alone), {amount(idle.memory_mb, 'MB')} more memory"
    )
