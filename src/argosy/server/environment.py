"""The environment that worker processes get."""

from __future__ import annotations

import os
from collections.abc import Mapping

from argosy.config import Config, declarations
from argosy.supervisor.spec import ModelSpec

_DEFAULTS = {"OMP_NUM_THREADS": "1", "MXNET_USE_OPERATOR_TUNING": "0"}


def worker_environment(spec: ModelSpec, config: Config, environ: Mapping[str, str]) -> dict[str, str]:
    """The server's own environment without its secrets and what `blacklist_env_vars` hides, and with what handlers of MMS expect.

    `PYTHONPATH` is the folder of the handler, the server's own search path, and the model's folder, in this order.
    """
    hidden = config.blacklist_env_vars
    env = {name: value for name, value in without_secrets(environ, config).items() if hidden is None or hidden.fullmatch(name) is None}
    for name, value in _DEFAULTS.items():
        env.setdefault(name, value)
    env["MMS_DECODE_INPUT_REQUEST"] = "true" if config.decode_input_request else "false"
    module = spec.handler.partition(":")[0]
    first = module.rpartition("/")[0] if "/" in module else module
    parts = [first, env.get("PYTHONPATH", ""), str(spec.directory)]
    env["PYTHONPATH"] = os.pathsep.join(part for part in parts if part)
    user = spec.confinement.user
    if user is not None:
        env |= {"HOME": user.home, "USER": user.name, "LOGNAME": user.name}
    env["PYTHONUNBUFFERED"] = env.get("PYTHONUNBUFFERED", "1")
    return env


def without_secrets(environ: Mapping[str, str], config: Config) -> dict[str, str]:
    """What is no secret of the server: neither a variable that sets one, nor one whose value the configuration made one by `$$NAME$$`."""
    known = {name: (setting, default) for name, (setting, default) in declarations().items() if setting.secret}
    names = {variable for name, (setting, _) in known.items() for variable in (*setting.env, f"MMS_{name.upper()}", f"ARGOSY_{name.upper()}")}
    values = {value for name, (_, default) in known.items() if (value := getattr(config, name)) and value != default}
    return {name: value for name, value in environ.items() if name not in names and value not in values}
