"""Asynchronous handlers of real workers: many requests in one process, each with a fate of its own."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from argosy.testing.server import wait_for
from fakes.live_server import LiveServer, live_server

HANDLER = '''
import asyncio, logging, os, time
FOLDER = os.environ["TMPDIR"] + "/"
waiting, everybody = [], None

def note(name, text=""):
    with open(FOLDER + name + ".new", "w") as file:
        file.write(str(text))
    os.rename(FOLDER + name + ".new", FOLDER + name)

async def together(number, ctx):
    """Answers when so many have come."""
    global everybody
    everybody = everybody or asyncio.Event()
    waiting.append(ctx.id)
    print("waits", ctx.id)
    if len(waiting) == int(number):
        everybody.set()
    await everybody.wait()
    logging.info("goes %s", ctx.id)
    return {"id": ctx.id, "pid": os.getpid()}

async def forever(name, ctx):
    note("begun-" + name)
    try:
        await asyncio.Event().wait()
    finally:
        note("ended-" + name, ctx.cancelled)

async def until(name, ctx):
    note("begun-" + name)
    while not os.path.exists(FOLDER + name):
        await asyncio.sleep(0.01)
    return "done"

async def counted(number, ctx):
    return (f"{i};" for i in range(int(number)))

async def slow(number, ctx):
    return blocks(int(number))

async def blocks(number):
    for i in range(number):
        yield b"x" * 50_000

async def fail(text, ctx):
    raise ValueError(text)

class Aborted(BaseException):
    """What libraries cancel calls with is no Exception."""

async def abort(text, ctx):
    several = BaseExceptionGroup("several", [Aborted("one")])
    raise {"own": Aborted("own"), "group": several, "generator": GeneratorExit(), "task": asyncio.CancelledError()}[text]

async def piece(text, ctx):
    return aborting(text, ctx)

async def aborting(text, ctx):
    yield "first"
    await abort(text, ctx)

async def plain(text, ctx):
    return {"pid": os.getpid()}

async def stuck(seconds, ctx):
    note("begun-stuck")
    time.sleep(float(seconds))

async def predict(text: str, ctx):
    verb, _, argument = text.partition(":")
    return await globals()[verb](argument, ctx)
'''
SETTINGS = {"default_response_timeout_seconds": 3, "job_queue_size": 1000}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[LiveServer]:
    """A server with one worker."""
    with live_server(tmp_path, HANDLER, SETTINGS) as running:
        yield running


def ask(server: LiveServer, text: str, id: str = "") -> tuple[int, bytes]:
    """Status and body."""
    return server.ask("POST", "/predictions/m", text.encode(), {"Content-Type": "text/plain", **({"x-request-id": id} if id else {})})


def pid(server: LiveServer) -> int:
    """The process of the worker."""
    return int(json.loads(ask(server, "plain")[1])["pid"])


def describe(server: LiveServer) -> dict[str, Any]:
    """What the management API says of the model."""
    found: dict[str, Any] = json.loads(server.ask("GET", "/models/m", management=True)[1])
    return found


def post(server: LiveServer, text: str) -> socket.socket:
    """A connection with a request on its way."""
    sock = server.connect()
    sock.sendall(f"POST /predictions/m HTTP/1.1\r\nHost: a\r\nContent-Type: text/plain\r\nContent-Length: {len(text)}\r\n\r\n{text}".encode())
    return sock


def test_sixty_four_requests_in_one_worker(server: LiveServer) -> None:
    """Each waits for the last one to come, so all of them run at once; answers and lines of the log bear their own ids."""
    with ThreadPoolExecutor(64) as pool:
        replies = list(pool.map(lambda i: ask(server, "together:64", f"id-{i}"), range(64)))
    found = [json.loads(body) for status, body in replies]
    assert [reply["id"] for reply in found] == [f"id-{i}" for i in range(64)]
    assert {reply["pid"] for reply in found} == {pid(server)}
    for line in ("waits id-17 [requestID:id-17]", "goes id-63 [requestID:id-63]"):
        wait_for(lambda line=line: line in server.log.read_text(), line)  # type: ignore[misc]  # a default binds it


def test_more_than_it_takes_wait_for_their_turn(tmp_path: Path) -> None:
    """A model that is registered with a concurrency gets no more than that at once."""
    with live_server(tmp_path, HANDLER, {**SETTINGS, "worker_concurrency": 2}) as running, ThreadPoolExecutor(3) as pool:
        replies = [pool.submit(ask, running, f"until:{name}") for name in "ab"]
        wait_for(lambda: (tmp_path / "begun-a").exists() and (tmp_path / "begun-b").exists(), "two to begin")
        third = pool.submit(ask, running, "plain")
        wait_for(lambda: describe(running)["queueLength"] == 1, "the third to wait")
        assert (describe(running)["runningJobs"], describe(running)["concurrency"], describe(running)["asynchronous"]) == (2, 2, True)
        (tmp_path / "b").write_text("")
        assert third.result()[0] == 200
        (tmp_path / "a").write_text("")
        assert [reply.result() for reply in replies] == [(200, b"done")] * 2


def test_failures_and_departures_stay_alone(server: LiveServer) -> None:
    """While others fail, leave, stream and read slowly, a request is answered by the same worker."""
    before, folder = pid(server), server.log.parent
    with post(server, "slow:400") as lazy, post(server, "forever:left"), ThreadPoolExecutor(2) as pool:
        wait_for((folder / "begun-left").exists, "the second to begin")
        patient = pool.submit(ask, server, "until:now")
        assert ask(server, "fail:boom")[0] == 503
        assert ask(server, "counted:1000") == (200, "".join(f"{i};" for i in range(1000)).encode())
        assert pid(server) == before
        (folder / "now").write_text("")
        assert patient.result() == (200, b"done")
        reply = http.client.HTTPResponse(lazy)
        reply.begin()
        assert len(reply.read()) == 400 * 50_000
    wait_for((folder / "ended-left").exists, "the handler of the client that left to be cancelled")
    assert (folder / "ended-left").read_text() == "True"
    assert pid(server) == before


def test_what_is_raised_and_no_exception_to_python(server: LiveServer) -> None:
    """It fails its request at once as any exception does; an answer that has begun is cut off. The worker lives."""
    before = pid(server)
    for what in ("own", "group", "generator", "task"):
        assert ask(server, f"abort:{what}")[0] == 503
        with pytest.raises(http.client.IncompleteRead):
            ask(server, f"piece:{what}")
    assert (pid(server), describe(server)["runningJobs"]) == (before, 0)


def test_a_handler_that_takes_too_long_is_cancelled(server: LiveServer) -> None:
    """Its client gets 504, and the worker lives."""
    before = pid(server)
    status, body = ask(server, "forever:long")
    assert (status, b"response timeout" in body) == (504, True)
    wait_for((server.log.parent / "ended-long").exists, "the handler to end")
    assert pid(server) == before


def test_a_killed_worker_fails_what_it_had_begun(server: LiveServer) -> None:
    """All of that, and nothing else: what waits is answered by the next process."""
    before, folder = pid(server), server.log.parent
    with ThreadPoolExecutor(80) as pool:
        begun = [pool.submit(ask, server, f"forever:{i}") for i in range(64)]
        wait_for(lambda: all((folder / f"begun-{i}").exists() for i in range(64)), "all to begin")
        waiting = [pool.submit(ask, server, "plain") for _ in range(10)]
        wait_for(lambda: describe(server)["queueLength"] == 10, "the others to wait")
        os.kill(before, signal.SIGKILL)
        assert [reply.result()[0] for reply in begun] == [500] * 64
        assert {reply.result()[0] for reply in waiting} == {200}
    assert pid(server) != before


@pytest.mark.parametrize("way", ["scale", "unregister", "stop"])
def test_what_runs_is_finished_first(tmp_path: Path, way: str) -> None:
    """Before a worker goes, whoever sent it away."""
    with live_server(tmp_path, HANDLER, {**SETTINGS, "default_response_timeout_seconds": 30}) as running, ThreadPoolExecutor(10) as pool:
        replies = [pool.submit(ask, running, f"until:{i}") for i in range(8)]
        wait_for(lambda: all((tmp_path / f"begun-{i}").exists() for i in range(8)), "all to begin")
        if way == "stop":
            os.kill(running.pid, signal.SIGTERM)
            wait_for(lambda: "Stopping" in running.log.read_text(), "the server to stop")
        else:
            method, path = ("PUT", "/models/m?min_worker=0") if way == "scale" else ("DELETE", "/models/m")
            pool.submit(running.ask, method, path, management=True)
            wait_for(lambda: ask(running, "plain")[0] != 200, "the model to take nothing new")
        for i in range(8):
            (tmp_path / str(i)).write_text("")
        assert [reply.result() for reply in replies] == [(200, b"done")] * 8


def test_a_worker_whose_loop_does_not_run_is_replaced(tmp_path: Path) -> None:
    """A handler that blocks cannot be cancelled: after the response timeout and a grace the process is killed."""
    with live_server(tmp_path, HANDLER, {**SETTINGS, "default_response_timeout_seconds": 1}) as running:
        before = pid(running)
        assert ask(running, "stuck:60")[0] == 500
        assert pid(running) != before


def test_a_preloaded_model(tmp_path: Path) -> None:
    """Each fork has an event loop of its own."""
    with live_server(tmp_path, HANDLER, {**SETTINGS, "preload_model": "true"}, workers=2) as running, ThreadPoolExecutor(64) as pool:
        replies = [pool.submit(ask, running, "counted:10") for _ in range(100)]
        assert {reply.result() for reply in replies} == {(200, b"0;1;2;3;4;5;6;7;8;9;")}
