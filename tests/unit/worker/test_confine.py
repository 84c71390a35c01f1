"""The program between the server and a worker: it confines itself for good, or refuses to go on."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from argosy.worker import confine

FILE = confine.__file__
SHOW = "import resource; print(resource.getrlimit(resource.RLIMIT_NOFILE), open('/proc/self/status').read().split('NoNewPrivs:')[1].split()[0])"


def confined(what: dict[str, Any], *program: str, user: int | None = None, python: str = sys.executable) -> subprocess.CompletedProcess[str]:
    """Run a program confined."""
    whole = {"limits": {}, "user": None, "new_privileges": True, **what}
    command = [python, "-I", "-S", FILE, json.dumps(whole), *program]
    return subprocess.run(command, capture_output=True, text=True, check=False, user=user)


def test_limits_hold_for_good() -> None:
    """Both the soft and the hard one are set; who asks for more afterwards keeps what he has."""
    assert confined({"limits": {"open_files": 64}}, sys.executable, "-c", SHOW).stdout == "(64, 64) 0\n"
    again = [sys.executable, "-I", "-S", FILE, json.dumps({"limits": {"open_files": 128}, "user": None, "new_privileges": False})]
    assert confined({"limits": {"open_files": 64}}, *again, sys.executable, "-c", SHOW).stdout == "(64, 64) 1\n"


@pytest.mark.parametrize("program", ["/no/such/program", "/etc/passwd"])
def test_a_program_that_cannot_be_run(program: str) -> None:
    """Nothing else is run instead; the status and the words tell."""
    found = confined({}, program)
    assert found.returncode == confine.REFUSED
    assert found.stderr.startswith("this worker cannot be confined as configured: ")


def test_what_the_server_would_never_say() -> None:
    """Text that is no JSON ends in words, not in a traceback."""
    found = subprocess.run([sys.executable, "-I", "-S", FILE, "{", "true"], capture_output=True, text=True, check=False)
    assert (found.returncode, "Traceback" in found.stderr) == (confine.REFUSED, False)


def test_who_may_not_become_another_user_goes_no_further() -> None:
    """A server that is not root, or has lost the capability: the worker is refused, never run as somebody else."""
    python = "/usr/bin/python3"
    if os.geteuid() or not Path(python).exists():
        pytest.skip("only root can start this as somebody who may not")
    found = confined({"user": {"uid": 1, "gid": 1, "groups": []}}, "/bin/echo", "ran", user=54321, python=python)
    if "can't open file" in found.stderr:
        pytest.skip("other users cannot read these sources")
    assert (found.returncode, found.stdout) == (confine.REFUSED, "")
    assert "Operation not permitted" in found.stderr
