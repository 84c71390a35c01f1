"""A deployment is a row of steps: each looks at what there is, decides in plain code what is missing, and does that."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from argosy.errors import ArgosyError, ErrorCode

Seen = TypeVar("Seen")


@dataclass(frozen=True, slots=True)
class Action:
    """One thing to do. `verb` and `subject` are for the step that made it, `text` for people: what will be there afterwards."""

    verb: str
    text: str
    subject: str = ""


class Step(Protocol[Seen]):
    """One part of a deployment. A step that has been carried out decides, when asked again, that there is nothing to do."""

    @property
    def title(self) -> str:
        """A word or two."""

    @property
    def target(self) -> str:
        """What it is about, for people."""

    def observe(self) -> Seen:
        """What there is. Changes nothing. Raises `ArgosyError`."""

    def decide(self, seen: Seen) -> Sequence[Action]:
        """What is missing, in order; depends on `seen` and the wish only."""

    def apply(self, action: Action) -> None:
        """Do it. Raises `ArgosyError`; then the action is done or not done, and may be tried again."""


class Report(Protocol):
    """Is told how it goes."""

    def begin(self, number: int, total: int, title: str, target: str) -> None:
        """A step begins."""

    def act(self, action: Action, is_dry: bool) -> None:
        """An action begins; in a dry run it would."""

    def progress(self, done: int, total: int) -> None:
        """So many bytes of the current action are done."""

    def note(self, text: str) -> None:
        """Something worth knowing."""

    def end(self, actions: int, is_dry: bool) -> None:
        """The step is done; it had so many actions."""


class Silence:
    """A report that nobody reads."""

    def begin(self, number: int, total: int, title: str, target: str) -> None:
        """See `Report`."""

    def act(self, action: Action, is_dry: bool) -> None:
        """See `Report`."""

    def progress(self, done: int, total: int) -> None:
        """See `Report`."""

    def note(self, text: str) -> None:
        """See `Report`."""

    def end(self, actions: int, is_dry: bool) -> None:
        """See `Report`."""


class Stopped(ArgosyError):
    """A step failed. `step` is its title, `done` what had been made in this run; the failure itself is its cause."""

    def __init__(self, step: str, place: str, cause: ArgosyError, done: Sequence[Action], advice: str) -> None:
        made = [f"  {action.text}" for action in done] or ["  nothing"]
        detail = "\n".join(filter(None, [cause.detail, "made in this run, and kept:", *made, advice]))
        super().__init__(cause.code, f"Stopped at step {place}, {step}: {cause.message}", detail=detail)
        self.step = step
        self.done = tuple(done)


def carry_out(steps: Sequence[Step[Any]], report: Report, *, is_dry: bool, advice: str) -> list[Action]:
    """Take the steps in order and return what was done, or in a dry run what would be.

    Raises `Stopped` at the first step that fails, with what had been done until then and `advice`.
    """
    done: list[Action] = []
    for number, step in enumerate(steps, 1):
        report.begin(number, len(steps), step.title, step.target)
        try:
            found = _take(step, report, done, is_dry)
        except ArgosyError as error:
            raise Stopped(step.title, f"{number} of {len(steps)}", error, [] if is_dry else done, advice) from error
        report.end(found, is_dry)
    return done


def _take(step: Step[Any], report: Report, done: list[Action], is_dry: bool) -> int:
    actions = step.decide(step.observe())
    for action in actions:
        report.act(action, is_dry)
        if not is_dry:
            step.apply(action)
        done.append(action)
    return len(actions)


def unmade(what: str) -> ArgosyError:
    """A step was asked for something that an earlier one should have made: a mistake of this program."""
    return ArgosyError(ErrorCode.INTERNAL, f"{what} is not known yet.")


@dataclass(slots=True)
class Draft:
    """What the steps hand on: each value is written by one step and read by later ones. Empty in a dry run if it would only then be made."""

    model_url: str = ""
    """By the model data."""
    image: str = ""
    """By the image: with its digest, so that it stays the same."""
    role: str = ""
    """By the execution role: its ARN."""
    model: str = ""
    """By the model: its name."""
    config: str = ""
    """By the endpoint configuration: its name."""
