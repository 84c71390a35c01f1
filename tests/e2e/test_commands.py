"""The commands with real processes: started, asked, stopped, and what is left of them."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from argosy.cli.daemon import CLASS_NAME, descendants

BIN = Path(sys.executable).parent
HANDLER = "def predict(text: str) -> str:\n    return text.upper()\n"


class UnixConnection(http.client.HTTPConnection):
    """HTTP through a unix socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=30)
        self.path = path

    def connect(self) -> None:
        """Open the socket."""
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(30)
        self.sock.connect(str(self.path))


class Site:
    """A folder with a configuration, in which commands are run; its servers listen on unix sockets in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environ = {name: value for name, value in os.environ.items() if not name.startswith(("ARGOSY_", "MMS_"))}
        self.environ.update(TMPDIR=str(folder), LOG_LOCATION=str(folder / "logs"), METRICS_LOCATION=str(folder / "logs"))
        self.environ.pop("TEMP", None)
        (folder / "config.properties").write_text(
            f"inference_address=unix:{folder}/i\nmanagement_address=unix:{folder}/m\ndefault_workers_per_model=1\n")
        (folder / "store").mkdir()
        (folder / "hello.py").write_text(HANDLER)

    @property
    def pid_file(self) -> Path:
        """Where the pid of the server is."""
        return self.folder / ".model_server.pid"

    def run(self, *argv: str) -> subprocess.CompletedProcess[str]:
        """Run a command to its end; its output goes to a file, since a server in the background keeps it open."""
        with tempfile.TemporaryFile("w+") as out:
            done = subprocess.run([BIN / argv[0], *argv[1:]], cwd=self.folder, env=self.environ, stdout=out, stderr=out, timeout=60, check=False)
            out.seek(0)
            return subprocess.CompletedProcess(argv, done.returncode, out.read(), "")

    def start(self, *argv: str) -> subprocess.Popen[str]:
        """Start a command that stays."""
        return subprocess.Popen(
            [BIN / argv[0], *argv[1:]], cwd=self.folder, env=self.environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def get(self, path: str, body: str | None = None) -> tuple[int, str]:
        """Status and body of an answer of the inference listener."""
        connection = UnixConnection(self.folder / "i")
        try:
            connection.request("GET" if body is None else "POST", path, body, {"Content-Type": "text/plain"} if body else {})
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """A site; a server that was left in it is stopped."""
    made = Site(tmp_path)
    yield made
    if made.pid_file.exists():
        made.run("multi-model-server", "--stop")


def lines_until(process: subprocess.Popen[str], wanted: str) -> list[str]:
    """What the process prints up to the wanted line, which must come."""
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line.rstrip("\n"))
        if wanted in lines[-1]:
            return lines
    raise AssertionError(f"{wanted!r} did not come: {lines}")


@pytest.mark.parametrize("foreground", [[], ["--foreground"]])
def test_a_server_that_cannot_start(site: Site, foreground: list[str]) -> None:
    """Status 1, also in the background; one line says why; no pid file stays."""
    (site.folder / "config.properties").write_text("inference_address=nonsense\n")
    done = site.run("multi-model-server", "--start", *foreground)
    assert done.returncode == 1
    assert "Invalid configuration: Invalid binding address: nonsense" in done.stdout
    assert not site.pid_file.exists()


def test_an_address_that_is_taken(site: Site) -> None:
    """The launcher in the background tells it, too."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        (site.folder / "config.properties").write_text(f"inference_address=http://127.0.0.1:{taken.getsockname()[1]}\n")
        done = site.run("multi-model-server", "--start")
    assert done.returncode == 1
    assert "Model server started." not in done.stdout
    assert "cannot start" in done.stdout or "Invalid configuration" in done.stdout


def test_background(site: Site) -> None:
    """Start returns when the server listens; a second start is refused; stop ends it; nothing is left."""
    started = site.run("multi-model-server", "--start", "--model-store", "store")
    assert started.returncode == 0, started.stdout
    assert "Model server started." in started.stdout.splitlines()
    assert site.get("/ping")[0] == 200
    pid = int(site.pid_file.read_text())
    again = site.run("multi-model-server", "--start")
    assert (again.returncode, again.stdout) == (1, "Model server is already running, please use multi-model-server --stop to stop MMS.\n")
    stopped = site.run("multi-model-server", "--stop")
    assert (stopped.returncode, stopped.stdout) == (0, "Model server stopped.\n")
    assert not Path(f"/proc/{pid}").exists() or "Z" in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    assert not site.pid_file.exists()
    assert site.run("multi-model-server", "--stop").stdout == "Model server is not currently running.\n"


