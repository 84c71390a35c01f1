"""What handlers print, in the log of a real server: by which worker, of which model, for which request."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from argosy.testing.server import RunningServer, wait_for

TALKER = """
    import ctypes, logging, os, sys, threading

    print("while loading")

    def handle(data, context):
        if data is None:
            return None
        for item in data:
            order = bytes(item["body"]).decode() if not isinstance(item["body"], str) else item["body"]
            if order == "print":
                print("to stdout")
                print("to stderr", file=sys.stderr)
                logging.getLogger("mine").warning("to logging")
            elif order == "partial":
                print("left open", end="")
            elif order == "crash":
                print("last words", end="")
                os._exit(3)
            elif order == "native":
                ctypes.CDLL(None).write(1, b"from C\\n", 7)
            elif order == "junk":
                sys.stdout.buffer.write(b"\\xff\\x00\\x1ba\\n")
            elif order == "thread":
                thread = threading.Thread(target=print, args=("from a thread",))
                thread.start()
                thread.join()
            elif order == "fork":
                child = os.fork()
                if not child:
                    print("from a child")
                    os._exit(0)
                os.waitpid(child, 0)
            elif order == "raise":
                raise ValueError("the reason")
        return ["done"] * len(data)
"""


class Talk:
    """A server with the talking model and its JSON log."""

    def __init__(self, server: RunningServer) -> None:
        self.server = server

    def say(self, order: str, id: str) -> None:
        """One request with an id of its own."""
        with contextlib.closing(self.server.connect()) as connection:
            connection.request("POST", "/predictions/talker", order, {"content-type": "text/plain", "x-request-id": id})
            connection.getresponse().read()

    def entries(self) -> list[dict[str, str]]:
        """What model_log.log has so far."""
        text = (self.server.folder / "logs" / "model_log.log").read_text()
        return [json.loads(line) for line in text.splitlines()]

    def entry(self, message: str) -> dict[str, str]:
        """The entry with this text, once it is there."""
        return wait_for(lambda: next((entry for entry in self.entries() if message in entry["message"]), None), message) or {}


@contextlib.contextmanager
def talking(folder: Path, **settings: object) -> Iterator[Talk]:
    """A server whose only model talks."""
    server = RunningServer(folder, {"log_format": "json", "log_location": folder / "logs", "load_models": "talker", **settings})
    server.store.add("talker", TALKER)
    with server:
        wait_for(lambda: server.ping().status == 200, "the model")
        yield Talk(server)


@pytest.mark.parametrize("preload", ["false", "true"])
def test_lines_know_their_request(tmp_path: Path, preload: str) -> None:
    """Prints, logging, threads, forks and tracebacks carry worker, model and request id, also in workers that were forked from a loaded one."""
    with talking(tmp_path, preload_model=preload) as talk:
        for order in ("print", "thread", "fork", "raise"):
            talk.say(order, f"id-{order}")
        for message, stream, id in (
            ("to stdout", "stdout", "id-print"), ("to stderr", "stderr", "id-print"), ("to logging", "stdout", "id-print"),
            ("from a thread", "stdout", "id-thread"), ("from a child", "stdout", "id-fork"), ("ValueError: the reason", "stderr", "id-raise"),
        ):  # fmt: skip
            entry = talk.entry(message)
            assert (entry["message"], entry["requestID"]) == (message, id)
            assert entry["thread"].startswith("W-9000-")
            assert entry["thread"].endswith(f"-talker-{stream}")
        assert talk.entry("while loading")["requestID"] == ""


def test_odd_output_is_captured_too(tmp_path: Path) -> None:
    """A line left open is not the next request's; native output has no id; bytes of any kind do no harm; last words survive."""
    with talking(tmp_path) as talk:
        for order in ("partial", "print", "native", "junk", "crash"):
            talk.say(order, f"id-{order}")
        assert talk.entry("last words")["requestID"] == "id-crash"
        found = {entry["message"]: entry["requestID"] for entry in talk.entries()}
        assert (found["left open"], found["to stdout"], found["from C"]) == ("id-partial", "id-print", "")
        assert next(id for message, id in found.items() if "\x1b" in message) == "id-junk"


def test_the_text_log_says_it_behind_the_line(tmp_path: Path) -> None:
    """What looks for the line of old still finds it."""
    with talking(tmp_path, log_format="text") as talk:
        talk.say("print", "id-1")
        talk.server.wait_for_line(r"\[INFO \] W-9000-\S*-talker-stdout com\.amazonaws\.ml\.mms\.wlm\.WorkerLifeCycle - to stdout \[requestID:id-1\]$")
