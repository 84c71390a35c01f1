"""The temporary folder is the one that the system says."""

from __future__ import annotations

from pathlib import Path

from argosy.folders import temporary_folder


def test_what_is_no_folder_is_passed_over(tmp_path: Path) -> None:
    """A variable that names nothing, or a file, does not count; the next one does."""
    file, folder = tmp_path / "file", tmp_path / "folder"
    file.write_text("")
    folder.mkdir()
    assert temporary_folder({"TMPDIR": "/no/such", "TEMP": str(file), "TMP": str(folder)}, tmp_path) == folder


def test_a_relative_folder_counts_from_the_current_one(tmp_path: Path) -> None:
    """So it means the same to whoever starts the server and to the server."""
    (tmp_path / "here").mkdir()
    assert temporary_folder({"TMPDIR": "here"}, tmp_path) == tmp_path / "here"


def test_without_a_variable_it_is_the_usual_one(tmp_path: Path) -> None:
    """An empty variable is none."""
    assert temporary_folder({"TMPDIR": ""}, tmp_path) == Path("/tmp")


def test_a_name_that_cannot_be_is_passed_over(tmp_path: Path) -> None:
    """So is one that nobody may look at."""
    assert temporary_folder({"TMPDIR": "x" * 300, "TEMP": str(tmp_path)}, Path("/")) == tmp_path
