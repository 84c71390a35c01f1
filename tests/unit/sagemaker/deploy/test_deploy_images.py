"""Tools that know images, by stand-ins on PATH that write down how they were called."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from argosy.errors import ArgosyError, ErrorCode
from argosy.sagemaker.deploy.images import Commands, Containers, Docker, Login, find_image, tools

LOGIN = Login("1.dkr.ecr.us-east-1.amazonaws.com", "hush")
STAND_IN = """#!/bin/sh
echo "$(basename "$0") $*" >>"{folder}/calls"
env | grep -E '^DOCKER_(CONFIG|HOST)=' >>"{folder}/environment"
case "$*" in *password-stdin*) cat >>"{folder}/secrets"; echo >>"{folder}/secrets";; esac
{body}
"""


class Machine:
    """A folder of stand-ins, which is all that PATH has before the system's own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "bin").mkdir()
        self.environ = {**os.environ, "PATH": f"{folder}/bin:/usr/bin:/bin", "TMPDIR": str(folder)}

    def has(self, name: str, body: str) -> None:
        """Install a stand-in; `body` is what it does."""
        path = self.folder / "bin" / name
        path.write_text(STAND_IN.format(folder=self.folder, body=body))
        path.chmod(0o755)

    def read(self, name: str) -> list[str]:
        """The lines of what the stand-ins wrote down."""
        path = self.folder / name
        return path.read_text().splitlines() if path.exists() else []


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """A machine where each of the four tools is a stand-in that knows nothing."""
    made = Machine(tmp_path)
    for name in ("docker", "podman", "buildah", "skopeo"):
        made.has(name, "exit 1")
    return made


def test_the_first_tool_that_has_the_image(machine: Machine) -> None:
    """docker, podman, buildah are asked in this order; skopeo is for references with a transport."""
    machine.has("buildah", "echo sha256:0123456789abcdef")
    image = find_image("x:1", tools(machine.environ))
    assert (image.tool.name, image.identity, image.short) == ("buildah", "sha256:0123456789abcdef", "0123456789ab")
    assert [line.partition(" ")[0] for line in machine.read("calls")] == ["docker", "podman", "buildah"]


def test_an_image_that_nobody_has(machine: Machine) -> None:
    """The refusal says who was asked, and what to do; a tool that is not installed is no failure."""
    (machine.folder / "bin" / "podman").unlink()
    environ = {**machine.environ, "PATH": f"{machine.folder}/bin"}
    with pytest.raises(ArgosyError, match=r"no image x:1 here \(asked: docker, podman, buildah\)\. Build it first") as found:
        find_image("x:1", tools(environ))
    assert found.value.code is ErrorCode.INVALID_REQUEST


def test_what_is_no_identity(machine: Machine) -> None:
    """Several lines, or nothing, is not the digest of one image; what is no manifest is none for skopeo."""
    machine.has("docker", "echo a; echo b")
    machine.has("podman", "exit 0")
    machine.has("skopeo", "echo '[1]'")
    available = tools(machine.environ)
    assert [available[name].identity("x") for name in ("docker", "podman")] == [None, None]
    assert available["skopeo"].identity("oci:x") is None
    machine.has("skopeo", "echo no json")
    assert available["skopeo"].identity("oci:x") is None


def test_docker_pushes_with_a_configuration_of_its_own(machine: Machine) -> None:
    """The user's login is not touched, the engine stays the same, and the password goes by standard input only."""
    machine.has("docker", 'case "$*" in *context*) echo unix:///run/engine.sock;; esac')
    Docker(Commands(machine.environ)).push("x:1", f"{LOGIN.host}/r:t", LOGIN)
    calls = machine.read("calls")
    assert [line.split()[1] for line in calls] == ["context", "login", "tag", "push", "rmi"]
    assert calls[1] == f"docker login --username AWS --password-stdin {LOGIN.host}"
    assert machine.read("secrets") == ["hush"]
    assert "hush" not in "".join(calls)
    environment = machine.read("environment")
    folders = {line.partition("=")[2] for line in environment if line.startswith("DOCKER_CONFIG")}
    assert len(folders) == 1
    assert not Path(folders.pop()).exists()
    assert "DOCKER_HOST=unix:///run/engine.sock" in environment


@pytest.mark.parametrize(("host", "verify"), [(LOGIN.host, "true"), ("127.0.0.1:5000", "false"), ("localhost:5000", "false")])
def test_plain_http_is_for_this_machine_only(machine: Machine, host: str, verify: str) -> None:
    """A registry elsewhere must have a certificate."""
    machine.has("podman", "exit 0")
    Containers(Commands(machine.environ), "podman", (), ("push",)).push("x:1", f"{host}/r:t", Login(host, "hush"))
    login, push = machine.read("calls")
    assert f"--tls-verify={verify}" in login
    assert f"--tls-verify={verify} x:1 docker://{host}/r:t" in push
    assert machine.read("secrets") == ["hush"]


def test_a_push_that_fails(machine: Machine) -> None:
    """The last line of what the tool said, all of it in the detail, and never the password."""
    machine.has("podman", 'case "$1" in push) echo trying; echo "denied: no" >&2; exit 3;; esac')
    with pytest.raises(ArgosyError, match="podman push failed: denied: no") as found:
        Containers(Commands(machine.environ), "podman", (), ("push",)).push("x:1", f"{LOGIN.host}/r:t", LOGIN)
    assert found.value.detail == "trying\ndenied: no"
    assert "hush" not in repr(LOGIN) + found.value.message + found.value.detail


def test_a_tool_that_says_nothing(machine: Machine) -> None:
    """Its status is told."""
    machine.has("podman", "exit 3")
    with pytest.raises(ArgosyError, match="podman login failed: status 3"):
        Containers(Commands(machine.environ), "podman", (), ("push",)).push("x:1", f"{LOGIN.host}/r:t", LOGIN)
