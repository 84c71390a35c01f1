"""An AWS account on this machine to practise on: S3, ECR, IAM and SageMaker by moto, images in a registry, and nothing of a real account in sight.

`python practice_aws.py` runs one until Ctrl-C and prints the variables that lead there; `practice_aws()` does so for a block. It starts no
containers: an endpoint in it is in service at once, and requests go to where AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME says.
"""

from __future__ import annotations

import http.client
import json
import logging
import re
import shutil
import signal
import sys
import tempfile
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from background import JourneyError, free_port, running
from moto.server import ThreadedMotoServer

KEYS = {
    "AWS_ACCESS_KEY_ID": "practice", "AWS_SECRET_ACCESS_KEY": "practice", "AWS_DEFAULT_REGION": "us-east-1",
    # nothing of the reader's own account is looked at
    "AWS_CONFIG_FILE": "/dev/null", "AWS_SHARED_CREDENTIALS_FILE": "/dev/null", "AWS_EC2_METADATA_DISABLED": "true"}  # fmt: skip
MANIFESTS = "application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json"
HOST = re.compile(rb"\d{12}\.dkr\.ecr\.[a-z0-9-]+\.amazonaws\.com")


class Ecr(ThreadingHTTPServer):
    """Answers for ECR: moto knows repositories but takes no layers, so they are said to lie in the registry, and what is there is told to moto."""

    daemon_threads = True

    def __init__(self, moto: tuple[str, int], registry: str) -> None:
        super().__init__(("127.0.0.1", 0), _EcrHandler)
        self.moto = moto
        self.registry = registry

    def ask(self, headers: Mapping[str, str], body: bytes) -> tuple[int, Mapping[str, str], bytes]:
        """What moto answers."""
        connection = http.client.HTTPConnection(*self.moto, timeout=60)
        try:
            connection.request("POST", "/", body, dict(headers))
            answer = connection.getresponse()
            return answer.status, dict(answer.getheaders()), HOST.sub(self.registry.encode(), answer.read())
        finally:
            connection.close()

    def manifest(self, repository: str, tag: str) -> tuple[str, str, str] | None:
        """Manifest, type and digest of an image in the registry, None if it is not there."""
        request = urllib.request.Request(f"http://{self.registry}/v2/{repository}/manifests/{tag}", headers={"Accept": MANIFESTS})
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.read().decode(), answer.headers["Content-Type"], answer.headers["Docker-Content-Digest"]
        except urllib.error.HTTPError as error:
            error.close()
            return None


class _EcrHandler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Ecr

    def log_message(self, format: str, *args: object) -> None:
        """Nobody reads it."""

    def do_POST(self) -> None:
        """Every call of ECR."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        headers = {name: self.headers[name] for name in ("X-Amz-Target", "Content-Type", "Authorization") if name in self.headers}
        if headers.get("X-Amz-Target", "").endswith(".DescribeImages"):
            self._bring(headers, json.loads(body))
        status, answered, said = self.server.ask(headers, body)
        self.send_response(status)
        for name in answered.keys() & {"Content-Type", "x-amzn-ErrorType", "x-amzn-errortype"}:
            self.send_header(name, answered[name])
        self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)

    def _bring(self, headers: Mapping[str, str], wanted: Mapping[str, object]) -> None:
        """Tell moto of the images that were pushed; those that it knows it refuses."""
        repository = str(wanted["repositoryName"])
        for image in wanted.get("imageIds", []):  # type: ignore[attr-defined]  # a list, says ECR
            found = self.server.manifest(repository, image["imageTag"]) if "imageTag" in image else None
            if found is not None:
                manifest, kind, digest = found
                put = {"imageManifest": manifest, "imageManifestMediaType": kind, "imageDigest": digest, "imageTag": image["imageTag"]}
                target = {**headers, "X-Amz-Target": headers["X-Amz-Target"].replace("DescribeImages", "PutImage")}
                self.server.ask(target, json.dumps({"repositoryName": repository, **put}).encode())


@contextmanager
def registry() -> Iterator[str]:
    """An image registry of its own, empty and open, gone with its images after the block; its host and port. Raises `JourneyError`."""
    if shutil.which("docker-registry") is None:
        raise JourneyError("docker-registry is not installed: apt-get install --no-install-recommends docker-registry")
    with tempfile.TemporaryDirectory(prefix="argosy-registry-") as scratch:
        host, folder = f"127.0.0.1:{free_port()}", Path(scratch)
        config = {
            "version": 0.1, "log": {"level": "info"}, "storage": {"filesystem": {"rootdirectory": scratch}}, "http": {"addr": host}}  # fmt: skip
        (folder / "config.json").write_text(json.dumps(config))
        with running(["docker-registry", "serve", str(folder / "config.json")], {}, folder / "log", "listening on", 30):
            yield host


@contextmanager
def practice_aws(*, with_registry: bool = True) -> Iterator[dict[str, str]]:
    """An empty account until the block ends; the variables that lead clients there. Without a registry no image can be pushed."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    moto = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    moto.start()
    host, port = moto.get_host_and_port()
    try:
        environ = {**KEYS, "AWS_ENDPOINT_URL": f"http://{host}:{port}"}
        if not with_registry:
            yield environ
            return
        with registry() as images, Ecr((host, port), images) as ecr:
            thread = threading.Thread(target=ecr.serve_forever, args=(0.05,))
            thread.start()
            try:
                yield {**environ, "AWS_ENDPOINT_URL_ECR": "http://{}:{}".format(*ecr.server_address[:2])}
            finally:
                ecr.shutdown()
                thread.join()
    finally:
        moto.stop()


def main() -> None:
    """Until Ctrl-C or SIGTERM."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        with practice_aws() as environ:
            print("\n".join(f"export {name}={value}" for name, value in environ.items()), flush=True)
            print("# ready; Ctrl-C ends it", flush=True)
            signal.pause()
    except KeyboardInterrupt:
        pass
    except JourneyError as error:
        sys.exit(f"practice_aws: {error}")


if __name__ == "__main__":
    main()