def test_foreground(site: Site) -> None:
    """The command itself becomes the server: one process with the class name, which SIGTERM ends with status 0."""
    process = site.start("multi-model-server", "--foreground", "--model-store", "store")
    try:
        lines_until(process, "Model server started.")
        assert int(site.pid_file.read_text()) == process.pid
        carriers = [pid for pid in (process.pid, *descendants(process.pid)) if CLASS_NAME in Path(f"/proc/{pid}/cmdline").read_text().split("\0")]
        assert carriers == [process.pid]
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == 0
    assert not site.pid_file.exists()
    assert sorted(path.name for path in (site.folder / "logs").iterdir()) == [
        "access_log.log", "mms_log.log", "mms_metrics.log", "model_log.log", "model_metrics.log"]


def test_serve_a_plain_handler(site: Site) -> None:
    """The banner names address, model and workers; a request is answered; SIGINT ends it, and the folder is as it was."""
    before = sorted(path.name for path in site.folder.iterdir())
    process = site.start("argosy", "serve", "--workers", "1", "--set", "log_location=none", "--set", "metrics_location=none", "hello.py")
    try:
        lines = lines_until(process, "Ctrl-C")
        assert any("hello: 1 worker" in line for line in lines)
        assert site.get("/predictions/hello", "hello") == (200, "HELLO")
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == 0
    left = {path.name for path in site.folder.iterdir()} - set(before) - {"i", "m", "__pycache__"}
    assert not {name for name in left if name.startswith("argosy-serve")}


def test_serve_says_why_a_handler_does_not_load(site: Site) -> None:
    """With the error and a hint; the server stays for the others."""
    (site.folder / "bad.py").write_text("import no_such_module\n")
    process = site.start("argosy", "serve", "--workers", "1", "bad.py")
    try:
        text = "\n".join(lines_until(process, "hint: "))
        assert "No module named 'no_such_module'" in text
        assert "model bad did not load:" in text
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == 0


def test_a_reader_that_has_gone_does_not_end_the_server(site: Site) -> None:
    """Standard output is closed before the server has started; it serves all the same, and the launcher returns 0."""
    reader, writer = os.pipe()
    os.close(reader)
    try:
        argv = [str(BIN / "multi-model-server"), "--start", "--model-store", "store"]
        done = subprocess.run(argv, cwd=site.folder, env=site.environ, stdout=writer, timeout=60, check=False)
    finally:
        os.close(writer)
    assert done.returncode == 0
    assert site.get("/ping")[0] == 200


@pytest.mark.parametrize("command", ["argosy serve hello.py", "multi-model-server", "model-archiver --model-name m --model-path . --handler h:h"])
def test_a_current_folder_that_is_gone(tmp_path: Path, command: str) -> None:
    """A reason in one line and status 1."""
    program, *options = command.split()
    line = ["sh", "-c", 'mkdir gone && cd gone && rmdir ../gone && exec "$@"', "sh", str(BIN / program), *options]
    done = subprocess.run(line, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60)
    reason = "The current folder cannot be used: No such file or directory. Change to another one and try again.\n"
    assert (done.returncode, done.stdout, done.stderr) == (1, "", reason)


FEW_FILES = ["sh", "-c", 'ulimit -n 10 && exec "$@"', "sh"]
NO_PROC = ["unshare", "--mount", "sh", "-c", 'mount -t tmpfs none /proc && exec "$@"', "sh"]


def may_hide_proc() -> bool:
    """Whether this user may mount something over /proc where nobody else sees it."""
    try:
        return subprocess.run([*NO_PROC, "true"], capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


@pytest.mark.parametrize(("prefix", "says"), [
    (FEW_FILES, "The limit on open files is 10, but a server needs at least 64"),
    pytest.param(NO_PROC, "There is no /proc here", marks=pytest.mark.skipif(not may_hide_proc(), reason="mounts are not permitted here")),
], ids=["files", "proc"])  # fmt: skip
@pytest.mark.parametrize("command", [["argosy", "serve", "hello.py"], ["multi-model-server", "--foreground"], ["multi-model-server"]], ids=" ".join)
def test_a_system_on_which_no_server_runs(site: Site, prefix: list[str], says: str, command: list[str]) -> None:
    """One line that says what is missing and what to do, status 1, and nothing is left."""
    argv = [*prefix, str(BIN / command[0]), *command[1:]]
    done = subprocess.run(argv, cwd=site.folder, env=site.environ, capture_output=True, text=True, timeout=60, check=False)
    said = (done.stdout + done.stderr).splitlines()
    assert (done.returncode, len(said), says in said[0]) == (1, 1, True), said
    assert sorted(path.name for path in site.folder.iterdir()) == ["config.properties", "hello.py", "store"]
