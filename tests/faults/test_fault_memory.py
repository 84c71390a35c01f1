"""A machine whose memory runs out: the kernel takes the worker that is to blame, and its client is told that, not that it crashed."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from argosy.testing.server import begun
from conftest import Report
from faults.load import Load
from faults.machine import memory_group
from faults.system import IS_ORIGINAL, begun_twice, in_s, listed, run_for, seconds_until, system
from faults.test_fault_handlers import until_whole


def test_out_of_memory(tmp_path: Path, figure: Report) -> None:
    """A worker that the kernel kills for lack of memory is answered with 507, one that somebody kills with 500; the load goes on."""
    with memory_group(4000 if IS_ORIGINAL else 400) as prefix, system(tmp_path, "m", prefix=prefix) as server:
        with Load(server.inference) as load:
            run_for(0.3)
            hungry = [server.predict("m", "memory:8000" if IS_ORIGINAL else "memory:800", 60).status for _ in range(3)]
            recovery_s = until_whole(server)
            with server.clients(1) as send:
                asked = send("m", "nap:30")
                seconds_until(lambda: "nap:30" in begun(server), 10)
                for pid in server.workers("m"):
                    os.kill(pid, signal.SIGKILL)
                killed = asked.result().status
            recovery_s = max(recovery_s, until_whole(server))
        tally = load.tally
        told = f"out of memory: {sorted(set(hungry))}, kill -9: {killed}; workers back {in_s(recovery_s)}"
        figure(tally.figure("worker killed for lack of memory", told, failed=4, repeated=begun_twice(server)))
        tally.assert_sound()
        assert hungry == [507] * 3
        assert killed == 500
        assert recovery_s < 30
        assert tally.failed <= 2


def test_out_of_memory_while_loading(tmp_path: Path, figure: Report) -> None:
    """Registering a model that does not fit is answered with 507, nothing of it stays, and the others serve on."""
    with memory_group(4000 if IS_ORIGINAL else 400) as prefix, system(tmp_path, "m", prefix=prefix) as server:
        server.store.add("huge", "import mmap\ntaken = mmap.mmap(-1, SIZE << 20)\nfor at in range(0, len(taken), 4096): taken[at] = 1\n"
                         "def handle(data, context): return data and ['x']\n".replace("SIZE", "8000" if IS_ORIGINAL else "800"))  # fmt: skip
        with Load(server.inference) as load:
            statuses = [server.register("huge").status for _ in range(2)]
            models = listed(server)
        figure(load.tally.figure("model that does not fit into memory", f"registration: {sorted(set(statuses))}, then listed: {','.join(models)}"))
        load.tally.assert_sound()
        assert statuses == [507, 507]
        assert models == ["m"]
        assert load.tally.failed == load.tally.refused == 0
