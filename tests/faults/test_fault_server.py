"""What happens to the server itself: signals, its death, a clock that jumps, being the first process. Under load, and nothing stays behind."""

from __future__ import annotations

import contextlib
import math
import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest

from argosy.testing.server import RunningServer, begun, is_alive, is_free, wait_for
from conftest import Report
from faults.figures import Figure
from faults.load import Load
from faults.storage import pack
from faults.system import IS_ORIGINAL, WICKED, begun_twice, family, in_s, launched, run_for, seconds_until, system

UNSHARE = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"]
GRACE_S = 20


def ended_s(server: RunningServer, pids: list[int]) -> float:
    """Seconds until the server and everything that it started are gone; infinity if it has to be killed after a while."""
    took_s = seconds_until(lambda: not any(is_alive(pid) for pid in pids), GRACE_S)
    for pid in pids:
        with contextlib.suppress(OSError):
            os.kill(pid, signal.SIGKILL)
    return took_s


def gone(seconds: float) -> str:
    """For the table."""
    return f"gone after {in_s(seconds)}" if seconds < math.inf else f"still there after {GRACE_S} s and killed"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
def test_a_signal_that_stops(tmp_path: Path, figure: Report, number: signal.Signals) -> None:
    """Everything that was accepted is answered, clients are told to close, then no process and no port is left, and the status is 0."""
    with system(tmp_path, "m", env={"SLEEP_S": "0.05"}) as server:
        pids = family(tmp_path / "begun")
        with Load(server.inference, clients=16, verb="sleep") as load:
            run_for(0.5)
            os.kill(server.process.pid, number)
            took_s = ended_s(server, pids)
        status = server.process.wait(30)
        tally = load.tally
        figures = f"{gone(took_s)}, status {status}, port {'free' if is_free(server.inference) else 'taken'}"
        figure(tally.figure(f"{number.name} to the server", figures, repeated=begun_twice(server)))
        tally.assert_sound()
        assert tally.failed == 0
        assert took_s < 10
        assert status == 0
        assert is_free(server.inference)
        assert is_free(server.management)


def test_sighup(tmp_path: Path, figure: Report) -> None:
    """Log files that were moved away are opened anew; no request notices."""
    logs = tmp_path / "logs"
    with system(tmp_path, "m", settings={"log_location": logs}) as server:
        with Load(server.inference) as load:
            for number in range(5):
                if seconds_until((logs / "access_log.log").exists, 5) < math.inf:
                    (logs / "access_log.log").rename(logs / f"moved.{number}")
                    os.kill(server.process.pid, signal.SIGHUP)
                    seconds_until((logs / "access_log.log").exists, 5)
        lines = sum(len(path.read_text().splitlines()) for path in logs.glob("moved.*"))
        told = f"{'alive' if is_alive(server.pid) else 'dead'}; {lines} lines in {len(list(logs.glob('moved.*')))} moved logs"
        figure(load.tally.figure("SIGHUP, 5 times", told))
        load.tally.assert_sound()
        assert load.tally.failed == load.tally.refused == 0
        assert len(list(logs.glob("moved.*"))) == 5
        assert (logs / "access_log.log").exists()
        assert server.stop() == 0


def test_a_second_signal(tmp_path: Path, figure: Report) -> None:
    """It does not wait for a handler that loops: everything is gone at once, and what was cut off is told so or closed."""
    with system(tmp_path, "m", settings={"drain_timeout_s": 600}) as server, server.clients(2) as send:
        pids = family(tmp_path / "begun")
        held = [send("m", "defy") for _ in range(2)]
        seconds_until(lambda: begun(server).count("defy") == 2, 10)
        with Load(server.inference, clients=4) as load:
            run_for(0.3)
            os.kill(server.process.pid, signal.SIGTERM)
            run_for(1.2)  # one that comes within a second counts as the same
            os.kill(server.process.pid, signal.SIGTERM)
            took_s = ended_s(server, pids)
        status = server.process.wait(30)
        told = [future.exception() is not None or future.result().status >= 500 or not future.result().status for future in held]
        figure(load.tally.figure("second SIGTERM, handlers loop", f"{gone(took_s)}, status {status}", failed=2, ended=True))
        assert all(told)
        assert took_s < 5
        assert status == 1
        assert load.tally.wrong == load.tally.crossed == load.tally.duplicated == 0


def test_sigkill_and_restart(tmp_path: Path, figure: Report) -> None:
    """No worker survives, also one that ignores signals; a new server starts over stale sockets, pid file and unpacked archives, and serves."""
    rounds, took_s, up_s = 3, 0.0, 0.0
    pack(tmp_path / "store" / "m.mar", {"service.py": WICKED.encode()})
    with system(tmp_path, settings={"load_models": "m=m.mar"}) as first:
        tally = None
        server: RunningServer = first
        wait_for(lambda: first.predict("m", "echo:up").status == 200, "it serves")
        for _ in range(rounds):
            pids = family(tmp_path / "begun")
            with server.clients(1) as send, Load(server.inference) as load:
                held = send("m", "defy")
                seconds_until(lambda: "defy" in begun(first), 10)
                run_for(0.3)
                os.kill(server.pid, signal.SIGKILL)
                took_s = max(took_s, ended_s(server, pids))
                assert held.exception() is not None or held.result().status == 0
            server.process.wait(30)
            (tmp_path / ".model_server.pid").write_text(str(pids[0]))
            (tmp_path / "begun").write_text("")
            begin = time.monotonic()
            server = type(first)(tmp_path, first.settings, first.models, first.env)
            server.__enter__()
            up_s = max(up_s, time.monotonic() - begin)
            wait_for(lambda: server.predict("m", "echo:again").text == "again", "it serves again")  # noqa: B023
            if tally is None:
                tally = load.tally
            else:
                tally.add(load.tally)
        status = server.stop()
        left = [str(path.relative_to(server.temp)) for path in server.temp.rglob("*") if path.is_file() and path.name != "lock"]
        assert tally is not None
        figure(tally.figure(f"SIGKILL of the server, {rounds} times", f"workers {gone(took_s)}, serves again after {up_s:.1f} s, "
                            f"files left: {len(left)}", failed=rounds, ended=True))  # fmt: skip
        assert status == 0
        assert tally.wrong == tally.crossed == tally.duplicated == 0
        assert took_s < 10
        assert left == []


