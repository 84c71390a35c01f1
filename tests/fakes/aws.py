"""AWS on this machine: a moto server in a process of its own, and a proxy before it that records calls, fails them, and does what moto does not.

What moto lacks: `update_endpoint`, endpoints that take time or fail, and a registry with layers (`registry` names a real one).
"""

from __future__ import annotations

import base64
import http.client
import json
import re
import subprocess
import sys
import threading
import urllib.parse
import urllib.request
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

_SCOPE = re.compile(r"AWS4-HMAC-SHA256 Credential=[^/]+/\d{8}/[a-z0-9-]+/([a-z0-9-]+)/aws4_request")
_MANIFESTS = "application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json"
ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_DEFAULT_REGION": "us-east-1", "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_CONFIG_FILE": "/dev/null", "AWS_SHARED_CREDENTIALS_FILE": "/dev/null"}  # fmt: skip
"""What a user of it has set, but for the address."""
_START = "from moto.server import main; main(['-p', '0'])"


@contextmanager
def moto_process() -> Iterator[str]:
    """A moto server; its host and port."""
    server = subprocess.Popen([sys.executable, "-W", "ignore", "-c", _START], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    assert server.stderr is not None
    try:
        found = next(filter(None, (re.search(r"Running on http://(127\.0\.0\.1:\d+)", line) for line in server.stderr)), None)
        assert found is not None, "moto does not start"
        drain = threading.Thread(target=server.stderr.read, daemon=True)
        drain.start()
        yield found[1]
    finally:
        server.kill()
        server.wait()
        drain.join(10)
        server.stderr.close()


@dataclass(frozen=True, slots=True)
class Call:
    """One call, as IAM names it: service and operation."""

    service: str
    operation: str

    def __str__(self) -> str:
        return f"{self.service}:{self.operation}"


@dataclass(frozen=True, slots=True)
class Fault:
    """What a call gets instead of an answer."""

    code: str = "AccessDeniedException"
    message: str = "User is not authorized to perform this"
    status: int = 400


@dataclass
class FakeAws:
    """The proxy. A test sets what shall happen, and reads what was called."""

    moto: str
    calls: list[Call] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    """The body of each call."""
    fail_at: int | None = None
    """The number of the call that fails, once."""
    is_done_all_the_same: bool = False
    """Whether that call is carried out, and only its answer lost."""
    fail_when: dict[str, deque[Fault]] = field(default_factory=dict)
    """By service:Operation: what its next calls get."""
    fault: Fault = Fault()
    endpoints: dict[str, deque[Mapping[str, Any]]] = field(default_factory=dict)
    """By name: what the next descriptions of an endpoint say instead."""
    replies: dict[str, tuple[int, dict[str, str], bytes]] = field(default_factory=dict)
    """By path: what a request to an endpoint gets."""
    registry: str | None = None
    """Host and port of a real registry."""
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        # connections that a client keeps are not waited for
        self.server.daemon_threads = True
        self.server.aws = self  # type: ignore[attr-defined]  # how a handler of the standard library finds what it serves

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.server.server_address[1]}"

    @contextmanager
    def running(self) -> Iterator[FakeAws]:
        """Serves until the block ends."""
        thread = threading.Thread(target=self.server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield self
        finally:
            self.server.shutdown()
            thread.join()
            self.server.server_close()

    def reset(self) -> None:
        """An empty account."""
        urllib.request.urlopen(urllib.request.Request(f"http://{self.moto}/moto-api/reset", method="POST")).close()
        self.forget()

    def forget(self) -> None:
        """Nothing was called, nothing shall fail."""
        self.calls.clear()
        self.bodies.clear()
        self.fail_at = None
        self.is_done_all_the_same = False
        self.fault = Fault()
        for said in (self.fail_when, self.endpoints, self.replies):
            said.clear()

    def names(self) -> list[str]:
        """What was called, in order."""
        return [str(call) for call in self.calls]

    def body_of(self, name: str) -> dict[str, Any]:
        """What the last call of that name said, as JSON."""
        found = [body for call, body in zip(self.calls, self.bodies, strict=True) if str(call) == name]
        value: dict[str, Any] = json.loads(found[-1])
        return value

    def note(self, call: Call, body: bytes) -> Fault | None:
        """Record a call; the fault that it gets."""
        with self.lock:
            self.calls.append(call)
            self.bodies.append(body)
            if self.fail_at == len(self.calls) - 1:
                self.fail_at = None
                return self.fault
            waiting = self.fail_when.get(str(call))
            return waiting.popleft() if waiting else None

    def ask_sagemaker(self, operation: str, authorization: str, **arguments: Any) -> dict[str, Any]:
        """A call of the proxy's own to moto."""
        host, port = self.moto.split(":")
        connection = http.client.HTTPConnection(host, int(port), timeout=60)
        headers = {"X-Amz-Target": f"SageMaker.{operation}", "Content-Type": "application/x-amz-json-1.1", "Authorization": authorization}
        connection.request("POST", "/", json.dumps(arguments), headers)
        answer = connection.getresponse()
        data = answer.read()
        connection.close()
        assert answer.status == 200, data
        value: dict[str, Any] = json.loads(data or b"{}")
        return value

    def digest_of(self, repository: str, tag: str) -> str | None:
        """The digest that the real registry has for a tag."""
        request = urllib.request.Request(f"http://{self.registry}/v2/{repository}/manifests/{tag}", headers={"Accept": _MANIFESTS})
        request.add_header("Authorization", f"Basic {base64.b64encode(b'AWS:hush').decode()}")
        try:
            with urllib.request.urlopen(request) as answer:
                return str(answer.headers["Docker-Content-Digest"])
        except urllib.error.HTTPError as error:
            error.close()
            return None


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1
    disable_nagle_algorithm = True

    @property
    def aws(self) -> FakeAws:
        """What it serves."""
        found: FakeAws = self.server.aws  # type: ignore[attr-defined]  # see FakeAws
        return found

    def log_message(self, format: str, *args: object) -> None:
        """Nobody reads it."""

    def handle_expect_100(self) -> bool:
        """Clients wait a second for this, so it must not stay in a buffer."""
        going_on = super().handle_expect_100()
        self.wfile.flush()
        return going_on

    def do_any(self) -> None:
        """Every request."""
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        scope = _SCOPE.match(self.headers.get("Authorization", ""))
        if scope is None:
            self.answer(403, {"Content-Type": "text/plain"}, b"not signed")
            return
        call = Call(scope[1], self.operation(scope[1], body))
        fault = self.aws.note(call, body)
        if fault is None:
            self.answer(*self.carried_out(call, body))
            return
        if self.aws.is_done_all_the_same:
            self.carried_out(call, body)
        self.refuse(call.service, fault)

    do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = do_any  # noqa: N815  # as the standard library wants them

    def carried_out(self, call: Call, body: bytes) -> tuple[int, Mapping[str, str], bytes]:
        """The answer to a call."""
        own = getattr(self, f"own_{call.operation}", None)
        answer: tuple[int, Mapping[str, str], bytes] = self.ask(body) if own is None or not self.is_mine(call) else own(body)
        return answer

    def operation(self, service: str, body: bytes) -> str:
        """Its name."""
        if target := self.headers.get("X-Amz-Target"):
            return target.rpartition(".")[2]
        path, _, query = self.path.partition("?")
        if service == "s3":
            return _s3_operation(self.command, path, query, "x-amz-copy-source" in self.headers)
        if "/operation/" in path:
            return path.rpartition("/")[2]
        if path.startswith("/endpoints/"):
            last = path.rpartition("/")[2]
            return {"invocations": "InvokeEndpoint", "async-invocations": "InvokeEndpointAsync"}.get(last, "InvokeEndpointWithResponseStream")
        return urllib.parse.parse_qs(body.decode())["Action"][0]

    def is_mine(self, call: Call) -> bool:
        """Whether this is a call that moto cannot answer as wanted."""
        if call.service == "ecr":
            return self.aws.registry is not None
        return call.operation == "UpdateEndpoint" or bool(self.aws.endpoints) or self.path in self.aws.replies

    # -- instead of moto

    def own_InvokeEndpoint(self, body: bytes) -> tuple[int, Mapping[str, str], bytes]:  # noqa: N802  # named after the operation
        """What the test wants."""
        return self.aws.replies[self.path]

    own_InvokeEndpointWithResponseStream = own_InvokeEndpointAsync = own_InvokeEndpoint  # noqa: N815  # as above

    def own_UpdateEndpoint(self, body: bytes) -> tuple[int, Mapping[str, str], bytes]:  # noqa: N802  # as above
        """The endpoint is made anew with the other configuration."""
        wanted = json.loads(body)
        name, authorization = wanted["EndpointName"], self.headers["Authorization"]
        arn = self.aws.ask_sagemaker("DescribeEndpoint", authorization, EndpointName=name)["EndpointArn"]
        tags = self.aws.ask_sagemaker("ListTags", authorization, ResourceArn=arn)["Tags"]
        self.aws.ask_sagemaker("DeleteEndpoint", authorization, EndpointName=name)
        made = {"EndpointName": name, "EndpointConfigName": wanted["EndpointConfigName"], "Tags": tags}
        self.aws.ask_sagemaker("CreateEndpoint", authorization, **made)
        return 200, {"Content-Type": "application/x-amz-json-1.1"}, json.dumps({"EndpointArn": arn}).encode()

    def own_DescribeEndpoint(self, body: bytes) -> tuple[int, Mapping[str, str], bytes]:  # noqa: N802  # as above
        """What moto says, but for what the test wants."""
        status, headers, said = self.ask(body)
        waiting = self.aws.endpoints.get(json.loads(body)["EndpointName"])
        if not waiting or status != 200:
            return status, headers, said
        return status, headers, json.dumps({**json.loads(said), **waiting.popleft()}).encode()

    def own_DescribeImages(self, body: bytes) -> tuple[int, Mapping[str, str], bytes]:  # noqa: N802  # as above
        """What the real registry has."""
        wanted = json.loads(body)
        tag = wanted["imageIds"][0]["imageTag"]
        digest = self.aws.digest_of(wanted["repositoryName"], tag)
        kind = {"Content-Type": "application/x-amz-json-1.1"}
        if digest is None:
            return 400, kind, json.dumps({"__type": "ImageNotFoundException", "message": f"no {tag}"}).encode()
        return 200, kind, json.dumps({"imageDetails": [{"imageDigest": digest, "imageTags": [tag]}]}).encode()

    def own_DescribeRepositories(self, body: bytes) -> tuple[int, Mapping[str, str], bytes]:  # noqa: N802  # as above
        """Repositories have the address of the real registry."""
        status, headers, said = self.ask(body)
        return status, headers, re.sub(rb"\d{12}\.dkr\.ecr\.[a-z0-9-]+\.amazonaws\.com", str(self.aws.registry).encode(), said)

    def own_GetAuthorizationToken(self, body: bytes) -> tuple[int, Mapping[str, str], bytes]:  # noqa: N802  # as above
        """Who may push to the real registry."""
        token = {"authorizationToken": base64.b64encode(b"AWS:hush").decode(), "proxyEndpoint": f"http://{self.aws.registry}"}
        return 200, {"Content-Type": "application/x-amz-json-1.1"}, json.dumps({"authorizationData": [token]}).encode()

    # -- passing on

    def ask(self, body: bytes) -> tuple[int, Mapping[str, str], bytes]:
        """What moto answers."""
        host, port = self.aws.moto.split(":")
        connection = http.client.HTTPConnection(host, int(port), timeout=60)
        skipped = ("connection", "expect", "transfer-encoding")
        headers = {name: value for name, value in self.headers.items() if name.lower() not in skipped}
        try:
            connection.request(self.command, self.path, body, headers)
            answer = connection.getresponse()
            return answer.status, dict(answer.getheaders()), answer.read()
        finally:
            connection.close()

    def answer(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        """Send it."""
        self.send_response_only(status)
        skipped = ("connection", "transfer-encoding", "server", "date", *(() if self.command == "HEAD" else ("content-length",)))
        for name, value in headers.items():
            if name.lower() not in skipped:
                self.send_header(name, value)
        if self.command != "HEAD":
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(b"" if self.command == "HEAD" else body)

    def refuse(self, service: str, fault: Fault) -> None:
        """An error as that service tells it."""
        if service in ("s3", "iam", "sts"):
            inner = f"<Code>{fault.code}</Code><Message>{fault.message}</Message>"
            text = f"<Error>{inner}</Error>" if service == "s3" else f"<ErrorResponse><Error>{inner}</Error></ErrorResponse>"
            self.answer(403 if fault.status == 400 else fault.status, {"Content-Type": "application/xml"}, text.encode())
        else:
            kind = {"Content-Type": "application/x-amz-json-1.1", "x-amzn-ErrorType": fault.code}
            self.answer(fault.status, kind, json.dumps({"__type": fault.code, "message": fault.message, "Message": fault.message}).encode())


_S3_QUERIES = {
    "tagging": "Tagging", "publicAccessBlock": "PublicAccessBlock", "encryption": "Encryption", "uploads": "Uploads", "uploadId": "Upload",
    "delete": "Delete", "list-type": "List"}  # fmt: skip
_S3_OPERATIONS = {
    ("HEAD", "bucket", ""): "HeadBucket", ("PUT", "bucket", ""): "CreateBucket", ("DELETE", "bucket", ""): "DeleteBucket",
    ("GET", "bucket", "Tagging"): "GetBucketTagging", ("PUT", "bucket", "Tagging"): "PutBucketTagging",
    ("GET", "bucket", "PublicAccessBlock"): "GetPublicAccessBlock", ("PUT", "bucket", "PublicAccessBlock"): "PutPublicAccessBlock",
    ("GET", "bucket", "Encryption"): "GetBucketEncryption", ("PUT", "bucket", "Encryption"): "PutBucketEncryption",
    ("GET", "bucket", "List"): "ListObjectsV2", ("GET", "bucket", "Uploads"): "ListMultipartUploads", ("POST", "bucket", "Delete"): "DeleteObjects",
    ("HEAD", "object", ""): "HeadObject", ("GET", "object", ""): "GetObject", ("PUT", "object", ""): "PutObject",
    ("POST", "object", "Uploads"): "CreateMultipartUpload", ("PUT", "object", "Upload"): "UploadPart",
    ("POST", "object", "Upload"): "CompleteMultipartUpload", ("DELETE", "object", "Upload"): "AbortMultipartUpload"}  # fmt: skip


def _s3_operation(method: str, path: str, query: str, is_copy: bool) -> str:
    assert not is_copy
    kind = "object" if path.strip("/").partition("/")[2] else "bucket"
    words = [_S3_QUERIES[key] for key, _ in urllib.parse.parse_qsl(query, keep_blank_values=True) if key in _S3_QUERIES]
    return _S3_OPERATIONS[method, kind, words[0] if words else ""]
