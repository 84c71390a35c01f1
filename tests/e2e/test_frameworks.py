"""Models of many frameworks, packed and served by one server: each answers what its framework answers when it is called directly."""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import importlib.util
import json
import os
import struct
import subprocess
import sys
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from argosy.testing.server import Reply, RunningServer

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples" / "frameworks"
MUST_RUN = bool(os.environ.get("ARGOSY_FRAMEWORKS"))
DIGITS = tuple(range(5))
MXNET = pytest.mark.skipif(not MUST_RUN, reason="ARGOSY_FRAMEWORKS is not set: MXNet needs an environment of its own, which is built then")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]


def needs(*modules: str) -> pytest.MarkDecorator:
    """Skip where a framework is not installed, unless ARGOSY_FRAMEWORKS says that it is."""
    missing = [module for module in modules if importlib.util.find_spec(module) is None]
    reason = f"not installed: {', '.join(missing)}; python -m pip install --group frameworks"
    return pytest.mark.skipif(bool(missing) and not MUST_RUN, reason=reason)


def module_of(path: Path) -> Any:
    """A Python file of the examples, imported."""
    spec = importlib.util.spec_from_file_location(f"{path.parent.name}_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run(*command: object, env: dict[str, str] | None = None) -> str:
    """What a command printed; it must succeed."""
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False, env=env)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@dataclass(frozen=True, slots=True)
class Ask:
    """One request."""

    body: bytes
    media: str = "application/json"

    @classmethod
    def json(cls, value: object) -> Ask:
        """A request of JSON."""
        return cls(json.dumps(value).encode())


@dataclass(slots=True)
class Site:
    """One server, and the examples that were made for it so far."""

    server: RunningServer
    folder: Path
    made: dict[str, Path] = field(default_factory=dict)

    def serve(self, name: str, handler: str) -> Path:
        """Make an example's model, pack it with model-archiver and register it for batches of 8; the folder of its artifacts. Once only."""
        if name not in self.made:
            artifacts = self.folder / "artifacts" / name
            run(sys.executable, EXAMPLES / name / "make_model.py", artifacts)
            self.pack(name, handler, artifacts)
            self.register(name, f"{name}.mar")
            self.made[name] = artifacts
        return self.made[name]

    def pack(self, name: str, handler: str, artifacts: Path, *options: str) -> None:
        """An archive in the model store."""
        archiver = Path(sys.executable).parent / "model-archiver"
        run(archiver, "--model-name", name, "--model-path", artifacts, "--handler", handler, "--export-path", self.server.store.folder, *options)

    def register(self, name: str, url: str, batch_size: int = 8, **query: object) -> None:
        """Register an archive of the store."""
        reply = self.server.register(name, url=url, batch_size=batch_size, max_batch_delay=200, **query)
        assert reply.status == 200, reply.text + "\n".join(self.server.output)

    def ask(self, name: str, asked: Ask) -> Reply:
        """One prediction."""
        with contextlib.closing(self.server.connect()) as connection:
            connection.request("POST", f"/predictions/{name}", asked.body, {"Content-Type": asked.media})
            answer = connection.getresponse()
            return Reply(answer.status, answer.read(), {key.lower(): value for key, value in answer.getheaders()})

    def ask_all(self, name: str, asked: Sequence[Ask]) -> list[Reply]:
        """So many predictions at the same time, which the server may serve as one batch."""
        with contextlib.ExitStack() as stack:
            connections = [stack.enter_context(contextlib.closing(self.server.connect())) for _ in asked]
            for connection, each in zip(connections, asked, strict=True):
                connection.request("POST", f"/predictions/{name}", each.body, {"Content-Type": each.media})
            answers = [connection.getresponse() for connection in connections]
            return [Reply(answer.status, answer.read(), {key.lower(): value for key, value in answer.getheaders()}) for answer in answers]