def test_stale_sockets(tmp_path: Path, figure: Report) -> None:
    """Socket files of a server that was killed are taken over, and a server that is stopped leaves none."""
    settings = {"inference_address": f"unix:{tmp_path}/i.sock", "management_address": f"unix:{tmp_path}/m.sock"}
    up, stale = [], False
    for turn in range(2):
        with launched(tmp_path, settings) as server:
            up.append(seconds_until(lambda: is_served(tmp_path / "i.sock"), GRACE_S))
            if turn == 0:
                pids = family(tmp_path / "begun")
                os.kill(server.pid, signal.SIGKILL)
                ended_s(server, pids)
                stale = (tmp_path / "i.sock").is_socket()
            else:
                status = server.stop()
    left = [path.name for path in (tmp_path / "i.sock", tmp_path / "m.sock") if path.exists()]
    figure(Figure("stale sockets", figures=f"sockets left by SIGKILL: {'yes' if stale else 'no'}; serves again after {in_s(up[1])}, left: {left}"))
    assert stale
    assert max(up) < GRACE_S
    assert (status, left) == (0, [])


def is_served(path: Path) -> bool:
    """Whether somebody answers on this socket."""
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as sock, contextlib.suppress(OSError):
        sock.settimeout(2)
        sock.connect(str(path))
        sock.sendall(b"GET /ping HTTP/1.1\r\nHost: a\r\n\r\n")
        return sock.recv(100).startswith(b"HTTP/1.1 200 ")
    return False


@pytest.fixture(scope="session")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A library that moves the wall clock."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("no C compiler")
    library = tmp_path_factory.mktemp("shim") / "shim.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-O2", "-o", str(library), str(Path(__file__).with_name("clockshim.c")), "-ldl"], check=True)
    return library


def test_the_clock_jumps(tmp_path: Path, figure: Report, shim: Path) -> None:
    """A day forwards and two back, again and again: no time limit fires early or late, no connection is cut, no worker killed."""
    offset = tmp_path / "offset"
    offset.write_text("0")
    env = {"LD_PRELOAD": str(shim), "CLOCK_OFFSET_FILE": str(offset), "SLEEP_S": "0.05"}
    settings = {"default_response_timeout_seconds": 3, "log_location": tmp_path / "logs"}
    with system(tmp_path, "m", settings=settings, env=env) as server:
        workers = sorted(server.workers("m"))
        with Load(server.inference, clients=4) as load, Load(server.inference, clients=4, verb="sleep") as slow:
            for days in (1, -1, 30, -365, 0):
                offset.write_text(str(days * 86400))
                run_for(0.6)
            kept = sorted(server.workers("m")) == workers
            begin = time.monotonic()
            offset.write_text("86400")
            status = server.predict("m", "spin").status
            limit_s = time.monotonic() - begin
        load.tally.add(slow.tally)
        figure(load.tally.figure("clock jumps by a day, month, year", f"limit of 3 s took {limit_s:.2f} s ({status})", failed=1))
        load.tally.assert_sound()
        assert load.tally.failed == load.tally.refused == 0
        assert kept
        assert 2.9 < limit_s < 8
        if not IS_ORIGINAL:  # the clock of the server did jump
            assert len(list((tmp_path / "logs").glob("access_log.*"))) > 2, "a log is rolled each day"


def may_unshare() -> bool:
    """Whether this user may make PID namespaces."""
    try:
        return subprocess.run([*UNSHARE, "true"], capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


@pytest.mark.skipif(not may_unshare(), reason="PID namespaces are not permitted here")
def test_as_the_first_process(tmp_path: Path, figure: Report) -> None:
    """As PID 1 it adopts and reaps what handlers leave behind, and SIGTERM stops it after all answers."""
    with system(tmp_path, "m", prefix=UNSHARE) as server:
        (inner,) = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children").read_text().split()
        with Load(server.inference) as load:
            run_for(0.3)
            for _ in range(5):
                server.predict("m", "leave:10")
            run_for(0.3)
            zombies = sum(zombie_children(int(inner)))
            os.kill(int(inner), signal.SIGTERM)
            took_s = ended_s(server, [int(inner)])
        status = server.process.wait(30)
        figure(load.tally.figure("server as PID 1", f"50 orphans, {zombies} zombies; {gone(took_s)}, status {status}"))
        load.tally.assert_sound()
        assert zombies == 0
        assert took_s < 10
        assert status == 0


def zombie_children(pid: int) -> list[bool]:
    """For each child of a process, whether it waits to be reaped."""
    return [not is_alive(int(child)) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
