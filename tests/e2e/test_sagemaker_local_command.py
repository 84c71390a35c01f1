"""`argosy sagemaker local` as a user types it: models of all kinds, the client of a known article, and what is left after it."""

from __future__ import annotations

import http.client
import importlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tarfile
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from argosy.errors import ArgosyError
from argosy.sagemaker.local import ContainerSettings, EndpointSettings, LocalEndpoint, RuntimeSettings, VariantSettings, Watch, read_file
from argosy.testing.server import is_alive, wait_for
from fakes import sagemaker_container
from fakes.sagemaker_container import do

BIN = Path(sys.executable).parent
HANDLER = '''
class SentimentAnalysis:
    def __init__(self):
        self.words = None

    def initialize(self, context):
        folder = context.system_properties["model_dir"]
        with open(folder + "/words.txt") as file:
            self.words = file.read().split()

    def handle(self, data, context):
        if data is None:
            return None
        text = data[0].get("body") or data[0].get("data")
        text = text if isinstance(text, str) else text.decode()
        kind = "Positive" if any(word in text for word in self.words) else "Negative"
        return ["Prediction : This is a %s review" % kind]


_service = SentimentAnalysis()


def handle(data, context):
    if _service.words is None:
        _service.initialize(context)
    return _service.handle(data, context)
'''
CLIENT = '''
import boto3

session = boto3.Session()
runtime = session.client(service_name="sagemaker-runtime", region_name="us-east-1")
answer = runtime.invoke_endpoint(EndpointName="sentiment", ContentType="application/text", Body="This is an amazing movie.")
print(answer["Body"].read())
'''
"""The article's client: no endpoint address, no keys, nothing that knows of a local runtime."""


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """A model as the archiver packs it for SageMaker: everything below the model's name."""
    source = tmp_path / "source"
    source.mkdir()
    (source / "sentiment_analysis.py").write_text(HANDLER)
    (source / "words.txt").write_text("amazing great")
    pack = [str(BIN / "model-archiver"), "--model-name", "sentiment", "--model-path", str(source), "--handler", "sentiment_analysis:handle"]
    subprocess.run([*pack, "--archive-format", "tgz", "--export-path", str(tmp_path)], check=True)
    return tmp_path / "sentiment.tar.gz"


@dataclass(slots=True)
class Command:
    """The command while it runs."""

    process: subprocess.Popen[str]
    output: Path
    temporary: Path

    @property
    def text(self) -> str:
        """What it has printed."""
        return self.output.read_text()

    @property
    def url(self) -> str:
        """What it says clients have to be told. Waits for it."""
        found = wait_for(self._said, "the endpoint")
        assert found is not None
        return found[1]

    def _said(self) -> re.Match[str] | None:
        assert self.process.poll() is None, self.text
        return re.search(r"export AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME=(http://127\.0\.0\.1:\d+)", self.text)

    def stop(self) -> int:
        """SIGTERM; its exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)


@contextmanager
def command(tmp_path: Path, *options: str | Path) -> Iterator[Command]:
    """`argosy sagemaker local` with these options; told to end if it still runs, so that its containers end with it."""
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    with (tmp_path / "output").open("w") as out:
        process = subprocess.Popen(
            [BIN / "argosy", "sagemaker", "local", *options], stdout=out, stderr=out, stdin=subprocess.DEVNULL, text=True, cwd=tmp_path,
            env={**os.environ, "TMPDIR": str(temporary)})
    try:
        yield Command(process, tmp_path / "output", temporary)
    finally:
        if process.poll() is None:
            process.terminate()
        try:
            process.wait(60)
        finally:
            process.kill()


def run_client(url: str, tmp_path: Path, keys: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """The article's client in a process of its own, with an address and keys in its environment."""
    (tmp_path / "client.py").write_text(CLIENT)
    known = {"AWS_ACCESS_KEY_ID": "any", "AWS_SECRET_ACCESS_KEY": "any"} if keys is None else keys
    env = {**{name: value for name, value in os.environ.items() if not name.startswith("AWS_")}, **known, "AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME": url}
    return subprocess.run([sys.executable, tmp_path / "client.py"], capture_output=True, text=True, check=False, env=env, timeout=60)


