"""A worker whose handler writes what it likes into its link and its page: it fails its own jobs, gets replaced, and harms nobody else."""

from __future__ import annotations

import base64
import http.client
import json
import os
import random
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path

import pytest

from argosy import wire
from argosy.testing.server import Reply, RunningServer, open_files, resident_mb, serving, wait_for
from conftest import Report
from faults.figures import Figure

WORKERS = 8
ATTACKS = 64
HOSTILE = '''
"""Does what the server's worse enemy would: `link` goes into the link, `page` into the shared page at its place, then it goes on, exits or hangs."""
import base64, json, os, signal, sys

def stolen_link():
    frame = sys._getframe()
    while not hasattr(frame.f_locals.get("self"), "_link"):
        frame = frame.f_back
    return frame.f_locals["self"]._link

def attack(order):
    link = stolen_link()
    at, data = order["page"]
    if data:
        link._page[at : at + len(base64.b64decode(data))] = base64.b64decode(data)
    left = memoryview(base64.b64decode(order["link"]) * order.get("times", 1))
    while left:
        left = left[os.write(link.fileno(), left):]
    if order["then"] == "exit":
        os._exit(3)
    if order["then"] == "hang":
        signal.pause()

def handle(data, context):
    if data is None:
        return None
    for item in data:
        order = json.loads(item["body"])
        if order:
            attack(order)
    return ["honest"] * len(data)
'''


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server with an honest model and a hostile one of several workers."""
    folder = tmp_path_factory.mktemp("hostile")
    settings = {"default_response_timeout_seconds": 2, "job_queue_size": 1000, "metrics_location": folder / "metrics"}
    with serving(folder, "other", settings=settings) as running:
        running.store.add("hostile", HOSTILE)
        assert running.register("hostile", initial_workers=WORKERS).status == 200
        yield running
        assert running.stop() == 0


def order(link: bytes, page: tuple[int, bytes] = (0, b""), then: str = "go on", times: int = 1) -> str:
    """The body of an attack."""
    at, data = page
    return json.dumps({"link": base64.b64encode(link).decode(), "page": (at, base64.b64encode(data).decode()), "then": then, "times": times})


def records(dice: random.Random) -> bytes:
    """Answer records, some of them to jobs that exist, with figures that no worker has."""
    out = b""
    for _ in range(dice.randint(0, 4)):
        seq, status = dice.choice([1, 1, 2, 3, 1 << 63]), dice.choice([0, 100, 101, 199, 200, 204, 304, 999, 1000, 65535])
        text = dice.choice([b"", b"X", b"\r\nX: y\r\n\r\n", b"a\0b", b"a\0b\r\nc: d", b"\xff" * 70])
        flags = dice.choice([0, wire.LAST, wire.LAST, wire.LAST | wire.FAILED, wire.LAST | wire.FAILED, wire.LAST | wire.PLACED, 0xFFFF])
        body = dice.randbytes(dice.choice([0, 10]))
        if flags & wire.PLACED and dice.random() < 0.9:
            edges = [0, 1, 65_536, 64 << 20, 1 << 63, (1 << 64) - 1]
            body = wire.PLACE.pack(dice.choice([0, 63, 64, 1 << 31]), dice.choice(edges), dice.choice(edges))
        out += wire.answer_record(
            seq, status, body, flags=flags, code=dice.randint(0, 99), busy_us=dice.choice([0, 1 << 31]), phrase=text,
            headers=dice.choice([text, b""]))  # fmt: skip
    return out


def mutated(dice: random.Random, data: bytes) -> bytes:
    """The same with a few bytes changed, cut out or put in."""
    found = bytearray(data)
    for _ in range(dice.randint(0, 3)):
        at = dice.randrange(len(found) + 1)
        found[at : at + dice.choice([0, 1, 1, 4])] = dice.randbytes(dice.choice([0, 1, 1, 4]))
    return bytes(found)


def attack(dice: random.Random) -> str:
    """Any frames, valid and broken, and anything in the page."""
    frames = []
    for _ in range(dice.randint(0, 4)):
        kind = dice.choice([*wire.KINDS, wire.HEAD, wire.HEAD, wire.HEAD, 0, 200])
        data = dice.choice([b"", b"{}", b'{"ok": true}', b'{"ok": false, "code": []}', b"[" * 5000, records(dice), dice.randbytes(60)])
        data = records(dice) if kind == wire.HEAD else data
        frames.append(wire.frame(kind, data, flags=dice.randint(0, 9), count=dice.randint(0, 9), id=dice.randint(0, 3)))
    if dice.random() < 0.2:
        frames.append(wire.frame_header(wire.HEAD, dice.choice([1, 1 << 20, (1 << 32) - 1])))
    outbox = records(dice)
    words = b"".join(dice.choice([0, 1, 2, len(outbox), 1 << 63]).to_bytes(8, "little") for _ in range(wire.WORDS_SIZE // 8))
    page = dice.choice([(0, b""), (0, words), (wire.PAGE_SIZE - len(words), words + outbox), (wire.PAGE_SIZE, outbox)])
    return order(mutated(dice, b"".join(frames)), page, dice.choice(["go on", "go on", "exit", "hang"]))


def is_whole(reply: Reply) -> bool:
    """Whether it is one reply of HTTP: http.client has read its head, and this is its body."""
    length = reply.headers.get("content-length")
    return 200 <= reply.status <= 999 and reply.headers["x-request-id"] != "" and (length is None or len(reply.body) == int(length))


def is_one(reply: Future[Reply]) -> bool:
    """Whether a client got one reply: a whole one, or the beginning of a streamed one that shows that its end is missing."""
    try:
        return is_whole(reply.result())
    except http.client.IncompleteRead:
        return True


def test_frames_of_a_hostile_worker(server: RunningServer, figure: Report) -> None:
    """Whatever it sends, each of its clients gets one reply, another model is served as before, and honest workers take its place."""
    dice = random.Random(20261122)
    before, files = resident_mb(server.pid), open_files(server.pid)
    with server.clients(WORKERS + 1, "text/plain") as send:
        for _ in range(ATTACKS // WORKERS):
            attacks = [send("hostile", attack(dice)) for _ in range(WORKERS)]
            assert send("other", "echo:mine").result().text == "mine"
            assert all(is_one(reply) for reply in attacks)
    wait_for(lambda: all(worker["status"] == "READY" for worker in server.describe("hostile")["workers"]), "all workers are back")
    with server.clients(WORKERS) as send:
        assert [reply.result().text for reply in [send("hostile", "{}") for _ in range(4 * WORKERS)]] == ["honest"] * 4 * WORKERS
    restarts = server.describe("hostile")["restarts"]
    others = ATTACKS // WORKERS + 4 * WORKERS
    figure(Figure("frames of a hostile worker", sent=ATTACKS + others, right=others, failed=ATTACKS, figures=f"{restarts} workers were replaced"))
    assert restarts > ATTACKS // 4, "many of them were found out"
    assert resident_mb(server.pid) - before < 100
    wait_for(lambda: open_files(server.pid) <= files + 5, "descriptors are back")


def test_a_status_that_would_break_the_connection(server: RunningServer) -> None:
    """A failure with an interim or impossible status is answered with the status of its kind."""
    for status in (100, 199, 1000, 65535):
        data = wire.answer_record(server_seq(server), status, b"", flags=wire.LAST | wire.FAILED, code=13)
        reply = server.predict("single", order(wire.frame(wire.HEAD, data, count=1), then="exit"))
        assert reply.status == 500
    assert server.manage("DELETE", "/models/single").status == 200


def server_seq(server: RunningServer) -> int:
    """The number of the next job of a fresh hostile model with one worker."""
    server.manage("DELETE", "/models/single")
    assert server.register("hostile", model_name="single").status == 200
    return 1


def test_a_flood_of_metrics(server: RunningServer) -> None:
    """Metrics beyond what a worker may write are dropped, which is said once; the job, the worker and everybody else go on."""
    assert server.register("hostile", model_name="flooding", response_timeout=1).status == 200  # a minute: how fast it floods is not the matter
    before = resident_mb(server.pid)
    lines = b"Flood.Count:1|#Level:Model\n" * 40_000
    with server.clients(2) as send:
        flood = send("flooding", order(wire.frame(wire.METRIC, lines), times=300))
        others = [send("other", f"echo:{token}").result() for token in range(50)]
        assert flood.result().text == "honest"
    assert [reply.text for reply in others] == [str(token) for token in range(50)]
    server.wait_for_line("model flooding: worker .* writes more than 4 MiB of metrics a second")
    written = sum(file.stat().st_size for file in (Path(server.folder) / "metrics").iterdir())
    assert 0 < written < 100 << 20, f"{len(lines) * 300} bytes were sent"
    assert resident_mb(server.pid) - before < 150
    assert sum("writes more than" in line for line in server.output) == 1


def test_a_flood_of_other_frames(server: RunningServer) -> None:
    """Logs do not travel through the link: a worker that sends any is replaced."""
    pids = set(server.workers("hostile"))
    reply = server.predict("hostile", order(wire.frame(wire.LOG, b"x" * 65536), times=100))
    assert (reply.status, reply.json["message"]) == (500, "Worker died.")
    wait_for(lambda: len(set(server.workers("hostile"))) == WORKERS and set(server.workers("hostile")) != pids, "a new worker")
    assert os.path.exists(f"/proc/{server.pid}")


def test_frames_that_never_come(tmp_path: Path) -> None:
    """Where answers may have any size, a header that announces 4 GiB costs the server a few MiB: it makes room for what comes."""
    header = wire.frame_header(wire.HEAD, wire.MAX_FRAME, count=1)
    with serving(tmp_path, "other", settings={"default_response_timeout_seconds": 2, "max_response_size": 0}) as running:
        running.store.add("hostile", HOSTILE)
        assert running.register("hostile", initial_workers=4).status == 200
        before = peak_mb(running.pid)
        with running.clients(5) as send:
            attacks = [send("hostile", order(header + bytes(1000), then="hang")) for _ in range(4)]
            assert send("other", "echo:mine").result().text == "mine"
            assert [reply.result().status for reply in attacks] == [500] * 4
        assert peak_mb(running.pid) - before < 200
        assert running.stop() == 0


def peak_mb(pid: int) -> float:
    """The most memory that the process ever had, in MB."""
    line = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) / 1000
