"""Attacks on a real server, counted: what got through must be nothing, and nothing of an attack stays."""

from __future__ import annotations

import hashlib
import http.client
import json
import re
import shutil
import threading
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import closing, suppress
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Literal
from urllib.parse import quote

import pytest

from argosy.testing.server import Reply, RunningServer
from conftest import Report
from faults import attacks
from faults.figures import Figure
from faults.system import IS_ORIGINAL, listed, seconds_until, system

pytestmark = pytest.mark.timeout(300 if IS_ORIGINAL else 180)

PATIENCE_S = 5.0 if IS_ORIGINAL else 60.0
"""The original tries for ever to load what it cannot load: nobody waits for that."""
LINE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d,\d{3} |    |$")


class Target:
    """A server under attack, and what lies around it."""

    def __init__(self, server: RunningServer) -> None:
        self.server = server
        self.outside = server.folder / "outside"
        self.outside.mkdir()
        mark = f"open({str(server.folder / 'ran')!r}, 'a').write('x')\n"
        (self.outside / "evil.py").write_text(mark + "def handle(data, context): return data and ['evil']\n")
        (self.outside / "secret").write_text("the secret")
        self.reasons: list[str] = []

    def around(self) -> dict[str, str]:
        """Everything below the server's folder that an attack must not change."""
        paths = [path for path in self.server.folder.rglob("*") if not path.is_relative_to(self.server.store.folder) and "logs" not in path.parts]
        return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "" for path in paths if path.exists()}

    def register(self, **values: object) -> Reply:
        """A registration whose values are encoded as they must be."""
        query = "&".join(f"{name}={quote(str(value), safe='')}" for name, value in values.items())
        return self.server.manage("POST", f"/models?{query}&initial_workers=1&synchronous=true", PATIENCE_S)

    def archive(self, data: bytes) -> Reply:
        """Put an archive into the store and register it."""
        file = self.server.store.folder / "attack.mar"
        file.write_bytes(data)
        return self.register(url=file.name, model_name="attack")

    def count(self, name: str, replies: Iterable[tuple[str, Reply]], figure: Report) -> None:
        """Report how many attacks were refused. One that is answered with success, or leaves anything, has got through."""
        before = self.around()
        passed: list[str] = []
        told = Counter[str]()
        for what, reply in replies:
            told["sent"] += 1
            told["lost"] += reply.status == 0
            if not is_refusal(reply) and reply.status:
                passed.append(f"{what}: {reply.status}")
            if not is_refusal(reply):
                self.server.manage("DELETE", "/models/attack", PATIENCE_S)
            self.reasons.append(f"{what}: {reply.status} {reply.text[:300]}")
        after = self.around()
        changed = sorted({path for path in before.keys() | after.keys() if before.get(path) != after.get(path)})
        models = listed(self.server)
        sent, lost, said = told["sent"], told["lost"], self.said(changed, models)
        figure(Figure(f"attack: {name}", sent=sent, refused=sent - lost - len(passed), lost=lost, wrong=len(passed), figures=said))
        assert sent > 0
        assert (lost, passed, changed, models) == (0, [], [], ["m"])
        assert self.server.predict("m", "echo:still here").text == "still here"

    def said(self, changed: list[str], models: list[str]) -> str:
        """What an attack has left, for the table."""
        inside = [path for path in changed if Path(path).is_relative_to(self.server.temp)]
        ran = "; code outside of the model was run" if (self.server.folder / "ran").exists() else ""
        outside = [path for path in changed if path not in inside and path != str(self.server.folder / "ran")]
        extra = sorted(set(models) - {"m"})
        told = [
            f"{len(outside)} files and folders written or changed outside" if outside else "",
            f"{len(inside)} left in its temporary folder" if inside else "",
            f"{len(extra)} models stay" if extra else "", "m is gone" if "m" not in models else "",
        ]  # fmt: skip
        return ("; ".join(text for text in told if text) or "nothing stays") + ran


def is_refusal(reply: Reply) -> bool:
    """Whether an attack was refused, or its model could not be loaded: other failures of the server are none, and a refusal tells no secret."""
    is_known = 400 <= reply.status < 500 or reply.status == 507 or "Failed to start workers" in reply.text
    return is_known and b"the secret" not in reply.body


def scope(fixture_name: str, config: pytest.Config) -> Literal["function", "module"]:
    """The original does not survive every attack: each gets a new one."""
    return "function" if IS_ORIGINAL else "module"


