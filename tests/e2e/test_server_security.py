"""A real server among people who may not: tokens, and what its own workers can find out about it."""

from __future__ import annotations

import http.client
import os
import socket
import ssl
from pathlib import Path

import pytest
from click.testing import CliRunner

from argosy.cli.main import main
from argosy.config import Config, load_config
from argosy.errors import ArgosyError
from argosy.server.tls import tls_context
from argosy.testing.server import wait_for
from conftest import Report
from fakes.certificates import authority, identity
from fakes.live_server import LiveServer, live_server
from faults.figures import Figure

SPY = """
import os

def handle(data, context):
    if data is None:
        return None
    return [look(bytes(item["body"]).decode()) for item in data]

def look(what):
    try:
        if what == "environ":
            return repr(sorted(os.environ.items()))
        if what == "header":
            return "unseen"
        with open("/proc/%d/%s" % (os.getppid(), what), "rb") as file:
            return file.read(1 << 20)
    except OSError as error:
        return error.strerror
"""
BINARY = {"Content-Type": "application/octet-stream"}


def make_token(file: Path, name: str, *scopes: str) -> dict[str, str]:
    """Add a token to the file with the command; the header that shows it."""
    result = CliRunner().invoke(main, ["token", name, *(word for scope in scopes for word in ("--scope", scope))])
    assert result.exit_code == 0
    with file.open("a") as stream:
        stream.write(result.stdout)
    return {"Authorization": "Bearer " + result.stderr.rpartition(" ")[2].strip(), **BINARY}


def predict(server: LiveServer, headers: dict[str, str], body: bytes = b"environ") -> int:
    return server.ask("POST", "/predictions/m", body, headers)[0]


def test_tokens_from_command_to_rotation(tmp_path: Path) -> None:
    """Tokens made by the command work for what they are for, on both listeners; one that is added or taken away counts without a restart."""
    file = tmp_path / "tokens"
    ann, bob, eve = make_token(file, "ann", "inference"), make_token(file, "bob", "management", "scrape"), {"Authorization": "Bearer eve", **BINARY}
    with live_server(tmp_path, SPY, {"tokens_file": file}) as server:
        assert [predict(server, who) for who in (ann, bob, eve, BINARY)] == [200, 403, 401, 401]
        for path, management in (("/models", True), ("/models/m", True), ("/metrics", False), ("/metrics", True)):
            assert [server.ask("GET", path, headers=who, management=management)[0] for who in (ann, bob, eve)] == [403, 200, 401], path
        assert server.ask("DELETE", "/models/m", headers=ann, management=True)[0] == 403
        for path in ("/ping", "/livez", "/readyz"):
            assert server.ask("GET", path)[0] == 200
        for path in ("/openapi.json", "/api-description", "/no/such/path"):
            assert [server.ask("GET", path, headers=who)[0] == 401 for who in (ann, eve)] == [False, True]
        file.write_text("".join(line for line in file.read_text().splitlines(keepends=True) if not line.startswith("ann")))
        cat = make_token(file, "cat", "inference")
        wait_for(lambda: predict(server, cat) == 200, "the new token counts")
        assert [predict(server, who) for who in (ann, cat)] == [401, 200]
        said = server.log.read_text()
        assert "The tokens were read again: 2." in said
    assert not [who for who in (ann, bob, cat) if who["Authorization"].removeprefix("Bearer ") in said]


def test_a_connection_that_goes_on_loses_its_right_too(tmp_path: Path, figure: Report) -> None:
    """The same bytes on the same connection, before and after their token was taken away."""
    file = tmp_path / "tokens"
    token = make_token(file, "ann")["Authorization"]
    request = f"POST /predictions/m HTTP/1.1\r\nHost: a\r\nAuthorization: {token}\r\nContent-Length: 6\r\n\r\nheader".encode()
    with live_server(tmp_path, SPY, {"tokens_file": file}) as server, server.connect() as client:
        def status() -> int:
            client.sendall(request)
            return int(client.recv(65536).split()[1])

        assert [status(), status()] == [200, 200]
        file.write_text("")
        wait_for(lambda: "The tokens were read again: 0." in server.log.read_text(), "the tokens were read again")
        last = status()
        figure(Figure("token taken away, its connection goes on", sent=3, right=2, refused=int(last == 401), wrong=int(last != 401)))
        assert last == 401


def test_old_management_token_alone(tmp_path: Path) -> None:
    """As ever: it guards the models, and nothing else asks for it."""
    with live_server(tmp_path, SPY, {"management_token": "t0p-secret"}) as server:
        assert server.ask("GET", "/models", management=True)[0] == 401
        assert server.ask("GET", "/models", headers={"Authorization": "Bearer t0p-secret"}, management=True)[0] == 200
        assert predict(server, BINARY) == 200
        assert server.ask("GET", "/metrics", management=True)[0] == 200


