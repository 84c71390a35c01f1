"""Programs that run in the background for as long as a block lasts."""

from __future__ import annotations

import re
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

STOP_S = 60


class JourneyError(Exception):
    """Something did not go as promised; the message says what, and what to do."""


@contextmanager
def running(command: Sequence[str], environ: Mapping[str, str], log: Path, ready: str, start_s: float) -> Iterator[re.Match[str]]:
    """The program, from when it has printed what `ready` matches until the block ends; then it gets SIGTERM, and a minute.

    Yields the match. What it prints goes to `log`. Raises `JourneyError`, with the end of the log, if it ends before or takes longer.
    """
    with log.open("wb") as out:
        # in a session of its own: Ctrl-C is for us, who stop it in order
        process = subprocess.Popen(command, env=dict(environ), stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True)
    try:
        yield _announced(process, log, ready, start_s)
    finally:
        process.terminate()
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _announced(process: subprocess.Popen[bytes], log: Path, ready: str, start_s: float) -> re.Match[str]:
    name, until = Path(str(process.args[0])).name, time.monotonic() + start_s  # type: ignore[index]  # a sequence is what it was given
    while True:
        has_ended = process.poll() is not None
        said = log.read_text("utf-8", "replace")
        if found := re.search(ready, said, re.MULTILINE):
            return found
        if has_ended or time.monotonic() > until:
            what = f"ended with status {process.returncode}" if has_ended else f"was not ready within {start_s:.0f} s"
            raise JourneyError(f"{name} {what}. It printed:\n{said[-3000:]}")
        time.sleep(0.1)


def free_port() -> int:
    """A port of this machine that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