@pytest.fixture(scope=scope)
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    """A server with one model, attacked by all tests of this module."""
    with system(tmp_path_factory.mktemp("attacked"), "m") as server:
        yield Target(server)
        if IS_ORIGINAL:  # what it has unpacked and kept
            shutil.rmtree(server.temp, ignore_errors=True)


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("kind", attacks.Kind, ids=lambda kind: kind.name)
def test_zips(target: Target, figure: Report, kind: attacks.Kind) -> None:
    """Zips that traverse, link, carry devices, collide, overlap or are encrypted are refused, and nothing of them stays."""
    chosen = ((what, data) for what, data in attacks.zips(target.outside) if attacks.kind(what) is kind)
    target.count(f"zip {kind.value}", ((what, target.archive(data)) for what, data in chosen), figure)


@pytest.mark.skipif(IS_ORIGINAL, reason="it takes no tar archives")
@pytest.mark.parametrize("kind", attacks.Kind, ids=lambda kind: kind.name)
def test_tars(target: Target, figure: Report, kind: attacks.Kind) -> None:
    """The same for tars, with what PAX and GNU headers can rename, resize and link."""
    chosen = ((what, data) for what, data in attacks.tars(target.outside) if attacks.kind(what) is kind)
    target.count(f"tar {kind.value}", ((what, target.archive(data)) for what, data in chosen), figure)


def test_bombs(target: Target, figure: Report) -> None:
    """Archives that unpack to much more than they are, in bytes or in files."""
    target.count("archive bombs", ((what, target.archive(data)) for what, data in attacks.bombs()), figure)


def test_damaged_archives(target: Target, figure: Report) -> None:
    """Cut, flipped and foreign files."""
    target.count("damaged archives", ((what, target.archive(data)) for what, data in attacks.damaged()), figure)


def test_manifests(target: Target, figure: Report) -> None:
    """Huge, deep, wrongly typed and lying manifests; their names are refused although the registration brings none of its own."""
    def tries() -> Iterator[tuple[str, Reply]]:
        for what, data in attacks.manifests():
            (target.server.store.folder / "attack.mar").write_bytes(data)
            yield what, target.register(url="attack.mar")

    target.count("absurd manifests", tries(), figure)


def test_handlers(target: Target, figure: Report) -> None:
    """Handlers outside of the model, from the request and from the manifest: their code is never run."""
    def tries() -> Iterator[tuple[str, Reply]]:
        for handler in attacks.handlers(target.outside):
            yield f"request {handler!r}", target.register(url="m", model_name="attack", handler=handler)
            yield f"manifest {handler!r}", target.archive(attacks.archive_with_handler(handler))

    target.count("handlers outside of the model", tries(), figure)
    assert not (target.server.folder / "ran").exists()


def test_model_names(target: Target, figure: Report) -> None:
    """Names that traverse, forge or hide, in registrations and in the paths of every other request."""
    def tries() -> Iterator[tuple[str, Reply]]:
        for name in attacks.NAMES:
            yield f"register {name[:40]!r}", target.register(url="m", model_name=name)
            path = quote(name, safe="")[:3000]
            if name != ".":
                yield f"describe {name[:40]!r}", target.server.manage("GET", f"/models/{path}")
                yield f"delete {name[:40]!r}", target.server.manage("DELETE", f"/models/{path}")

    target.count("model names", tries(), figure)


def test_urls(target: Target, figure: Report) -> None:
    """Paths, schemes and spellings that lead out of the store or to something that is no download."""
    target.count("urls", ((url[:60], target.register(url=url, model_name="attack")) for url in attacks.urls(target.outside)), figure)