def test_the_client_of_the_article_runs_unchanged(archive: Path, tmp_path: Path) -> None:
    """Against the model's archive; and after SIGTERM no process, port or temporary file is left."""
    with command(tmp_path, "--name", "sentiment", "--model-data", archive, "--env", "SAGEMAKER_MODEL_SERVER_WORKERS=1", "--logs", "logs") as local:
        url = local.url
        done = run_client(url, tmp_path)
        assert done.stdout.strip() == "b'Prediction : This is a Positive review'", done.stderr + local.text
        processes = psutil.Process(local.process.pid).children(recursive=True)
        assert processes
        assert local.stop() == 0
    gone, alive = psutil.wait_procs(processes, 0)
    assert (len(gone), alive) == (len(processes), [])
    assert list(local.temporary.iterdir()) == []
    assert "Serving predictions" in (tmp_path / "logs" / "sentiment" / "AllTraffic" / "0.log").read_text()
    assert "Could not connect to the endpoint" in run_client(url, tmp_path).stderr


@pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl")
def test_the_line_that_it_shows_works(archive: Path, tmp_path: Path) -> None:
    """The sample signs its request; without a signature it would be refused, unless that was allowed."""
    with command(tmp_path, "--name", "sentiment", "--model-data", archive, "--env", "SAGEMAKER_MODEL_SERVER_WORKERS=1", "--show-logs") as local:
        url = local.url
        found = re.search(r"^ +try +(curl .*)$", local.text, re.MULTILINE)
        assert found is not None, local.text
        done = subprocess.run(["bash", "-c", found[1]], capture_output=True, text=True, check=False)
        assert done.stdout == "Prediction : This is a Negative review", done.stderr
        unsigned = subprocess.run(["curl", "-si", "-d", "x", f"{url}/endpoints/sentiment/invocations"], capture_output=True, text=True, check=False)
        assert "403" in unsigned.stdout.splitlines()[0]
        assert "x-amzn-errortype: missingauthenticationtokenexception" in unsigned.stdout.lower()
        assert "[sentiment/AllTraffic/0] " in local.text


def test_a_model_that_does_not_load_ends_the_command(tmp_path: Path) -> None:
    """With status 1, and with what the container printed last; nothing is left."""
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "handler.py").write_text("import no_such_module_at_all\n\ndef predict(text: str):\n    return text\n")
    variables = "env = { SAGEMAKER_MODEL_SERVER_WORKERS = 1 }"
    (tmp_path / "e.toml").write_text(f'[[endpoints]]\nname = "b"\nmodel_data = "broken"\nstartup_timeout_s = 4\n{variables}\n')
    with command(tmp_path, "--config", tmp_path / "e.toml") as local:
        assert local.process.wait(60) == 1
        assert "argosy: container b/AllTraffic/0 " in local.text
        assert "no_such_module_at_all" in local.text
    assert list(local.temporary.iterdir()) == []


@pytest.mark.parametrize(("options", "words"), [
    (("--name", "x"), "a container needs model_data, image or command"), ((), "give either --name"),
    (("--name", "x", "--config", "y"), "give either"), (("--config", "none.toml"), "cannot read none.toml"),
    (("--name", "a_b", "--model-data", "x"), "'a_b' is no name"), (("--name", "x", "--model-data", "none.tar.gz"), "no model data at none.tar.gz"),
    (("--name", "x", "--image", "i", "--engine", "no-such-engine"), "there is no no-such-engine"),
    (("--name", "x", "--model-data", ".", "--logs", "/dev/null/logs"), "cannot make the folder /dev/null/logs"),
    (("--name", "x", "--model-data", ".", "--env", "NOT_SET_ANYWHERE"), "is not NAME=VALUE"),
    (("--name", "x", "--model-data", ".", "--async-failure", "s3://b/f"), "needs --async-output"),
])  # fmt: skip
def test_wrong_options_are_told(tmp_path: Path, options: tuple[str, ...], words: str) -> None:
    """With status 1 and one line, before anything is started."""
    with command(tmp_path, *options) as local:
        assert local.process.wait(60) == 1
        assert words in local.text
    assert list(local.temporary.iterdir()) == []


def test_a_stop_in_the_middle_of_the_start_leaves_nothing(tmp_path: Path) -> None:
    """The container that never becomes healthy ends with the command."""
    script = tmp_path / "never.py"
    script.write_text("import signal\nprint('up', flush=True)\nsignal.pause()\n")
    endpoint = {"name": "e", "command": [sys.executable, str(script)]}
    (tmp_path / "e.json").write_text(json.dumps({"endpoints": [endpoint], "show_logs": True}))
    with command(tmp_path, "--config", tmp_path / "e.json") as local:
        wait_for(lambda: "] up" in local.text, "the container")
        (child,) = psutil.Process(local.process.pid).children()
        assert local.stop() == 0
        assert not child.is_running()
    assert list(local.temporary.iterdir()) == []


