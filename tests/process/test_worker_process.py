"""Real worker processes: started as the server starts them, killed and abandoned in every state."""

from __future__ import annotations

import json
import os
import select
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent

import pytest

from argosy import wire
from argosy.errors import ErrorCode
from argosy.testing.worker import MAIN, Outcome, WorkerProcess, job_record, jobs_frame, load_frame

HANDLER = """
    import logging, os, signal, sys, time
    from mms.service import PredictionException

    def handle(data, context):
        if data is None:
            return None
        out = []
        for item in data:
            order = item["body"].decode()
            if order == "die":
                os.kill(os.getpid(), signal.SIGKILL)
            elif order == "exit":
                sys.exit(9)
            elif order == "segfault":
                import ctypes
                ctypes.string_at(0)
            elif order == "big":
                out.append(b"z" * 3_000_000)
                continue
            elif order == "fork":
                child = os.fork()
                if child:
                    os.waitpid(child, 0)
            elif order == "hang":
                signal.pause()
            elif order == "talk":
                print("said")
                logging.info("logged %d", 1)
                logging.debug("hidden")
                sys.stderr.write("complained\\n")
            elif order == "path":
                out.append("\\n".join(sys.path))
                continue
            elif order == "pid":
                out.append(str(os.getpid()))
                continue
            out.append(order)
        return out
"""


def interpreters() -> list[str]:
    """This interpreter, and every other one of this machine that a model may name."""
    found = [sys.executable]
    for minor in (8, 9, 10, 12, 13, 14):
        managed = sorted(Path.home().glob(f".pyenv/versions/3.{minor}.*/bin/python3"))
        path = str(managed[-1]) if managed else shutil.which(f"python3.{minor}")
        if path and not subprocess.run([path, "-c", "import ctypes"], capture_output=True, check=False).returncode:
            found.append(path)
    return found


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model folder with the handler above."""
    (tmp_path / "svc.py").write_text(dedent(HANDLER))
    return tmp_path


@pytest.fixture
def worker(folder: Path) -> Iterator[WorkerProcess]:
    """A worker that has loaded it."""
    with WorkerProcess(folder) as worker:
        assert worker.load(folder, "svc")["ok"]
        yield worker


@pytest.mark.parametrize("interpreter", interpreters())
def test_worker_loads_answers_and_stops(folder: Path, interpreter: str) -> None:
    """In any interpreter from 3.8 on, with nothing of the server but its worker side on the path; status 0 at the end."""
    with WorkerProcess(folder, interpreter) as worker:
        loaded = worker.load(folder, "svc", batch_size=2)
        assert (loaded["ok"], loaded["pid"], loaded["style"]) == (True, worker.process.pid, "function")
        answers = worker.ask(job_record(1, b"a"), job_record(2, b"b"), job_record(3, b"path"))
        assert [answer.body for answer in answers[:2]] == [b"a", b"b"]
        paths = answers[2].body.decode().split("\n")
        assert str(MAIN.parent) not in paths
        worker.send(wire.frame(wire.STOP))
        assert worker.output() == ("", "")
        assert worker.process.returncode == 0


PIECEWISE = """
    import asyncio
    begun = []
    async def several(ctx):
        begun.append(ctx.id)
        while len(begun) < 3:
            await asyncio.sleep(0.001)
        return ctx.id
    async def pieces():
        for letter in "abc":
            await asyncio.sleep(0)
            yield letter
    async def predict(text: str, ctx):
        return pieces() if text == "pieces" else await several(ctx)
    def plain(text: str):
        yield text
        yield {"a": 1}
