"""How a deployment goes, for people: a line for each action, and on a terminal the bytes of an upload as they go."""

from __future__ import annotations

from collections.abc import Callable
from typing import TextIO

from argosy.sagemaker.deploy.step import Action


class Display:
    """A `Report` that writes lines. `clock` gives seconds that only grow."""

    def __init__(self, out: TextIO, clock: Callable[[], float], *, is_terminal: bool) -> None:
        self._out = out
        self._clock = clock
        self._is_terminal = is_terminal
        self._began_s = 0.0
        self._shown = ""
        """The unfinished line of a terminal."""
        self._last_note = ""

    def begin(self, number: int, total: int, title: str, target: str) -> None:
        """See `Report`."""
        self._began_s = self._clock()
        self._last_note = ""
        self._line(f"[{number}/{total}] {title}: {target}")

    def act(self, action: Action, is_dry: bool) -> None:
        """See `Report`."""
        self._line(f"        {'would ' if is_dry else ''}{action.verb}: {action.text}")

    def progress(self, done: int, total: int) -> None:
        """On a terminal one line that changes; nothing elsewhere."""
        if self._is_terminal:
            text = f"        {done / 1e6:,.1f} of {total / 1e6:,.1f} MB, {100 * done // max(total, 1)} %"
            self._out.write(f"\r{text}")
            self._out.flush()
            self._shown = text
            if done >= total:
                self._line(None)

    def note(self, text: str) -> None:
        """Each new one once: a status that stays the same is no news."""
        if text != self._last_note:
            self._last_note = text
            self._line(f"        {text}")

    def end(self, actions: int, is_dry: bool) -> None:
        """See `Report`."""
        if not actions:
            self._line("        nothing to do")
        elif not is_dry:
            self._line(f"        done in {self._clock() - self._began_s:.1f} s")

    def _line(self, text: str | None) -> None:
        if self._shown:
            self._out.write("\n")
            self._shown = ""
        if text is not None:
            self._out.write(f"{text}\n")
        self._out.flush()
