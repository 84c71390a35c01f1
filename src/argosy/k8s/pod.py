"""What every pod is made of, on plain Kubernetes and with KServe: the container, its probes, its end, its volumes and what it may not do."""

from __future__ import annotations

import math
from collections.abc import Mapping

from argosy.k8s.application import Application, Claim, Download
from argosy.k8s.emitter import Node

PORT, PORT_NAME = 8080, "http"
STORE = "/opt/ml/model"
TOKENS_FOLDER, TOKENS_KEY = "/etc/argosy/tokens", "tokens"
USER = 1000
"""The user model-server of the image."""
_PERIOD_S = 5
_TEMP = "/tmp"  # noqa: S108 - of the container
_LOCKED: Mapping[str, Node] = {
    "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]},
}  # fmt: skip


def pod_security() -> dict[str, Node]:
    """Not root, and no system calls but the usual ones."""
    return {
        "runAsNonRoot": True, "runAsUser": USER, "runAsGroup": USER, "fsGroup": USER, "fsGroupChangePolicy": "OnRootMismatch",
        "seccompProfile": {"type": "RuntimeDefault"},
    }  # fmt: skip


def container(application: Application, name: str, store: str | None) -> dict[str, Node]:
    """The server. `store` is where models are mounted, None if the image has them; who mounts them there, `mounts` says."""
    return {
        "name": name,
        "image": application.image,
        "args": ["serve"],
        "ports": [{"name": PORT_NAME, "containerPort": PORT, "protocol": "TCP"}],
        "env": _environment(application, store),
        "resources": _resources(application),
        **_probes(application),
        # the cluster sends SIGTERM when this has ended: until then the pod still answers what proxies that know nothing yet send it
        "lifecycle": {"preStop": {"exec": {"command": ["sleep", str(application.shutdown.settle_s)]}}},
        "securityContext": _LOCKED,
    }


def _environment(application: Application, store: str | None) -> list[Node]:
    workers = application.resources.workers
    found: list[Node] = [
        {"name": "ARGOSY_DRAIN_TIMEOUT_S", "value": str(application.shutdown.drain_s)},
        {"name": "ARGOSY_STARTUP_TIMEOUT_S", "value": str(application.startup_timeout_s)},
    ]
    if workers is not None:
        found.append({"name": "MMS_DEFAULT_WORKERS_PER_MODEL", "value": str(workers)})
    elif not application.resources.gpus:
        # rounded up, as the server rounds the limit of its cgroup, which sandboxes do not show
        limit = {"resource": "limits.cpu", "divisor": "1"}
        found.append({"name": "MMS_DEFAULT_WORKERS_PER_MODEL", "valueFrom": {"resourceFieldRef": limit}})
    if store is not None:
        found += [{"name": "MMS_MODEL_STORE", "value": store}, {"name": "MMS_LOAD_MODELS", "value": "ALL"}]
    if not application.access.is_open:
        found.append({"name": "ARGOSY_TOKENS_FILE", "value": f"{TOKENS_FOLDER}/{TOKENS_KEY}"})
    return [*found, *({"name": name, "value": value} for name, value in application.environment.items())]


def _resources(application: Application) -> dict[str, Node]:
    wanted = application.resources
    amounts: dict[str, Node] = {"cpu": wanted.cpu, "memory": wanted.memory}
    if wanted.gpus:
        amounts["nvidia.com/gpu"] = str(wanted.gpus)
    return {"requests": amounts, "limits": amounts}


def _probes(application: Application) -> dict[str, Node]:
    """Alive: /livez. Gets requests: /ping, which one lost worker of several does not trouble. Has started: /ping too, or /readyz, with all models.

    Models of the image change with it, so that a broken one has to stop a rollout; a store that others fill must not keep pods from coming back.
    """
    started = "/readyz" if application.source is None else "/ping"
    attempts = math.ceil((application.startup_timeout_s + _PERIOD_S) / _PERIOD_S)
    return {
        "startupProbe": _probe(started, attempts),
        "livenessProbe": _probe("/livez", 6),
        "readinessProbe": _probe("/ping", 2),
    }


def _probe(path: str, failures: int) -> dict[str, Node]:
    return {"httpGet": {"path": path, "port": PORT_NAME}, "periodSeconds": _PERIOD_S, "timeoutSeconds": 2, "failureThreshold": failures}


def volumes(application: Application) -> list[Node]:
    """The volumes of a pod but for that of the models."""
    found: list[Node] = [{"name": "scratch", "emptyDir": {"sizeLimit": application.resources.scratch}}]
    if (secret := tokens_secret(application)) is not None:
        found.append({"name": "tokens", "secret": {"secretName": secret, "defaultMode": 0o440, "items": [{"key": TOKENS_KEY, "path": TOKENS_KEY}]}})
    return found


def mounts(application: Application) -> list[Node]:
    """Where the server finds `volumes`."""
    found: list[Node] = [{"name": "scratch", "mountPath": _TEMP}]
    if not application.access.is_open:
        # the folder, not the file: only so a changed Secret arrives
        found.append({"name": "tokens", "mountPath": TOKENS_FOLDER, "readOnly": True})
    return found


def tokens_secret(application: Application) -> str | None:
    """The Secret with the tokens that count, ours if we write it."""
    if application.access.lines is not None:
        return f"{application.name}-tokens"
    return application.access.secret


def model_volume(application: Application) -> list[Node]:
    """The volume with the models; none if the image has them."""
    match application.source:
        case Claim(name=name):
            return [{"name": "models", "persistentVolumeClaim": {"claimName": name, "readOnly": True}}]
        case Download():
            return [{"name": "models", "emptyDir": {}}]
        case None:
            return []


def model_mount(application: Application) -> list[Node]:
    """Where the server finds them: read-only, as on SageMaker."""
    match application.source:
        case Claim(path=path) if path:
            return [{"name": "models", "mountPath": STORE, "subPath": path, "readOnly": True}]
        case None:
            return []
        case _:
            return [{"name": "models", "mountPath": STORE, "readOnly": True}]


def fetching(source: Download) -> dict[str, Node]:
    """The container that downloads the models before the server starts."""
    return {
        "name": "fetch-models",
        "image": source.image,
        "args": [source.url, STORE],
        **({"envFrom": [{"secretRef": {"name": source.secret}}]} if source.secret else {}),
        "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"cpu": "1", "memory": "1Gi"}},
        "securityContext": _LOCKED,
        "volumeMounts": [{"name": "models", "mountPath": STORE}, {"name": "scratch", "mountPath": _TEMP}],
    }