STUBBORN = """
import runpy, signal, sys
signal.signal(signal.SIGTERM, signal.SIG_IGN)
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@contextmanager
def one_container(tmp_path: Path, *command_line: str) -> Iterator[Command]:
    """An endpoint `e` of one container, a process that is started like this."""
    endpoint = {"name": "e", "command": [sys.executable, *command_line, sagemaker_container.__file__, "{port}"]}
    (tmp_path / "e.json").write_text(json.dumps({"endpoints": [endpoint], "allow_unsigned": True}))
    with command(tmp_path, "--config", tmp_path / "e.json") as local:
        yield local


def test_a_second_interrupt_hurries_the_stop(tmp_path: Path) -> None:
    """Neither the request that hangs nor the container that does not want to end is waited for, each of which has longer than this test waits."""
    (tmp_path / "stubborn.py").write_text(STUBBORN)
    with one_container(tmp_path, str(tmp_path / "stubborn.py")) as local:
        address = local.url.removeprefix("http://")
        (container,) = psutil.Process(local.process.pid).children()
        with closing(http.client.HTTPConnection(address, timeout=60)) as client:
            client.request("POST", "/endpoints/e/invocations-response-stream", do(chunks=["early"], stall=True))
            assert client.getresponse().read1()
            local.process.send_signal(signal.SIGINT)
            wait_for(lambda: not _accepts(address), "the stop to begin")
            local.process.send_signal(signal.SIGINT)
            assert local.process.wait(9) == 0, local.text
        assert not container.is_running()
    assert list(local.temporary.iterdir()) == []


def _accepts(address: str) -> bool:
    """Whether somebody listens there."""
    host, _, port = address.partition(":")
    try:
        with socket.create_connection((host, int(port)), timeout=10):
            return True
    except OSError:
        return False


def test_the_container_of_a_killed_command_ends(tmp_path: Path) -> None:
    """The kernel asks it to, for the command cannot."""
    with one_container(tmp_path) as killed:
        assert killed.url
        (orphan,) = psutil.Process(killed.process.pid).children()
        killed.process.kill()
        killed.process.wait()
        orphan.wait(30)


def test_what_a_killed_command_left_is_ended_by_the_next(tmp_path: Path) -> None:
    """A container that does not want to end, and the folder; the next one ends them and says so."""
    (tmp_path / "stubborn.py").write_text(STUBBORN)
    with one_container(tmp_path, str(tmp_path / "stubborn.py")) as killed:
        assert killed.url
        (orphan,) = psutil.Process(killed.process.pid).children()
        killed.process.kill()
        killed.process.wait()
        assert orphan.is_running()
    environ = {**os.environ, "TMPDIR": str(killed.temporary)}
    code = "import sys; from argosy.sagemaker.local import LocalEndpoint\nwith LocalEndpoint('next', sys.argv[1]): pass"
    (tmp_path / "handler.py").write_text("def predict(text: str):\n    return text\n")
    done = subprocess.run([sys.executable, "-c", code, tmp_path], env=environ, capture_output=True, text=True, check=False, timeout=60)
    assert f"had left behind: process {orphan.pid}" in done.stderr, done.stderr
    assert not is_alive(orphan.pid)
    assert list(killed.temporary.iterdir()) == []


# -- our own server behind the API ---------------------------------------------------------------------------------------


def ask(client: Any, endpoint: str, body: str, **more: Any) -> bytes:
    """The answer of an endpoint."""
    found: bytes = client.invoke_endpoint(EndpointName=endpoint, Body=body, ContentType="text/plain", **more)["Body"].read()
    return found


def test_layouts_of_models(archive: Path, tmp_path: Path) -> None:
    """An archive with a folder, a flat one, a folder that holds an archive, and a plain handler are served alike."""
    flat, store = tmp_path / "flat", tmp_path / "store"
    with tarfile.open(archive) as tar:
        tar.extractall(tmp_path / "unpacked", filter="data")
    shutil.copytree(tmp_path / "unpacked" / "sentiment", flat)
    with tarfile.open(tmp_path / "flat.tar.gz", "w:gz") as tar:
        for path in flat.iterdir():
            tar.add(path, path.name)
    store.mkdir()
    shutil.copy(archive, store)
    env = {"SAGEMAKER_MODEL_SERVER_WORKERS": "1"}
    places = {"nested": archive, "flat": tmp_path / "flat.tar.gz", "folder": flat, "store": store}
    settings = RuntimeSettings(tuple(
        EndpointSettings(name, (VariantSettings(containers=(ContainerSettings(str(place), env=env),)),)) for name, place in places.items()))
    with LocalEndpoint(settings) as running, closing(running.client()) as client:
        assert {name: ask(client, name, "amazing") for name in places} == dict.fromkeys(places, b"Prediction : This is a Positive review")


def test_target_models_of_our_own_server(archive: Path, tmp_path: Path) -> None:
    """Loaded when they are asked for, from a folder of archives; a model that is not there is the client's mistake, a broken one the model's."""
    models = tmp_path / "models"
    (models / "fr").mkdir(parents=True)
    with tarfile.open(archive) as tar:
        tar.extractall(tmp_path, filter="data")
    for packed in (models / "fr" / "a.tar.gz", models / "b.tar.gz"):
        with tarfile.open(packed, "w:gz") as tar:
            tar.add(tmp_path / "sentiment", ".")
    shutil.copy(archive, models / "as-packed.tar.gz")
    (tmp_path / "nothing.txt").write_text("no model")
    with tarfile.open(models / "broken.tar.gz", "w:gz") as tar:
        tar.add(tmp_path / "nothing.txt", "nothing.txt")
    with LocalEndpoint("many", models, multi_model=True) as running, closing(running.client()) as client:
        assert ask(client, "many", "amazing", TargetModel="fr/a.tar.gz") == b"Prediction : This is a Positive review"
        assert ask(client, "many", "dull", TargetModel="b.tar.gz") == b"Prediction : This is a Negative review"
        assert ask(client, "many", "amazing", TargetModel="as-packed.tar.gz") == b"Prediction : This is a Positive review"
        assert ask(client, "many", "great", TargetModel="fr/a.tar.gz") == b"Prediction : This is a Positive review"
        for target, words in (("c.tar.gz", "Failed to download model data"), ("../b.tar.gz", "no target model")):
            with pytest.raises(client.exceptions.ValidationError, match=words):
                ask(client, "many", "x", TargetModel=target)
        with pytest.raises(client.exceptions.ValidationError, match="a target model is needed"):
            ask(client, "many", "x")
        with pytest.raises(client.exceptions.ModelError):
            ask(client, "many", "x", TargetModel="broken.tar.gz")


STREAMING = '''
import pathlib, time

def predict(text: str):
    """A generator: each piece leaves as it is made."""
    yield "early "
    while text != "fail" and not pathlib.Path(text).exists():
        time.sleep(0.01)
    if text == "fail":
        raise ValueError("no more")
    yield from ("and ", "late")
'''
CONCURRENT = '''
import asyncio

waiting = []

async def predict(text: str):
    """Nobody is answered before three are there: one worker takes many at once."""
    waiting.append(text)
    while len(waiting) < 3:
        await asyncio.sleep(0.01)
    for word in text.split():
        yield word + " "
'''


@contextmanager
def served(tmp_path: Path, code: str) -> Iterator[Any]:
    """A client of one endpoint `s`, which our server serves in one worker by a handler with this code."""
    folder = tmp_path / "streaming"
    folder.mkdir()
    (folder / "handler.py").write_text(code)
    with LocalEndpoint("s", folder, env={"SAGEMAKER_MODEL_SERVER_WORKERS": "1"}) as running, closing(running.client()) as client:
        yield client


def parts(client: Any, body: str) -> Iterator[bytes]:
    """The parts of a streamed answer, as they come."""
    found = client.invoke_endpoint_with_response_stream(EndpointName="s", Body=body, ContentType="text/plain")
    with closing(found["Body"]) as events:
        for event in events:
            yield event["PayloadPart"]["Bytes"]


def test_a_stream_of_our_own_server(tmp_path: Path) -> None:
    """What the handler yields comes as parts, the first while the handler still waits; without streaming the same answer comes whole."""
    gate = tmp_path / "gate"
    with served(tmp_path, STREAMING) as client:
        coming = parts(client, str(gate))
        assert next(coming) == b"early "
        gate.touch()
        assert b"".join(coming) == b"and late"
        assert ask(client, "s", str(gate)) == b"early and late"


def test_a_stream_of_our_own_server_that_fails(tmp_path: Path) -> None:
    """The client has what came before, and then an exception; the next stream is whole."""
    stream_error = importlib.import_module("botocore.exceptions").EventStreamError
    with served(tmp_path, STREAMING) as client:
        coming = parts(client, "fail")
        assert next(coming) == b"early "
        with pytest.raises(stream_error, match="ModelStreamError"):
            next(coming)
        assert b"".join(parts(client, str(tmp_path))) == b"early and late"


def test_a_worker_streams_to_many_at_once(tmp_path: Path) -> None:
    """An asynchronous handler of one worker; each client gets its own words."""
    texts = ["a fine film", "a dull film", "no film"]
    with served(tmp_path, CONCURRENT) as client, ThreadPoolExecutor(3) as pool:
        assert list(pool.map(lambda text: b"".join(parts(client, text)).decode().strip(), texts)) == texts


def test_target_models_take_turns_in_little_memory(tmp_path: Path) -> None:
    """A container that has room for two unloads the one that was used least lately, and loads it again when it is asked for."""
    models = tmp_path / "models"
    for name in ("a", "b", "c", "bad"):
        (models / name).mkdir(parents=True)
    (models / "bad" / "refuse").write_text("")
    container = ContainerSettings(str(models), command=(sys.executable, sagemaker_container.__file__, "{port}", "2"), multi_model=True)
    endpoint = EndpointSettings("many", (VariantSettings(containers=(container,)),))
    with LocalEndpoint(RuntimeSettings((endpoint,), watch=Watch(start_ping_every_s=0.02))) as running, closing(running.client()) as client:
        names = {target: json.loads(ask(client, "many", "x", TargetModel=target))["path"].split("/")[2] for target in ("a", "b", "a", "c", "b")}
        assert len(set(names.values())) == 3
        assert all(re.fullmatch(r"[0-9a-f]{32}", name) for name in names.values())
        ask(client, "many", do(forget=True).decode(), TargetModel="b")
        assert json.loads(ask(client, "many", "x", TargetModel="b"))["path"] == f"/models/{names['b']}/invoke"
        with pytest.raises(client.exceptions.ModelError, match=r"Received client error \(404\)"):
            ask(client, "many", do(status=404).decode(), TargetModel="b")
        with pytest.raises(client.exceptions.ModelError, match="a broken model"):
            ask(client, "many", "x", TargetModel="bad")
        (log,) = running.logs.rglob("*.log")
        calls = re.findall(r'"(DELETE) /models/(\w+)|"(POST) /models ', log.read_text())
    known = {name: target for target, name in names.items()}
    assert [known[name] if method else "load" for method, name, _ in calls[:7]] == ["load", "load", "load", "b", "load", "load", "a"]


def test_a_container_that_does_not_start_fails_the_block(tmp_path: Path) -> None:
    """With its status and what it printed; healthy siblings are ended as well."""
    bad = ContainerSettings(command=(sys.executable, "-c", "print('no luck today'); raise SystemExit(3)"))
    good = ContainerSettings(command=(sys.executable, sagemaker_container.__file__, "{port}"))
    settings = RuntimeSettings(tuple(EndpointSettings(name, (VariantSettings(containers=(one,)),)) for name, one in (("good", good), ("bad", bad))))
    before = set(psutil.Process().children())
    with pytest.raises(ArgosyError, match="container bad/AllTraffic/0 ended with status 3") as caught, LocalEndpoint(settings):
        pass
    assert "no luck today" in caught.value.detail
    assert set(psutil.Process().children()) <= before


def test_the_guide_is_right(tmp_path: Path) -> None:
    """Its lines of Python print what the example says, and its file is read."""
    root = Path(__file__).resolve().parents[2]
    page = (root / "docs" / "how-to" / "run-a-local-sagemaker-endpoint.md").read_text()
    python, toml = (re.findall(rf"^```{language}\n(.*?)^```", page, re.MULTILINE | re.DOTALL) for language in ("python", "toml"))
    done = subprocess.run([sys.executable, "-c", python[0]], cwd=root, capture_output=True, text=True, check=False, timeout=60)
    assert done.stdout == "b'{\"words\": 3, \"letters\": 9, \"reading_time_s\": 0.8}'\n", done.stderr
    (tmp_path / "e.toml").write_text(toml[0])
    assert [endpoint.name for endpoint in read_file(tmp_path / "e.toml").endpoints] == ["sentiment", "test-ab", "shared", "pipeline"]


def test_a_port_that_is_taken_is_told(tmp_path: Path) -> None:
    """Before any container is started."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        port = sock.getsockname()[1]
        with pytest.raises(ArgosyError, match=f"cannot listen on 127.0.0.1:{port}"), LocalEndpoint("e", tmp_path, port=port):
            pass