class Web:
    """A web server that sends whoever asks somewhere else, or gives a model; it knows what it was asked."""

    def __init__(self) -> None:
        asked = self.asked = list[str]()
        web = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                asked.append(self.path)
                where = web.redirects.get(self.path)
                self.send_response(200 if where is None else 302)
                if where is not None:
                    self.send_header("Location", where)
                body = attacks.zipped() if where is None else b""
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self.redirects: dict[str, str] = {}
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self._server.server_port
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End it."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def test_forged_requests_of_the_server(tmp_path: Path, figure: Report) -> None:
    """With a list only what it names is fetched, on each hop and in each spelling: nobody else is ever contacted."""
    with closing(Web()) as allowed, closing(Web()) as inside:
        there, forbidden = f"http://127.0.0.1:{allowed.port}", f"http://127.0.0.1:{inside.port}"
        settings = {"allowed_urls": rf"http://127\\.0\\.0\\.1:{allowed.port}/models/.*"}
        hops = {
            "other host": f"{forbidden}/models/m.mar", "other folder": f"{there}/admin/m.mar", "file": "file:///etc/passwd",
            "ftp": "ftp://127.0.0.1/m.mar", "gopher": f"gopher://127.0.0.1:{inside.port}/_x",
            "metadata": "http://169.254.169.254/latest/meta-data/", "decimal": "http://2852039166/latest/",
            "mapped": "http://[::ffff:169.254.169.254]/latest/", "user": f"http://127.0.0.1:{allowed.port}@127.0.0.1:{inside.port}/models/m.mar",
            "no scheme": f"//127.0.0.1:{inside.port}/models/m.mar", "dots": f"{there}/models/../admin/m.mar", "loop": f"{there}/models/loop.mar",
            "nothing": "",
        }  # fmt: skip
        allowed.redirects = {f"/models/{name}.mar": where for name, where in hops.items()} | {"/models/first.mar": f"{there}/models/other host.mar"}
        direct = [
            forbidden + "/models/m.mar", there + "/admin/m.mar", f"http://localhost:{inside.port}/models/m.mar",
            f"http://127.1:{inside.port}/models/m.mar",
            f"http://2130706433:{inside.port}/models/m.mar", f"http://0x7f000001:{inside.port}/models/m.mar",
            f"http://0177.0.0.1:{inside.port}/models/m.mar",
            f"http://[::ffff:127.0.0.1]:{inside.port}/models/m.mar", f"http://0:{inside.port}/models/m.mar",
            f"https://127.0.0.1:{inside.port}/models/m.mar",
            f"{there}@127.0.0.1:{inside.port}/models/m.mar", f"{there}#@127.0.0.1:{inside.port}/models/m.mar",
            "http://169.254.169.254/latest/meta-data/",
            "http://metadata.google.internal/", "http://[fe80::1%lo]/", "http://[64:ff9b::a9fe:a9fe]/", f"{there}/models/../admin/m.mar",
            f"{there}/models/%2e%2e/admin/m.mar", f"{there}\\models/m.mar", f"{there}/models/m.mar\r\nX: y",
            f"http://127.0.0.1:{allowed.port}.evil/models/m.mar",
        ]  # fmt: skip
        with system(tmp_path, "m", settings=settings) as server:
            target = Target(server)
            good = target.register(url=f"{there}/models/m.mar", model_name="attack")
            removed = server.manage("DELETE", "/models/attack")
            seconds_until(lambda: listed(server) == ["m"], 5)

            def tries() -> Iterator[tuple[str, Reply]]:
                for name in (*hops, "first"):
                    yield f"hop: {name}", target.register(url=f"{there}/models/{name.replace(' ', '%20')}.mar", model_name="attack")
                for url in direct:
                    yield f"direct: {url}", target.register(url=url, model_name="attack")

            allowed.redirects = {path.replace(" ", "%20"): where.replace(" ", "%20") for path, where in allowed.redirects.items()}
            def report(found: Figure) -> Figure:
                return figure(replace(found, figures=f"{found.figures}; {contacted(allowed, inside)}"))

            target.count("forged requests (SSRF)", tries(), report)
        assert (good.status, removed.status) == (200, 200)
        assert contacted(allowed, inside) == "nobody else was contacted"


def contacted(allowed: Web, inside: Web) -> str:
    """Who was asked although nobody should."""
    forbidden = len(inside.asked) + len([path for path in allowed.asked if not path.startswith("/models/")])
    return f"forbidden addresses were contacted {forbidden} times" if forbidden else "nobody else was contacted"


def test_pages_of_other_origins(target: Target, figure: Report) -> None:
    """A web page somewhere else that the operator looks at changes nothing, by any method, with any content, under any name of ours."""
    port = target.server.management
    near = [f"http://127.0.0.1.evil.example:{port}", f"https://127.0.0.1:{port + 1}", "http://127.0.0.1:1"]
    origins = ["https://evil.example", "null", "", "http://[", "file://", *near]
    heads = [*({"Origin": origin} for origin in origins), {"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"}]
    rebound = {"Host": f"evil.example:{port}", "Origin": f"http://evil.example:{port}"}

    def tries() -> Iterator[tuple[str, Reply]]:
        for head in (*heads, rebound):
            for method, path in (("POST", "/models?url=m&model_name=attack"), ("PUT", "/models/m?min_worker=0"), ("DELETE", "/models/m")):
                with closing(target.server.connect(management=True)) as connection:
                    connection.request(method, path, b"{}", {"Content-Type": "text/plain", **head})
                    yield f"{method} {head}", read(connection)

    target.count("pages of other origins", tries(), figure)
    assert target.server.describe("m")["minWorkers"] == 2


def read(connection: http.client.HTTPConnection) -> Reply:
    """The reply; its status is 0 if there is none."""
    try:
        response = connection.getresponse()
        return Reply(response.status, response.read(), {})
    except (OSError, http.client.HTTPException):
        return Reply(0, b"", {})


NOISY = """
import sys
def handle(data, context):
    if data is None:
        return None
    for item in data:
        text = bytes(item["body"]).decode("latin-1")
        sys.stdout.write(text + "\\n")
        sys.stderr.write(text)
        import logging
        logging.info("%s", text)
    raise ValueError(text)
"""


