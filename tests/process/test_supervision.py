"""Workers that die, hang and misbehave under a real server: what they ran fails, everything else is answered once."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from argosy.testing.server import OBEDIENT, RunningServer, begun, is_alive, resident_mb, serving, state_of, wait_for

CLIENTS = 40


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server with the models m and other, shared by the tests that leave it as they found it."""
    settings = {"default_response_timeout_seconds": 2, "job_queue_size": 1000}
    with serving(tmp_path_factory.mktemp("server"), "m", "other", settings=settings) as running:
        yield running
        assert running.stop() == 0
        assert running.leftovers() in ([], [f".argosy-{os.getuid()}/lock"])


@pytest.fixture
def pipe(tmp_path: Path) -> Path:
    """A pipe that a held job reads: opening it for writing waits until the job runs, closing it lets the job end."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    return path


def recovered(server: RunningServer, model: str = "m", without: int = 0) -> int:
    """Wait for a worker that serves; its pid."""
    pid = int(server.predict(model, "pid").text)
    assert pid != without
    return pid


def test_a_worker_killed_under_load_of_short_jobs(server: RunningServer, pipe: Path) -> None:
    """Of many short jobs that share messages only the one that ran fails, and every other one is answered with its own token."""
    worker = recovered(server)
    for _ in range(20):
        server.predict("m", "echo:quick")
    with server.clients(CLIENTS + 1) as send:
        victim = send("m", f"hold:{pipe}")
        gate = os.open(pipe, os.O_WRONLY)
        others = {token: send("m", f"echo:{token}") for token in range(CLIENTS)}
        wait_for(lambda: sum(server.describe("m")[key] for key in ("queueLength", "runningJobs")) == CLIENTS + 1, "all jobs have come")
        os.kill(worker, signal.SIGKILL)
        failed = victim.result()
        answers = {token: reply.result() for token, reply in others.items()}
        os.close(gate)
    assert failed.status == 500
    assert "Worker died." in failed.text
    assert {token: (reply.status, reply.text) for token, reply in answers.items()} == {token: (200, str(token)) for token in others}
    assert all(begun(server).count(f"echo:{token}") == 1 for token in others)
    recovered(server, without=worker)
    assert state_of(worker) == "", "no zombie"


def test_a_worker_killed_under_load_of_slow_jobs(server: RunningServer) -> None:
    """Slow jobs go one by one: exactly the one that ran fails."""
    worker = recovered(server)
    with server.clients(CLIENTS) as send:
        replies = [send("m", f"sleep:0.0{token:02}1") for token in range(CLIENTS)]
        wait_for(lambda: any(line.startswith("sleep") for line in begun(server)), "a job runs")
        os.kill(worker, signal.SIGKILL)
        found = [reply.result() for reply in replies]
    statuses = [reply.status for reply in found]
    assert statuses.count(500) <= 1
    assert statuses.count(200) + statuses.count(500) == CLIENTS
    assert all(reply.text == f"0.0{token:02}1" for token, reply in enumerate(found) if reply.status == 200)


@pytest.mark.parametrize(
    ("order", "says"),
    [
        ("exit:3", "exited with status 3"),
        ("sysexit:4", "exited with status 4"),
        ("segfault", "was killed by SIGSEGV"),
        ("abort", "was killed by SIGABRT"),
        ("kill:15", "was killed by SIGTERM"),
    ],
)
def test_a_handler_that_ends_its_process(server: RunningServer, order: str, says: str) -> None:
    """The client gets 500 at once, the log says how the process ended, and a new worker serves."""
    pid = recovered(server)
    reply = server.predict("m", order)
    assert (reply.status, reply.json["message"]) == (500, "Worker died.")
    server.wait_for_line(rf"\(pid {pid}\): {says}")
    recovered(server, without=pid)


@pytest.mark.parametrize(
    ("order", "status"),
    [("memory", 507), ("error:secret", 503), ("none", 200), ("object", 503), ("large:7000000", 503), ("nosuchverb", 503)],
)
def test_a_handler_that_fails_keeps_its_worker(server: RunningServer, order: str, status: int) -> None:
    """The job fails alone, without the exception's text, and the same worker answers the next one."""
    pid = recovered(server)
    reply = server.predict("m", order)
    assert (reply.status, b"secret" in reply.body) == (status, False)
    assert recovered(server) == pid


