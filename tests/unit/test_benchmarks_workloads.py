"""What the benchmarks ask, which answers they accept, and how they find out."""

from __future__ import annotations

import http.server
import json
import socket
import struct
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.clients import content_length, idle_connections, request, summary
from benchmarks.measure import BenchError
from benchmarks.models import install_models
from benchmarks.peers import PEERS, OpenInference, install
from benchmarks.systems import PlainSpeech, variant, write_model
from benchmarks.workloads import ALL, LATE, MLP, NOOP, OUT_1MB, VIEW_1MB, Setup, Workload, crossed

ECHO, SENTIMENT, PADDLE, IRIS, SLEEPER = (ALL[name][0] for name in ("json", "sentiment", "paddle", "iris", "sleeper"))


@pytest.mark.parametrize("workload", [each for group in ALL.values() for each in group if each.size < 2_000_000], ids=lambda each: each.key)
def test_bodies_are_repeatable(workload: Workload) -> None:
    """The same seed makes the same request in every run."""
    assert workload.body(3) == workload.body(3)
    assert workload.body(0)


def test_bodies_of_other_seeds_are_told_apart() -> None:
    """An answer to somebody else's request is seen as wrong."""
    for workload, answer in ((VIEW_1MB, len(VIEW_1MB.body(1))), (ECHO, sum(json.loads(ECHO.body(1))["x"])), (OUT_1MB, int(OUT_1MB.body(1)))):
        assert workload.is_right(workload.body(1), answer)
        assert not workload.is_right(workload.body(2), answer)


@pytest.mark.parametrize(("workload", "answer", "right"), [
    (NOOP, "OK", True), (NOOP, "ok", False), (SLEEPER, "OK", True), (SENTIMENT, "positive", True), (SENTIMENT, "negative", False),
    (LATE, 8, True), (LATE, 9, False), (LATE, 0, False), (LATE, "8", False), (VIEW_1MB, 1, False), (ECHO, 3, False),
    (MLP, [1.0], False), (MLP, "y", False), (PADDLE, "maybe", False),
])
def test_only_the_right_answer_is_right(workload: Workload, answer: str | int, right: bool) -> None:
    """Also of the right type."""
    assert workload.is_right(workload.body(0), answer) is right


def test_iris_is_asked_for_clear_cases_only() -> None:
    """Short leaves are class 0, long ones class 2."""
    assert {(json.loads(IRIS.body(seed))["length"], next(name for name in "02" if IRIS.is_right(IRIS.body(seed), name))) for seed in range(9)} == {
        (0.5, "0"), (10.0, "2"),
    }


def test_network_is_the_same_everywhere() -> None:
    """The weights are drawn from one seed; an answer may differ in the last bits only."""
    pytest.importorskip("numpy")
    from benchmarks.handlers import forward

    (first, second) = forward.answers([MLP.body(1), MLP.body(2)])
    assert MLP.is_right(MLP.body(1), first)
    assert not MLP.is_right(MLP.body(1), second)


@pytest.mark.parametrize(("workload", "data", "answer"), [
    (NOOP, b"OK", "OK"), (NOOP, b'"OK"\n', "OK"), (VIEW_1MB, b"17", 17), (OUT_1MB, b"abc", 3), (ECHO, b'{"y": 0.5}', 0.5), (LATE, b"8", 8),
    (MLP, b'{"y": [1.0, 2.0]}', [1.0, 2.0]), (SENTIMENT, b'{"sentiment": "positive"}', "positive"), (IRIS, b'{"class": 2}', "2"),
    (PADDLE, b"Prediction : This is a Negative review", "negative"),
])
def test_plain_answers_are_read(workload: Workload, data: bytes, answer: object) -> None:
    """Text, numbers and JSON."""
    assert PlainSpeech().decode(workload, data) == answer


def test_tensors_travel_behind_the_json_or_within() -> None:
    """The three ways in which servers of the inference protocol want bytes."""
    body = MLP.body(1)
    headers, content = OpenInference(binary=True, text="BYTES").encode(MLP, body)
    length = int(headers["Inference-Header-Content-Length"])
    assert content[length:] == body
    assert json.loads(content[:length])["inputs"][0]["parameters"] == {"binary_data_size": len(body)}
    _, content = OpenInference(binary=False, text="base64").encode(MLP, body)
    assert struct.pack("<512f", *json.loads(content)["inputs"][0]["data"]) == body
    for text, tail in (("BYTES", struct.pack("<I", 16) + bytes(16)), ("UINT8", bytes(16))):
        headers, content = OpenInference(binary=True, text=text).encode(NOOP, bytes(16))
        assert content[int(headers["Inference-Header-Content-Length"]):] == tail
    _, content = OpenInference(binary=False, text="base64").encode(NOOP, bytes(16))
    assert json.loads(content)["inputs"][0]["data"] == ["A" * 22 + "=="]


def test_tensors_are_read() -> None:
    """The length of the input stands for OK."""
    speech = OpenInference(binary=True, text="BYTES")
    answer = json.dumps({"outputs": [{"data": [16]}]}).encode()
    assert [speech.decode(workload, answer) for workload in (NOOP, VIEW_1MB, ECHO, MLP)] == ["OK", 16, 16.0, [16]]


def test_models_are_written_for_those_who_know_only_the_old_forms(tmp_path: Path) -> None:
    """Argosy's handler takes a view; the original gets the copy that it always makes."""
    for own, handler in ((True, "size:predict"), (False, "private:handle")):
        write_model(tmp_path / str(own), Setup("size"), own)
        manifest = json.loads((tmp_path / str(own) / "MAR-INF" / "MANIFEST.json").read_text())
        assert manifest["model"]["handler"] == handler
        assert (tmp_path / str(own) / f"{handler.partition(':')[0]}.py").is_file()
    write_model(tmp_path / "sentiment", Setup("sentiment"), True)
    assert (tmp_path / "sentiment" / "weights.json").is_file()


