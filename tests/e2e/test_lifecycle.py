"""A server's life: stopping, being killed, as PID 1, scaling and unregistering under load, and what it costs over time."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import socket
import subprocess
import sys
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from argosy.testing.server import Reply, RunningServer, ask, begun, is_alive, is_free, open_files, resident_mb, serving, wait_for

LOCK = f".argosy-{os.getuid()}/lock"


@pytest.fixture
def pipe(tmp_path: Path) -> Path:
    """A pipe that a held job reads: opening it for writing waits until the job runs, closing it lets the job end."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    return path


def session(pid: int) -> list[int]:
    """The living processes whose parent chain leads to `pid`."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError, ValueError):
                parents[int(entry.name)] = int((entry / "stat").read_text("utf-8", "replace").rpartition(")")[2].split()[1])
    found = [pid]
    for one in found:
        found += [child for child, parent in parents.items() if parent == one]
    return [one for one in found if is_alive(one)]


def assert_nothing_is_left(server: RunningServer, processes: list[int]) -> None:
    """No process, no file but the lock of the shared folder, and both ports are free."""
    assert [pid for pid in processes if is_alive(pid)] == []
    assert [path for path in server.leftovers() if path != LOCK] == []
    assert is_free(server.inference)
    assert is_free(server.management)


def unsettled(server: RunningServer) -> int:
    """Jobs of the model m that were accepted and have not ended."""
    found = server.describe("m")
    return int(found["queueLength"] + found["runningJobs"])


# -- stopping --------------------------------------------------------------------------------------------------------


def test_sigterm_under_load(tmp_path: Path, pipe: Path) -> None:
    """Every request that was accepted is answered with its own token, keep-alive clients are let go, and nothing is left."""
    with serving(tmp_path, "m") as server, server.clients(33) as send, contextlib.ExitStack() as idle:
        kept = [idle.enter_context(contextlib.closing(server.connect())) for _ in range(8)]
        for connection in kept:
            assert ask(connection, "m", "echo:x").status == 200
        held = send("m", f"hold:{pipe}")
        with pipe.open("wb"):
            waiting = {token: send("m", f"echo:{token}") for token in range(32)}
            wait_for(lambda: unsettled(server) == 33, "all requests have come")
            processes = session(server.pid)
            server.process.send_signal(signal.SIGTERM)
            server.wait_for_line("Stopping")
        assert held.result().status == 200
        assert {token: reply.result().text for token, reply in waiting.items()} == {token: str(token) for token in waiting}
        assert server.wait() == 0
        assert_nothing_is_left(server, processes)
        for connection in kept:
            with pytest.raises((http.client.HTTPException, OSError)):
                ask(connection, "m", "echo:late")


def test_sigterm_while_clients_keep_asking(tmp_path: Path) -> None:
    """Clients that send one request after the other on kept connections lose none that they got an answer for, and are told to close."""
    stop = threading.Event()

    def client(server: RunningServer, name: int) -> int:
        answered = 0
        with contextlib.closing(server.connect()) as connection:
            while not stop.is_set():
                try:
                    reply = ask(connection, "m", f"echo:{name}-{answered}")
                except (http.client.RemoteDisconnected, ConnectionResetError, ConnectionRefusedError, BrokenPipeError):
                    break
                assert reply.status in (200, 503), reply
                if reply.status == 200:
                    assert reply.text == f"{name}-{answered}"
                    answered += 1
                if reply.headers["connection"] == "close":
                    break
        return answered

    with serving(tmp_path, "m") as server, ThreadPoolExecutor(16) as pool:
        clients = [pool.submit(client, server, name) for name in range(16)]
        wait_for(lambda: server.describe("m")["requests"]["answered"] > 500, "traffic")
        processes = session(server.pid)
        status = server.stop()
        stop.set()
        counts = [done.result() for done in clients]
    assert status == 0
    assert sum(counts) > 500
    assert_nothing_is_left(server, processes)


def test_sigint_when_idle(tmp_path: Path) -> None:
    """Idle connections do not hold the server up."""
    with serving(tmp_path, "m") as server, contextlib.ExitStack() as idle:
        for _ in range(20):
            idle.enter_context(contextlib.closing(server.connect())).connect()
        processes = session(server.pid)
        server.process.send_signal(signal.SIGINT)
        assert server.wait(15) == 0
        assert_nothing_is_left(server, processes)


def test_sigterm_while_a_handler_spins(tmp_path: Path) -> None:
    """A handler that ignores signals is given drain_timeout_s; then its client is answered and its process killed."""
    with serving(tmp_path, "m", settings={"drain_timeout_s": 1}) as server, server.clients(1) as send:
        spinning = send("m", "spin")
        wait_for(lambda: "spin" in begun(server), "the handler spins")
        processes = session(server.pid)
        assert server.stop(20) in (0, 1)
        assert spinning.result().status in (500, 503)
        assert_nothing_is_left(server, processes)


def test_a_second_signal_does_not_wait(tmp_path: Path) -> None:
    """After the first second another signal ends the server at once, with status 1 and without leftovers."""
    with serving(tmp_path, "m", settings={"drain_timeout_s": 600}) as server, server.clients(1) as send:
        spinning = send("m", "spin")
        wait_for(lambda: "spin" in begun(server), "the handler spins")
        processes = session(server.pid)

        server.process.send_signal(signal.SIGTERM)
        server.wait_for_line("Stopping")
        hurried = None
        while hurried is None:  # one that comes too soon counts as the same signal
            with contextlib.suppress(AssertionError):
                hurried = server.wait_for_line("a second signal", 0.5)
            if hurried is None:
                server.process.send_signal(signal.SIGTERM)
        assert server.wait(20) == 1
        with contextlib.suppress(http.client.HTTPException, OSError):
            assert spinning.result().status in (500, 503)
        assert_nothing_is_left(server, processes)


def test_exit_handlers_of_models_run(tmp_path: Path) -> None:
    """A worker that is told to stop ends by itself: what its handler registered for the end of the process is done."""
    server = RunningServer(tmp_path, models=["m"])
    note = tmp_path / "note"
    server.store.add("m", f"import atexit, pathlib, time\natexit.register(lambda: (time.sleep(0.2), pathlib.Path({str(note)!r}).touch()))\n"
                     "def handle(data, context):\n    return data and ['x']\n")  # fmt: skip
    with server:
        assert server.stop() == 0
    assert note.exists()


def test_sigkill_of_the_server(tmp_path: Path) -> None:
    """No worker survives it, neither an idle one nor one that spins; the port is free, and a new server starts over what was left."""
    with serving(tmp_path, "m", "n") as server, server.clients(1) as send:
        spinning = send("m", "spin")
        wait_for(lambda: "spin" in begun(server), "the handler spins")
        processes = session(server.pid)
        assert len(processes) >= 3
        server.process.kill()
        server.wait()
        wait_for(lambda: not [pid for pid in processes if is_alive(pid)], "all workers are gone", 15)
        assert is_free(server.inference)
        with pytest.raises((http.client.HTTPException, OSError)):
            spinning.result()
    server.output.clear()
    again = RunningServer(tmp_path, models=["m"], env={"BEGUN_FILE": str(tmp_path / "begun")})
    with again:
        assert again.predict("m", "echo:again").text == "again"


UNSHARE = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"]


def may_unshare() -> bool:
    """Whether this user may make PID namespaces."""
    try:
        return subprocess.run([*UNSHARE, "true"], capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


@pytest.mark.skipif(not may_unshare(), reason="PID namespaces are not permitted here")
def test_as_pid_1(tmp_path: Path) -> None:
    """As the first process of a container it reaps what handlers leave behind, and SIGTERM stops it."""
    with serving(tmp_path, "m", prefix=UNSHARE) as server:
        (inner,) = Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text().split()
        assert server.predict("m", "orphans:30").text == "left"
        listed = Path(f"/proc/{inner}/task/{inner}/children")
        wait_for(lambda: len(listed.read_text().split()) == 1, "only the worker is left")
        os.kill(int(inner), signal.SIGTERM)
        assert server.wait(30) == 0
        assert_nothing_is_left(server, [])


# -- starting --------------------------------------------------------------------------------------------------------


def test_a_port_in_use(tmp_path: Path) -> None:
    """Exit status 1, the address is named, and nothing stays."""
    with contextlib.closing(socket.socket()) as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        for name in ("inference_address", "management_address"):
            server = RunningServer(tmp_path / name, {name: f"http://127.0.0.1:{port}"})
            with server.launched():
                assert server.wait(20) == 1
            assert any(str(port) in line for line in server.output), server.output
            assert [path for path in server.leftovers() if path != LOCK] == []


def test_closed_standard_files(tmp_path: Path) -> None:
    """No socket takes the place of a standard file that whoever started the server has closed."""
    with serving(tmp_path, "m", prefix=("sh", "-c", 'exec "$@" <&-', "sh")) as server:
        assert server.predict("m", "echo:served").text == "served"
        assert [os.readlink(f"/proc/{pid}/fd/0") for pid in (server.pid, *server.workers("m"))] == ["/dev/null"] * 2
        assert server.stop() == 0


def test_a_bad_tls_file(tmp_path: Path) -> None:
    """Exit status 1, the file is named, and nothing stays."""
    (tmp_path / "key.pem").write_text("not a key")
    (tmp_path / "cert.pem").write_text("not a certificate")
    settings = {"inference_address": "https://127.0.0.1:0", "private_key_file": tmp_path / "key.pem", "certificate_file": tmp_path / "cert.pem"}
    server = RunningServer(tmp_path, settings)
    with server.launched():
        assert server.wait(20) == 1
    assert any("key.pem" in line for line in server.output), server.output
    assert [path for path in server.leftovers() if path != LOCK] == []


def test_sigterm_while_loading(tmp_path: Path, pipe: Path) -> None:
    """A server that is stopped before its models have loaded ends at once and leaves nothing."""
    server = RunningServer(tmp_path, models=["slow"])
    server.store.add("slow", f"open({str(pipe)!r}, 'rb').read()\ndef handle(data, context): return data and ['x']\n")
    with server.launched(), pipe.open("wb"):
        processes = session(server.pid)
        server.process.send_signal(signal.SIGTERM)
        assert server.wait(15) == 0
    assert [pid for pid in processes if is_alive(pid)] == []


# -- scaling and unregistering ---------------------------------------------------------------------------------------


def test_scaling_down_while_busy(tmp_path: Path) -> None:
    """Workers that are too many finish what they run; every request is answered with its own token."""
    pipes = [tmp_path / f"pipe{number}" for number in range(4)]
    for path in pipes:
        os.mkfifo(path)
    with serving(tmp_path, "m") as server, server.clients(12) as send:
        assert server.manage("PUT", "/models/m?min_worker=4&synchronous=true").status == 200
        running = [send("m", f"hold:{path}") for path in pipes]
        gates = [path.open("wb") for path in pipes]
        waiting = [send("m", f"echo:{token}") for token in range(8)]
        wait_for(lambda: unsettled(server) == 12, "all requests have come")
        assert server.manage("PUT", "/models/m?min_worker=1&max_worker=1&synchronous=true").status == 200
        for number, gate in enumerate(gates):
            gate.write(b"held %d" % number)
            gate.close()
        assert [reply.result().text for reply in running] == [f"held {number}" for number in range(4)]
        assert [reply.result().text for reply in waiting] == [str(token) for token in range(8)]
        wait_for(lambda: len(session(server.pid)) == 2, "one worker is left")
        assert len(server.workers("m")) == 1


def test_scaling_to_nothing_and_back(tmp_path: Path) -> None:
    """Without workers a model refuses with 503; with a minimum of none but room for some, those that run go on."""
    with serving(tmp_path, "m") as server:
        assert server.manage("PUT", "/models/m?min_worker=0&max_worker=0&synchronous=true").status == 200
        assert server.predict("m", "echo:x").status == 503
        assert server.manage("PUT", "/models/m?min_worker=2&max_worker=4&synchronous=true").status == 200
        assert server.predict("m", "echo:x").text == "x"
        assert server.manage("PUT", "/models/m?min_worker=0&max_worker=1&synchronous=true").status == 200


def test_unregistering_while_busy(tmp_path: Path, pipe: Path) -> None:
    """What runs and what waits is answered, or refused cleanly; afterwards the model is not known."""
    with serving(tmp_path, "m") as server, server.clients(12) as send:
        running = send("m", f"hold:{pipe}")
        with pipe.open("wb") as gate, ThreadPoolExecutor(1) as pool:
            waiting = [send("m", f"echo:{token}") for token in range(10)]
            wait_for(lambda: unsettled(server) == 11, "all requests have come")
            deleted = pool.submit(server.manage, "DELETE", "/models/m")
            wait_for(lambda: server.predict("m", "echo:late").status in (404, 503), "new requests are refused")
            gate.write(b"held")
            gate.close()
            assert deleted.result().status == 200
        assert running.result().text == "held"
        for token, reply in enumerate(waiting):
            assert reply.result().text == str(token) if reply.result().status == 200 else reply.result().status == 503
        assert server.predict("m", "echo:later").status == 404
        wait_for(lambda: len(session(server.pid)) == 1, "no worker is left")


def test_unregistering_a_handler_that_spins(tmp_path: Path) -> None:
    """It is bounded by drain_timeout_s; the client is answered and the process is gone."""
    with serving(tmp_path, "m", settings={"drain_timeout_s": 1}) as server, server.clients(1) as send:
        spinning = send("m", "spin")
        wait_for(lambda: "spin" in begun(server), "the handler spins")
        (pid,) = server.workers("m")
        assert server.manage("DELETE", "/models/m").status == 200
        assert spinning.result().status in (500, 503)
        assert not is_alive(pid)


def test_jobs_of_clients_that_are_gone_never_run(tmp_path: Path, pipe: Path) -> None:
    """Requests that wait when their clients disconnect are dropped; the next one is answered."""
    with serving(tmp_path, "m") as server, server.clients(1) as send:
        held = send("m", f"hold:{pipe}")
        with pipe.open("wb"):
            gone = []
            for token in range(20):
                connection = server.connect()
                connection.request("POST", "/predictions/m", f"echo:gone {token}", {"content-type": "text/plain"})
                gone.append(connection)
            wait_for(lambda: unsettled(server) == 21, "all requests have come")
            for connection in gone:
                connection.close()
            wait_for(lambda: unsettled(server) == 1, "their jobs have left")
        assert held.result().status == 200
        assert server.predict("m", "echo:next").text == "next"
        assert [line for line in begun(server) if "gone" in line] == []
        assert server.describe("m")["requests"]["cancelled"] == 20


def test_registrations_of_one_name(tmp_path: Path) -> None:
    """Of many at once exactly one wins, and nothing of the others stays."""
    with serving(tmp_path, "m") as server, ThreadPoolExecutor(16) as pool:
        for _ in range(2):
            calls = [pool.submit(server.register, "m", model_name="one") for _ in range(16)]
            assert sorted(call.result().status for call in calls) == [200] + [409] * 15
            assert server.predict("one", "echo:x").text == "x"
            assert server.manage("DELETE", "/models/one").status == 200
        wait_for(lambda: len(session(server.pid)) == 2, "only the first model's worker is left")


def test_a_storm_of_registrations(tmp_path: Path) -> None:
    """While models come, change and go, another one answers every request, and nobody gets another's answer."""
    rounds = 4

    def churn(server: RunningServer, name: str) -> set[int]:
        statuses = set()
        for _ in range(rounds):
            statuses.add(server.register("m", model_name=name).status)
            statuses.add(server.manage("PUT", f"/models/{name}?min_worker=2&synchronous=true").status)
            statuses.add(server.manage("DELETE", f"/models/{name}").status)
        return statuses

    def client(server: RunningServer, model: str, until: list[Future[set[int]]], name: int) -> set[int]:
        statuses: set[int] = set()
        count = 0
        while not all(task.done() for task in until):
            token = f"{model}-{name}-{count}"
            reply: Reply = server.predict(model, f"echo:{token}")
            statuses.add(reply.status)
            assert reply.status != 200 or reply.text == token
            count += 1
        return statuses

    with serving(tmp_path, "m", "stable") as server, ThreadPoolExecutor(16) as pool:
        files = open_files(server.pid)
        churning = [pool.submit(churn, server, name) for name in ("a", "b")]
        stable = [pool.submit(client, server, "stable", churning, name) for name in range(3)]
        stormy = [pool.submit(client, server, model, churning, name) for model in ("a", "b") for name in range(2)]
        assert [task.result() for task in churning] == [{200}, {200}]
        assert [task.result() for task in stable] == [{200}] * 3
        assert {status for task in stormy for status in task.result()} <= {200, 404, 503}
        wait_for(lambda: len(session(server.pid)) == 3, "only the workers of the first models are left")
        wait_for(lambda: open_files(server.pid) <= files + 3, "descriptors have come back")


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_soak(tmp_path: Path) -> None:
    """Twenty thousand requests with every fifth body a large one: memory and descriptors of server and worker stay flat."""
    large = b"length:" + b"z" * 200_000

    def client(server: RunningServer, count: int, name: int) -> None:
        with contextlib.closing(server.connect()) as connection:
            for number in range(count):
                if number % 20 == 0:
                    assert ask(connection, "m", large).text == "200000"
                else:
                    assert ask(connection, "m", f"echo:{name}-{number}").text == f"{name}-{number}"

    def run(server: RunningServer, count: int) -> tuple[float, float, int, int]:
        with ThreadPoolExecutor(8) as pool:
            for task in [pool.submit(client, server, count // 8, name) for name in range(8)]:
                task.result()
        (worker,) = server.workers("m")
        return resident_mb(server.pid), resident_mb(worker), open_files(server.pid), open_files(worker)

    with serving(tmp_path, "m", env={"BEGUN_FILE": ""}) as server:
        before = run(server, 4000)
        after = run(server, 16000)
        assert after[0] - before[0] < 20, "server MB"
        assert after[1] - before[1] < 10, "worker MB"
        assert after[2] - before[2] <= 8, "server descriptors"
        assert after[3] == before[3], "worker descriptors"


def test_the_command_of_old(tmp_path: Path) -> None:
    """`multi-model-server --start` returns when the server listens, `--stop` when it is gone."""
    (tmp_path / "config.properties").write_text("inference_address=http://127.0.0.1:0\nmanagement_address=http://127.0.0.1:0\n")
    command = [sys.executable, "-c", "from argosy.cli.compatible import multi_model_server; multi_model_server()"]
    env = {**os.environ, "TEMP": str(tmp_path)}
    for option, pid_file in (("--start", True), ("--stop", False)):
        with (tmp_path / "output").open("wb") as output:
            done = subprocess.run([*command, option], cwd=tmp_path, env=env, stdout=output, stderr=output, check=False, timeout=60)
        assert done.returncode == 0, (tmp_path / "output").read_text()
        assert (tmp_path / ".model_server.pid").exists() is pid_file
