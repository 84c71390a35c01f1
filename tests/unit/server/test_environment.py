"""What workers find in their environment."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from argosy.config import Config, Confinement, User
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


def test_secrets_of_the_server_never_reach_a_worker() -> None:
    """Neither the variables that set them, whether they count or not, nor one that the configuration refers to as a secret."""
    config = Config(management_token="t0ken", keystore_pass="phrase")
    environ = {
        "ARGOSY_MANAGEMENT_TOKEN": "other", "ARGOSY_TOKENS": "lines", "MMS_KEYSTORE_PASS": "third", "TEAM_TOKEN": "t0ken", "PHRASE": "phrase",
        "PLAIN": "value", "EMPTY": "", "DEFAULT": "changeit",
    }  # fmt: skip
    env = worker_environment(spec("m"), config, environ)
    assert {name: env.get(name) for name in environ} == {**dict.fromkeys(environ), "PLAIN": "value", "EMPTY": "", "DEFAULT": "changeit"}


def test_another_user_has_a_home_of_its_own() -> None:
    """Nothing of the server's own user is left, so that libraries do not look for their files where they may not."""
    confined = replace(spec("m"), confinement=Confinement(user=User(7, 8, name="worker", home="/var/worker")))
    env = worker_environment(confined, Config(), {"HOME": "/home/server", "USER": "server", "LOGNAME": "server"})
    assert (env["HOME"], env["USER"], env["LOGNAME"]) == ("/var/worker", "worker", "worker")
