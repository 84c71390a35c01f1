"""Clients that vanish at any moment, half-open connections, ten thousand of them, and clients that do not read their answers."""

from __future__ import annotations

import asyncio
import contextlib
import math
import random
import resource
import socket
import struct
import time
from collections import Counter
from pathlib import Path

import pytest

from argosy.testing.server import begun, open_files, resident_mb, wait_for
from conftest import Report
from faults.figures import Figure
from faults.load import LONGEST_S, Load, read_answer, request
from faults.system import arena_mb, begun_twice, in_s, run_for, seconds_until, system

TCP_REPAIR = 19
MANY = 10_000
BODIES_BYTES = 16_000_000
"""Memory for bodies: what those who vanish hold would soon be missed."""
MOST_ARENA_MB = 4.0
"""Those who have not been missed yet, at 300 kB each."""


def raw(port: int) -> socket.socket:
    """A connection."""
    return socket.create_connection(("127.0.0.1", port), timeout=10)


def cut(sock: socket.socket, how: str) -> None:
    """Leave: politely, with a reset, or like a machine that lost its power."""
    with contextlib.suppress(OSError):
        if how == "reset":
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        elif how == "silent":
            sock.setsockopt(socket.IPPROTO_TCP, TCP_REPAIR, 1)
    sock.close()


