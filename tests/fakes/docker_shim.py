"""The `docker` command, as much of it as the SageMaker Python SDK's local mode uses, over podman or over a process of ours.

`ARGOSY_SHIM_PYTHON` names the interpreter that has Argosy: the service then runs as a process. Without it podman runs the image.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from pathlib import Path
from typing import Any, NoReturn

MODEL = "/opt/ml/model"
WORDS = {
    ("compose", "version"): "Docker Compose version v2.29.0", ("images", "-q"): "",
    ("context", "inspect"): json.dumps([{"Endpoints": {"docker": {"Host": "unix:///var/run/docker.sock"}}}]),
}  # fmt: skip


def read(path: str) -> tuple[str, list[str], dict[str, str], str, str]:
    """Image, command, variables, folder of the model and port of the one service of a compose file."""
    services: dict[str, Any] = importlib.import_module("yaml").safe_load(Path(path).read_text())["services"]
    (service,) = services.values()
    volumes = dict(reversed(volume.split(":")[:2]) for volume in service["volumes"])
    variables = dict(text.split("=", 1) for text in service["environment"])
    return service["image"], service["command"].split(), variables, volumes[MODEL], service["ports"][0].partition(":")[0]


def up(path: str) -> NoReturn:
    """Take the place of this process: SIGTERM for the command is SIGTERM for the server."""
    image, command, variables, model, port = read(path)
    variables = {**variables, "SAGEMAKER_BIND_TO_PORT": port}
    python = os.environ.get("ARGOSY_SHIM_PYTHON")
    if python:
        base = Path(path).parent / "ml"
        base.mkdir()
        (base / "model").symlink_to(model)
        kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        os.execve(python, [python, "-P", "-m", "argosy", *command], {**kept, **variables, "SAGEMAKER_BASE_DIR": str(base), "TEMP": str(base)})
    arguments = ["podman", "run", "--rm", "--name", os.environ["ARGOSY_SHIM_NAME"], "--network", "host", "--ulimit", "host"]
    arguments += [part for name, value in variables.items() for part in ("--env", f"{name}={value}")]
    os.execvp("podman", [*arguments, "--volume", f"{model}:{MODEL}:ro", image, *command])


if __name__ == "__main__":
    given = sys.argv[1:]
    if tuple(given[:2]) in WORDS:
        sys.stdout.write(f"{WORDS[given[0], given[1]]}\n")
    elif given[:2] == ["compose", "-f"] and given[3] == "up":
        up(given[2])
    else:
        sys.exit(f"docker: what is {given}?")
