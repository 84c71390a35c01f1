"""Serves one packed model on free ports, asks it, checks the answers, stops the server: what the examples' scripts end with."""

from __future__ import annotations

import argparse
import os
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

START_S = 60
ANSWER_S = 60
STOP_S = 30


class TrialError(Exception):
    """Something did not go as promised; the message says what."""


@dataclass(frozen=True)
class Question:
    """A text to send and what has to be in the answer."""

    text: str
    expected: str


@contextmanager
def serving(command: list[str], config: str, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """The server while the block runs; whatever happens, it is stopped. Raises `TrialError` if it does not end well when asked to."""
    (folder / "config.properties").write_text(config, encoding="ascii")
    # settings for the reader's own server do not reach this one, and with temporary files of its own it leaves that server alone
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("ARGOSY_", "MMS_"))}
    environment.update(TMPDIR=str(folder), LOG_LOCATION=str(folder / "logs"), METRICS_LOCATION=str(folder / "logs"))
    environment["MMS_CONFIG_FILE"] = str(folder / "config.properties")
    with open(folder / "server.log", "wb") as log:
        server = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, env=environment, start_new_session=True
        )
        try:
            yield server
            server.terminate()
            if status := server.wait(STOP_S):
                raise TrialError(f"the server ended with status {status}")
        except subprocess.TimeoutExpired as error:
            raise TrialError(f"the server did not stop within {STOP_S} s") from error
        finally:
            server.kill()
            server.wait()


def free_ports() -> list[int]:
    """Two ports of this machine that nobody listens on."""
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
    ports = [each.getsockname()[1] for each in held]
    for each in held:
        each.close()
    return ports


def wait_until_ready(server: subprocess.Popen[bytes], base: str) -> None:
    """Returns once the server says that it is well. Raises `TrialError` if it ends or takes too long."""
    until = time.monotonic() + START_S
    while server.poll() is None and time.monotonic() < until:
        try:
            urllib.request.urlopen(base + "/ping", timeout=ANSWER_S).close()
            return
        except OSError:  # nobody listens yet, or 503: the model is loading
            time.sleep(0.05)
    raise TrialError("the server ended" if server.poll() is not None else f"the server was not ready within {START_S} s")


def ask(url: str, content_type: str, question: Question) -> None:
    """Shows the question and the answer. Raises `TrialError` if it is not the expected one."""
    print(f"\n$ curl -X POST {url} -H {shlex.quote('Content-Type: ' + content_type)} -d {shlex.quote(question.text)}", flush=True)
    request = urllib.request.Request(url, question.text.encode(), {"Content-Type": content_type})
    try:
        with urllib.request.urlopen(request, timeout=ANSWER_S) as reply:
            answer = reply.read().decode()
    except urllib.error.HTTPError as error:
        raise TrialError(f"{error}: {error.read().decode(errors='replace')}") from error
    except OSError as error:
        raise TrialError(f"no answer: {error}") from error
    print(answer, flush=True)
    if question.expected not in answer:
        raise TrialError(f"the answer should hold {question.expected}")


def options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description="Serve one packed model, ask it, check the answers.")
    parser.add_argument("--model-store", required=True, help="folder of the archive")
    parser.add_argument("--model", required=True, help="NAME=FILE, as `multi-model-server --models` takes it")
    parser.add_argument("--path", required=True, help="where to post, such as /predictions/NAME")
    parser.add_argument("--content-type", default="text/plain", help="of the texts (default: %(default)s)")
    parser.add_argument("--bin", type=Path, default=Path(sys.executable).parent, help="folder of multi-model-server (default: %(default)s)")
    parser.add_argument("--ask", nargs=2, action="append", required=True, metavar=("TEXT", "EXPECTED"), help="a text and what its answer holds")
    return parser.parse_args()


def main() -> None:
    """Ends with status 1 and the server's log if anything is not as it should be."""
    chosen = options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the server is stopped too
    command = [str(chosen.bin / "multi-model-server"), "--start", "--foreground", "--model-store", chosen.model_store, "--models", chosen.model]
    inference, management = free_ports()
    base = f"http://127.0.0.1:{inference}"
    config = f"inference_address={base}\nmanagement_address=http://127.0.0.1:{management}\ndefault_workers_per_model=1\n"
    with tempfile.TemporaryDirectory(prefix="argosy-example-") as scratch:
        try:
            with serving(command, config, Path(scratch)) as server:
                wait_until_ready(server, base)
                for text, expected in chosen.ask:
                    ask(base + chosen.path, chosen.content_type, Question(text, expected))
        except TrialError as error:
            sys.exit(f"{error}\nThe server's log:\n{(Path(scratch) / 'server.log').read_text(errors='replace')}")


if __name__ == "__main__":
    main()
