"""A real measurement, as short as it can be: it says what was measured, not how fast that was."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.measure import BenchError, Running, running
from benchmarks.processes import Tree
from benchmarks.resources import process_start_s, raise_open_files
from benchmarks.rounds import Length, compare
from benchmarks.systems import COMPILER, Launch, System, own_systems
from benchmarks.workloads import LATE, NOOP, OUT_1MB, VIEW_1MB, Workload

needs_tools = pytest.mark.skipif(
    any(shutil.which(tool) is None for tool in ("wrk", COMPILER)), reason="wrk makes the load, and a C compiler the floor"
)


@pytest.fixture(scope="module")
def systems(tmp_path_factory: pytest.TempPathFactory) -> dict[str, System]:
    """What can be started here, the floor compiled."""
    return {system.name: system for system in own_systems(tmp_path_factory.mktemp("floor"))}


@needs_tools
def test_systems_are_measured_side_by_side(systems: dict[str, System]) -> None:
    """Two systems in turns for a second each: every figure is there, no answer was wrong."""
    problems: list[str] = []
    chosen = [systems["floor"], systems["argosy"]]
    (results,) = compare(chosen, [NOOP.at(2)], Length(1, 1, 0), problems.append)
    assert problems == []
    assert [result.system for result in results] == ["floor", "argosy"]
    for result in results:
        assert result.errors == 0
        assert result.cpu_us > 0
        assert result.rate > 0
        assert 0 < result.p50_us <= result.p90_us <= result.p99_us <= result.p999_us


@needs_tools
@pytest.mark.parametrize("workload", [VIEW_1MB, OUT_1MB], ids=lambda workload: workload.name)
def test_floor_and_bare_answer_rightly(systems: dict[str, System], workload: Workload) -> None:
    """Large bodies in and out, whose lengths differ from client to client."""
    for name in ("floor", "bare"):
        with running(systems[name], workload) as server:
            server.check(workload)


@needs_tools
def test_batches_are_counted_by_their_answers(systems: dict[str, System]) -> None:
    """Clients that ask again and again learn how large their batches were."""
    with running(systems["bare"], LATE) as server:
        sample = server.load(LATE, 0.5)
    assert 1 <= sample.batch <= LATE.setup.batch_size
    assert sample.errors == 0


@needs_tools
def test_wrong_answers_end_the_measurement(systems: dict[str, System]) -> None:
    """A server that answers OK is asked for the length of what it got."""
    with running(systems["floor"], NOOP) as server, pytest.raises(BenchError, match=r"floor at lengths answers .* with 200 b'OK'"):
        server.check(Workload("lengths", replace(NOOP.setup, work="size"), 1))


class Ends:
    """A system that ends before it serves."""

    name = "ends"

    def __init__(self, model: System) -> None:
        self.speech = model.speech
        self._launch = model.launch

    def serves(self, setup: object) -> bool:
        return True

    def launch(self, setup: object, port: int, directory: Path) -> object:
        launched = self._launch(NOOP.setup, port, directory)
        return replace(launched, command=[sys.executable, "-c", "raise SystemExit('no licence')"])


@needs_tools
def test_a_system_that_does_not_serve_is_left_out(systems: dict[str, System]) -> None:
    """The others are measured all the same, and what it said is told."""
    problems: list[str] = []
    (results,) = compare([Ends(systems["floor"]), systems["floor"]], [NOOP.at(1)], Length(1, 1, 0), problems.append)  # type: ignore[list-item]  # a fake
    assert [result.system for result in results] == ["floor"]
    assert "ends does not serve" in problems[0]
    assert "no licence" in problems[0]


class Dies:
    """A system that answers a number of requests and is gone then."""

    name = "dies"

    def __init__(self, model: System, answers: int) -> None:
        self.speech = model.speech
        self._answers = answers

    def serves(self, setup: object) -> bool:
        return True

    def launch(self, setup: object, port: int, directory: Path) -> Launch:
        code = (
            "import http.server, os, sys\n"
            "class Handler(http.server.BaseHTTPRequestHandler):\n"
            "    left = int(sys.argv[2])\n"
            "    def do_POST(self):\n"
            "        Handler.left -= 1\n"
            "        if Handler.left < 0:\n"
            "            os._exit(1)\n"
            "        self.rfile.read(int(self.headers['Content-Length']))\n"
            "        self.send_response(200)\n"
            "        self.send_header('Content-Length', '2')\n"
            "        self.end_headers()\n"
            "        self.wfile.write(b'OK')\n"
            "http.server.HTTPServer(('127.0.0.1', int(sys.argv[1])), Handler).serve_forever()\n"
        )
        return Launch([sys.executable, "-c", code, str(port), str(self._answers)])


@needs_tools
@pytest.mark.parametrize("answers", [30, 70], ids=["when it is checked", "when it is loaded"])
def test_a_system_that_dies_in_the_middle_is_left_out(systems: dict[str, System], answers: int) -> None:
    """The start needs one answer and each check 64. Whatever comes, the other system has its result, and the death is told once."""
    problems: list[str] = []
    (results,) = compare([Dies(systems["floor"], answers), systems["floor"]], [NOOP.at(1)], Length(1, 1, 0), problems.append)
    assert [result.system for result in results] == ["floor"]
    assert len(problems) == 1
    assert problems[0].startswith("dies ")


@needs_tools
def test_results_tell_what_else_the_machine_did(systems: dict[str, System]) -> None:
    """Start, memory and foreign load stand beside the figures."""
    ((result,),) = compare([systems["bare"]], [NOOP.at(1)], Length(1, 1, 0), pytest.fail)
    assert result.start_s > 0
    assert result.pss_mb > 1
    assert result.foreign_cores >= result.stolen_cores >= 0 or result.stolen_cores > 0


class NotThere(Dies):
    """A system whose program is missing."""

    def launch(self, setup: object, port: int, directory: Path) -> Launch:
        return Launch([str(directory / "nothing")])


def test_a_program_that_is_missing_is_told(systems: dict[str, System]) -> None:
    """An environment that was half removed ends no run."""
    problems: list[str] = []
    assert list(compare([NotThere(systems["bare"], 0)], [NOOP.at(1)], Length(1, 1, 0), problems.append)) == []
    assert "dies cannot be prepared for noop" in problems[0]


class CannotBePrepared(Ends):
    """A system whose files cannot be made."""

    def launch(self, setup: object, port: int, directory: Path) -> object:
        subprocess.run([sys.executable, "-c", "raise SystemExit('no such model')"], check=True, capture_output=True)
        raise AssertionError


def test_a_system_that_cannot_be_prepared_is_left_out(systems: dict[str, System]) -> None:
    """What the command said that failed is told; nothing is measured."""
    problems: list[str] = []
    assert list(compare([CannotBePrepared(systems["bare"])], [NOOP.at(1)], Length(1, 1, 0), problems.append)) == []  # type: ignore[list-item]  # a fake
    assert "ends cannot be prepared for noop" in problems[0]
    assert "no such model" in problems[0]


@pytest.fixture
def tree(tmp_path: Path) -> Iterator[Tree]:
    """A process with a child that has said that it runs."""
    said = tmp_path / "said"
    os.mkfifo(said)
    child = f"open({str(said)!r}, 'w').write('here'); input()"
    code = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {child!r}], stdin=subprocess.PIPE).wait()"
    found = Tree([sys.executable, "-c", code], tmp_path, {})
    assert said.read_text() == "here"
    yield found
    found.stop()
    assert found.pids() <= {found.root.pid}


def test_tree_knows_what_it_holds_and_used(tree: Tree) -> None:
    """Memory and time of all its processes; nothing of it is left behind."""
    assert len(tree.pids()) == 2
    assert tree.pss_mb() > 0
    assert tree.cpu_ns() > 0


def test_more_open_files_than_allowed_are_refused() -> None:
    """The message says what the limit is."""
    import resource

    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if hard == resource.RLIM_INFINITY:
        pytest.skip("there is no limit here")
    with pytest.raises(BenchError, match=f"only {hard} files"):
        raise_open_files(hard + 1)


def test_a_process_takes_time_to_start() -> None:
    """The reference of the start is measured."""
    assert process_start_s(1) > 0


def test_running_says_what_runs(systems: dict[str, System], tmp_path: Path) -> None:
    """System, port and processes in one line."""
    server = Running(systems["bare"], NOOP.setup, tmp_path)
    try:
        assert repr(server).startswith(f"<Running bare on {server.port} <Tree {server.tree.root.pid} ")
    finally:
        server.tree.stop()