def test_workloads_are_crossed_with_connections_and_workers() -> None:
    """Every workload with every number of clients and workers, once; without numbers as it is."""
    found = crossed(ALL["json"], (1, 64), (1, 2), tls=False)
    assert [each.key for each in found] == [
        "JSON echo · 1 connection", "JSON echo · 1 connection, 2 workers", "JSON echo · 64 connections", "JSON echo · 64 connections, 2 workers",
    ]
    assert crossed(ALL["no-op"], (), (), tls=False) == ALL["no-op"]


def test_workloads_go_over_tls() -> None:
    """Under another name; one that does so anyhow stays what it is."""
    (found,) = crossed([MLP], (), (), tls=True)
    assert found.name == "MLP, TLS"
    assert found.setup.tls
    assert crossed(ALL["tls"], (), (), tls=True) == ALL["tls"]


def test_models_that_cannot_be_had_are_told() -> None:
    """With what the command said that failed, here nothing."""
    with pytest.raises(BenchError, match="the models cannot be had: "):
        install_models("/bin/false")


def test_a_model_that_was_not_trained_is_told(tmp_path: Path) -> None:
    """The message says which command makes it."""
    with pytest.raises(FileNotFoundError, match=r"no .*absent: scripts/bench --install-models makes it"):
        write_model(tmp_path / "m", Setup("paddle"), True, tmp_path / "absent")


def test_variants_are_argosy_set_otherwise(tmp_path: Path) -> None:
    """Capital keys reach the environment, others the configuration."""
    found = variant("small:MALLOC_ARENA_MAX=1,arena_threshold_bytes=1000,access_log=false")
    launch = found.launch(Setup("noop"), 12340, tmp_path)
    assert found.name == "small"
    assert launch.environment["MALLOC_ARENA_MAX"] == "1"
    assert {"arena_threshold_bytes=1000", "access_log=false"} <= set((tmp_path / "config.properties").read_text().splitlines())


@pytest.mark.parametrize("text", ["", "name", ":A=1", "name:", "name:A", "name:=1"])
def test_variants_need_a_name_and_values(text: str) -> None:
    """Anything else is refused with what was written."""
    with pytest.raises(ValueError, match="not NAME:KEY=VALUE"):
        variant(text)


@pytest.mark.parametrize("name", PEERS)
def test_peers_are_started_on_their_port(name: str, tmp_path: Path) -> None:
    """Each has a command; none is asked to do what it cannot. Triton needs its own files for the command, and is tested where it is installed."""
    peer = PEERS[name]
    assert not peer.serves(Setup("noop", tls=True))
    assert not peer.serves(Setup("sentiment"))
    assert peer.serves(Setup("mlp", batch_size=16)) is peer.batches
    if name == "triton" and not (peer.environment / "installed").exists():
        pytest.skip("not installed: scripts/bench --install-peers triton")
    launch = peer.launch(Setup("noop"), 12340, tmp_path)
    assert launch.path
    assert launch.environment["OMP_NUM_THREADS"] == "1"
    written = " ".join([*launch.command, *launch.environment.values(), *(file.read_text() for file in tmp_path.glob("*.*"))])
    assert "12340" in written


def test_unknown_peers_are_refused() -> None:
    """Nothing is installed, and the message lists what can be."""
    with pytest.raises(BenchError, match="no such peer: nobody; there are original, triton"):
        install("nobody")


def test_mean_batch_counts_batches_not_answers() -> None:
    """Four answers from a batch of three and one of one: two batches, two on average."""
    answers = [(0.004, b"3"), (0.002, b"3"), (0.003, b"3"), (0.001, b"1")]
    found = summary(answers, 2.0, 0)
    assert (found["batch"], found["requests"], found["duration_us"], found["errors"]) == (2.0, 4, 2e6, 0)
    assert found["p50_us"] == pytest.approx(3000)
    assert found["p99_us"] == pytest.approx(4000)


def test_no_answer_at_all_is_an_error() -> None:
    """Nothing is divided by nothing."""
    assert summary([], 1.0, 0)["errors"] == 1


def test_requests_and_heads_of_the_own_client() -> None:
    """What it sends, and how much of an answer it waits for."""
    assert request("/p", {"A": "b"}, b"xyz") == b"POST /p HTTP/1.1\r\nHost: 127.0.0.1\r\nA: b\r\nContent-Length: 3\r\n\r\nxyz"
    assert content_length(b"HTTP/1.1 200 OK\r\ncontent-LENGTH: 12\r\nx: 1") == 12
    assert content_length(b"HTTP/1.1 204 No Content") == 0


class Refusing(http.server.BaseHTTPRequestHandler):
    """A server that serves nobody."""

    def do_POST(self) -> None:
        self.send_response(503)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Silent."""


@pytest.fixture
def refusing() -> Iterator[int]:
    """Its port."""
    with http.server.HTTPServer(("127.0.0.1", 0), Refusing) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


def test_idle_clients_must_have_been_served(refusing: int) -> None:
    """A server that turns them away does not pass for one that holds them."""
    with pytest.raises(OSError, match="was not served"), idle_connections(refusing, request("/", {}, b""), 2):
        pass


def test_idle_clients_need_a_server() -> None:
    """Nobody listens: the error comes at once."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        with pytest.raises(ConnectionRefusedError), idle_connections(port, b"", 1):
            pass
