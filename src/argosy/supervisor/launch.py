"""How a worker process is started, and what it is told to load."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import argosy
from argosy import wire
from argosy.config.confinement import Confinement
from argosy.supervisor.arena import Arena
from argosy.supervisor.process import Launch
from argosy.supervisor.spec import ModelSpec

MAIN = Path(argosy.__file__).parent / "worker" / "__main__.py"
_CONFINE = MAIN.with_name("confine.py")


def worker_launch(spec: ModelSpec, env: dict[str, str], arena: Arena | None, link_fd: int, page_fd: int, fork_fd: int | None = None) -> Launch:
    """The launch of a worker, or with `fork_fd` of the process that workers of the model are forked from."""
    argv = [spec.interpreter, str(MAIN), "--fd", str(link_fd), "--page-fd", str(page_fd)]
    inherit = [link_fd, page_fd]
    if arena is not None:
        argv += ["--arena-fd", str(arena.fd), "--arena-size", str(arena.size)]
        inherit.append(arena.fd)
    if fork_fd is not None:
        argv += ["--fork-fd" if spec.preload else "--seed-fd", str(fork_fd)]
        inherit.append(fork_fd)
    return Launch([*_confined(spec.confinement), *argv], env, str(spec.directory), inherit)


def _confined(confinement: Confinement) -> list[str]:
    """What comes before the command of a worker so that it is confined before anything of the model can run; nothing if it is free."""
    if confinement.is_free:
        return []
    user = confinement.user
    what = {
        "limits": confinement.limits,
        "user": None if user is None else {"uid": user.uid, "gid": user.gid, "groups": user.groups},
        "new_privileges": confinement.new_privileges,
    }
    # the server's own interpreter, isolated: neither the environment nor the model's folder can put code in here
    return [sys.executable, "-I", "-S", str(_CONFINE), json.dumps(what)]


def load_frame(spec: ModelSpec, options: dict[str, Any], gpu_id: int | None) -> bytes:
    """The LOAD frame of a model."""
    load = {
        **options,
        "model_name": spec.name,
        "model_dir": str(spec.directory),
        "manifest": spec.manifest,
        "handler": spec.handler,
        "batch_size": max(1, spec.batch_size),
        "gpu_id": gpu_id,
        "response_timeout_s": spec.response_timeout_s,
    }
    return wire.frame(wire.LOAD, json.dumps(load).encode())


def read_report(data: memoryview) -> dict[str, Any]:
    """The JSON object in a LOADED frame. Raises `wire.WireError` on anything else."""
    try:
        value = json.loads(bytes(data))
    except (ValueError, RecursionError) as error:
        raise wire.WireError("LOADED is not JSON") from error
    if not isinstance(value, dict):
        raise wire.WireError("LOADED is not an object")
    return value
