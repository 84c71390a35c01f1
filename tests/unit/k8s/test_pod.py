"""What pods are made of."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from argosy.config.load import load_config
from argosy.k8s import pod
from argosy.k8s.application import Access, Application, Claim, Download, Resources, Shutdown, Source

PLAIN = Application("words", "words:1")
DOWNLOAD = Download("s3://bucket/words")


def server(application: Application, store: str | None = None) -> Any:
    """The container."""
    return pod.container(application, "server", store)


def variables(application: Application, store: str | None = None) -> dict[str, str]:
    """Its environment, with the limit of processors as `limits.cpu`."""
    return {one["name"]: one.get("value") or one["valueFrom"]["resourceFieldRef"]["resource"] for one in server(application, store)["env"]}


def test_nothing_may_be_more_than_it_needs() -> None:
    """Not root, nothing to write but /tmp, no privileges, no unusual system calls."""
    security: Any = pod.pod_security()
    assert (security["runAsNonRoot"], security["runAsUser"], security["seccompProfile"]) == (True, 1000, {"type": "RuntimeDefault"})
    containers: tuple[Any, ...] = (server(PLAIN), pod.fetching(DOWNLOAD))
    for one in containers:
        assert one["securityContext"] == {
            "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
        assert one["resources"]["limits"].keys() >= {"cpu", "memory"}
    assert pod.mounts(PLAIN) == [{"name": "scratch", "mountPath": "/tmp"}]


def test_the_server_reads_its_environment_as_it_is_meant(tmp_path: Any) -> None:
    """Each variable is one that the server knows; with the image's file the settings are those of the manifest."""
    (tmp_path / "config.properties").write_text("enable_envvars_config=true\n")
    wanted = replace(PLAIN, shutdown=Shutdown(44, 5), startup_timeout_s=77, resources=Resources(workers=3), access=Access(secret="s"))
    loaded = load_config({}, variables(wanted, "/opt/ml/model"), tmp_path)
    config = loaded.config
    assert (config.drain_timeout_s, config.startup_timeout_s, config.default_workers_per_model) == (44, 77, 3)
    assert (str(config.model_store), config.loads_all, str(config.tokens_file)) == ("/opt/ml/model", True, "/etc/argosy/tokens/tokens")
    assert not [warning for warning in loaded.warnings if "unknown" in warning or "ignored" in warning]


@pytest.mark.parametrize(("resources", "workers"), [(Resources(), "limits.cpu"), (Resources(workers=3), "3"), (Resources(gpus=1, workers=2), "2")])
def test_workers(resources: Resources, workers: str) -> None:
    """As many as processors, unless said."""
    assert variables(replace(PLAIN, resources=resources))["MMS_DEFAULT_WORKERS_PER_MODEL"] == workers


def test_workers_of_gpus() -> None:
    """The server counts GPUs itself."""
    wanted = replace(PLAIN, resources=Resources(cpu="4", memory="8Gi", gpus=2))
    assert "MMS_DEFAULT_WORKERS_PER_MODEL" not in variables(wanted)
    amounts = {"cpu": "4", "memory": "8Gi", "nvidia.com/gpu": "2"}
    assert server(wanted)["resources"] == {"requests": amounts, "limits": amounts}


def test_variables_of_the_user_come_last() -> None:
    """In the order in which they were given."""
    wanted = replace(PLAIN, environment={"B": "1", "A": ""})
    assert server(wanted)["env"][-2:] == [{"name": "B", "value": "1"}, {"name": "A", "value": ""}]


@pytest.mark.parametrize(("source", "started"), [(None, "/readyz"), (Claim("a"), "/ping"), (DOWNLOAD, "/ping")])
def test_probes(source: Source, started: str) -> None:
    """Start as strict as the models are ours; the time for it is that which workers have for loading, and a bit."""
    found = server(replace(PLAIN, source=source, startup_timeout_s=61))
    paths = {name: found[f"{name}Probe"]["httpGet"] for name in ("startup", "liveness", "readiness")}
    assert {name: path["path"] for name, path in paths.items()} == {"startup": started, "liveness": "/livez", "readiness": "/ping"}
    assert {path["port"] for path in paths.values()} == {found["ports"][0]["name"]}
    assert found["startupProbe"]["periodSeconds"] * found["startupProbe"]["failureThreshold"] >= 61 + 5


def test_the_end_begins_with_waiting() -> None:
    """By a program that every image of Debian has."""
    assert server(replace(PLAIN, shutdown=Shutdown(30, 7)))["lifecycle"] == {"preStop": {"exec": {"command": ["sleep", "7"]}}}


@pytest.mark.parametrize(("source", "volume", "mount"), [
    (None, None, None),
    (Claim("store"), {"persistentVolumeClaim": {"claimName": "store", "readOnly": True}}, {}),
    (Claim("store", "a/b"), {"persistentVolumeClaim": {"claimName": "store", "readOnly": True}}, {"subPath": "a/b"}),
    (DOWNLOAD, {"emptyDir": {}}, {}),
])
def test_models(source: Source, volume: dict[str, object] | None, mount: dict[str, str] | None) -> None:
    """Read-only for the server wherever they are; nothing for those of the image."""
    wanted = replace(PLAIN, source=source)
    assert pod.model_volume(wanted) == ([] if volume is None else [{"name": "models", **volume}])
    expected = [] if mount is None else [{"name": "models", "mountPath": "/opt/ml/model", **mount, "readOnly": True}]
    assert pod.model_mount(wanted) == expected


def test_fetching() -> None:
    """The URL, the folder, and the credentials as variables of this container only."""
    found: Any = pod.fetching(replace(DOWNLOAD, image="mine:1", secret="keys"))
    assert (found["image"], found["args"]) == ("mine:1", ["s3://bucket/words", "/opt/ml/model"])
    assert found["envFrom"] == [{"secretRef": {"name": "keys"}}]
    assert "envFrom" not in pod.fetching(DOWNLOAD)


@pytest.mark.parametrize(("access", "secret"), [(Access(), None), (Access("line"), "words-tokens"), (Access(secret="mine"), "mine")])
def test_tokens(access: Access, secret: str | None) -> None:
    """A folder with the Secret, which the server's group may read and nobody change."""
    wanted = replace(PLAIN, access=access)
    assert pod.tokens_secret(wanted) == secret
    found: Any = [volume for volume in pod.volumes(wanted) if volume["name"] == "tokens"]  # type: ignore[index,call-overload]  # they are mappings
    assert [volume["secret"]["secretName"] for volume in found] == ([] if secret is None else [secret])
    assert [volume["secret"]["defaultMode"] for volume in found] == ([] if secret is None else [0o440])
    assert (len(pod.mounts(wanted)) == 2) is (secret is not None)
