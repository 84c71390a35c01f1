"""Images go to a real registry, by each tool that is installed: what is pushed is what the model names, and the password is nowhere to be seen."""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import json
import os
import shutil
import socket
import subprocess
import tarfile
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from argosy.errors import ArgosyError
from argosy.sagemaker.deploy import Deployment, Stopped
from argosy.sagemaker.deploy.images import Login, find_image, tools
from argosy.testing.server import wait_for
from fakes.account import NAME, account_at
from fakes.aws import moto_process

pytest.importorskip("boto3")
pytestmark = pytest.mark.skipif(shutil.which("docker-registry") is None, reason="docker-registry is not installed")
PASSWORD = "hush"
# bcrypt of the password
HASH = "AWS:$2b$05$abcdefghijklmnopqrstuulzd.YqjLDl8lvpSmVj3De/fioSBHnUa"


@dataclass(frozen=True, slots=True)
class Registry:
    """A registry that asks for a password."""

    host: str

    def manifest(self, path: str) -> bytes | None:
        """The manifest at REPOSITORY/TAG, None if there is none."""
        repository, _, tag = path.rpartition("/")
        request = urllib.request.Request(f"http://{self.host}/v2/{repository}/manifests/{tag}")
        request.add_header("Authorization", f"Basic {base64.b64encode(f'AWS:{PASSWORD}'.encode()).decode()}")
        request.add_header("Accept", "application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json")
        try:
            with urllib.request.urlopen(request) as answer:
                body: bytes = answer.read()
                return body
        except urllib.error.HTTPError as error:
            error.close()
            return None


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[Registry]:
    """A registry in a process of its own."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    (tmp_path / "passwords").write_text(f"{HASH}\n")
    config = {
        "version": 0.1, "log": {"level": "error"}, "storage": {"filesystem": {"rootdirectory": str(tmp_path / "registry")}},
        "http": {"addr": f"127.0.0.1:{port}"}, "auth": {"htpasswd": {"realm": "ours", "path": str(tmp_path / "passwords")}}}  # fmt: skip
    (tmp_path / "config.yml").write_text(json.dumps(config))
    with (tmp_path / "registry.log").open("wb") as log:
        server = subprocess.Popen(["docker-registry", "serve", str(tmp_path / "config.yml")], stdout=log, stderr=log)
    try:
        wait_for(lambda: _listens(port), "the registry")
        yield Registry(f"127.0.0.1:{port}")
    finally:
        server.kill()
        server.wait()


def _listens(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """Tools with a storage of their own, on any file system."""
    (tmp_path / "storage.conf").write_text(f'[storage]\ndriver = "vfs"\nrunroot = "{tmp_path}/run"\ngraphroot = "{tmp_path}/store"\n')
    (tmp_path / "policy.json").write_text('{"default": [{"type": "insecureAcceptAnything"}]}')
    return {**os.environ, "CONTAINERS_STORAGE_CONF": str(tmp_path / "storage.conf"), "BUILDAH_ISOLATION": "chroot", "HOME": str(tmp_path)}


def layout(folder: Path, text: str) -> str:
    """An image of one file as a folder in OCI's layout; its reference."""

    def blob(data: bytes) -> tuple[str, int]:
        digest = hashlib.sha256(data).hexdigest()
        (folder / "blobs" / "sha256").mkdir(parents=True, exist_ok=True)
        (folder / "blobs" / "sha256" / digest).write_bytes(data)
        return f"sha256:{digest}", len(data)

    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w") as tar:
        entry = tarfile.TarInfo("model.txt")
        entry.size = len(text)
        tar.addfile(entry, io.BytesIO(text.encode()))
    layer, layer_size = blob(gzip.compress(plain.getvalue(), mtime=0))
    diff = f"sha256:{hashlib.sha256(plain.getvalue()).hexdigest()}"
    config, config_size = blob(json.dumps({
        "architecture": "amd64", "os": "linux", "config": {"Cmd": ["serve"]},
        "rootfs": {"type": "layers", "diff_ids": [diff]}}).encode())  # fmt: skip
    kinds = "application/vnd.oci.image"
    manifest, manifest_size = blob(json.dumps({
        "schemaVersion": 2, "mediaType": f"{kinds}.manifest.v1+json",
        "config": {"mediaType": f"{kinds}.config.v1+json", "digest": config, "size": config_size},
        "layers": [{"mediaType": f"{kinds}.layer.v1.tar+gzip", "digest": layer, "size": layer_size}]}).encode())  # fmt: skip
    index = {"schemaVersion": 2, "manifests": [{
        "mediaType": f"{kinds}.manifest.v1+json", "digest": manifest, "size": manifest_size,
        "annotations": {"org.opencontainers.image.ref.name": "1"}}]}  # fmt: skip
    (folder / "index.json").write_text(json.dumps(index))
    (folder / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    return f"oci:{folder}:1"


def needs(command: str) -> None:
    """Skip where a command is not installed."""
    if shutil.which(command) is None:
        pytest.skip(f"{command} is not installed")


def stored(environ: Mapping[str, str], reference: str) -> str:
    """The same image in the storage of podman and buildah; its name."""
    command = ["skopeo", "copy", "--quiet", reference, f"containers-storage:[vfs@{environ['HOME']}/store+{environ['HOME']}/run]localhost/tiny:1"]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"images cannot be stored here: {done.stderr.strip()[-200:]}")
    return "localhost/tiny:1"