def test_workers_learn_no_secret_of_the_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Secrets are not in a worker's environment, and it cannot read them from the server's: nor its memory or arguments."""
    monkeypatch.setenv("TEAM_SECRET", "t0p-secret")
    monkeypatch.setenv("ARGOSY_TOKENS", "# none")
    monkeypatch.setenv("CLOUD_KEY", "key-of-cloud")
    settings = {"management_token": "$$TEAM_SECRET$$", "blacklist_env_vars": "CLOUD_.*", "token_scopes": "management"}
    with live_server(tmp_path, SPY, settings) as server:
        found = server.ask("POST", "/predictions/m", b"environ", BINARY)[1].decode()
        for secret in ("t0p-secret", "TEAM_SECRET", "ARGOSY_TOKENS", "key-of-cloud"):
            assert secret not in found
        assert "'PATH'" in found
        assert b"t0p-secret" not in server.ask("POST", "/predictions/m", b"cmdline", BINARY)[1]
        assert b"t0p-secret" not in Path(f"/proc/{server.pid}/cmdline").read_bytes()
        if os.geteuid():  # root may read everything; its workers get another user
            assert server.ask("POST", "/predictions/m", b"environ", BINARY)[1] == b"Permission denied"
        assert "t0p-secret" not in server.log.read_text()


def shown(server: Path, certificate: tuple[Path, Path] | None) -> ssl.SSLContext:
    """A client that believes the server and shows a certificate."""
    context = ssl.create_default_context(cafile=server)
    if certificate is not None:
        context.load_cert_chain(*certificate)
    return context


def status_over(server: LiveServer, tls: ssl.SSLContext) -> int:
    """The status of a reply; 0 when the connection is refused."""
    try:
        return server.ask("GET", "/ping", tls=tls)[0]
    except (ssl.SSLError, ConnectionError, http.client.HTTPException):
        return 0


@pytest.mark.parametrize(("wanted", "without"), [("required", 0), ("optional", 200)])
def test_clients_with_certificates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wanted: str, without: int) -> None:
    """Those of the authority are served and named in the access log, those of others or expired never; without one it depends."""
    monkeypatch.setenv("LOG_LOCATION", str(tmp_path / "logs"))
    own, ours, theirs = identity(tmp_path), authority(tmp_path), authority(tmp_path, "other")
    settings = {
        "inference_address": "https://127.0.0.1:0", "private_key_file": own.key, "certificate_file": own.certificate,
        "client_ca_file": ours.certificate, "client_certificates": wanted,
    }  # fmt: skip
    with live_server(tmp_path, SPY, settings) as server:
        forged = 'eve] "GET /ping\n2026-01-01 root'
        known, foreign = (ours.client(tmp_path, "alice"), ours.client(tmp_path, forged)), theirs.client(tmp_path, "alice")
        clients = [*known, foreign, ours.client(tmp_path, "late", days=-1), None]
        assert [status_over(server, shown(own.certificate, client)) for client in clients] == [200, 200, 0, 0, without]
    access = (tmp_path / "logs" / "access_log.log").read_text()
    assert '[alice] "GET /ping HTTP/1.1" 200' in access
    assert """[eve) 'GET /ping\\n2026-01-01 root] "GET /ping HTTP/1.1" 200""" in access
    assert "late" not in access
    assert len(access.splitlines()) == (2 if wanted == "required" else 3)


def test_settings_of_client_certificates_that_cannot_be(tmp_path: Path) -> None:
    """A file that is none, and asking clients of a listener that speaks no TLS, stop the start with their reason."""
    own = identity(tmp_path)
    (tmp_path / "empty.pem").write_text("")
    config = Config(private_key_file=own.key, certificate_file=own.certificate, client_ca_file=tmp_path / "empty.pem")
    with pytest.raises(ArgosyError, match=r"client_ca_file .*empty\.pem cannot be used"):
        tls_context(config)
    with pytest.raises(ArgosyError, match="needs a listener that speaks https"):
        load_config({"client_ca_file": "ca.pem"}, {}, tmp_path)


def test_management_is_on_loopback_unless_told(tmp_path: Path) -> None:
    """The default addresses are on loopback, and a server with such addresses, or a worker of it, listens nowhere else."""
    assert Config().management_address.is_loopback
    assert Config().inference_address.is_loopback
    with live_server(tmp_path, SPY) as server:
        inodes = {os.readlink(link) for pid in family(server.pid) for link in Path(f"/proc/{pid}/fd").iterdir() if link.is_symlink()}
        rows = [line.split() for name in ("tcp", "tcp6") for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]]
        listening = [row[1].partition(":")[0] for row in rows if row[3] == "0A" and f"socket:[{row[9]}]" in inodes]
        assert len(listening) == 2
        assert {socket.inet_ntoa(bytes.fromhex(address)[::-1]) for address in listening} == {"127.0.0.1"}


def family(pid: int) -> list[int]:
    """A process and its children."""
    return [pid, *(int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split())]