def test_a_handler_that_spins(server: RunningServer) -> None:
    """After the response timeout its client gets 500, the process is really gone, and a new worker serves."""
    pid = recovered(server)
    reply = server.predict("m", "spin")
    assert (reply.status, reply.json["message"]) == (500, "Worker died.")
    assert not is_alive(pid)
    recovered(server, without=pid)


def test_junk_on_the_inherited_descriptors(server: RunningServer) -> None:
    """Only that worker is killed; another model is served as before and the server's memory stays."""
    pid = recovered(server)
    before = resident_mb(server.pid)
    reply = server.predict("m", "junk")
    assert reply.status == 500
    assert not is_alive(pid)
    assert server.predict("other", "echo:fine").text == "fine"
    recovered(server, without=pid)
    assert resident_mb(server.pid) - before < 100


def test_a_grandchild_that_keeps_everything_open(server: RunningServer, tmp_path: Path) -> None:
    """The death of the worker is seen at once although its socket stays open in a process outside of its group."""
    pid = recovered(server)
    note = tmp_path / "grandchild"
    reply = server.predict("m", f"grandchild:{note}", timeout_s=1.9)
    assert reply.status == 500
    assert is_alive(int(note.read_text())), "it is not the server's to kill while the server runs"
    recovered(server, without=pid)


def test_orphans_are_reaped(server: RunningServer) -> None:
    """Processes that a handler leaves behind do not stay as zombies of the server."""
    assert server.predict("m", "orphans:10").text == "left"
    wait_for(lambda: not zombies(server.pid), "no zombies")


def test_a_flood_of_output(server: RunningServer) -> None:
    """Long lines without an end, many lines and raw bytes are logged within bounds, and the worker goes on."""
    before = resident_mb(server.pid)
    assert server.predict("m", "noise:300000").text == "said"
    assert server.predict("m", "echo:after").text == "after"
    assert resident_mb(server.pid) - before < 300


def test_a_kill_while_idle(server: RunningServer) -> None:
    """A worker that is killed between requests costs no request."""
    pid = recovered(server)
    os.kill(pid, signal.SIGKILL)
    assert server.predict("m", "echo:next").text == "next"
    restarts = server.describe("m")["workers"][0]["restarts"]
    assert restarts > 0
    assert server.describe("m")["restarts"] == sum(worker["restarts"] for worker in server.describe("m")["workers"])


def test_a_stopped_worker_counts_as_hung(server: RunningServer) -> None:
    """A worker that is frozen from outside is killed after the response timeout."""
    pid = recovered(server)
    os.kill(pid, signal.SIGSTOP)
    assert server.predict("m", "echo:x").status in (200, 500)
    assert not is_alive(pid)


def test_a_model_that_cannot_load(server: RunningServer) -> None:
    """A synchronous registration fails with the reason and leaves nothing; the name is free again."""
    for name, code in {"raises": "raise RuntimeError('no weights')", "exits": "import os; os._exit(5)", "leaves": "import sys; sys.exit(6)"}.items():
        server.store.add(name, code)
        reply = server.register(name, model_name="broken")
        assert reply.status == 500, reply
        assert server.manage("GET", "/models/broken").status == 404
    assert server.register("m", model_name="broken").status == 200
    assert server.manage("DELETE", "/models/broken").status == 200


