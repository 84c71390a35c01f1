"""Runs the programs that build images."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence

from argosy.docker.tool import Order, Tool
from argosy.errors import ArgosyError, ErrorCode

_PROBE_S = 30


def probe(command: Sequence[str]) -> str:
    """Run a command that asks a program how it is doing; why it failed, in one line, empty if it did not."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=_PROBE_S, check=False)
    except FileNotFoundError:
        return "not installed"
    except OSError as error:
        return str(error.strerror)
    except subprocess.TimeoutExpired:
        return f"no answer in {_PROBE_S} s"
    if done.returncode == 0:
        return ""
    lines = [line.strip() for line in (done.stderr or done.stdout).splitlines() if line.strip()]
    return lines[-1] if lines else f"status {done.returncode}"


def build(tool: Tool, order: Order) -> None:
    """Build the image; the program writes to our output. Raises `ArgosyError` INTERNAL when it fails."""
    try:
        status = subprocess.run(tool.command(order), env={**os.environ, **tool.environment}, check=False).returncode
    except OSError as error:
        raise ArgosyError(ErrorCode.INTERNAL, f"{tool.name} cannot be run: {error.strerror}") from None
    if status:
        raise ArgosyError(ErrorCode.INTERNAL, f"{tool.name} could not build {order.tags[0]} (status {status}): its output above says why")
