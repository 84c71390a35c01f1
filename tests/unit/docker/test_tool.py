"""Which program builds images, and what it is told."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from argosy.docker.tool import NAMES, Order, Probe, Tool, find_tool
from argosy.errors import ArgosyError, ErrorCode

ORDER = Order(Path("/src"), Path("/src/Dockerfile"), ["one:1", "two"], target="cpu", arguments={"BASE": "debian"}, made_at=7, extra=["--pull=false"])


def usable(*names: str) -> Probe:
    """Only these programs work."""
    return lambda command: "" if command[0] in names else "not installed"


def test_none_is_there() -> None:
    """The error says what is wrong with each, and what to do."""
    def probe(command: Sequence[str]) -> str:
        return "Cannot connect to the Docker daemon" if command[0] == "docker" else "not installed"

    words = r"\(docker: Cannot connect to the Docker daemon; podman: not installed; buildah: not installed\): install"
    with pytest.raises(ArgosyError, match=words) as failed:
        find_tool(None, probe)
    assert failed.value.code is ErrorCode.INVALID_CONFIG


def test_the_one_asked_for_is_not_there() -> None:
    """No other one is taken in its place."""
    with pytest.raises(ArgosyError, match=r"\(podman: not installed\): start it, or leave --tool out"):
        find_tool("podman", usable("docker", "buildah"))


@pytest.mark.parametrize("count", range(len(NAMES)))
def test_the_first_that_works(count: int) -> None:
    """In a fixed order, however many work."""
    assert find_tool(None, usable(*NAMES[count:])).name == NAMES[count]


def test_asked_for() -> None:
    """It is taken though another one would come first."""
    assert find_tool("buildah", usable(*NAMES)).name == "buildah"


@pytest.mark.parametrize("name", ["podman", "buildah"])
def test_command_without_daemon(name: str) -> None:
    """All of the order, a manifest that every platform takes, one time for all files."""
    assert Tool(name).command(ORDER) == [
        name, "build", "--file", "/src/Dockerfile", "--format", "docker", "--timestamp", "7", "--tag", "one:1", "--tag", "two", "--target", "cpu",
        "--build-arg", "BASE=debian", "--build-arg", "SOURCE_DATE_EPOCH=7", "--pull=false", "/src"]
    assert Tool(name).environment == {}


def test_command_of_docker() -> None:
    """It knows the time by an argument, and makes no index, which SageMaker refuses."""
    assert Tool("docker").command(ORDER) == [
        "docker", "build", "--file", "/src/Dockerfile", "--tag", "one:1", "--tag", "two", "--target", "cpu",
        "--build-arg", "BASE=debian", "--build-arg", "SOURCE_DATE_EPOCH=7", "--pull=false", "/src"]
    assert Tool("docker").environment == {"BUILDX_NO_DEFAULT_ATTESTATIONS": "1"}


@pytest.mark.parametrize("name", NAMES)
def test_a_small_order(name: str) -> None:
    """What was not asked for is not said."""
    command = Tool(name).command(Order(Path("."), Path("Dockerfile"), ["t"]))
    assert {"--target", "--build-arg", "--timestamp"} & set(command) == set()
    assert command[-1] == "."


def test_as_one_would_type_it() -> None:
    """What a shell would split or expand is quoted."""
    line = Tool("docker").line(Order(Path("my models"), Path("my models/Dockerfile"), ["t"]))
    assert line == "BUILDX_NO_DEFAULT_ATTESTATIONS=1 docker build --file 'my models/Dockerfile' --tag t 'my models'"
