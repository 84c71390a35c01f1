"""What a runtime that was killed leaves behind is ended by the next one, and nothing else is touched."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from argosy.sagemaker.local.leftovers import PREFIX, Ledger, clear, mark
from argosy.testing.server import is_alive

WAITS = "import signal; print(flush=True); signal.pause()"
STUBBORN = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {WAITS.removeprefix('import signal; ')}; signal.pause()"


@contextmanager
def process(code: str = WAITS) -> Iterator[subprocess.Popen[bytes]]:
    """A process in a group of its own, which runs its first lines already."""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, start_new_session=True) as started:
        try:
            assert started.stdout is not None
            started.stdout.readline()
            yield started
        finally:
            started.kill()


def orphaned(parent: Path, *lines: str | tuple[int, Sequence[str]]) -> Path:
    """The folder of a runtime that was killed after it had started these; a text is a line of its list as it is."""
    ledger = Ledger(parent)
    for line in lines:
        if isinstance(line, str):
            ledger._file.write(line)
        else:
            ledger.note(*line)
    ledger._file.close()
    return ledger.folder


@pytest.mark.parametrize(("code", "status"), [(WAITS, -signal.SIGTERM), (STUBBORN, -signal.SIGKILL)])
def test_a_process_is_ended(tmp_path: Path, code: str, status: int) -> None:
    """Gently if it lets itself be, else by force; then its folder is gone, and there is nothing to do a second time."""
    with process(code) as one:
        orphaned(tmp_path, (one.pid, ()))
        assert clear(tmp_path, 30.0 if status == -signal.SIGTERM else 0.2) == [f"process {one.pid}"]
        assert one.wait() == status
    assert list(tmp_path.iterdir()) == []
    assert clear(tmp_path, 1.0) == []


def test_what_the_process_started_in_its_group_ends_with_it(tmp_path: Path) -> None:
    """Its children get the same signals."""
    code = "import subprocess, sys; child = subprocess.Popen(['sleep', '600']); print(child.pid, flush=True); child.wait()"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, start_new_session=True) as one:
        assert one.stdout is not None
        child = int(one.stdout.readline())
        orphaned(tmp_path, (one.pid, ()))
        clear(tmp_path, 30.0)
        assert not is_alive(child)


def test_a_container_is_removed_by_its_command(tmp_path: Path) -> None:
    """Also when the client of the engine, which the process was, has gone; an engine that is not there stops nobody."""
    removed = tmp_path / "removed"
    folder = orphaned(tmp_path, (2**22 + 1, ("touch", str(removed))), (2**22 + 1, ("no-such-engine", "rm", "box")))
    assert clear(tmp_path, 1.0) == [f"container {removed}", "container box"]
    assert removed.exists()
    assert not folder.exists()


def test_another_process_of_the_same_number_is_left_alone(tmp_path: Path) -> None:
    """Numbers are used again, after a restart of the machine too: what it is told by is when it began."""
    with process() as one:
        began, boot = mark(one.pid).split()
        for wrong in (f"{int(began) - 1} {boot}", f"{began} another-boot", ""):
            orphaned(tmp_path, json.dumps({"pid": one.pid, "mark": wrong, "remove": []}) + "\n")
        assert clear(tmp_path, 1.0) == []
        assert one.poll() is None


def test_a_list_that_was_cut_off_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    """The killed runtime may have been writing."""
    with process() as one:
        folder = orphaned(tmp_path, (one.pid, ()), '{"pid": 1}\n', "7\n", '{"pid": 12, "ma')
        assert clear(tmp_path, 30.0) == [f"process {one.pid}"]
        assert not folder.exists()


def test_those_that_live_keep_everything(tmp_path: Path) -> None:
    """As long as a runtime lives nobody else takes its folder, and when it ends in order it takes it itself."""
    ledger = Ledger(tmp_path)
    with process() as one:
        ledger.note(one.pid, ())
        assert clear(tmp_path, 1.0) == []
        assert one.poll() is None
        assert ledger.folder.exists()
    assert repr(ledger) == f"<Ledger {ledger.folder}>"
    ledger.close()
    assert list(tmp_path.iterdir()) == []


def test_folders_of_others_are_not_believed(tmp_path: Path) -> None:
    """Somebody else's list, a link to one, a folder that is being made and files of that name: none is read, none goes."""
    proof, elsewhere = tmp_path / "proof", tmp_path / "elsewhere"
    elsewhere.mkdir()
    linked = orphaned(elsewhere, (1, ("touch", str(proof))))
    (tmp_path / f"{PREFIX}link").symlink_to(linked)
    (tmp_path / f"{PREFIX}new").mkdir()
    (tmp_path / f"{PREFIX}file").touch()
    if os.geteuid() == 0:
        os.chown(orphaned(tmp_path, (1, ("touch", str(proof)))), 12345, 12345)
    before = sorted(tmp_path.iterdir())
    assert clear(tmp_path, 1.0) == []
    assert sorted(tmp_path.iterdir()) == before
    assert not proof.exists()
