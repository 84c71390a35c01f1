"""Workers that may not have everything: limits, another user, no new privileges; also for preloaded models and large bodies."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import argosy
from argosy.testing.server import RunningServer, is_alive, serving, wait_for

MIB = 1024 * 1024
NOBODY = 54321
"""A user that is nobody here, so that nothing else counts against its limits."""
SYSTEM_PYTHON = "/usr/bin/python3"
MODEL = """
    import os, resource, sys, time
    WHO = os.getresuid(), os.getresgid()

    def fork(count):
        children = []
        try:
            for _ in range(int(count)):
                child = os.fork()
                if not child:
                    time.sleep(60)
                    os._exit(0)
                children.append(child)
        except OSError as error:
            return "%d then %s" % (len(children), error.strerror)
        finally:
            for child in children:
                os.kill(child, 9)
                os.waitpid(child, 0)
        return "%d" % len(children)

    def write(size):
        path = "/tmp/argosy-test-%d" % os.getpid()
        try:
            with open(path, "wb") as file:
                file.write(b"z" * int(size))
        finally:
            os.unlink(path)
        return "written"

    def status(name):
        with open("/proc/self/status") as file:
            return next(line.split(":")[1].strip() for line in file if line.startswith(name))

    def read(path):
        try:
            with open(path) as file:
                return "read %d" % len(file.read())
        except OSError as error:
            return error.strerror

    def burn(_):
        while True:
            pass

    VERBS = {
        "who": lambda _: "%s %s %s" % (WHO, os.getgroups(), os.environ.get("HOME")),
        "limit": lambda name: str(resource.getrlimit(getattr(resource, name))),
        "allocate": lambda size: str(len(bytearray(int(size)))), "fork": fork, "write": write, "status": status, "read": read,
        "burn": burn, "pid": lambda _: str(os.getpid()), "length": lambda text: str(len(text)),
        "stdout": lambda text: open("/dev/stdout", "w").write(text + "\\n") and "said",
    }

    def handle(data, context):
        if data is None:
            return None
        out = []
        for item in data:
            verb, _, argument = bytes(item["body"]).decode().partition(":")
            out.append(VERBS[verb](argument))
        return out
"""


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """A folder that every user can reach, unlike pytest's own."""
    made = Path(tempfile.mkdtemp(prefix="argosy-confined-"))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made)


def add(server: RunningServer, name: str, **query: object) -> None:
    server.store.add(name, MODEL)
    assert server.register(name, **query).status == 200


def answer(server: RunningServer, model: str, body: str) -> str:
    reply = server.predict(model, body, kind="application/octet-stream")
    assert reply.status == 200, reply
    return reply.text


def as_another_user() -> None:
    """Skips where workers cannot be given to another user."""
    if os.geteuid():
        pytest.skip("only root can start workers as another user")
    reads = subprocess.run([SYSTEM_PYTHON, "-c", "import argosy.wire"], env={"PYTHONPATH": "src"}, user=NOBODY, capture_output=True, check=False)
    if reads.returncode:
        pytest.skip(f"there is no {SYSTEM_PYTHON} that other users can run with these sources")


