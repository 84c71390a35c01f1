"""What people see of a deployment."""

from __future__ import annotations

import io

from argosy.sagemaker.deploy.display import Display
from argosy.sagemaker.deploy.step import Action


def shown(*, is_terminal: bool, is_dry: bool = False) -> str:
    """What a display writes about one upload."""
    out, moments = io.StringIO(), iter((1.0, 3.5, 4.0))
    display = Display(out, lambda: next(moments), is_terminal=is_terminal)
    display.begin(1, 2, "model data", "s3://b/k")
    display.act(Action("upload", "s3://b/k (2.0 MB)"), is_dry)
    display.progress(1_000_000, 2_000_000)
    display.progress(2_000_000, 2_000_000)
    display.note("Creating")
    display.note("Creating")
    display.end(1, is_dry)
    display.begin(2, 2, "image", "i")
    display.end(0, is_dry)
    return out.getvalue()


def test_a_file_gets_lines() -> None:
    """No bytes as they go; a status that stays the same once."""
    assert shown(is_terminal=False).splitlines() == [
        "[1/2] model data: s3://b/k", "        upload: s3://b/k (2.0 MB)", "        Creating", "        done in 2.5 s", "[2/2] image: i",
        "        nothing to do"]  # fmt: skip


def test_a_terminal_gets_one_line_that_changes() -> None:
    """The bytes go on in place, and what follows begins on a line of its own."""
    text = shown(is_terminal=True)
    assert "\r        1.0 of 2.0 MB, 50 %\r        2.0 of 2.0 MB, 100 %\n        Creating\n" in text


def test_a_dry_run_says_would() -> None:
    """Nothing is told as done."""
    text = shown(is_terminal=False, is_dry=True)
    assert "would upload" in text
    assert "done in" not in text


def test_an_action_after_half_an_upload() -> None:
    """A line that was not finished does not swallow the next."""
    out = io.StringIO()
    display = Display(out, lambda: 0.0, is_terminal=True)
    display.progress(1, 2)
    display.note("stopped")
    assert out.getvalue() == "\r        0.0 of 0.0 MB, 50 %\n        stopped\n"
