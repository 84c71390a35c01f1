"""How a request, a manifest and the configuration become one registered model."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from argosy.config import Config, User
from argosy.control.registration import MAX_URL, Interpreters, RegisterRequest, check_readable, check_request, make_spec
from argosy.errors import ArgosyError, ErrorCode
from argosy.store.manifest import Manifest
from argosy.supervisor.spec import ModelSpec
from fakes.serving import manifest

FOLDER = Path("/models/m")
PYTHONS = Interpreters("/opt/python", {"python3": "/usr/bin/python3"}.get)


def made(request: RegisterRequest, found: Manifest, config: Config | None = None, startup_name: str | None = None) -> ModelSpec:
    return make_spec(request, found, FOLDER, config or Config(), PYTHONS, startup_name)


def test_manifest_decides_what_the_request_leaves_open() -> None:
    """Name, handler and runtime come from the manifest, limits from the configuration."""
    spec = made(RegisterRequest("m.mar"), manifest("m", "svc:run", "python3"), Config(preload_model=True, startup_timeout_s=5.0))
    assert (spec.name, spec.handler, spec.runtime, spec.interpreter) == ("m", "svc:run", "python3", "/usr/bin/python3")
    assert (spec.url, spec.directory, spec.preload, spec.startup_timeout_s, spec.response_timeout_s) == ("m.mar", FOLDER, True, 5.0, 7200.0)
    assert not spec.loaded_at_startup


def test_request_beats_manifest_and_configuration() -> None:
    """Everything that a request says counts."""
    request = RegisterRequest("u", "n", "h:f", "python", 4, 250, response_timeout_s=77.0, preload=False, concurrency=9)
    spec = made(request, manifest("m", "svc:run", "python3"), Config(preload_model=True))
    assert (spec.name, spec.handler, spec.runtime, spec.interpreter) == ("n", "h:f", "python", "/opt/python")
    assert (spec.batch_size, spec.max_batch_delay_ms, spec.response_timeout_s, spec.preload, spec.concurrency) == (4, 250, 77.0, False, 9)
    assert made(RegisterRequest("m.mar"), manifest("m", "svc:run", "python3"), Config(worker_concurrency=5)).concurrency == 5


def test_defaults_fill_in() -> None:
    """A model without a manifest is served with the operator's handler, which may lie anywhere, under the name of the start."""
    spec = made(RegisterRequest("u"), Manifest(), Config(default_service_handler="/opt/handlers/service.py:handle"), "named")
    assert (spec.name, spec.handler, spec.manifest, spec.loaded_at_startup) == ("named", "/opt/handlers/service.py:handle", None, True)


def test_numbers_below_their_range_stay_as_they_were_given() -> None:
    """A description shows what was asked for; whoever builds the model treats it as one job and no delay."""
    spec = made(RegisterRequest("u", batch_size=-5, max_batch_delay_ms=-1), manifest())
    assert (spec.batch_size, spec.max_batch_delay_ms) == (-5, -1)


def test_an_absurdly_long_url_is_the_requests_fault() -> None:
    """It is not looked for, and the refusal has its beginning only."""
    long = "https://host/" + "u" * MAX_URL
    with pytest.raises(ArgosyError) as caught:
        check_request(RegisterRequest(long))
    assert caught.value.code is ErrorCode.INVALID_REQUEST
    assert caught.value.message == f"Parameter url is {len(long)} characters long; at most {MAX_URL} are allowed: {long[:60]}…"
    check_request(RegisterRequest(long[:MAX_URL]))


@pytest.mark.parametrize(
    ("runtime", "text"), [("python2", "not supported"), ("python3", "no program python3 on the PATH")], ids=["python2", "python3"])
def test_missing_interpreters_are_named(runtime: str, text: str) -> None:
    """A runtime that nothing here can run is refused at once, with what to do."""
    with pytest.raises(ArgosyError, match=text) as caught:
        make_spec(RegisterRequest("u"), manifest(runtime=runtime), FOLDER, Config(), Interpreters("/opt/python", lambda _: None))
    assert caught.value.code is ErrorCode.INVALID_MODEL


@pytest.mark.parametrize("runtime", ["ruby", "PYTHON", ""])
def test_unknown_runtimes_are_the_requests_fault(runtime: str) -> None:
    """Only the three known words, in lower case, are runtimes."""
    with pytest.raises(ArgosyError, match=f"^Invalid RuntimeType value: {runtime}$") as caught:
        check_request(RegisterRequest("u", runtime=runtime))
    assert caught.value.code is ErrorCode.INVALID_REQUEST


def test_limits_of_the_operator_and_of_the_request() -> None:
    """A model gets what the configuration allows it; a registration may only ask for less."""
    config = Config(worker_memory_bytes=1 << 28, worker_open_files=64)
    spec = made(RegisterRequest("u", limits={"memory_bytes": 1 << 29, "open_files": 32}), manifest(), config)
    assert spec.confinement.limits == {"memory_bytes": 1 << 28, "open_files": 32}
    assert made(RegisterRequest("u"), manifest()).confinement.is_free


@pytest.fixture
def reachable() -> Iterator[Path]:
    """A folder that everybody can enter, unlike pytest's own."""
    with tempfile.TemporaryDirectory(prefix="argosy-reach-") as name:
        os.chmod(name, 0o711)
        yield Path(name).resolve()


@pytest.mark.parametrize(
    ("mode", "folder_mode", "verb", "place"),
    [(0o644, 0o700, "enter", "inner"), (0o600, 0o755, "read", "inner/file"), (0o644, 0o744, "enter", "inner"), (0o640, 0o755, "read", "inner/file")])
def test_files_that_the_user_of_the_workers_cannot_read(reachable: Path, mode: int, folder_mode: int, verb: str, place: str) -> None:
    """The first place on the way that lets the user not pass is named, with user and setting."""
    file = reachable / "inner" / "file"
    file.parent.mkdir()
    file.touch()
    stranger = User(os.getuid() + 54321, os.getgid() + 54321)
    os.chmod(file.parent, 0o755)
    os.chmod(file, 0o644)
    check_readable("m", stranger, [file, reachable / "inner"])
    os.chmod(file, mode)
    os.chmod(file.parent, folder_mode)
    with pytest.raises(ArgosyError, match=rf"\(worker_user\), who may not {verb} {reachable / place}\.") as caught:
        check_readable("m", stranger, [file])
    assert caught.value.code is ErrorCode.INVALID_MODEL


@pytest.mark.parametrize(
    ("mode", "uid", "group", "is_readable"),
    [(0o044, 0, 1, False), (0o400, 0, 1, True), (0o404, 1, 0, False), (0o040, 1, 0, True), (0o440, 1, 1, False), (0o004, 1, 1, True)])
def test_group_and_owner_count_before_the_others(reachable: Path, mode: int, uid: int, group: int, is_readable: bool) -> None:
    """Modes are read as the kernel reads them: the owner's own, else the group's, else those of all others. 0 is us, 1 somebody else."""
    file = reachable / "file"
    file.touch()
    os.chmod(file, mode)
    user = User(os.getuid() + uid * 54321, 54321, (os.getgid() + group * 54321,))
    if is_readable:
        check_readable("m", user, [file, reachable / "gone"])
        return
    with pytest.raises(ArgosyError, match="may not read"):
        check_readable("m", user, [file])