def test_clients_that_vanish(tmp_path: Path, figure: Report) -> None:
    """Before, while and after they send, and while they receive: what they held is free again, nobody else notices, no work is done twice."""
    chance = random.Random(11)
    vanished = 0
    with system(tmp_path, "m", settings={"request_memory_bytes": BODIES_BYTES, "max_request_size": BODIES_BYTES}, env={"SLEEP_S": "0.005"}) as server:
        with Load(server.inference, clients=2):
            run_for(0.3)
        seconds_until(lambda: open_files(server.pid) < 60, 3)
        files, memory_mb = open_files(server.pid), resident_mb(server.pid)
        small, large = request("/predictions/m", b"sleep:gone", "gone"), request("/predictions/m", b"large:3000000", "gone")
        posted = request("/predictions/m", b"sleep:" + b"x" * 300_000, "gone")
        with Load(server.inference) as load:
            deadline = time.monotonic() + 4
            while time.monotonic() < deadline:
                data = chance.choice((small, small, large, posted))
                sock = raw(server.inference)
                sock.sendall(data[: chance.choice((0, 10, len(data) // 2, len(data) - 1, len(data), len(data), len(data)))])
                if chance.random() < 0.3:
                    sock.settimeout(0.05)
                    with contextlib.suppress(OSError):
                        sock.recv(chance.choice((1, 100, 100_000)))
                cut(sock, chance.choice(("polite", "reset")))
                vanished += 1
        free_s = seconds_until(lambda: open_files(server.pid) <= files + 2 and server.describe("m").get("runningJobs", 0) == 0)
        grown_mb, held_mb = resident_mb(server.pid) - memory_mb, arena_mb(server.pid, "m")
        largest = server.predict("m", b"pid:" + b"x" * (BODIES_BYTES - 100), 20)
        figures = f"{vanished} vanished; all free {in_s(free_s)} later, server {grown_mb:+.0f} MB, arena {held_mb:.1f} MB"
        figure(load.tally.figure("clients that vanish", figures, failed=vanished, repeated=begun_twice(server)))
        load.tally.assert_sound()
        assert load.tally.failed == load.tally.refused == 0
        assert begun_twice(server) == 0
        assert free_s < 30
        assert grown_mb < 150
        assert held_mb < MOST_ARENA_MB, figures
        assert largest.status == 200, "there is memory for a body that takes all of it"


def test_nobody_works_for_those_who_left(tmp_path: Path, figure: Report) -> None:
    """What waits for a worker leaves the queue with its client, while the workers are still busy, and no handler ever sees it."""
    with system(tmp_path, "m", env={"SLEEP_S": "3"}) as server, server.clients(2) as send:
        held = [send("m", f"sleep:held-{number}") for number in range(2)]
        wait_for(lambda: sum("held" in line for line in begun(server)) == 2, "both workers are busy")
        gone = [raw(server.inference) for _ in range(100)]
        for number, sock in enumerate(gone):
            sock.sendall(request("/predictions/m", b"echo:gone-%d" % number, "gone"))
        wait_for(lambda: server.describe("m").get("queueLength", len(gone)) == len(gone), "all of them wait")
        for number, sock in enumerate(gone):
            cut(sock, "reset" if number % 2 else "polite")
        wait_for(lambda: server.describe("m").get("queueLength", 0) == 0, "nobody waits")
        was_at_once = not any(future.done() for future in held)
        answers = [future.result().text for future in held]
        worked = sum("gone" in line for line in begun(server))
        right = answers.count("held-0") + answers.count("held-1")
        figure(Figure("clients that leave the queue", sent=102, right=right, failed=100, figures=f"{worked} of them reached a handler"))
        assert answers == ["held-0", "held-1"]
        assert server.predict("m", "echo:after").text == "after"
        assert was_at_once
        assert worked == 0


def test_half_open_connections(tmp_path: Path, figure: Report) -> None:
    """Clients whose machine is gone, before, in and after a head, in a body, and while their answer is made, are let go when their time is over."""
    settings = {"header_timeout_s": 1, "body_timeout_s": 1, "idle_timeout_s": 2}
    whole = request("/predictions/m", b"sleep:gone", "gone")
    pieces = [b"", whole[:20], whole[:-5], whole, request("/predictions/m", b"large:3000000", "gone")]
    with system(tmp_path, "m", settings=settings) as server:
        files = open_files(server.pid)
        with Load(server.inference) as load:
            for number in range(250):
                sock = raw(server.inference)
                sock.sendall(pieces[number % len(pieces)])
                cut(sock, "silent")
            most = open_files(server.pid)
            free_s = seconds_until(lambda: open_files(server.pid) <= files + 16)
        figure(load.tally.figure("half-open connections", f"250 of them, {most} descriptors at most, free after {in_s(free_s)}", failed=250))
        load.tally.assert_sound()
        assert load.tally.failed == load.tally.refused == 0
        assert free_s < 15


@pytest.mark.timeout(240)
def test_ten_thousand_connections(tmp_path: Path, figure: Report) -> None:
    """All are open at once, each sends one request, each gets its own answer; memory is bounded, and afterwards everything is free."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    count = min(MANY, hard - 600)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        with system(tmp_path, "m", settings={"job_queue_size": MANY, "idle_timeout_s": 120, "header_timeout_s": 120}) as server:
            files, memory_mb = open_files(server.pid), resident_mb(server.pid)
            found, most_files, most_mb, took_s = asyncio.run(crowd(server.inference, count, server.pid))
            begin = time.monotonic()
            again = server.predict("m", "echo:again").text
            next_s = time.monotonic() - begin if again else math.inf
            free_s = seconds_until(lambda: open_files(server.pid) <= files + 4)
            figures = f"{most_files} descriptors; answered in {took_s:.1f} s; server {most_mb - memory_mb:+.0f} MB; next answer {in_s(next_s, 2)}"
            figure(Figure(f"{count} connections at once", count, found["right"], found["refused"], found["failed"], found["lost"],
                          wrong=found["wrong"], figures=figures))  # fmt: skip
            assert dict(found) == {"right": count}, [line for line in server.output if "argosy" in line][-20:]
            assert most_mb - memory_mb < 500
            assert next_s < 5
            assert free_s < 30
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def crowd(port: int, count: int, pid: int) -> tuple[Counter[str], int, float, float]:
    """So many clients connect, and only then each asks for its own number; what they got, the server's descriptors and memory, and the time."""
    links: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
    while len(links) < count:
        links += await asyncio.gather(*(asyncio.open_connection("127.0.0.1", port) for _ in range(min(200, count - len(links)))))
    seconds_until(lambda: open_files(pid) >= count)
    files = open_files(pid)
    begin = time.monotonic()

    async def ask(number: int) -> str:
        reader, writer = links[number]
        try:
            writer.write(request("/predictions/m", f"echo:{number}".encode(), f"n-{number}"))
            async with asyncio.timeout(2 * LONGEST_S):
                answer = await read_answer(reader)
        except (OSError, EOFError, TimeoutError):
            return "lost"
        if answer.status == 200:
            return "right" if answer.body == str(number).encode() else "wrong"
        return "refused" if answer.status == 503 else f"failed: {answer.status} {answer.body!r}"

    found = Counter(await asyncio.gather(*map(ask, range(count))))
    took_s = time.monotonic() - begin
    memory_mb = resident_mb(pid)
    for _, writer in links:
        writer.close()
    return found, files, memory_mb, took_s


def test_slow_readers(tmp_path: Path, figure: Report) -> None:
    """200 clients ask for 5 MB each and read nothing: their answers take a part of the 1 GB; a slow and steady one gets all of it."""
    settings = {"job_queue_size": 1000, "unread_memory_bytes": 64_000_000, "max_response_size": 10_000_000, "idle_timeout_s": 3}
    with system(tmp_path, "m", settings=settings) as server:
        server.predict("m", "large:5000000")
        files, memory_mb, most_mb = open_files(server.pid), resident_mb(server.pid), 0.0
        with Load(server.inference, clients=4) as load, contextlib.ExitStack() as held:
            for _ in range(200):
                sock = held.enter_context(raw(server.inference))
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                sock.sendall(request("/predictions/m", b"large:5000000", "slow"))
                most_mb = max(most_mb, resident_mb(server.pid) - memory_mb)
            steady = held.enter_context(raw(server.inference))
            steady.sendall(request("/predictions/m", b"large:1000000", "steady"))
            got = 0
            while got < 1_000_000 and (piece := steady.recv(50_000)):
                got += len(piece)
                run_for(0.05)
                most_mb = max(most_mb, resident_mb(server.pid) - memory_mb)
            free_s = seconds_until(lambda: open_files(server.pid) <= files + 6)
        figures = f"200 x 5 MB unread, server {most_mb:+.0f} MB at most; free after {in_s(free_s)}; a steady reader got {got / 1e6:.1f} MB"
        figure(load.tally.figure("clients that do not read", figures, failed=200))
        load.tally.assert_sound()
        assert load.tally.failed == load.tally.refused == 0
        assert most_mb < 500
        assert free_s < 30
        assert got >= 1_000_000