def test_forged_log_lines(tmp_path: Path, figure: Report) -> None:
    """Whatever clients and handlers say, each line of each log begins as a line does, and no control character reaches a terminal."""
    logs = tmp_path / "logs"
    forged = "2026-11-22T10:00:00,000 [INFO ] root forged"
    breaks = ("\n", "\r", "\r\n", "\u2028", "\x85", "\x0b\x0c\x1c")
    payloads = [*(end + forged for end in breaks), "\x1b[2J\x1b]0;title\x07", "\x9b31m", "\0", "\x7f"]
    with system(tmp_path, "m", settings={"log_location": logs, "metrics_location": logs}) as server:
        server.store.add("noisy", NOISY)
        server.register("noisy")
        for payload in payloads:
            encoded = quote(payload.encode("utf-8"))
            server.predict("noisy", payload.encode("utf-8"), kind="application/octet-stream")
            server.manage("GET", f"/models/{encoded}")
            server.manage("POST", f"/models?url={encoded}&model_name={encoded}&handler={encoded}&runtime={encoded}")
            with closing(server.connect()) as connection:
                connection.putrequest("POST", f"/predictions/{encoded}?{encoded}", skip_accept_encoding=True)
                connection.putheader("x-request-id", payload.encode("utf-8").replace(b"\r", b"").replace(b"\n", b"").replace(b"\0", b"") or b"-")
                connection.putheader("Content-Length", "0")
                connection.endheaders()
                read(connection)
            raw_request(server, b"GET /" + payload.encode("utf-8") + b" HTTP/1.1\r\nHost: a\r\n\r\n")
        status = server.stop()
        printed = "\n".join(server.output)
    texts = {path.name: path.read_bytes().decode("utf-8", "surrogateescape") for path in logs.iterdir() if path.is_file()}
    wrong = [f"{name}: {line[:80]!r}" for name, text in (*texts.items(), ("terminal", printed)) for line in text.split("\n") if is_forged(name, line)]
    sent, looked = 5 * len(payloads), f"{len(texts)} files looked through"
    figure(Figure("attack: forged log lines", sent=sent, refused=max(0, sent - len(wrong)), wrong=len(wrong), figures=looked))
    assert (status, wrong) == (0, [])
    assert any(forged in text for text in texts.values()), "what was sent was logged, in a harmless form"


def is_forged(name: str, line: str) -> bool:
    """Whether a line is not one of the server's own, or holds what a terminal would obey. The lines of the original are known by no form."""
    if IS_ORIGINAL:
        return line.startswith("2026-11-22T10:00:00,000") or re.search("[\x00\x1b\x7f\x9b]", line) is not None
    if re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029]", line):
        return True
    return (name in ("mms_log.log", "access_log.log", "model_log.log") and LINE.match(line) is None) or line.startswith("2026-11-22T10:00:00,000")


def raw_request(server: RunningServer, data: bytes) -> None:
    """Send bytes and wait for the end of the connection or a reply."""
    with closing(server.connect(5)) as connection:
        connection.connect()
        with suppress(OSError):
            connection.sock.sendall(data)
            connection.sock.recv(65536)


@pytest.mark.skipif(IS_ORIGINAL, reason="there are no tokens in Multi Model Server")
def test_tokens_that_are_none(tmp_path: Path, figure: Report) -> None:
    """No guess, no other spelling, no hash, and no token for something else opens anything."""
    from argosy.protocols.endpoint import Scope
    from argosy.protocols.tokens import new_token

    secret, token = new_token("ann", [Scope.SCRAPE])
    digest = str(token).rpartition(" ")[2]
    bearers = ["", digest, digest[7:], secret[:-1], f"{secret}x", secret]
    values = ["", "Bearer", f"Basic {secret}", secret, *(f"Bearer {value}" for value in bearers)]
    asked = ((False, "POST", "/predictions/m"), (True, "GET", "/models"), (True, "DELETE", "/models/m"), (True, "GET", "/models/m"))
    with system(tmp_path, "m", settings={"tokens": token}) as server:
        replies = []
        for value in values:
            for management, method, path in asked:
                with closing(server.connect(management=management)) as connection:
                    connection.request(method, path, b"echo:in", {"Authorization": value} if value else {})
                    replies.append((value == f"Bearer {secret}", read(connection)))
        wrong = [reply for is_known, reply in replies if reply.status != (403 if is_known else 401)]
        figure(Figure("attack: tokens that are none", sent=len(replies), refused=len(replies) - len(wrong), wrong=len(wrong)))
        assert wrong == []
        assert json.loads(replies[0][1].body)["type"] == "UnauthorizedException"
        with closing(server.connect()) as connection:
            connection.request("GET", "/metrics", headers={"Authorization": f"Bearer {secret}"})
            assert read(connection).status == 200
