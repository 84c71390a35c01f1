"""What the benchmarks make of what was measured: targets, tables, the page and its plot."""

from __future__ import annotations

import dataclasses
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.measure import BenchError, Sample, read_report
from benchmarks.peers import PEERS
from benchmarks.plot import Bar, bars, position
from benchmarks.resources import Footprint, Idle
from benchmarks.rounds import Length, Result, best, grouped, median
from benchmarks.run import duration_s
from benchmarks.tables import idle_line, remarks, results_markdown, results_table, targets_markdown, targets_table
from benchmarks.targets import OURS, TARGETS, AtMost, Figures, Ratio, amount, plan, rows, verdict
from benchmarks.workloads import ALL, NOOP, VIEW_1MB, VIEW_10MB

from benchmarks import page


def result(system: str, workload: str = NOOP.key, cpu_us: float = 10.0, rate: float = 1000.0, errors: int = 0, disturbed: int = 0) -> Result:
    """One line of a run."""
    return Result(system, workload, rate, 100.0, 200.0, 300.0, 400.0, cpu_us, errors, 3, disturbed)


def sample(foreign_cores: float, cpu_us: float = 10.0) -> Sample:
    """One repetition."""
    return Sample(1000.0, 1.0, 2.0, 3.0, 4.0, cpu_us, 0, foreign_cores)


AT_MOST_TWICE = Ratio(NOOP, "cpu_us", "floor", "C", 2)
TEN_TIMES = Ratio(NOOP, "rate", "original", "MMS", 10, more_is_better=True)


@pytest.mark.parametrize(("ours", "met"), [(15.0, True), (20.0, True), (20.1, False)])
def test_ratio_is_met_up_to_its_limit(ours: float, met: bool) -> None:
    """At most twice the reference is met at twice, and not beyond."""
    row = AT_MOST_TWICE.row(Figures([result("floor", cpu_us=10.0), result(OURS, cpu_us=ours)]))
    assert row.is_met is met
    assert row.ratio == pytest.approx(ours / 10)
    assert (row.goal, row.measured_reference, row.ours) == ("≤ 2 ×", "10.0 µs", f"{ours:.1f} µs")


@pytest.mark.parametrize(("ours", "met"), [(9_999.0, False), (10_000.0, True)])
def test_more_is_better_where_it_is(ours: float, met: bool) -> None:
    """At least ten times the reference is missed just below."""
    row = TEN_TIMES.row(Figures([result("original"), result(OURS, rate=ours)]))
    assert row.is_met is met
    assert row.goal == "≥ 10 ×"


@pytest.mark.parametrize(
    "present", [[], [result(OURS)], [result("floor")], [result("floor", cpu_us=0.0), result(OURS)]], ids=["none", "ours", "theirs", "zero"]
)
def test_what_was_not_measured_is_neither_met_nor_missed(present: list[Result]) -> None:
    """Without ours, without the reference or with a reference of nothing there is no ratio and no verdict."""
    row = AT_MOST_TWICE.row(Figures(present))
    assert row.ratio is None
    assert row.is_met is None
    assert verdict(row) == "not measured"


def test_results_of_other_workloads_are_not_compared() -> None:
    """Only the same workload with the same number of connections is a reference."""
    figures = Figures([result("floor", NOOP.at(1).key), result(OURS)])
    assert AT_MOST_TWICE.row(figures).is_met is None


def test_errors_and_disturbance_are_told() -> None:
    """A reader sees which of the two figures of a row is in doubt."""
    row = AT_MOST_TWICE.row(Figures([result("floor", errors=7), result(OURS, disturbed=1)]))
    assert row.remark == "floor: 7 errors; argosy: disturbed"


def test_figures_by_themselves_stand_beside_those_of_others() -> None:
    """The start is compared with the bare server's and one more process; those of peers are listed."""
    footprints = [Footprint("bare", 0.1, 14, 3), Footprint(OURS, 0.4, 40, 8), Footprint("original", 1.9, 131, 2)]
    figures = Figures(footprints=footprints, process_start_s=0.02)
    start, memory = AtMost("start_s", 0.5).row(figures), AtMost("idle_mb", 39).row(figures)
    assert start.measured_reference == "original 1.90 s, bare and one process start 0.12 s"
    assert start.is_met is True
    assert (memory.ours, memory.is_met) == ("40.0 MB", False)
    assert AtMost("further_mb", 9).row(Figures()).is_met is None