@pytest.mark.parametrize("command", ["skopeo", "buildah", "podman"])
def test_a_tool_pushes(registry: Registry, environ: dict[str, str], tmp_path: Path, command: str) -> None:
    """The image is in the registry, with its layer, and the login is left nowhere."""
    needs("skopeo")
    needs(command)
    reference = layout(tmp_path / "image", "a model")
    if command != "skopeo":
        reference = stored(environ, reference)
    image = find_image(reference, {command: tools(environ)[command]})
    image.tool.push(image.reference, f"{registry.host}/ours/tiny:first", Login(registry.host, PASSWORD))
    manifest = registry.manifest("ours/tiny/first")
    assert manifest is not None
    assert len(json.loads(manifest)["layers"]) == 1
    left = [path for path in tmp_path.rglob("*.json") if path.is_file() and b"auths" in path.read_bytes()]
    assert left == []


def test_a_wrong_password(registry: Registry, environ: dict[str, str], tmp_path: Path) -> None:
    """The failure shows what the tool said, and not the password."""
    needs("skopeo")
    reference = layout(tmp_path / "image", "a model")
    with pytest.raises(ArgosyError, match="skopeo login failed") as found:
        tools(environ)["skopeo"].push(reference, f"{registry.host}/ours/tiny:1", Login(registry.host, "not-the-one"))
    assert "not-the-one" not in found.value.message + found.value.detail
    assert registry.manifest("ours/tiny/1") is None


def test_what_is_pushed_is_what_the_model_names(registry: Registry, environ: dict[str, str], tmp_path: Path) -> None:
    """A deployment with a real registry behind ECR: the digest of the model's image is that of the pushed manifest; a second run pushes nothing."""
    needs("skopeo")
    reference = layout(tmp_path / "image", "a model")
    with moto_process() as moto, account_at(moto, tmp_path) as account:
        account.fake.registry = registry.host
        wish: dict[str, Any] = {"model": str(tmp_path / f"{NAME}.tar.gz"), "image": reference, "aws": account.aws, "image_tools": tools(environ)}
        deployed = Deployment(NAME, **wish).deploy(check=False)
        tag = find_image(reference, tools(environ)).short
        manifest = registry.manifest(f"argosy/{NAME}/argosy-{tag}")
        assert manifest is not None
        assert deployed.image == f"{registry.host}/argosy/{NAME}@sha256:{hashlib.sha256(manifest).hexdigest()}"
        assert Deployment(NAME, **wish).deploy(check=False).actions == ()
        with pytest.raises(ArgosyError, match="There is no image oci:nowhere here"):
            Deployment(NAME, **{**wish, "image": "oci:nowhere"}).deploy(check=False)


def test_a_registry_that_is_gone(environ: dict[str, str], tmp_path: Path) -> None:
    """The deployment stops at the image, with what was made before, and goes on when the registry is back."""
    needs("skopeo")
    reference = layout(tmp_path / "image", "a model")
    with moto_process() as moto, account_at(moto, tmp_path) as account:
        account.fake.registry = "127.0.0.1:9"
        with pytest.raises(Stopped) as stopped:
            Deployment(
                NAME, model=str(tmp_path / f"{NAME}.tar.gz"), image=reference, aws=account.aws, image_tools=tools(environ)).deploy(check=False)
        assert stopped.value.step == "image"
        assert "image repository argosy/hello" in stopped.value.detail
