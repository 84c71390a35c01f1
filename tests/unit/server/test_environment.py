"""What workers find in their environment."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from argosy.config import Config
from argosy.server.environment import worker_environment
from fakes.serving import spec


def test_hidden_variables() -> None:
    """A variable whose whole name matches is not passed on; one that merely contains the pattern is."""
    config = Config(blacklist_env_vars=re.compile("AWS_.*|TOKEN"))
    env = worker_environment(spec("m"), config, {"AWS_KEY": "1", "TOKEN": "2", "MY_TOKEN": "3", "PATH": "/bin"})
    assert "AWS_KEY" not in env
    assert "TOKEN" not in env
    assert (env["MY_TOKEN"], env["PATH"]) == ("3", "/bin")


@pytest.mark.parametrize(
    ("handler", "paths"),
    [("service:handle", "service:/lib:/models/m"), ("code/service.py:handle", "code:/lib:/models/m"), ("service", "service:/lib:/models/m")],
)
def test_where_modules_are_found(handler: str, paths: str) -> None:
    """The handler's folder comes first, then the server's own path, then the model's folder."""
    env = worker_environment(replace(spec("m"), handler=handler), Config(), {"PYTHONPATH": "/lib"})
    assert env["PYTHONPATH"] == paths


def test_defaults_give_way(tmp_path: Path) -> None:
    """One thread and unbuffered output, unless the server's environment says otherwise; decoding is told."""
    env = worker_environment(spec("m"), Config(), {})
    assert (env["OMP_NUM_THREADS"], env["PYTHONUNBUFFERED"], env["MMS_DECODE_INPUT_REQUEST"]) == ("1", "1", "true")
    env = worker_environment(spec("m"), Config(decode_input_request=False), {"OMP_NUM_THREADS": "4", "PYTHONUNBUFFERED": ""})
    assert (env["OMP_NUM_THREADS"], env["PYTHONUNBUFFERED"], env["MMS_DECODE_INPUT_REQUEST"]) == ("4", "", "false")
