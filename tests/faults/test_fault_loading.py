"""Models whose load hangs, fails or succeeds only at the third try, and storms of changes, while others serve."""

from __future__ import annotations

import math
import random
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from argosy.testing.server import RunningServer, open_files
from conftest import Report
from faults.load import Load
from faults.probe import Probe
from faults.system import IS_ORIGINAL, WICKED, begun_twice, family, in_s, listed, run_for, seconds_until, system

HANGS = "import time\nwhile True: time.sleep(1)\ndef handle(data, context): return data and ['x']\n"
FAILS = "raise RuntimeError('no weights')\ndef handle(data, context): return data and ['x']\n"
THIRD = """
import os
with open(os.environ['BEGUN_FILE'] + '.tries', 'a') as file: file.write('x')
if os.path.getsize(os.environ['BEGUN_FILE'] + '.tries') < 3: os._exit(1)
def handle(data, context): return data and ['x'] * len(data)
"""


@pytest.mark.parametrize(("fault", "code"), [("load hangs", HANGS), ("load fails", FAILS), ("load ends the process", "import os\nos._exit(3)\n")])
def test_a_model_that_does_not_load(tmp_path: Path, figure: Report, fault: str, code: str) -> None:
    """Registering it is answered with what is wrong within its time, nothing of it stays, its name is free, and the others do not notice."""
    settings = {} if IS_ORIGINAL else {"startup_timeout_s": 2}
    with system(tmp_path, "m", settings=settings) as server:
        server.store.add("bad", code)
        server.store.add("good", WICKED)
        processes = len(family(tmp_path / "begun"))
        with Load(server.inference) as load, Probe(server) as probe:
            begin = time.monotonic()
            status = ask(server, "bad", "name")
            took_s = time.monotonic() - begin
            models = listed(server)
            then = ask(server, "good", "name")
            new = (2 if IS_ORIGINAL else 1) * (then == 200)  # processes of a model with one worker
            gone_s = seconds_until(lambda: len(family(tmp_path / "begun")) <= processes + new, 10)
        told = f"{status or 'no answer'} after {took_s:.1f} s, its processes gone {in_s(gone_s)} later"
        figure(load.tally.figure(fault, f"{told}, listed {','.join(models)}, the name again: {then or 'no answer'}; {probe.summary}"))
        load.tally.assert_sound()
        assert load.tally.failed == load.tally.refused == 0
        assert status == 500
        assert took_s < 10
        assert models == ["m"]
        assert gone_s < 10
        assert then == 200
        assert probe.bad == []


def ask(server: RunningServer, url: str, name: str) -> int:
    """The status of a registration; 0 for none."""
    try:
        return server.register(url, model_name=name).status
    except OSError:
        return 0


def test_the_third_try(tmp_path: Path, figure: Report) -> None:
    """A model that was registered without waiting is tried again, with a pause before each try, until it loads, and then serves; until then requests
    are refused or wait.
    """
    with system(tmp_path, "m") as server:
        server.store.add("third", THIRD)
        begin = time.monotonic()
        with Load(server.inference) as load:
            changes = server.register("third", initial_workers=0).status, server.manage("PUT", "/models/third?min_worker=1").status
            statuses: Counter[int] = Counter()
            while not statuses[200] and time.monotonic() < begin + 30:
                statuses[server.predict("third", "x").status] += 1
                run_for(0.05)
            took_s = time.monotonic() - begin if statuses[200] else math.inf
        figure(load.tally.figure("load succeeds at the third try", f"serves after {in_s(took_s)}, until then {sorted(set(statuses) - {200})}"))
        load.tally.assert_sound()
        assert changes == (200, 202)
        assert took_s < 30
        assert load.tally.failed == load.tally.refused == 0
        assert set(statuses) <= {200, 503}
        assert took_s > 2, "pauses of a second or more"


@pytest.mark.parametrize("names", [1, 4], ids=["same-name", "different-names"])
def test_a_storm_of_changes(tmp_path: Path, figure: Report, names: int, seconds: float) -> None:
    """While models are registered, scaled, used and unregistered from many sides, a stable one serves everything, and afterwards nothing is left."""
    with system(tmp_path, "m") as server:
        files, processes = open_files(server.pid), len(family(tmp_path / "begun"))
        end = time.monotonic() + seconds / 12
        with Load(server.inference, clients=4) as load, Probe(server) as probe, ThreadPoolExecutor(8) as pool:
            changes = [pool.submit(churn, server, f"n{number % names}", number, end) for number in range(4)]
            uses = [pool.submit(use, server, f"n{number % names}", end) for number in range(4)]
            changed: Counter[str] = sum((task.result() for task in changes), Counter())
            used: Counter[str] = sum((task.result() for task in uses), Counter())
        for number in range(names):
            server.manage("DELETE", f"/models/n{number}")
        left_s = seconds_until(lambda: len(family(tmp_path / "begun")) <= processes and open_files(server.pid) <= files + 3)
        name = f"storm of changes, {'one name' if names == 1 else f'{names} names'}"
        left = f"{len(family(tmp_path / 'begun')) - processes} processes and {open_files(server.pid) - files} descriptors more afterwards"
        told = f"changes {said(changed)}; predictions {said(used)}; {left}; {probe.summary}"
        figure(load.tally.figure(name, told, repeated=begun_twice(server)))
        load.tally.assert_sound()
        assert load.tally.failed == load.tally.refused == 0
        assert left_s < 30
        assert set(used) <= {"200", "404", "503"}
        assert not {status for status in changed if status.startswith("5") and status != "503"} - {"500"}
        assert changed["crossed"] == used["crossed"] == 0
        assert probe.bad == []


def said(found: Counter[str]) -> str:
    """Statuses and how often they came, for the table; 0 is no answer."""
    return ", ".join(f"{count} × {status}" for status, count in sorted(found.items()))


def churn(server: RunningServer, name: str, seed: int, end: float) -> Counter[str]:
    """Change one model at random until the time is over; the statuses."""
    chance, found = random.Random(seed), Counter[str]()
    while time.monotonic() < end:
        method, path = chance.choice((
            ("POST", f"/models?url=m&model_name={name}&initial_workers=1&synchronous=true"),
            ("PUT", f"/models/{name}?min_worker={chance.randint(0, 3)}&synchronous={chance.choice(('true', 'false'))}"),
            ("DELETE", f"/models/{name}"), ("GET", f"/models/{name}"),
        ))  # fmt: skip
        found[str(server.manage(method, path).status)] += 1
    return found


def use(server: RunningServer, name: str, end: float) -> Counter[str]:
    """Predict until the time is over; the statuses, and whether an answer was somebody else's."""
    found, count = Counter[str](), 0
    while time.monotonic() < end:
        count += 1
        token = f"{threading.get_ident()}-{count}"
        reply = server.predict(name, f"echo:{token}")
        found["crossed" if reply.status == 200 and reply.text != token else str(reply.status)] += 1
    return found
