"""Steps are taken in order; one that fails stops the row and tells what had been done."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from argosy.errors import ArgosyError, ErrorCode
from argosy.sagemaker.deploy.step import Action, Silence, Stopped, carry_out


@dataclass
class FakeStep:
    """Wants its actions done, once each; `fails_at` is the verb that fails, or observe."""

    title: str
    verbs: tuple[str, ...]
    fails_at: str = ""
    done: list[str] = field(default_factory=list)
    target: str = "thing"

    def observe(self) -> list[str]:
        """What was done."""
        if self.fails_at == "observe":
            raise ArgosyError(ErrorCode.FORBIDDEN, "may not look", detail="because")
        return list(self.done)

    def decide(self, seen: list[str]) -> Sequence[Action]:
        """What was not."""
        return [Action(verb, f"{self.title} {verb}") for verb in self.verbs if verb not in seen]

    def apply(self, action: Action) -> None:
        """Do it."""
        if action.verb == self.fails_at:
            raise ArgosyError(ErrorCode.INTERNAL, "cannot do")
        self.done.append(action.verb)


class Story(Silence):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def begin(self, number: int, total: int, title: str, target: str) -> None:
        """See `Report`."""
        self.told.append(f"{number}/{total} {title}")

    def act(self, action: Action, is_dry: bool) -> None:
        """See `Report`."""
        self.told.append(("would " if is_dry else "") + action.verb)

    def end(self, actions: int, is_dry: bool) -> None:
        """See `Report`."""
        self.told.append(f"{actions} done")


def test_failure_and_resume() -> None:
    """The error names the step and what was made; the second run does the rest, and a third nothing."""
    steps = [FakeStep("a", ("x",)), FakeStep("b", ("y", "z"), fails_at="z"), FakeStep("c", ("w",))]
    with pytest.raises(Stopped) as found:
        carry_out(steps, Silence(), is_dry=False, advice="Go on.")
    error = found.value
    assert (error.step, error.code, error.message) == ("b", ErrorCode.INTERNAL, "Stopped at step 2 of 3, b: cannot do")
    assert error.detail == "made in this run, and kept:\n  a x\n  b y\nGo on."
    assert [action.text for action in error.done] == ["a x", "b y"]
    assert steps[2].done == []
    steps[1].fails_at = ""
    assert [action.text for action in carry_out(steps, Silence(), is_dry=False, advice="")] == ["b z", "c w"]
    assert carry_out(steps, Silence(), is_dry=False, advice="") == []


def test_a_look_that_fails() -> None:
    """Nothing was made: the error says that, with the detail of the cause."""
    with pytest.raises(Stopped) as found:
        carry_out([FakeStep("a", ("x",), fails_at="observe")], Silence(), is_dry=False, advice="Go on.")
    assert found.value.code is ErrorCode.FORBIDDEN
    assert found.value.detail == "because\nmade in this run, and kept:\n  nothing\nGo on."


def test_a_dry_run_does_nothing() -> None:
    """Every action is told, none is done, not even in an error."""
    steps = [FakeStep("a", ("x",)), FakeStep("b", ("y",), fails_at="observe")]
    story = Story()
    with pytest.raises(Stopped) as found:
        carry_out(steps, story, is_dry=True, advice="")
    assert found.value.done == ()
    assert steps[0].done == []
    assert story.told == ["1/2 a", "would x", "1 done", "2/2 b"]


def test_the_report() -> None:
    """Steps are numbered, actions told before they are done."""
    story = Story()
    carry_out([FakeStep("a", ("x", "y")), FakeStep("b", ())], story, is_dry=False, advice="")
    assert story.told == ["1/2 a", "x", "y", "2 done", "2/2 b", "0 done"]
