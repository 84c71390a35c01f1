"""A pod's end, replayed with a real server: the wait that the manifest orders, then SIGTERM, then the drain. No request is lost."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from argosy.k8s import bundle
from argosy.k8s.application import Application, Shutdown, check
from argosy.testing.server import ask, begun, serving, wait_for


def ending(application: Application) -> tuple[list[str], dict[str, str], int]:
    """What a cluster reads in the manifest: the command before SIGTERM, the settings, and after how long it kills."""
    found: Any = next(one for one in bundle.manifests(application) if one["kind"] == "Deployment")
    pod = found["spec"]["template"]["spec"]
    server = pod["containers"][0]
    settings = {one["name"]: one["value"] for one in server["env"] if one["name"].startswith("ARGOSY_")}
    return server["lifecycle"]["preStop"]["exec"]["command"], settings, pod["terminationGracePeriodSeconds"]


def test_no_request_is_lost(tmp_path: Path) -> None:
    """Proxies go on sending while the pod waits; what is underway when SIGTERM comes is answered; the server is gone before it would be killed."""
    before, settings, grace_s = ending(check(Application("m", "m:1", shutdown=Shutdown(20, 1))))
    pipe = tmp_path / "pipe"
    subprocess.run(["mkfifo", str(pipe)], check=True)
    is_over = threading.Event()
    replies: Counter[int] = Counter()

    def client(number: int) -> None:
        """Sends one request after the other on a connection for each, as long as its proxy knows of nothing."""
        count = 0
        while not is_over.is_set():
            reply = server.predict("m", f"echo:{number}-{count}")
            replies[reply.status] += 1
            assert reply.text == f"{number}-{count}"
            count += 1

    with serving(tmp_path, "m", env=settings) as server, ThreadPoolExecutor(4) as proxies, server.clients(5) as send:
        traffic = [proxies.submit(client, number) for number in range(4)]
        wait_for(lambda: replies[200] > 20, "traffic")
        seen = replies[200]
        # the end of the pod begins: preStop runs, and the endpoints are being taken away meanwhile
        subprocess.run(before, check=True, timeout=grace_s)
        assert replies[200] > seen
        is_over.set()
        for one in traffic:
            one.result()
        underway = send("m", f"hold:{pipe}")
        wait_for(lambda: f"hold:{pipe}" in begun(server), "a request is underway")
        with pipe.open("wb"):
            waiting = [send("m", f"echo:late-{number}") for number in range(4)]
            wait_for(lambda: server.describe("m")["queueLength"] + server.describe("m")["runningJobs"] == 5, "all have come")
            server.process.send_signal(signal.SIGTERM)
            server.wait_for_line("Stopping: at most 20 s")
        assert underway.result().status == 200
        assert [reply.result().text for reply in waiting] == [f"late-{number}" for number in range(4)]
        assert server.wait(grace_s - 1) == 0
    assert replies.keys() == {200}


def test_what_never_ends_ends_before_the_kill(tmp_path: Path) -> None:
    """A handler that ignores everything is cut short by the drain time of the manifest; the server itself still ends in order."""
    before, settings, grace_s = ending(check(Application("m", "m:1", shutdown=Shutdown(1, 0))))
    with serving(tmp_path, "m", env=settings) as server, server.clients(1) as send:
        spinning = send("m", "spin")
        wait_for(lambda: "spin" in begun(server), "the handler spins")
        subprocess.run(before, check=True, timeout=grace_s)
        server.process.send_signal(signal.SIGTERM)
        assert server.wait(grace_s) in (0, 1)
        assert spinning.result().status in (500, 503)


def test_probes_of_the_manifest(tmp_path: Path) -> None:
    """Each path that a probe asks for answers 200 when the models have loaded."""
    found: Any = next(one for one in bundle.manifests(Application("m", "m:1")) if one["kind"] == "Deployment")
    container = found["spec"]["template"]["spec"]["containers"][0]
    paths = {container[f"{probe}Probe"]["httpGet"]["path"] for probe in ("startup", "liveness", "readiness")}
    with serving(tmp_path, "m") as server, contextlib.closing(server.connect()) as connection:
        assert ask(connection, "m", "echo:x").status == 200
        for path in sorted(paths):
            connection.request("GET", path)
            reply = connection.getresponse()
            reply.read()
            assert (path, reply.status) == (path, 200)
    assert paths == {"/livez", "/ping", "/readyz"}