@pytest.fixture(scope="module")
def limited(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server whose workers have limits, and the model m; the model tight has tighter ones."""
    settings = {
        "worker_memory_bytes": 600 * MIB, "worker_open_files": 64, "worker_core_bytes": 0, "worker_new_privileges": "false",
        "model_limits": '{"tight": {"memory_bytes": 209715200, "cpu_s": 2, "file_bytes": 4096}}',
    }  # fmt: skip
    with serving(tmp_path_factory.mktemp("limited"), settings=settings) as server:
        add(server, "m")
        add(server, "tight")
        yield server
        assert server.stop() == 0


def test_limits_of_all_workers_and_of_one_model(limited: RunningServer) -> None:
    """The settings hold for every model, `model_limits` for one; whoever manages the server sees them."""
    assert answer(limited, "m", "limit:RLIMIT_DATA") == str((600 * MIB, 600 * MIB))
    assert answer(limited, "m", "limit:RLIMIT_NOFILE") == "(64, 64)"
    assert answer(limited, "m", "limit:RLIMIT_CORE") == "(0, 0)"
    assert answer(limited, "m", "status:NoNewPrivs") == "1"
    assert answer(limited, "tight", "limit:RLIMIT_DATA") == str((200 * MIB, 200 * MIB))
    assert limited.describe("tight")["limits"] == {
        "memory_bytes": 200 * MIB, "cpu_s": 2, "open_files": 64, "file_bytes": 4096, "core_bytes": 0}  # fmt: skip
    assert limited.describe("m")["limits"] == {"memory_bytes": 600 * MIB, "open_files": 64, "core_bytes": 0}


def test_memory_beyond_the_limit_is_an_error_of_one_request(limited: RunningServer) -> None:
    """The handler gets a MemoryError, its client 507, and the worker lives on."""
    worker = answer(limited, "m", "pid")
    reply = limited.predict("m", f"allocate:{900 * MIB}", kind="application/octet-stream")
    assert reply.status == 507
    assert answer(limited, "m", f"allocate:{100 * MIB}") == str(100 * MIB)
    assert answer(limited, "m", "pid") == worker


def test_processor_time_beyond_the_limit_ends_the_worker(limited: RunningServer) -> None:
    """A handler that computes for ever is killed by the kernel; another worker takes its place."""
    worker = int(answer(limited, "tight", "pid"))
    reply = limited.predict("tight", "burn", kind="application/octet-stream")
    assert reply.status == 500
    assert not is_alive(worker)
    assert wait_for(lambda: limited.predict("tight", "pid", kind="application/octet-stream").status == 200, "a new worker serves")


def test_files_beyond_the_limit_cannot_be_written(limited: RunningServer) -> None:
    """A large file is an error of the handler, not of the disk."""
    assert limited.predict("tight", "write:1000000", kind="application/octet-stream").status == 503
    assert answer(limited, "m", "write:1000000") == "written"


@pytest.mark.parametrize(
    ("name", "wanted", "found"),
    [("worker_memory_bytes", 900 * MIB, 600 * MIB), ("worker_memory_bytes", 300 * MIB, 300 * MIB), ("worker_cpu_s", 7, 7)])
def test_a_registration_only_lowers_limits(limited: RunningServer, name: str, wanted: int, found: int) -> None:
    """What a registration asks for counts where it is lower than what the operator allows."""
    assert limited.manage("POST", f"/models?url=m&model_name=asked&{name}={wanted}").status == 200
    assert limited.describe("asked")["limits"][name.removeprefix("worker_")] == found
    assert limited.manage("DELETE", "/models/asked").status == 200


@pytest.mark.parametrize("query", ["worker_memory_bytes=1", "worker_memory_bytes=all", "worker_cpu_s=-1", "worker_open_files=0x40"])
def test_a_registration_with_an_unusable_limit_is_refused(limited: RunningServer, query: str) -> None:
    """The reply names the parameter and what it may be; nothing is registered."""
    reply = limited.manage("POST", f"/models?url=m&model_name=asked&{query}")
    assert reply.status == 400
    assert query.partition("=")[0] + " must be an integer of at least" in reply.json["message"]
    assert limited.manage("GET", "/models/asked").status == 404


def test_preloaded_workers_are_confined_too(limited: RunningServer) -> None:
    """The process that loads the model has the limits, and so has whatever is forked from it."""
    limited.store.add("forked", MODEL)
    assert limited.register("forked", preload_model="true", initial_workers=2).status == 200
    assert answer(limited, "forked", "limit:RLIMIT_DATA") == str((600 * MIB, 600 * MIB))
    assert limited.predict("forked", f"allocate:{900 * MIB}", kind="application/octet-stream").status == 507


def test_code_in_the_model_folder_does_not_run_before_the_limits(limited: RunningServer) -> None:
    """Python imports `sitecustomize` from the model's folder before any line of the worker: it finds itself confined."""
    limited.store.add("early", "import sitecustomize\ndef handle(data, context):\n    return data and [sitecustomize.FOUND]\n")
    code = "import resource\nFOUND = str(resource.getrlimit(resource.RLIMIT_DATA)[0])\n"
    (limited.store.folder / "early" / "sitecustomize.py").write_text(code)
    assert limited.register("early").status == 200
    assert answer(limited, "early", "") == str(600 * MIB)


@pytest.fixture(scope="module")
def other(folder: Path) -> Iterator[RunningServer]:
    """A server of root whose workers are nobody, may have 40 processes and run in the system's Python; with a large model m."""
    as_another_user()
    settings = {"worker_user": f"{NOBODY}:{NOBODY + 1}", "worker_processes": 40, "error_detail": "message", "arena_threshold_bytes": 4096}
    with serving(folder, settings=settings, env={"PATH": "/usr/bin:/bin"}) as server:
        add(server, "m", runtime="python3")
        yield server
        assert server.stop() == 0


def test_another_user(other: RunningServer) -> None:
    """No trace of root is left in the worker: no id, no group, no privilege to gain, no home."""
    assert answer(other, "m", "who") == f"(({NOBODY}, {NOBODY}, {NOBODY}), ({NOBODY + 1}, {NOBODY + 1}, {NOBODY + 1})) [{NOBODY + 1}] /"
    assert answer(other, "m", "status:CapEff") == "0" * 16
    assert answer(other, "m", "status:NoNewPrivs") == "1"
    assert other.describe("m")["user"] == f"{NOBODY}:{NOBODY + 1}"


def test_another_user_cannot_read_what_is_the_servers(other: RunningServer) -> None:
    """Neither files of root nor the server's environment, memory or descriptors."""
    secret = other.folder / "key.pem"
    secret.write_text("private")
    secret.chmod(0o600)
    for path in (secret, f"/proc/{other.pid}/environ", f"/proc/{other.pid}/mem", f"/proc/{other.pid}/fd/1"):
        assert answer(other, "m", f"read:{path}") == "Permission denied"


def test_a_fork_bomb_is_contained(other: RunningServer) -> None:
    """The kernel refuses the process that would be one too many; server and worker live on."""
    worker = answer(other, "m", "pid")
    count, _, why = answer(other, "m", "fork:500").partition(" then ")
    assert 0 < int(count) < 40
    assert why == "Resource temporarily unavailable"
    assert answer(other, "m", "pid") == worker


def test_large_bodies_and_output_reach_another_user(other: RunningServer) -> None:
    """Shared memory, the page and the pipes of its output are usable."""
    assert answer(other, "m", "length:" + "z" * MIB) == str(MIB)
    assert answer(other, "m", "stdout:spoken aloud") == "said"
    other.wait_for_line("spoken aloud")


def test_archives_are_readable_for_their_workers_only(other: RunningServer) -> None:
    """An archive is unpacked where the group of the workers can read it and strangers cannot even enter; it goes with its model."""
    with zipfile.ZipFile(other.store.folder / "packed.mar", "w") as archive:
        for path in (other.store.folder / "m").rglob("*"):
            archive.write(path, path.relative_to(other.store.folder / "m"))
    assert other.register("packed.mar", model_name="packed", runtime="python3").status == 200
    assert answer(other, "packed", "pid").isdigit()
    root = other.temp / f".argosy-0-{NOBODY + 1}"
    for place in (root, *root.rglob("*")):
        assert place.stat().st_mode & 0o027 == 0, place
    listing = subprocess.run(["ls", str(root)], user=NOBODY, group=NOBODY + 1, capture_output=True, check=False)
    assert listing.returncode != 0
    assert other.manage("DELETE", "/models/packed").status == 200
    assert not list(root.rglob("service.py"))


def test_preloaded_workers_of_another_user_are_supervised(other: RunningServer) -> None:
    """They are forked as that user, killed and replaced like any other."""
    other.store.add("forked", MODEL)
    assert other.register("forked", preload_model="true", runtime="python3").status == 200
    assert answer(other, "forked", "who").startswith(f"(({NOBODY},")
    worker = int(answer(other, "forked", "pid"))
    os.kill(worker, 9)
    assert wait_for(lambda: other.predict("forked", "pid", kind="application/octet-stream").status == 200, "another worker serves")


def test_a_model_that_its_user_cannot_read_is_refused(other: RunningServer) -> None:
    """The reply names the place, the user and the setting; nothing of the model stays."""
    closed = other.store.folder / "closed"
    other.store.add("closed", MODEL)
    closed.chmod(0o700)
    reply = other.register("closed", runtime="python3")
    assert reply.status == 400
    assert f"its workers run as user {NOBODY}:{NOBODY + 1} (worker_user), who may not enter {closed}" in reply.json["message"]
    assert other.manage("GET", "/models/closed").status == 404


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"worker_user": "0"}, "cannot be root"),
        ({"worker_user": "no-such-user-here"}, "There is no user no-such-user-here"),
        ({"model_limits": '{"m": {"memory": 1}}'}, "m: There is no limit 'memory'; known are memory_bytes"),
        ({"worker_memory_bytes": "5"}, "Out of range: 5"),
    ],
)
def test_unusable_settings_stop_the_start(tmp_path: Path, settings: dict[str, str], says: str) -> None:
    """A server that could not confine as told does not start, and says why."""
    server = RunningServer(tmp_path, settings)
    with server.launched():
        assert server.wait() != 0
    assert says in "\n".join(server.output)