"""


@pytest.mark.parametrize("interpreter", interpreters())
def test_streams_and_concurrent_calls_in_any_interpreter(tmp_path: Path, interpreter: str) -> None:
    """Asynchronous handlers and generators of both kinds work from 3.8 on."""
    (tmp_path / "svc.py").write_text(dedent(PIECEWISE))
    with WorkerProcess(tmp_path, interpreter) as worker:
        assert worker.load(tmp_path, "svc")["asynchronous"]
        worker.send(jobs_frame(*(job_record(seq, b"several") for seq in (1, 2, 3)), job_record(4, b"pieces")))
        outcome = worker.server.collect(Outcome(), 4)
        assert {answer.seq: answer.body for answer in outcome.answers} == {1: b"id-1", 2: b"id-2", 3: b"id-3", 4: b""}
        assert (outcome.pieces, outcome.ends) == ({4: [b"a", b"b", b"c"]}, {4: wire.END})
        worker.send(wire.frame(wire.STOP))
        assert (worker.output(), worker.process.returncode) == (("", ""), 0)
    with WorkerProcess(tmp_path, interpreter) as worker:
        assert worker.load(tmp_path, "svc:plain")["streams"]
        worker.send(jobs_frame(job_record(1, b"x")))
        assert worker.server.collect(Outcome(), 1).pieces == {1: [b"x", b'{"a": 1}\n']}
        worker.send(wire.frame(wire.STOP))
        assert (worker.output(), worker.process.returncode) == (("", ""), 0)


TYPED = """
    from __future__ import annotations
    import dataclasses
    from typing import List, Optional
    from argosy.handler import Batch, Context, InvalidInput, PredictionException
    from mms.metrics.dimension import Dimension

    @dataclasses.dataclass
    class Row:
        name: str
        size: Optional[float] = None

    class Model:
        def load(self, ctx):
            self.name = ctx.model_name
        def predict(self, rows: Batch[Row], ctx: Context) -> Batch[dict]:
            ctx.metrics.add_counter("Rows", len(rows), None, [Dimension("Colour", "blue")])
            if any(row.name == "poison" for row in rows):
                raise ValueError("poison")
            return [dict(name=row.name, size=row.size) for row in rows]
"""


@pytest.mark.parametrize("interpreter", interpreters())
def test_typed_handlers_work_in_every_interpreter(folder: Path, interpreter: str) -> None:
    """Hints, dataclasses, batches, metrics and failures alike."""
    (folder / "typed_svc.py").write_text(dedent(TYPED))
    bodies = [b'{"name": "a", "size": 1}', b'{"name": "poison"}', b'{"nam": 1}', b'{"name": "d"}']
    with WorkerProcess(folder, interpreter) as worker:
        loaded = worker.load(folder, "typed_svc", batch_size=4)
        assert (loaded.get("style"), loaded.get("batch")) == ("typed", True), loaded
        answers = worker.ask(*(job_record(seq, body, "application/json") for seq, body in enumerate(bodies)))
    assert {answer.seq: answer.code for answer in answers} == {0: 0, 1: ErrorCode.HANDLER_FAILED, 2: ErrorCode.INVALID_REQUEST, 3: 0}
    assert {answer.seq: json.loads(answer.body) for answer in answers if not answer.failed} == {
        0: {"name": "a", "size": 1.0},
        3: {"name": "d", "size": None},
    }


def test_worker_needs_nothing_of_the_servers_packages(folder: Path) -> None:
    """An interpreter without site-packages is enough, and the server's are not added."""
    code = "import sys\ndef handle(data, context):\n    return ['\\n'.join(sys.modules)] * len(data or [])\n"
    (folder / "bare.py").write_text(code)
    with WorkerProcess(folder, env={"PYTHONNOUSERSITE": "1", "PYTHONPATH": str(folder)}) as worker:
        assert worker.load(folder, "bare")["ok"]
        names = {name for name in worker.ask(job_record(1))[0].body.decode().split("\n") if name.startswith("argosy")}
    names.discard("argosy")
    assert not [name for name in names if not name.startswith(("argosy.worker", "argosy.wire", "argosy.handler", "argosy.errors"))]


@pytest.mark.parametrize(("order", "status"), [(b"die", -signal.SIGKILL), (b"segfault", -signal.SIGSEGV), (b"exit", 9)])
def test_crash_leaves_what_was_answered_and_what_was_running(worker: WorkerProcess, order: bytes, status: int) -> None:
    """The outbox holds the answers before the crash, the word tells which jobs never started."""
    worker.send(jobs_frame(*(job_record(seq, body) for seq, body in ((5, b"first"), (6, b"second"), (7, order), (8, b"never")))))
    sent = worker.server.collect(Outcome()).answers
    assert worker.process.wait(60) == status
    saved = worker.server.outbox()
    assert [(answer.seq, answer.body) for answer in [*sent, *saved]] == [(5, b"first"), (6, b"second")]
    assert worker.server.words()[wire.BEGUN] == 8


def test_crash_of_a_batch_names_all_of_it(folder: Path) -> None:
    """All jobs of the batch were started."""
    with WorkerProcess(folder) as worker:
        worker.load(folder, "svc", batch_size=2)
        worker.send(jobs_frame(*(job_record(seq, body) for seq, body in ((3, b"a"), (4, b"die"), (5, b"c")))))
        assert worker.server.collect(Outcome()).answers == []
        assert worker.server.words() == (5, 0)


