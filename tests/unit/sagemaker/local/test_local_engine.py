"""Recipes: the commands that start containers and processes, and their environment."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from argosy.errors import ArgosyError, ErrorCode
from argosy.sagemaker.local.engine import Engine, Place, environment, find_engine, free_port, is_taken, process_recipe
from argosy.sagemaker.local.settings import ContainerSettings


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """A container with a model."""
    (tmp_path / "model").mkdir()
    return Place("argosy-e-1", 12345, tmp_path / "model", tmp_path, "eu-west-1")


def options(command: tuple[str, ...], name: str) -> list[str]:
    """The values of an option that may be repeated."""
    return [command[index + 1] for index, word in enumerate(command) if word == name]


def test_a_container_on_the_network_of_the_machine(place: Place) -> None:
    """It is told its port, sees its model read-only, and is ended and removed by its name."""
    settings = ContainerSettings("m", "image:1", env={"A": "b=c"})
    recipe = Engine(("podman", "--root", "r"), "host").recipe(settings, place, 29.6)
    assert recipe.command[:4] == ("podman", "--root", "r", "run")
    assert recipe.command[-2:] == ("image:1", "serve")
    assert options(recipe.command, "--network") == ["host"]
    assert options(recipe.command, "--ulimit") == ["host"]
    assert options(recipe.command, "--volume") == [f"{place.folder}:/opt/ml/model:ro"]
    assert {"SAGEMAKER_BIND_TO_PORT=12345", "A=b=c", "AWS_REGION=eu-west-1"} <= set(options(recipe.command, "--env"))
    assert recipe.stop == ("podman", "--root", "r", "stop", "--time", "30", "argosy-e-1")
    assert recipe.remove == ("podman", "--root", "r", "rm", "--force", "argosy-e-1")


def test_a_published_container(place: Place) -> None:
    """It listens at its usual port, which is published on loopback only."""
    recipe = Engine(("docker",), "publish").recipe(ContainerSettings(image="i", command=("run", "it")), place, 30)
    assert options(recipe.command, "--publish") == ["127.0.0.1:12345:8080"]
    assert "SAGEMAKER_BIND_TO_PORT=8080" in options(recipe.command, "--env")
    assert "--ulimit" not in recipe.command
    assert recipe.command[-3:] == ("i", "run", "it")


def test_a_multi_model_container(place: Place) -> None:
    """Its folder is that of the target models, and a variable says so."""
    settings = ContainerSettings("m", "i", multi_model=True)
    recipe = Engine(("podman",), "host").recipe(settings, place, 30)
    assert options(recipe.command, "--volume") == [f"{place.folder}:/opt/ml/models:ro"]
    assert environment(settings, place, 1)["SAGEMAKER_MULTI_MODEL"] == "true"


def test_what_is_set_wins() -> None:
    """Over what the platform sets."""
    settings = ContainerSettings(image="i", env={"AWS_REGION": "mine"})
    assert environment(settings, Place("n", 1, None, Path(), "us-east-1"), 1)["AWS_REGION"] == "mine"


def test_the_engine_is_the_one_that_was_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else podman, else docker; with the network that suits it."""
    for name in ("podman", "docker", "other"):
        (tmp_path / name).write_text("#!/bin/sh\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_engine("", "") == Engine(("podman",), "host")
    assert find_engine("other --x 'y z'", "") == Engine(("other", "--x", "y z"), "publish")
    assert find_engine("", "publish") == Engine(("podman",), "publish")
    (tmp_path / "podman").unlink()
    assert find_engine("", "") == Engine(("docker",), "publish")
    (tmp_path / "docker").unlink()
    with pytest.raises(ArgosyError, match="neither podman nor docker") as caught:
        find_engine("", "")
    assert caught.value.code is ErrorCode.INVALID_CONFIG


def test_our_own_server_as_a_process(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """On loopback only, both APIs on one port, with the folders of a container; it never asks the endpoint that it belongs to."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME", "http://127.0.0.1:1")
    recipe = process_recipe(ContainerSettings("m", env={"A": "b"}), place)
    assert {"inference_address=http://127.0.0.1:12345", "management_address=http://127.0.0.1:12345"} <= set(options(recipe.command, "--set"))
    assert str(place.folder) not in recipe.command
    assert recipe.env["SAGEMAKER_BASE_DIR"] == str(place.work)
    assert (recipe.env["A"], recipe.env["SAGEMAKER_BIND_TO_PORT"]) == ("b", "12345")
    assert "AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME" not in recipe.env
    assert recipe.cwd == place.work
    assert recipe.stop == recipe.remove == ()


def test_a_plain_handler_is_named(place: Place) -> None:
    """A folder without a manifest is no store: it is given to the server itself."""
    assert place.folder is not None
    (place.folder / "handler.py").write_text("")
    assert process_recipe(ContainerSettings("m"), place).command[-1] == str(place.folder)
    (place.folder / "MAR-INF").mkdir()
    assert process_recipe(ContainerSettings("m"), place).command[-1] != str(place.folder)


def test_a_server_of_another_make(place: Place) -> None:
    """Its command gets port and model."""
    recipe = process_recipe(ContainerSettings("m", command=("serve", "--port={port}", "{model}")), place)
    assert recipe.command == ("serve", "--port=12345", str(place.folder))
    assert recipe.cwd is None


def test_ports() -> None:
    """A free one is free; one that somebody listens at is taken."""
    assert not is_taken(free_port())
    with socket.create_server(("127.0.0.1", 0)) as sock:
        assert is_taken(sock.getsockname()[1])
