"""Disks that are full or read-only while the server unpacks, logs and packs, and descriptors that run out."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from argosy.testing.server import RunningServer, open_files
from conftest import Report
from faults.figures import Figure
from faults.load import Load
from faults.machine import fill, free_mb, freeze, make_read_only, small_disk
from faults.storage import pack
from faults.system import IS_ORIGINAL, WICKED, in_s, listed, run_for, seconds_until, system
from faults.test_fault_clients import raw


def archive(path: Path, megabytes: int) -> None:
    """A model archive that unpacks to so many megabytes of incompressible data."""
    pack(path, {"service.py": WICKED.encode(), "weights": os.urandom(megabytes << 20)})


@pytest.mark.parametrize("read_only", [False, True], ids=["full", "read-only"])
def test_unpacking(tmp_path: Path, figure: Report, read_only: bool) -> None:
    """An archive that cannot be unpacked is refused, nothing of it stays, the models there are serve on, and when there is room it registers."""
    with small_disk(tmp_path / "temp", 40) as disk, system(tmp_path, "m", settings={"temp_dir": disk} if not IS_ORIGINAL else {}) as server:
        archive(server.store.folder / "big.mar", 60)
        archive(server.store.folder / "small.mar", 1)
        with Load(server.inference) as load:
            before_mb = free_mb(disk)
            if read_only:
                freeze(disk, on=True)
            statuses = [server.register("small.mar" if read_only else "big.mar", model_name="new").status for _ in range(3)]
            run_for(0.3)
            if read_only:
                freeze(disk, on=False)
            lost_mb = before_mb - free_mb(disk)
            models = listed(server)
            then = server.register("small.mar", model_name="small").status
            answer = server.predict("small", "echo:x").text if then == 200 else "nothing"
        name = f"disk {'read-only' if read_only else 'full'} while unpacking"
        figure(load.tally.figure(name, f"registration {sorted(set(statuses))}, {lost_mb:.0f} MB not freed, listed {','.join(models)}; later {then}"))
        load.tally.assert_sound()
        assert load.tally.failed == load.tally.refused == 0
        assert set(statuses) <= {507} if not read_only else {500, 507}
        assert lost_mb < 1
        assert models == ["m"]
        assert answer == "x"


def test_logging(tmp_path: Path, figure: Report) -> None:
    """No request notices that nothing can be logged, and when there is room the log goes on."""
    with small_disk(tmp_path / "logs", 2) as disk, system(tmp_path, "m", settings={"log_location": disk, "metrics_location": disk}) as server:
        with Load(server.inference, clients=4) as load:
            run_for(0.3)
            filler = fill(disk)
            run_for(1.5)
            filler.unlink()
            run_for(0.7)
            size = size_of(disk / "access_log.log")
            run_for(0.5)
            goes_on = size_of(disk / "access_log.log") > size or free_mb(disk) < 0.1
        figure(load.tally.figure("disk full while logging", f"slowest {max(load.tally.waits_s, default=0.0):.2f} s; "
                                 f"the log {'goes on' if goes_on else 'has stopped'}"))  # fmt: skip
        load.tally.assert_sound()
        assert load.tally.failed == load.tally.refused == 0
        assert goes_on


def size_of(path: Path) -> int:
    """Bytes of a file; 0 if there is none."""
    return path.stat().st_size if path.exists() else 0


def test_logging_to_a_read_only_disk(tmp_path: Path, figure: Report) -> None:
    """The server starts and serves all the same."""
    with small_disk(tmp_path / "logs", 2) as disk:
        make_read_only(disk, on=True)
        with system(tmp_path, "m", settings={"log_location": disk, "metrics_location": disk}) as server:
            with Load(server.inference, clients=4) as load:
                run_for(1.0)
            figure(load.tally.figure("disk read-only while logging", f"slowest {max(load.tally.waits_s, default=0.0):.2f} s"))
            load.tally.assert_sound()
            assert load.tally.failed == load.tally.refused == 0


@pytest.mark.parametrize("read_only", [False, True], ids=["full", "read-only"])
def test_packing(tmp_path: Path, figure: Report, read_only: bool) -> None:
    """The archiver says what is wrong, ends with an error, and leaves no half of an archive; an archive that was there stays."""
    model = tmp_path / "model"
    model.mkdir()
    (model / "service.py").write_text(WICKED)
    (model / "weights").write_bytes(os.urandom(6 << 20))
    with small_disk(tmp_path / "out", 4) as disk:
        (disk / "packed.mar").write_bytes(b"the old one")
        if read_only:
            make_read_only(disk, on=True)
        program = [str(Path(os.environ["ARGOSY_ORIGINAL_MMS"]) / "model-archiver")] if IS_ORIGINAL else [
            sys.executable, "-c", "from argosy.cli.archive import model_archiver; model_archiver()"]  # fmt: skip
        options = ["--model-name", "packed", "--model-path", str(model), "--handler", "service:handle", "--export-path", str(disk), "--force"]
        done = subprocess.run([*program, *options], capture_output=True, text=True, check=False, timeout=60)
        said = (done.stderr + done.stdout).strip().splitlines()
        old = (disk / "packed.mar").read_bytes() == b"the old one"
        left = sorted(path.name for path in disk.iterdir())
    figure(Figure(f"disk {'read-only' if read_only else 'full'} while packing", figures=f"status {done.returncode}, left {','.join(left)}, "
                  f"old archive {'kept' if old else 'LOST'}"))  # fmt: skip
    assert done.returncode != 0
    assert left == ["packed.mar"]
    assert old
    assert "Traceback" not in "".join(said)


def test_descriptors_run_out(tmp_path: Path, figure: Report) -> None:
    """More clients than descriptors: those that were there go on, the server does not spin, and it accepts again when there is room."""
    prefix = ["sh", "-c", 'ulimit -n 160 && exec "$@"', "sh"]
    with system(tmp_path, "m", prefix=prefix) as server:
        process = psutil.Process(server.pid)
        with Load(server.inference, clients=4, pause_s=0.05) as load:
            run_for(0.3)
            held = [raw(server.inference) for _ in range(400)]
            before = process.cpu_times()
            run_for(2.0)
            after = process.cpu_times()
            most = open_files(server.pid)
            for sock in held:
                sock.close()
            accepts_s = seconds_until(lambda: accepts(server), 20)
        spent_s = after.user + after.system - before.user - before.system
        figures = f"400 clients, {most} of 160 descriptors, {spent_s:.2f} s CPU in 2 s; accepts {in_s(accepts_s, 2)} later"
        figure(load.tally.figure("descriptors run out", figures))
        load.tally.assert_sound()
        assert load.tally.failed == 0
        assert most <= 160
        assert spent_s < 1.0
        assert accepts_s < 20


def accepts(server: RunningServer) -> bool:
    """Whether a new client is served."""
    with contextlib.suppress(OSError):
        return server.predict("m", "echo:x", 5).status == 200
    return False
