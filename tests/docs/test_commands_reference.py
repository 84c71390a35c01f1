"""The reference of commands names every command and every option."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest

from argosy.cli.compatible import parser
from argosy.cli.main import main

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGE = (DOCS / "reference" / "commands.md").read_text()


def section(title: str) -> str:
    """The text below a heading of the page, up to the next one of its rank."""
    found = re.search(rf"^(#+) `{re.escape(title)}[^\n]*\n(.*?)(?=^\1 |\Z)", PAGE, re.MULTILINE | re.DOTALL)
    assert found is not None, title
    return found[2]


NAMES = main.list_commands(click.Context(main))


def options(name: str) -> list[str]:
    """The long options of a command of `argosy`, without those that every command has."""
    command = main.get_command(click.Context(main), name)
    assert command is not None
    names = [name for given in command.params if isinstance(given, click.Option) for name in given.opts]
    return [name for name in names if name.startswith("--") and name != "--help"]


@pytest.mark.parametrize("name", NAMES)
def test_every_command_has_a_section(name: str) -> None:
    """Each command of `argosy` is explained."""
    assert section(f"argosy {name}")


def test_every_option_of_serve_is_explained() -> None:
    """Each has a row."""
    text = section("argosy serve")
    assert [option for option in options("serve") if f"| `{option}` |" not in text] == []


def test_every_option_of_kubernetes_is_explained() -> None:
    """Each has a row."""
    text = section("argosy k8s")
    assert "--image" in options("k8s")
    assert [option for option in options("k8s") if f"| `{option}` |" not in text] == []


def test_every_option_of_the_images_is_explained() -> None:
    """Each option of each command is in the section of the group."""
    text = section("argosy docker")
    group = main.get_command(click.Context(main), "docker")
    assert isinstance(group, click.Group)
    commands = [group.get_command(click.Context(group), name) for name in group.list_commands(click.Context(group))]
    known = {name for command in commands if command for given in command.params if isinstance(given, click.Option) for name in given.opts}
    assert "--dry-run" in known
    assert [option for option in sorted(known) if f"`{option}" not in text] == []


def test_every_option_of_sagemaker_is_explained() -> None:
    """Each option of each command is in the section of the group."""
    text = section("argosy sagemaker")
    group = main.get_command(click.Context(main), "sagemaker")
    assert isinstance(group, click.Group)
    commands = [group.get_command(click.Context(group), name) for name in group.list_commands(click.Context(group))]
    known = {name for command in commands if command for given in command.params if isinstance(given, click.Option) for name in given.opts}
    assert {"--sample", "--keep-data", "--stream"} <= known
    assert [option for option in sorted(known) if option.startswith("--") and f"`{option}" not in text] == []


def test_every_option_of_the_archiver_is_explained() -> None:
    """Its options are those of the guide to packaging."""
    text = (DOCS / "how-to" / "package-a-model.md").read_text()
    assert [option for option in options("archive") if f"`{option}`" not in text] == []


def test_every_option_of_the_old_command_is_explained() -> None:
    """Each has a row."""
    text = section("multi-model-server")
    known = re.findall(r"--[a-z-]+", parser().format_help().partition("\n\n")[0])
    assert known
    assert [option for option in ("--help", *known) if f"| `{option}` |" not in text] == []
