"""What others can reach, read or learn of a server that nobody has told to hide it: addresses, files, variables, secrets, and who is let in."""

from __future__ import annotations

import contextlib
import ipaddress
import os
import shutil
import ssl
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from argosy.testing.server import RunningServer
from conftest import Report
from fakes.certificates import authority, identity
from faults.figures import Figure
from faults.storage import pack
from faults.system import IS_ORIGINAL, WICKED, family, launched, seconds_until, system

ALONE = ["unshare", "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "sh"]
SECRET = "t0p-s3cret-of-nobody"
LOOK = """
import os
def handle(data, context):
    return data and [repr(sorted(os.environ.items()))] * len(data)
"""


def may_be_alone() -> bool:
    """Whether this user may make a network of its own."""
    tool = shutil.which("ip") and shutil.which("unshare")
    return tool is not None and subprocess.run([*ALONE, "true"], capture_output=True, check=False).returncode == 0


@pytest.mark.skipif(not may_be_alone(), reason="network namespaces are not permitted here")
def test_addresses_that_nobody_has_set(tmp_path: Path, figure: Report) -> None:
    """Without a word about addresses the server and its workers listen on loopback, and nowhere else."""
    settings = {"inference_address": None, "management_address": None}
    with launched(tmp_path, settings, ALONE) as server:
        seconds_until(lambda: {port for _, port in listening(server)} >= {8080, 8081}, 30)
        found = sorted(listening(server))
    strange = [f"{address}:{port}" for address, port in found if not address.is_loopback]
    told = "listens on " + ", ".join(f"{address}:{port}" for address, port in found)
    figure(Figure("addresses by default", sent=len(found), right=len(found) - len(strange), wrong=len(strange), figures=told))
    assert strange == []
    assert {port for _, port in found} >= {8080, 8081}


def listening(server: RunningServer) -> set[tuple[ipaddress.IPv4Address | ipaddress.IPv6Address, int]]:
    """Where the processes of a server accept connections."""
    found = set()
    for pid in family(server.folder / "begun"):
        with contextlib.suppress(OSError):
            inodes = {os.readlink(link) for link in Path(f"/proc/{pid}/fd").iterdir()}
            rows = [line.split() for name in ("tcp", "tcp6") for line in Path(f"/proc/{pid}/net/{name}").read_text().splitlines()[1:]]
            found |= {endpoint(row[1]) for row in rows if row[3] == "0A" and f"socket:[{row[9]}]" in inodes}
    return found


def endpoint(text: str) -> tuple[ipaddress.IPv4Address | ipaddress.IPv6Address, int]:
    """Address and port as the kernel writes them: words of four bytes, each in the order of this machine."""
    address, _, port = text.partition(":")
    data = b"".join(bytes.fromhex(address[at : at + 8])[::-1] for at in range(0, len(address), 8))
    found = ipaddress.ip_address(data)
    mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    return mapped or found, int(port, 16)


def test_variables_that_handlers_see(tmp_path: Path, figure: Report) -> None:
    """What `blacklist_env_vars` names does not reach a handler, nor does what the server itself keeps secret; everything else does."""
    secrets = {"AWS_SECRET_ACCESS_KEY": SECRET, "TEAM_KEY": SECRET, "MMS_KEYSTORE_PASS": SECRET}
    settings = {"blacklist_env_vars": ".*SECRET.*|TEAM_KEY"}
    with system(tmp_path, "m", settings=settings, env={**secrets, "PLAIN": "to be seen"}, code=LOOK) as server:
        seen = server.predict("m", "x").text
    shown = [name for name in secrets if name in seen]
    told = f"handler sees {', '.join(shown) or 'none of them'}; other variables {'are there' if 'to be seen' in seen else 'are MISSING'}"
    figure(Figure("secrets in the environment of handlers", sent=len(secrets), refused=len(secrets) - len(shown), wrong=len(shown), figures=told))
    assert (shown, SECRET in seen) == ([], False)
    assert "to be seen" in seen


def test_secrets_that_are_told(tmp_path: Path, figure: Report) -> None:
    """The password of a key store is in no log, no output, no argument of a process, and not in what `config show` prints."""
    files = identity(tmp_path, is_rsa=True, password=SECRET)
    logs, home = tmp_path / "logs", tmp_path / "server"
    home.mkdir()
    settings = {
        "management_address": "https://127.0.0.1:0", "keystore": files.keystore, "keystore_pass": SECRET, "keystore_type": "PKCS12",
        "log_location": logs, "metrics_location": logs,
    }  # fmt: skip
    with system(home, "m", settings=settings) as server:
        is_served = server.predict("m", "echo:x").text == "x"
        arguments = [Path(f"/proc/{pid}/cmdline").read_bytes().decode("utf-8", "replace") for pid in family(home / "begun")]
        texts = {"output": "\n".join(server.output), "arguments": "\n".join(arguments)}
    for path in (path for folder in (logs, home / "logs") if folder.is_dir() for path in folder.iterdir()):
        texts[path.name] = path.read_text("utf-8", "replace")
    if not IS_ORIGINAL:
        texts["config show"] = shown(home / "config.properties")
        assert "keystore_pass" in texts["config show"]
    told = sorted(name for name, text in texts.items() if SECRET in text)
    looked = f"{len(texts)} places looked at; told in: {', '.join(told) or 'none'}"
    figure(Figure("secrets in logs, output, arguments", sent=len(texts), refused=len(texts) - len(told), wrong=len(told), figures=looked))
    assert is_served
    assert told == []


def shown(config: Path) -> str:
    """What the command says about a configuration."""
    command = [sys.executable, "-P", "-c", "from argosy.cli.main import main; main()", "config", "show", "--config", str(config)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


def test_files_of_others(tmp_path: Path, figure: Report) -> None:
    """What was unpacked, and every other temporary file but the one with the process id, can be read by the server's user alone."""
    with system(tmp_path) as server:
        pack(server.store.folder / "packed.mar", {"service.py": WICKED.encode(), "weights": b"worth a lot"})
        status = server.register("packed.mar", model_name="packed").status
        found = [path for path in server.temp.rglob("*") if not path.is_symlink() and path.name != ".model_server.pid"]
        is_there = any(path.name == "weights" for path in found)
        public = [path for path in found if is_open(path, server.temp)]
    figures = f"{len(public)} of {len(found)} files and folders can be read by everybody"
    figure(Figure("temporary files", sent=len(found), refused=len(found) - len(public), wrong=len(public), figures=figures))
    assert (status, public) == (200, [])
    assert is_there


def is_open(path: Path, root: Path) -> bool:
    """Whether others can get at it: it is readable, and so is every folder on the way."""
    ways = [path, *(parent for parent in path.parents if parent.is_relative_to(root) and parent != root)]
    return all(stat.S_IMODE(place.stat().st_mode) & 0o005 for place in ways)


@pytest.mark.skipif(IS_ORIGINAL, reason="it cannot ask clients for certificates")
def test_clients_without_a_certificate(tmp_path: Path, figure: Report) -> None:
    """Where certificates are required nobody comes in without one of the authority: none, another's, and one that has expired are turned away."""
    own, ours, theirs = identity(tmp_path), authority(tmp_path), authority(tmp_path, "other")
    settings = {
        "management_address": "https://127.0.0.1:0", "private_key_file": own.key, "certificate_file": own.certificate,
        "client_ca_file": ours.certificate, "client_certificates": "required",
    }  # fmt: skip
    (tmp_path / "server").mkdir()
    with system(tmp_path / "server", "m", settings=settings) as server:
        strangers = [None, theirs.client(tmp_path, "alice"), ours.client(tmp_path, "late", days=-1)]
        let_in = [is_let_in(server, own.certificate, stranger) for stranger in strangers]
        is_known = is_let_in(server, own.certificate, ours.client(tmp_path, "alice"))
    told = "one of the authority is let in" if is_known else "one of the authority is NOT let in"
    figure(Figure("clients without a right certificate", sent=len(let_in), refused=let_in.count(False), wrong=let_in.count(True), figures=told))
    assert (let_in, is_known) == ([False] * 3, True)


def is_let_in(server: RunningServer, authority: Path, certificate: tuple[Path, Path] | None) -> bool:
    """Whether a client with this certificate is answered."""
    context = ssl.create_default_context(cafile=authority)
    if certificate is not None:
        context.load_cert_chain(*certificate)
    with contextlib.suppress(OSError), contextlib.closing(server.connect(10, management=True)) as connection:
        connection.connect()
        with context.wrap_socket(connection.sock, server_hostname="localhost") as sock:
            sock.sendall(b"GET /models HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            return sock.recv(100).startswith(b"HTTP/1.1 200 ")
    return False