def test_a_limit_that_root_would_not_feel_stops_the_start(tmp_path: Path) -> None:
    """The kernel counts no processes of root: a limit of them would only look like one."""
    if os.geteuid():
        pytest.skip("only for root has this limit no effect")
    server = RunningServer(tmp_path, {"worker_processes": 10})
    with server.launched():
        assert server.wait() != 0
    assert "set worker_user as well" in "\n".join(server.output)


def test_workers_of_the_servers_own_user_cannot_look_into_it() -> None:
    """A server that is not root: its memory and environment are closed to its user, and it measures itself all the same."""
    as_another_user()
    packages = os.pathsep.join([str(Path(argosy.__file__).parents[1]), *(path for path in sys.path if path.endswith("site-packages"))])
    become = "import os, sys; os.setgroups([]); os.setgid(54321); os.setuid(54321); os.execv(sys.argv[1], [sys.argv[1], *sys.argv[3:]])"
    prefix = [SYSTEM_PYTHON, "-c", become, SYSTEM_PYTHON]
    made = Path(tempfile.mkdtemp(prefix="argosy-own-user-"))
    try:
        with _given_to(made, RunningServer(made, {"worker_processes": 200}, ["m"], {"PYTHONPATH": packages, "SECRET": "x"}, prefix)) as server:
            assert answer(server, "m", "who").startswith(f"(({NOBODY}, {NOBODY}, {NOBODY})")
            for path in ("environ", "mem", "fd/1", "maps"):
                assert answer(server, "m", f"read:/proc/{server.pid}/{path}") == "Permission denied"
            with contextlib.closing(server.connect()) as connection:
                connection.request("GET", "/metrics")
                found = dict(line.split() for line in connection.getresponse().read().decode().splitlines() if line.startswith("argosy_process_"))
            assert float(found["argosy_process_open_files"]) > 5
            assert float(found["argosy_process_resident_bytes"]) > MIB
            assert answer(server, "m", "limit:RLIMIT_NPROC") == "(200, 200)"
    finally:
        shutil.rmtree(made)


@contextlib.contextmanager
def _given_to(folder: Path, server: RunningServer) -> Iterator[RunningServer]:
    """The server, run with everything in its folder owned by the other user."""
    server.store.add("m", MODEL)
    for place in (folder, *folder.rglob("*")):
        os.chown(place, NOBODY, NOBODY)
    with server:
        yield server
        assert server.stop() == 0
