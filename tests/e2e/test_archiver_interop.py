"""Archives go both ways: the original's load here, ours load in the original server. Needs the original, see `ORIGINAL`."""

from __future__ import annotations

import json
import os
import random
import shutil
import socket
import subprocess
import sys
import tarfile
import threading
import urllib.request
import zipfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from argosy.store.address import AddressPolicy
from argosy.store.cache import Cache
from argosy.store.download import Downloader
from argosy.store.manifest import read_manifest
from argosy.store.repository import Repository

ORIGINAL = os.environ.get("ARGOSY_ORIGINAL_MMS", "")
"""The folder with the original's commands `model-archiver` and `multi-model-server`."""

pytestmark = [
    pytest.mark.interop,
    pytest.mark.skipif(not ORIGINAL, reason="ARGOSY_ORIGINAL_MMS does not name the folder with the original's commands"),
]

OURS = [sys.executable, "-c", "from argosy.cli.archive import model_archiver; model_archiver()"]
FORMATS = {"default": "m.mar", "tgz": "m.tar.gz", "no-archive": "m"}
HANDLER = "def handle(data, context):\n    return None if data is None else ['seen ' + bytes(data[0]['body']).decode()]\n"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A model folder with a bit of everything that is packed and that is not."""
    folder = tmp_path / "model"
    for name in ("weights.bin", "sub/a.txt", ".dotfile", "x.pyc", "old.mar", "MANIFEST.json", "__pycache__/c", ".git/c", "ä ö.txt"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    (folder / "service.py").write_text(HANDLER)
    (folder / "empty").mkdir()
    return folder


def pack(command: list[str], model: Path, export: Path, form: str) -> Path:
    """Pack the model as m and return the archive."""
    export.mkdir(exist_ok=True)
    options = {"--model-name": "m", "--model-path": model, "--handler": "service:handle", "--export-path": export, "--archive-format": form}
    subprocess.run([*command, *(str(word) for option in options.items() for word in option)], check=True, capture_output=True)
    return export / FORMATS[form]


def files_of(archive: Path) -> dict[str, bytes]:
    """What is in an archive of any format, by name."""
    if archive.is_dir():
        return {path.relative_to(archive).as_posix(): path.read_bytes() for path in archive.rglob("*") if path.is_file()}
    if archive.suffix == ".mar":
        zipped = zipfile.ZipFile(archive)
        return {name: zipped.read(name) for name in zipped.namelist()}
    with tarfile.open(archive) as tarred:
        members = [(member.name, tarred.extractfile(member)) for member in tarred]
        return {name: file.read() for name, file in members if file is not None}


@pytest.mark.parametrize("form", FORMATS)
def test_both_archivers_pack_the_same(model: Path, tmp_path: Path, form: str) -> None:
    """Names, contents and the manifest are equal byte for byte, in every format."""
    theirs = pack([f"{ORIGINAL}/model-archiver"], model, tmp_path / "theirs", form)
    ours = pack(OURS, model, tmp_path / "ours", form)
    assert files_of(ours) == files_of(theirs)


@pytest.mark.parametrize("form", FORMATS)
def test_archives_of_the_original_load_here(model: Path, tmp_path: Path, form: str) -> None:
    """In every format, also the one that the original server cannot load."""
    store = tmp_path / "store"
    archive = pack([f"{ORIGINAL}/model-archiver"], model, store, form)
    repository = Repository(store, Cache(tmp_path / "cache"), Downloader(AddressPolicy([])))
    location = repository.locate(archive.name)
    manifest = read_manifest(location.directory).resolve()
    assert (manifest.model_name, manifest.handler, manifest.runtime) == ("m", "service:handle", "python")
    assert (location.directory / "service.py").read_text() == HANDLER
    location.release()
    repository.close()


class OriginalServer:
    """The original server on free ports with a store; its whole process tree ends with it."""

    def __init__(self, home: Path) -> None:
        self.store = home / "store"
        self.store.mkdir()
        self.inference, self.management = free_port(), free_port()
        config = home / "config.properties"
        addresses = f"inference_address=http://127.0.0.1:{self.inference}\nmanagement_address=http://127.0.0.1:{self.management}\n"
        config.write_text(f"{addresses}vmargs=-Xmx256m\n")
        places = {name: str(home) for name in ("TEMP", "TMPDIR", "LOG_LOCATION", "METRICS_LOCATION")}
        command = [f"{ORIGINAL}/multi-model-server", "--start", "--foreground", "--model-store", str(self.store), "--mms-config", str(config)]
        self._launcher = subprocess.Popen(
            command, cwd=home, env={**os.environ, **places}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        self._tree: dict[int, psutil.Process] = {}
        self._drain = threading.Thread(target=self._read_on)
        self._log: list[str] = []
        self._started = threading.Event()
        self._drain.start()

    def _read_on(self) -> None:
        assert self._launcher.stdout is not None
        for line in self._launcher.stdout:
            self._log.append(line)
            if line == "Model server started.\n":
                self._started.set()
        self._started.set()

    def wait_until_started(self) -> None:
        """Returns when the server says that it is there; fails with its log if it ends instead."""
        self._started.wait()
        assert "Model server started.\n" in self._log, "".join(self._log)

    def ask(self, method: str, port: int, path: str, body: bytes | None = None) -> str:
        """The body of an answer with a good status."""
        headers = {"Content-Type": "application/octet-stream"}
        request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", body, headers, method=method)
        with urllib.request.urlopen(request) as answer:
            text: str = answer.read().decode()
        self._note_processes()
        return text

    def _note_processes(self) -> None:
        if self._launcher.poll() is not None:
            return
        launcher = psutil.Process(self._launcher.pid)
        self._tree |= {process.pid: process for process in [launcher, *launcher.children(recursive=True)]}

    def stop(self) -> list[psutil.Process]:
        """End every process that was ever seen, workers whose parent is gone included; returns those that live on."""
        self._note_processes()
        for process in self._tree.values():
            if process.is_running():
                process.kill()
        self._launcher.wait()
        self._drain.join()
        if self._launcher.stdout is not None:
            self._launcher.stdout.close()
        return psutil.wait_procs(self._tree.values(), timeout=10)[1]


def free_port() -> int:
    """A free port that the original accepts: it refuses the upper half."""
    for port in random.sample(range(20000, 30000), 100):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise AssertionError("no free port")


@pytest.fixture
def original(tmp_path: Path) -> Iterator[OriginalServer]:
    """The original server, running."""
    server = OriginalServer(tmp_path)
    try:
        server.wait_until_started()
        yield server
    finally:
        assert server.stop() == []


def test_our_archives_load_in_the_original_server(model: Path, tmp_path: Path, original: OriginalServer) -> None:
    """A `.mar`, a plain folder, and an unpacked `.tar.gz` (all that the original can load) are registered there and predict."""
    pack(OURS, model, original.store, "default")
    pack(OURS, model, original.store, "no-archive")
    with tarfile.open(pack(OURS, model, tmp_path / "tgz", "tgz")) as archive:
        archive.extractall(tmp_path / "tgz", filter="data")
    shutil.move(tmp_path / "tgz" / "m", original.store / "unpacked")
    for url in ("m.mar", "m", "unpacked"):
        status = json.loads(original.ask("POST", original.management, f"/models?url={url}&initial_workers=1&synchronous=true"))
        assert status == {"status": "Workers scaled"}
        assert original.ask("POST", original.inference, "/predictions/m", url.encode()) == f"seen {url}"
        assert json.loads(original.ask("DELETE", original.management, "/models/m")) == {"status": 'Model "m" unregistered'}