def test_every_target_has_a_row() -> None:
    """A run that measured nothing still lists what is promised."""
    assert len(rows(Figures())) == len(TARGETS) == 17
    assert {row.is_met for row in rows(Figures())} == {None}


def test_each_workload_is_planned_for_the_systems_that_its_targets_name() -> None:
    """All systems are compared at the no-op; elsewhere only ours and its references, and only what was chosen."""
    planned = plan(["floor", "argosy", "litserve"])
    assert planned[NOOP] == ["floor", "argosy", "litserve"]
    assert planned[VIEW_1MB] == ["floor", "argosy"]
    assert planned[NOOP.at(1)] == ["argosy"]


@pytest.mark.parametrize(("value", "text"), [(None, "-"), (0.456, "0.46 s"), (45.64, "45.6 s"), (12345.6, "12,346 s")])
def test_figures_have_as_many_digits_as_mean_something(value: float | None, text: str) -> None:
    """Three, or as many as stand before the point."""
    assert amount(value, "s") == text


def test_rates_have_no_blank_before_their_unit() -> None:
    """`1,000/s`."""
    assert amount(1000.0, "/s") == "1,000/s"


def test_tables_hold_every_target_and_system() -> None:
    """As text and for the page; the ratio and the verdict are in both."""
    figures = Figures([result("floor"), result(OURS, cpu_us=30.0)])
    for table in (targets_table(figures), targets_markdown(figures)):
        (line,) = [line for line in table.splitlines() if "C server with a worker process" in line]
        assert "3.00 ×" in line
        assert "missed" in line
    assert len(targets_table(figures).splitlines()) == 1 + len(TARGETS)
    assert len({line.count("|") for line in targets_markdown(figures).splitlines()}) == 1
    assert "argosy" in results_markdown(figures.results)


def test_results_are_compared_with_the_first_system() -> None:
    """The first system is the unit of the ratios; doubtful rows say so."""
    text = results_table([result("floor"), result(OURS, cpu_us=25.0, rate=500.0, errors=2, disturbed=1)])
    assert "× floor" in text
    last = text.splitlines()[-1].split()
    assert last[:5] == [OURS, "25.0", "2.50", "500", "0.50"]
    assert text.endswith("2 errors, 1/3 disturbed")
    assert results_table([result("floor", cpu_us=0.0)]).splitlines()[-1].split()[2] == "-"
    assert remarks(result("floor")) == ""


def test_results_say_what_else_ran() -> None:
    """Start, memory, foreign load and steal have columns of their own, on the page memory and load."""
    found = dataclasses.replace(result("floor"), start_s=1.25, pss_mb=45.6, foreign_cores=0.12, stolen_cores=0.03)
    head, line = results_table([found]).splitlines()[2:]
    assert head.endswith("start s  PSS MB  foreign  steal")
    assert line.split()[-4:] == ["1.25", "45.6", "0.12", "0.03"]
    assert "| 200 µs | 300 µs | 400 µs | 45.6 MB | 0.12 |" in results_markdown([found])


@pytest.mark.parametrize(("length", "idle", "most_minutes"), [(Length(3, 3, 3), 10_000, 15), (Length(1, 2, 0), 1_000, 5)], ids=["full", "quick"])
def test_a_run_of_all_systems_has_a_bound(length: Length, idle: int, most_minutes: int) -> None:
    """Repetitions that are disturbed are made again as often as there are some, and never more."""
    least, most = duration_s(["floor", "bare", OURS, "original", *PEERS], length, idle)
    assert 0 < least <= most <= 60 * most_minutes
    assert duration_s([OURS], length, idle) < (least, most)


def test_idle_connections_are_one_sentence() -> None:
    """With the latency alone beside it."""
    assert idle_line(Idle(OURS, 10_000, 40, 44, 55.5)) == (
        "argosy, beside 10,000 idle connections: p50 of one client 44.0 µs (40.0 µs alone), 55.5 MB more memory"
    )


