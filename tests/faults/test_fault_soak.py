"""Hours in small: mixed load, workers that are killed, models that come and go. `scripts/soak` runs it for longer."""

from __future__ import annotations

import os
import random
import signal
import time
import zipfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from argosy.testing.server import RunningServer, open_files
from conftest import Report
from faults.load import Load
from faults.slope import Slope, fit
from faults.system import IS_ORIGINAL, arena_mb, run_for, system, tree_mb
from faults.test_fault_handlers import until_whole

SECONDS = float(os.environ.get("ARGOSY_SOAK_SECONDS", "40"))
WARM_UP = 0.3
"""The share of the time that does not count: what is needed once is allocated in it."""
EVERY_S = 0.5
MOST_MB, MOST_FILES = 12.0, 4.0
"""Growth that is always allowed, over the whole time."""
PACKED = "packed.mar"
"""What comes and goes is an archive, which has to be unpacked."""
MOST_ARENA_MB = 3.0
"""Two clients send large bodies, one after the other; each takes a slot of 256 KiB until it is answered or its client is gone."""


@dataclass(slots=True)
class Readings:
    """What was measured, and when. Proportional memory of the server with all its workers, and descriptors of the server."""

    times: list[float] = field(default_factory=list)
    memory_mb: list[float] = field(default_factory=list)
    files: list[float] = field(default_factory=list)

    def take(self, server: RunningServer) -> None:
        """Measure once."""
        self.times.append(time.monotonic())
        self.memory_mb.append(tree_mb(server.pid))
        self.files.append(float(open_files(server.pid)))

    @property
    def span_s(self) -> float:
        """From the first to the last."""
        return self.times[-1] - self.times[0]


def disturb(server: RunningServer, chance: random.Random, turn: int) -> str:
    """One change: a worker is killed, a model comes or goes, handlers fail, a client vanishes; its name, and whether it went as it should."""
    kind = chance.choice(("kill", "register", "register", "fail", "large", "vanish"))
    if kind == "kill":
        for pid in server.workers("m")[:1]:
            os.kill(pid, signal.SIGKILL)
    elif kind == "register":
        name = f"n{turn}"
        statuses = [server.register(PACKED, model_name=name).status, server.predict(name, "echo:x").status]
        statuses.append(server.manage("DELETE", f"/models/{name}").status)
        return kind if statuses == [200, 200, 200] else f"register: {statuses}"
    elif kind == "fail":
        status = server.predict("m", "error:no").status
        return kind if status == 503 else f"fail: {status}"
    elif kind == "large":
        reply = server.predict("m", "large:3000000")
        return kind if len(reply.body) == 3_000_000 else f"large: {reply.status}"
    else:
        connection = server.connect()
        connection.request("POST", "/predictions/m", "nap:0.01")
        connection.close()
    return kind


@pytest.mark.timeout(0 if SECONDS > 100 else 180)
def test_soak(tmp_path: Path, figure: Report) -> None:
    """Every request is answered rightly or fails with the worker that was killed; neither memory nor descriptors grow beyond noise."""
    chance, done, readings = random.Random(5), Counter[str](), Readings()
    settings = {"access_log": "false", "log_console": "events"}
    with system(tmp_path, "m", settings=settings, env={"BEGUN_FILE": ""}) as server:
        pack(server.store.folder / "m", server.store.folder / PACKED)
        with Load(server.inference, clients=4, timed=False) as load, Load(server.inference, clients=2, padding=150_000, timed=False) as large:
            begin = time.monotonic()
            while time.monotonic() < begin + SECONDS:
                turn_ends = time.monotonic() + EVERY_S
                done[disturb(server, chance, sum(done.values()))] += 1
                run_for(max(0.0, turn_ends - time.monotonic()))
                if time.monotonic() > begin + WARM_UP * SECONDS:
                    until_whole(server)
                    readings.take(server)
        arena, unpacked = arena_mb(server.pid, "m"), list(server.temp.rglob("service.py"))
        load.tally.add(large.tally)
    memory, files = fit(readings.times, readings.memory_mb), fit(readings.times, readings.files)
    told = f"{SECONDS:.0f} s, {sum(done.values())} disturbances; {said('memory', 'MB', memory, readings.span_s, readings.memory_mb)}; " + said(
        "descriptors", "", files, readings.span_s, readings.files) + f"; arena {arena:.1f} MB"  # fmt: skip
    figure(load.tally.figure("soak", told))
    load.tally.assert_sound()
    assert set(done) <= {"kill", "register", "fail", "large", "vanish"}
    assert load.tally.failed <= done["kill"] * 2
    assert load.tally.refused == 0
    assert not memory.grows(readings.span_s, MOST_MB), told
    assert not files.grows(readings.span_s, MOST_FILES), told
    if not IS_ORIGINAL:
        assert unpacked == [], "models that were unregistered leave no files"
        assert 0 < arena < MOST_ARENA_MB, told


def pack(folder: Path, archive: Path) -> None:
    """Make an archive of a model's folder."""
    with zipfile.ZipFile(archive, "w") as file:
        for path in folder.rglob("*"):
            if path.is_file():
                file.write(path, path.relative_to(folder))


def said(name: str, unit: str, slope: Slope, span_s: float, values: list[float]) -> str:
    """The growth of something, for the table."""
    grown, error = slope.per_hour * span_s / 3600, slope.error_per_hour * span_s / 3600
    return f"{name} {sum(values) / len(values):.0f}{f' {unit}' if unit else ''}, {grown:+.1f} ± {error:.1f} in {span_s:.0f} s"