def test_huge_answers_arrive_whole(worker: WorkerProcess) -> None:
    """Larger than the outbox and the socket's buffer, with small ones around them, in order."""
    answers = worker.ask(*(job_record(seq, body) for seq, body in enumerate((b"a", b"big", b"b", b"big", b"big", b"c"))))
    assert [(answer.seq, len(answer.body)) for answer in answers] == [(0, 1), (1, 3_000_000), (2, 1), (3, 3_000_000), (4, 3_000_000), (5, 1)]


def test_huge_bodies_arrive_whole(worker: WorkerProcess) -> None:
    """Through the socket, when there is no arena."""
    body = os.urandom(1 << 20).hex().encode()
    (answer,) = worker.ask(job_record(1, body))
    assert answer.body == body


def test_bodies_come_out_of_the_arena(folder: Path) -> None:
    """The arena is mapped read-only; old handlers get a copy."""
    with WorkerProcess(folder, arena=b"....arena body....") as worker:
        worker.load(folder, "svc")
        assert worker.ask(job_record(1, arena=(4, 10)))[0].body == b"arena body"


def test_fork_in_a_handler_answers_once(worker: WorkerProcess) -> None:
    """The child that comes back out of the handler ends quietly; socket and shared page are its parent's."""
    answers = worker.ask(job_record(1, b"a"), job_record(2, b"fork"), job_record(3, b"b"))
    assert [(answer.seq, answer.body) for answer in answers] == [(1, b"a"), (2, b"fork"), (3, b"b")]
    assert [answer.body for answer in worker.ask(job_record(4, b"fork"))] == [b"fork"]
    worker.send(wire.frame(wire.STOP))
    assert worker.output() == ("", "")


def test_end_of_the_link_ends_the_worker(worker: WorkerProcess) -> None:
    """A server that is gone without a word."""
    worker.server.sock.close()
    assert worker.process.wait(60) == 0


def test_server_gone_before_the_start_ends_the_worker(folder: Path) -> None:
    """The link is looked at once before the model is loaded."""
    worker = WorkerProcess(folder)
    worker.server.sock.close()
    with worker:
        assert worker.process.wait(60) == 0


PARENT = """
import os, subprocess, sys
sys.path.insert(0, sys.argv[3])
from pathlib import Path
from argosy.testing.worker import WorkerProcess, job_record, jobs_frame
folder = Path(sys.argv[1])
worker = WorkerProcess(folder)
loaded = worker.load(folder, "svc")
keep = os.dup(worker.server.sock.fileno())
os.set_inheritable(keep, True)
holder = subprocess.Popen(["sleep", "60"], close_fds=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
worker.send(jobs_frame(job_record(1, b"hang")))
while worker.server.words()[0] != 2:
    pass
print(loaded["pid"], holder.pid, flush=True)
os.kill(os.getpid(), 9)
"""


@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="needs pidfd")
def test_death_of_the_server_kills_a_busy_worker(folder: Path) -> None:
    """Even one that hangs in its handler, and although somebody else still holds the link open."""
    source = str(MAIN.parents[2])
    parent = subprocess.Popen([sys.executable, "-c", PARENT, str(folder), "-", source], stdout=subprocess.PIPE)
    assert parent.stdout is not None
    line = parent.stdout.readline().split()
    pid, holder = int(line[0]), int(line[1])
    try:
        try:
            descriptor = os.pidfd_open(pid)
        except ProcessLookupError:
            return
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        assert poll.poll(60_000), "the worker outlived its server"
        os.close(descriptor)
    finally:
        os.kill(holder, signal.SIGKILL)
        parent.communicate()


def test_terminal_interrupt_is_the_servers_business(worker: WorkerProcess) -> None:
    """Ctrl-C goes to the whole foreground group; the worker goes on."""
    os.kill(worker.process.pid, signal.SIGINT)
    assert worker.ask(job_record(1, b"alive"))[0].body == b"alive"


def test_sigterm_ends_the_worker(worker: WorkerProcess) -> None:
    """As any process."""
    worker.process.terminate()
    assert worker.process.wait(60) == -signal.SIGTERM


@pytest.mark.parametrize("data", [
    os.urandom(64) + b"\0" * 64, wire.frame(wire.HEAD), wire.frame(wire.JOBS, b"x" * 9, count=1),
    wire.frame(wire.JOBS, wire.JOB.pack(1, 0, 0, 0, 0, 0, 0, (1 << 64) - 1, 0), count=2), wire.frame(wire.LOAD, b"{}"), wire.frame(200),
])  # fmt: skip
def test_hostile_frames_end_the_worker(worker: WorkerProcess, data: bytes) -> None:
    """Status 3 and a line in the log."""
    worker.send(b"\xff" + data[1:] if len(data) == 128 else data)
    _, error = worker.output()
    assert worker.process.returncode == 3
    assert "the link to the server broke" in error