def test_disturbed_repetitions_are_used_last() -> None:
    """Undisturbed ones first, in the order in which they were taken; then the least disturbed."""
    samples = [sample(0.9, 1), sample(0.0, 2), sample(0.3, 3), sample(0.1, 4)]
    assert [each.cpu_us for each in best(samples, 2)] == [2, 4]
    assert [each.cpu_us for each in best(samples, 3)] == [2, 4, 3]


def test_median_of_the_repetitions_remains() -> None:
    """One slow repetition does not count; how many were disturbed does."""
    found = median("floor", NOOP, [sample(0.0, 10), sample(0.2, 90), sample(0.0, 12)])
    assert (found.cpu_us, found.disturbed, found.repetitions, found.workload) == (12, 1, 3, NOOP.key)


def test_workloads_of_equal_setup_share_servers() -> None:
    """A server is started once for all its numbers of connections and sizes of bodies."""
    assert [(setup, len(group)) for setup, group in grouped([VIEW_1MB, NOOP, VIEW_10MB])] == [(VIEW_1MB.setup, 2), (NOOP.setup, 1)]
    keys = [workload.key for group in ALL.values() for workload in group]
    assert len(keys) == len(set(keys))


def test_report_of_the_load_generator_is_read() -> None:
    """The one line of JSON among what wrk prints; without it what was printed is the message."""
    assert read_report('Running 1s test\n\nJSON {"requests": 5}\n') == {"requests": 5}
    with pytest.raises(BenchError, match="unable to connect"):
        read_report("unable to connect to 127.0.0.1")


def test_plot_is_svg_with_a_bar_for_each_system() -> None:
    """Labels are escaped, ours stands out, longer bars are larger values."""
    root = ElementTree.fromstring(bars('CPU of a "no-op" <request>', "µs", [Bar("a & b", 8.6), Bar("argosy", 21.0, is_ours=True), Bar("c", 2400.0)]))
    space = "{http://www.w3.org/2000/svg}"
    boxes = root.findall(f"{space}rect")[1:]
    assert len(boxes) == 3
    widths = [float(box.attrib["width"]) for box in boxes]
    assert widths == sorted(widths)
    assert len({box.attrib["fill"] for box in boxes}) == 2
    texts = [text.text for text in root.findall(f"{space}text")]
    assert {"a & b", "8.6 µs", "2,400 µs", "1", "10000"} <= set(texts)


@pytest.mark.parametrize("values", [[], [Bar("a", 0.0)], [Bar("a", -1.0)]], ids=["nothing", "zero", "negative"])
def test_nothing_is_drawn_of_nothing(values: list[Bar]) -> None:
    """A logarithm needs a value above 0."""
    with pytest.raises(ValueError, match="above 0"):
        bars("title", "µs", values)


def test_equal_powers_are_equally_far_apart() -> None:
    """The scale is logarithmic."""
    places = [position(value, 0, 2) for value in (1, 10, 100)]
    assert places[1] - places[0] == pytest.approx(places[2] - places[1])


def test_page_is_replaced_between_its_markers_only(tmp_path: Path) -> None:
    """What people wrote around the figures stays, and writing twice is writing once."""
    file = tmp_path / "page.md"
    file.write_text(f"above\n\n{page.BEGIN}\nold\n{page.END}\n\nbelow\n")
    figures = Figures([result("floor"), result(OURS)], idle=[Idle(OURS, 1, 1, 1, 1)], problems=["triton does not serve: x\ntraceback"])
    page.write(figures, "scripts/bench --targets", file)
    first = file.read_text()
    page.write(figures, "scripts/bench --targets", file)
    assert file.read_text() == first
    assert first.startswith("above\n")
    assert first.endswith("below\n")
    assert "old" not in first
    assert "](performance.svg)" in first
    assert "Not measured: triton does not serve: x\n" in first
    assert "argosy" in file.with_suffix(".svg").read_text()


def test_page_without_markers_is_left_alone() -> None:
    """It is an error, not a page with figures at its end."""
    with pytest.raises(ValueError, match="measured: begin"):
        page.replaced("# Performance\n", "figures")


def test_the_real_page_has_its_markers() -> None:
    """`--write` finds where to write, and the machine is described without a date."""
    assert page.replaced(page.PAGE.read_text(), "figures")
    assert "cores" in page.machine()
