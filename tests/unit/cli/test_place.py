"""The folder that a command is called in."""

from __future__ import annotations

from pathlib import Path

import pytest

from argosy.cli.place import current_folder


def test_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is where the command was called."""
    monkeypatch.chdir(tmp_path)
    assert current_folder() == tmp_path


def test_a_folder_that_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command ends with a reason and what to do."""
    folder = tmp_path / "gone"
    folder.mkdir()
    monkeypatch.chdir(folder)
    folder.rmdir()
    with pytest.raises(SystemExit, match=r"cannot be used: No such file or directory. Change to another"):
        current_folder()