def test_a_crash_loop_backs_off_and_ends(server: RunningServer, tmp_path: Path) -> None:
    """A model that dies while it loads is tried again with growing pauses, and not once more when it is unregistered."""
    attempts = tmp_path / "attempts"
    server.store.add("crashing", f"import os\nwith open({str(attempts)!r}, 'a') as file: file.write('x')\nos._exit(1)\n")
    assert server.register("crashing", synchronous="false").status == 202
    wait_for(lambda: attempts.exists() and len(attempts.read_text()) >= 3, "three attempts")
    worker = server.describe("crashing")["workers"][0]
    assert "exited with status 1 while it loaded the model" in worker["lastError"]
    assert server.predict("crashing", "echo:x").status == 503
    assert server.manage("DELETE", "/models/crashing").status == 200
    done = len(attempts.read_text())
    assert server.manage("GET", "/models/crashing").status == 404
    assert len(attempts.read_text()) == done


def test_a_failed_load_that_does_not_end(server: RunningServer) -> None:
    """A handler whose threads keep the process alive after its load failed is killed and tried again."""
    code = "import threading, time\nthreading.Thread(target=time.sleep, args=(1000,)).start()\nraise RuntimeError('no weights')\n"
    server.store.add("lingering", code)
    assert server.register("lingering", synchronous="false").status == 202
    wait_for(lambda: server.describe("lingering")["workers"][0]["restarts"] > 0, "a second attempt")
    assert server.manage("DELETE", "/models/lingering").status == 200


def test_a_model_that_recovered_can_be_scaled(server: RunningServer, tmp_path: Path) -> None:
    """A first load that failed is forgotten once a later one succeeded: scaling does not report it again."""
    flag = tmp_path / "flag"
    server.store.add("late", f"import os\nif not os.path.exists({str(flag)!r}): raise RuntimeError('not yet')\n" + OBEDIENT)
    assert server.register("late", synchronous="false").status == 202
    wait_for(lambda: server.describe("late")["workers"][0].get("lastError"), "the first failure")
    flag.touch()
    wait_for(lambda: server.predict("late", "echo:x").text == "x", "it serves")
    assert server.manage("PUT", "/models/late?min_worker=2&synchronous=true").status == 200
    assert server.manage("DELETE", "/models/late").status == 200


def test_large_batches_of_middling_bodies(server: RunningServer) -> None:
    """A batch of more pieces than one system call takes is sent all the same."""
    assert server.register("m", model_name="batches", batch_size=300, max_batch_delay=300).status == 200
    body = "length:" + "b" * 3000
    with server.clients(300) as send:
        assert {reply.result().text for reply in [send("batches", body) for _ in range(300)]} == {"3000"}
    assert server.describe("batches")["workers"][0]["restarts"] == 0
    assert server.manage("DELETE", "/models/batches").status == 200


def test_a_batch_with_a_bad_last_item_does_not_block_its_worker(server: RunningServer) -> None:
    """An item that cannot be decoded is answered before the others of its batch, and the worker takes the next batch."""
    assert server.register("m", model_name="mixed", batch_size=2, max_batch_delay=5000).status == 200
    with server.clients(2, "application/json") as send:
        for _ in range(3):
            good = send("mixed", '"echo:good"')
            wait_for(lambda: server.describe("mixed")["queueLength"] == 1, "the first item waits for the second")
            bad = send("mixed", "{")
            assert (good.result().text, bad.result().status) == ("good", 400)
    assert server.manage("DELETE", "/models/mixed").status == 200


def zombies(pid: int) -> list[int]:
    """Children of a process that have ended and were not reaped."""
    listed = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(child) for child in listed if state_of(int(child)) == "Z"]


def test_a_form_that_is_one_long_name(server: RunningServer) -> None:
    """Text that a client sends with the content type of a form reaches the handler as a name, and the model goes on."""
    form = b"n" * 200_000 + b"&body=echo:here"
    assert server.predict("m", form, kind="application/x-www-form-urlencoded").text == "here"
    assert server.predict("m", "echo:next").text == "next"
