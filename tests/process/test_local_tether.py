"""A command that is tied to whoever started it: asked to end when that is killed, and otherwise as if nothing stood between."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from argosy.sagemaker.local.tether import CANNOT_START, bound
from argosy.testing.server import is_alive, wait_for

WAITS = "import signal; print('ready', flush=True); signal.pause()"
PARENT = """
import os, subprocess, sys
from argosy.sagemaker.local.tether import bound
child = subprocess.Popen(bound(sys.argv[1:], os.getpid()), stdout=subprocess.PIPE, start_new_session=True)
child.stdout.readline()
print(child.pid, flush=True)
child.wait()
"""


def run(*command: str, parent: int | None = None) -> subprocess.CompletedProcess[str]:
    """What becomes of a command of this process, or of another one."""
    return subprocess.run(bound(command, parent or os.getpid()), capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_it_is_asked_to_end_when_its_parent_is_killed(tmp_path: Path, number: signal.Signals) -> None:
    """By SIGTERM, so that it can end in order; also in a session of its own."""
    said = tmp_path / "said"
    code = f"import signal\ndef end(number, frame): open({str(said)!r}, 'w').write(str(number)); raise SystemExit\nsignal.signal(15, end); {WAITS}"
    with subprocess.Popen([sys.executable, "-c", PARENT, sys.executable, "-c", code], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        assert is_alive(child)
        parent.send_signal(number)
    wait_for(lambda: not is_alive(child), "the end of the child")
    assert said.read_text() == str(int(signal.SIGTERM))


def test_it_does_not_begin_when_its_parent_is_gone_already(tmp_path: Path) -> None:
    """No signal would ever come: the parent was killed before it could be asked for."""
    proof = tmp_path / "proof"
    assert run("touch", str(proof), parent=os.getppid()).returncode == CANNOT_START
    assert not proof.exists()


def test_the_command_is_run_as_it_is() -> None:
    """With its own words, environment, number and exit status; a search path is followed."""
    with subprocess.Popen(bound(["sh", "-c", 'echo $$ "$1"; exit 7', "sh", "a b"], os.getpid()), stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stdout.read() == f"{child.pid} a b\n".encode()
    assert child.returncode == 7


def test_no_signal_stays_ignored() -> None:
    """Python ignores some, and a command would inherit that: a pipeline would not end at the end of its reader."""
    ignored = next(line.split()[1] for line in run("cat", "/proc/self/status").stdout.splitlines() if line.startswith("SigIgn"))
    assert int(ignored, 16) & sum(1 << (number - 1) for number in (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGTERM, signal.SIGINT)) == 0


def test_a_command_that_is_not_there_is_said() -> None:
    """On its output, where its own words would be."""
    done = run("no-such-command")
    assert (done.returncode, done.stdout) == (CANNOT_START, "no-such-command cannot be started: No such file or directory\n")


def test_a_folder_of_modules_cannot_take_part(tmp_path: Path) -> None:
    """What stands between believes neither the current folder nor variables of Python."""
    for name in ("ctypes", "signal", "sitecustomize"):
        (tmp_path / f"{name}.py").write_text("print('taken')")
    env = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run(bound(["echo", "fine"], os.getpid()), capture_output=True, text=True, check=False, cwd=tmp_path, env=env, timeout=60)
    assert (done.stdout, done.stderr) == ("fine\n", "")