def test_failed_load_ends_with_status_one(folder: Path) -> None:
    """The answer comes before the end and has the traceback; the server logs it, so the worker does not."""
    (folder / "broken.py").write_text("import not_installed_anywhere\n")
    with WorkerProcess(folder) as worker:
        loaded = worker.load(folder, "broken")
        assert (loaded["ok"], loaded["code"]) == (False, ErrorCode.LOAD_FAILED)
        assert loaded["hint"].startswith(f"install it for this interpreter ({sys.executable} -m pip install not_installed_anywhere)")
        assert "ModuleNotFoundError" in loaded["detail"]
        assert worker.output() == ("", "")
        assert worker.process.returncode == 1


def test_output_is_written_line_by_line(worker: WorkerProcess) -> None:
    """Prints and log records of INFO and above go to standard output as bare text, at once, marked with the request that runs."""
    worker.ask(job_record(1, b"talk"))
    assert worker.process.stdout is not None
    assert worker.process.stderr is not None
    assert [worker.process.stdout.readline() for _ in range(2)] == [b"\x1eid-1\x1fsaid\n", b"\x1eid-1\x1flogged 1\n"]
    assert worker.process.stderr.readline() == b"\x1eid-1\x1fcomplained\n"


def test_module_beside_the_workers_own_is_the_models(folder: Path) -> None:
    """A model may call its files as ours are called."""
    for name in ("loop", "batch", "inputs", "link"):
        (folder / f"{name}.py").write_text(f"NAME = 'model {name}'\n")
    code = "import loop, batch, inputs, link\ndef handle(data, context):\n    return [loop.NAME + link.NAME] * len(data or [])\n"
    (folder / "same.py").write_text(code)
    with WorkerProcess(folder) as worker:
        loaded = worker.load(folder, "same")
        assert loaded["ok"], loaded
        assert worker.ask(job_record(1))[0].body == b"model loopmodel link"


def score(pid: int | str) -> int:
    """How much the kernel prefers a process when memory runs out."""
    return int(Path(f"/proc/{pid}/oom_score_adj").read_text())


def test_oom_killer_prefers_the_worker(worker: WorkerProcess) -> None:
    """When memory runs out the server survives."""
    assert score(worker.process.pid) >= min(1000, score("self") + 500)


def test_oom_killer_prefers_a_worker_that_loads(folder: Path) -> None:
    """To those that serve: nobody relies on it yet."""
    (folder / "tells.py").write_text(
        "SCORE = open('/proc/self/oom_score_adj').read()\ndef handle(data, context):\n    return [SCORE] * len(data or [])\n")
    with WorkerProcess(folder) as worker:
        assert worker.load(folder, "tells")["ok"]
        while_loading = int(bytes(worker.ask(job_record(1))[0].body))
        assert (while_loading, score(worker.process.pid)) == (min(1000, score("self") + 900), min(1000, score("self") + 500))


@pytest.mark.parametrize("arguments", [[], ["--fd", "1"], ["--fd", "x", "--page-fd", "1"], ["--fd", "1", "--page-fd", "1", "--other", "2"]])
def test_start_by_hand_is_explained(arguments: list[str]) -> None:
    """Status 2 and one line."""
    result = subprocess.run([sys.executable, str(MAIN), *arguments], capture_output=True, text=True, check=False)
    assert result.returncode == 2
    assert result.stderr.startswith("a worker is started by the server, not by hand")


def test_orders_of_load_survive_the_wire(folder: Path) -> None:
    """Manifest, GPU and names arrive in the handler's context as they were sent."""
    (folder / "teller.py").write_text(
        "def handle(data, context):\n    return [[context.manifest, context.system_properties, context.model_name]] * len(data or [])\n"
    )
    with WorkerProcess(folder) as worker:
        worker.send(load_frame(folder, "teller", manifest={"ä": [1]}, gpu_id=2, server_name="N", server_version="9"), jobs_frame(job_record(1)))
        (answer,) = worker.server.collect(Outcome(), 1).answers
    properties = {"model_dir": str(folder), "gpu_id": 2, "batch_size": 1, "server_name": "N", "server_version": "9"}
    assert json.loads(answer.body) == [{"ä": [1]}, properties, folder.name]