@pytest.fixture(scope="module")
def mxnet_venv(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the environment of MXNet is, or will be."""
    given = os.environ.get("ARGOSY_MXNET_VENV")
    return Path(given).absolute() if given else tmp_path_factory.mktemp("mxnet") / "venv"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, mxnet_venv: Path) -> Iterator[Site]:
    """The one server. Its `python3` is that of MXNet's environment; frameworks may warn about themselves."""
    folder = tmp_path_factory.mktemp("frameworks")
    env = {"PATH": f"{mxnet_venv / 'bin'}{os.pathsep}{os.environ['PATH']}", "PYTHONWARNINGS": "default"}
    with RunningServer(folder, env=env) as server:
        yield Site(server, folder)
        assert server.ping().status == 200
        assert server.stop() == 0


def answers(replies: Sequence[Reply]) -> list[Any]:
    """The JSON of replies that must all be good."""
    assert [(reply.status, reply.headers["content-type"]) for reply in replies] == [(200, "application/json")] * len(replies), replies
    return [reply.json for reply in replies]


@needs("onnxruntime")
def test_onnx_runtime(site: Site) -> None:
    """A graph that takes exactly three rows serves batches of any size; input that does not fit is named."""
    artifacts = site.serve("onnx_iris", "handler")
    flowers = [(-1.0, 0.5), (1.0, 2.0), (0.0, 2.0), (-6.0, 3.0)]
    onnxruntime, numpy = importlib.import_module("onnxruntime"), importlib.import_module("numpy")
    session = onnxruntime.InferenceSession(artifacts / "model.onnx", providers=["CPUExecutionProvider"])
    direct = [session.run(None, {"float_input": numpy.array([flower] * 3, "float32")}) for flower in flowers]
    expected = [{"class": int(labels[0]), "probabilities": pytest.approx(list(odds[0].values()), abs=1e-6)} for labels, odds in direct]
    asked = [Ask.json({"length": length, "width": width}) for length, width in flowers]
    assert [site.ask("onnx_iris", each).json for each in asked] == expected
    assert answers(site.ask_all("onnx_iris", asked)) == expected
    assert len({answer["class"] for answer in expected}) > 1
    refused = site.ask("onnx_iris", Ask.json({"length": "long", "width": 1}))
    assert (refused.status, "length must be a number" in refused.text) == (400, True)


@needs("magika", "onnxruntime")
def test_magika(site: Site) -> None:
    """Bodies of any kind reach a typed function as bytes, whatever their content type says."""
    site.serve("magika_file_type", "handler:predict")
    direct = importlib.import_module("magika").Magika()
    page = b"<html><body><p>Hello</p></body></html>" * 3
    files = [Path(__file__).read_bytes(), png(8, 8, bytes(64)), json.dumps({"a": list(range(50))}).encode(), page]
    media = ["text/plain", "image/png", "application/json", "application/octet-stream"]
    replies = answers(site.ask_all("magika_file_type", [Ask(body, kind) for body, kind in zip(files, media, strict=True)]))
    assert [reply["label"] for reply in replies] == ["python", "png", "json", "html"]
    for body, reply in zip(files, replies, strict=True):
        found = direct.identify_bytes(body)
        assert (reply["label"], reply["media_type"]) == (found.output.label, found.output.mime_type)
        assert reply["score"] == pytest.approx(found.score, abs=1e-4)
    refused = site.ask("magika_file_type", Ask(b"", "application/pdf"))
    assert (refused.status, "empty" in refused.text) == (400, True)


@needs("sklearn")
def test_scikit_learn(site: Site) -> None:
    """A class of the old form answers a batch, and a bad request among them gets a status of its own."""
    artifacts = site.serve("sklearn_digits", "handler:handle")
    pixels = importlib.import_module("sklearn.datasets").load_digits().data[:5]
    model = importlib.import_module("joblib").load(artifacts / "digits.joblib")
    expected = [{"digit": int(digit)} for digit in model.predict(pixels)]
    asked = [Ask.json({"pixels": row.tolist()}) for row in pixels]
    assert answers([site.ask("sklearn_digits", each) for each in asked]) == expected
    assert expected == [{"digit": digit} for digit in DIGITS]
    *good, short, other, broken = site.ask_all("sklearn_digits", [*asked, Ask.json({"pixels": [1, 2]}), Ask.json([]), Ask(b"{")])
    assert answers(good) == expected
    assert (short.status, short.json) == (400, {"message": "A digit has 8 x 8 pixels, not 2."})
    assert (other.status, broken.status) == (400, 400)


@needs("xgboost", "sklearn")
def test_xgboost(site: Site) -> None:
    """A function of the old form speaks CSV: as many lines come back as were sent, by everybody to himself."""
    artifacts = site.serve("xgboost_cancer", "handler:handle")
    rows = importlib.import_module("sklearn.datasets").load_breast_cancer().data
    xgboost = importlib.import_module("xgboost")
    booster = xgboost.Booster(model_file=artifacts / "model.json")
    tables = [rows[:1], rows[1:4], rows[20:26]]
    expected = ["".join(f"{score:.6f}\n" for score in booster.predict(xgboost.DMatrix(table.astype("float32")))) for table in tables]
    asked = [Ask("\n".join(",".join(map(repr, row.tolist())) for row in table).encode(), "text/csv") for table in tables]
    assert [site.ask("xgboost_cancer", each).text for each in asked] == expected
    *good, short, other = site.ask_all("xgboost_cancer", [*asked, Ask(b"1,2,3\n", "text/csv"), Ask(b"\xff\xfe", "application/octet-stream")])
    assert [(reply.status, reply.text, reply.headers["content-type"]) for reply in good] == [(200, text, "text/csv") for text in expected]
    assert (short.status, short.text) == (400, "Send lines of 30 numbers with commas between them.\n")
    assert other.status == 415


@needs("lightgbm", "sklearn")
def test_lightgbm(site: Site) -> None:
    """Features travel by name; an unknown one fails its own request and no other of the batch."""
    artifacts = site.serve("lightgbm_wine", "handler")
    wines = importlib.import_module("sklearn.datasets").load_wine().data[[0, 70, 140]]
    booster = importlib.import_module("lightgbm").Booster(model_file=artifacts / "model.txt")
    odds = booster.predict(wines, num_threads=1)
    expected = [{"cultivar": int(row.argmax()), "probability": pytest.approx(float(row.max()), abs=1e-9)} for row in odds]
    assert [answer["cultivar"] for answer in expected] == [0, 1, 2]
    asked = [Ask.json(dict(zip(booster.feature_name(), wine.tolist(), strict=True))) for wine in wines]
    assert answers([site.ask("lightgbm_wine", each) for each in asked]) == expected
    *good, unknown, text = site.ask_all("lightgbm_wine", [*asked, Ask.json({"colour": 1}), Ask.json({"alcohol": "much"})])
    assert answers(good) == expected
    assert (unknown.status, "no feature colour" in unknown.text) == (400, True)
    assert (text.status, "alcohol must be a number" in text.text) == (400, True)


@needs("torch", "silero_vad")
@pytest.mark.filterwarnings("ignore:`torch.jit.load` is deprecated")
def test_torch(site: Site, tmp_path: Path) -> None:
    """Recordings of different lengths are heard in one batch as each alone; the voice is found where it is, and silence has none."""
    artifacts = site.serve("torch_voice", "handler:VoiceService")
    speak = module_of(EXAMPLES / "torch_voice" / "speak.py")
    torch = importlib.import_module("torch")
    recordings = [speak.speech("aiuaiu"), speak.speech("ua"), speak.array("h", bytes(2 * 16000))]
    asked = []
    for index, samples in enumerate(recordings):
        speak.write(tmp_path / f"{index}.wav", samples)
        asked.append(Ask((tmp_path / f"{index}.wav").read_bytes(), "audio/wav"))
    alone = answers([site.ask("torch_voice", each) for each in asked])
    *together, text, foreign = site.ask_all("torch_voice", [*asked, Ask(b"hello", "text/plain"), Ask(asked[0].body[:20], "audio/wav")])
    assert answers(together) == alone
    assert [answer["seconds"] for answer in alone] == [len(samples) / 16000 for samples in recordings]
    assert alone[2]["speech"] == []
    said = alone[0]["speech"]
    assert 0.4 < said[0]["from"] < 0.6
    assert 1.4 < said[-1]["to"] < 1.9
    model = torch.jit.load(str(artifacts / "model.pt")).eval()
    with torch.inference_mode():
        odds = model.audio_forward(torch.tensor(recordings[0], dtype=torch.float32)[None] / 32768, 16000)[0].tolist()
    heard = [index * 0.032 for index, each in enumerate(odds) if each >= 0.5]
    assert (said[0]["from"], said[-1]["to"]) == pytest.approx((heard[0], heard[-1] + 0.032), abs=1e-3)
    assert (text.status, foreign.status) == (400, 400)
    assert "audio/wav" in text.json["message"]


ASK_JAX = """
import json, pathlib, sys
import numpy, sklearn.datasets
from jax import export

images = sklearn.datasets.load_digits().images[:5]
network = export.deserialize(bytearray(pathlib.Path(sys.argv[1]).read_bytes()))
odds = numpy.exp(numpy.asarray(network.call(images.reshape(5, 64).astype("float32"))))
print(json.dumps([[int(row.argmax()), float(row.max())] for row in odds]))
"""
"""In a process of its own: JAX starts threads, and other tests fork."""


@needs("jax", "sklearn")
def test_jax(site: Site) -> None:
    """A network exported with an open number of rows serves batches of any size; an image of another size fails alone."""
    artifacts = site.serve("jax_digits", "handler:predict")
    images = importlib.import_module("sklearn.datasets").load_digits().images[:5]
    direct = json.loads(run(sys.executable, "-c", ASK_JAX, artifacts / "model.jax"))
    expected = [{"digit": digit, "probability": pytest.approx(probability, abs=1e-5)} for digit, probability in direct]
    assert tuple(answer["digit"] for answer in expected) == DIGITS
    asked = [Ask.json(image.tolist()) for image in images]
    assert answers([site.ask("jax_digits", each) for each in asked]) == expected
    *good, small, flat = site.ask_all("jax_digits", [*asked, Ask.json([[1.0]]), Ask.json([1.0] * 64)])
    assert answers(good) == expected
    assert (small.status, "8 rows of 8" in small.text) == (400, True)
    assert (flat.status, "must be a list" in flat.text) == (400, True)


def png(width: int, height: int, grey: bytes) -> bytes:
    """A picture file."""
    rows = b"".join(b"\0" + grey[start : start + width] for start in range(0, width * height, width))
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    packed = [struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks]
    return b"\x89PNG\r\n\x1a\n" + b"".join(packed)


DIRECT = """
import json, sys
import mxnet as mx
symbol, arguments, auxiliary = mx.model.load_checkpoint(sys.argv[1], 0)
module = mx.mod.Module(symbol, data_names=["data"], label_names=None)
answers = []
for path in sys.argv[2:]:
    picture = mx.nd.transpose(mx.image.imread(path), (2, 0, 1)).expand_dims(0).astype("float32")
    if not module.binded:
        module.bind(for_training=False, data_shapes=[("data", picture.shape)])
        module.set_params(arguments, auxiliary)
    module.forward(mx.io.DataBatch([picture]), is_train=False)
    answers.append(module.get_outputs()[0].asnumpy()[0].tolist())
print(json.dumps(answers))
"""
DRAWN = """
import sys
from sklearn.datasets import load_digits
for row in load_digits().data[:5]:
    print(bytes(int(round(value * 255 / 16)) for value in row).hex())
"""
NAMES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


def environment(venv: Path) -> Path:
    """The Python of MXNet's environment, installed unless it is there already."""
    wanted = EXAMPLES / "mxnet_digits" / "requirements.txt"
    stamp = venv / "installed"
    digest = hashlib.sha256(wanted.read_bytes()).hexdigest()
    if not stamp.is_file() or stamp.read_text() != digest:
        run(sys.executable, "-m", "venv", venv)
        run(venv / "bin" / "python3", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", wanted)
        stamp.write_text(digest)
    return venv / "bin" / "python3"


@dataclass(frozen=True, slots=True)
class Drawn:
    """Pictures of digits, and how probable MXNet itself finds each class."""

    pictures: list[bytes]
    odds: list[list[float]]

    def best(self, index: int) -> list[dict[str, Any]]:
        """The answer that a service should give to a picture."""
        ranked = sorted(zip(self.odds[index], NAMES, strict=True), reverse=True)[:3]
        return [{"probability": pytest.approx(odds, abs=1e-5), "class": name} for odds, name in ranked]


@pytest.fixture(scope="module")
def drawn(site: Site, mxnet_venv: Path) -> Drawn:
    """The MXNet example, trained and served twice: as an archive with `runtime`, and as a `.model` of the years before 1.0."""
    python = environment(mxnet_venv)
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    folder = site.folder / "artifacts" / "mxnet_digits"
    run(python, "-W", "ignore", EXAMPLES / "mxnet_digits" / "make_model.py", folder, env=env)
    pictures = [png(8, 8, bytes.fromhex(line)) for line in run(python, "-W", "ignore", "-c", DRAWN, env=env).splitlines()]
    paths = [folder / f"{index}.png" for index in range(len(pictures))]
    for path, picture in zip(paths, pictures, strict=True):
        path.write_bytes(picture)
    odds = json.loads(run(python, "-W", "ignore", "-c", DIRECT, folder / "current" / "mxnet_digits", *paths, env=env))
    site.pack("mxnet_digits", "handler:handle", folder / "current", "--runtime", "python3")
    site.register("mxnet_digits", "mxnet_digits.mar")
    old = folder / "mxnet_digits_old.model"
    old.rename(site.server.store.folder / old.name)
    site.register("mxnet_digits_old", old.name, batch_size=1, runtime="python3")
    return Drawn(pictures, odds)


@MXNET
def test_mxnet(site: Site, drawn: Drawn) -> None:
    """A handler of Multi Model Server runs in the interpreter that its archive names, with `mms.utils.mxnet` and whole batches."""
    asked = [Ask(picture, "image/png") for picture in drawn.pictures]
    expected = [drawn.best(index) for index in range(len(asked))]
    assert tuple(NAMES.index(best[0]["class"]) for best in expected) == DIGITS
    assert [site.ask("mxnet_digits", each).json for each in asked] == expected
    *good, bad = site.ask_all("mxnet_digits", [*asked, Ask(b"no picture", "image/png")])
    assert [reply.json for reply in good] == expected
    assert (bad.status, "Send a picture" in bad.text) == (400, True)


@MXNET
def test_mxnet_services_of_old(site: Site, drawn: Drawn) -> None:
    """A `model_service` class with signature.json in a `.model` archive answers as it did, body or form field."""
    for index, picture in enumerate(drawn.pictures):
        reply = site.ask("mxnet_digits_old", Ask(picture, "image/png"))
        assert (reply.status, reply.json) == (200, drawn.best(index)), reply
    head = b'--b\r\nContent-Disposition: form-data; name="data"; filename="x.png"\r\nContent-Type: image/png\r\n\r\n'
    reply = site.ask("mxnet_digits_old", Ask(head + drawn.pictures[3] + b"\r\n--b--\r\n", "multipart/form-data; boundary=b"))
    assert (reply.status, reply.json) == (200, drawn.best(3)), reply


@MXNET
def test_workers_of_a_runtime_are_its_own(site: Site, drawn: Drawn, mxnet_venv: Path) -> None:
    """The workers of MXNet are processes of the named interpreter, not of the server's."""
    (worker,) = site.server.workers("mxnet_digits")
    assert Path(f"/proc/{worker}/cmdline").read_text().split("\0")[0] == str(mxnet_venv / "bin" / "python3")


