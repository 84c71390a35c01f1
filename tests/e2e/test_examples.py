"""The examples: data, handlers, and the scripts that go from nothing to a prediction."""

from __future__ import annotations

import importlib.util
import io
import json
import os
import pickle
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"
ROWS = ("1\t2.5\tA fine film.", "2\t-1.25\tDull.", "3\t0.0\tNeither here nor there.", "4\t0.1\tGood\u0085 enough. ")
PADDLE = pytest.mark.skipif(
    not os.environ.get("ARGOSY_PADDLE") and importlib.util.find_spec("paddle") is None,
    reason="PaddlePaddle is not installed: pip install paddlepaddle==3.3.1",
)


def load(relative: str) -> Any:
    """A module of the examples, by its path."""
    path = EXAMPLES / relative
    name = f"example_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def data_file(folder: Path, rows: tuple[str, ...] = ROWS, member: str = "movieReviewSnippets_GroundTruth.txt") -> Path:
    """A file with the layout of the real data."""
    inner = io.BytesIO()
    with tarfile.open(fileobj=inner, mode="w:gz") as archive:
        content = "".join(f"{row}\r\n" for row in rows).encode()
        entry = tarfile.TarInfo(f"hutto_ICWSM_2014/{member}")
        entry.size = len(content)
        archive.addfile(entry, io.BytesIO(content))
    path = folder / "data.zip"
    with zipfile.ZipFile(path, "w") as outer:
        outer.writestr("vaderSentiment-0.5/setup.py", "")
        outer.writestr("vaderSentiment-0.5/additional_resources/hutto_ICWSM_2014.tar.gz", inner.getvalue())
    return path


class FakeContext:
    """What the handlers use of a context."""

    def __init__(self, model_dir: Path) -> None:
        self.system_properties = {"model_dir": str(model_dir)}
        self.statuses: dict[int, int] = {}
        self.content_types: dict[int, str] = {}

    def set_response_status(self, code: int = 200, phrase: str = "", idx: int = 0) -> None:
        """Note the status of an item."""
        self.statuses[idx] = code

    def set_response_content_type(self, idx: int, value: str) -> None:
        """Note the content type of an item."""
        self.content_types[idx] = value


@pytest.fixture(scope="module")
def fetch_data() -> Any:
    """The module that fetches and reads the reviews."""
    return load("sentiment/fetch_data.py")


@pytest.fixture(scope="module")
def reviews(fetch_data: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the real data file, downloaded."""
    folder = tmp_path_factory.mktemp("reviews")
    try:
        fetch_data.fetch(folder)
    except fetch_data.DataError as error:
        pytest.skip(f"the reviews cannot be downloaded: {error}")
    return folder


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda folder: data_file(folder, rows=("1\t2.5",)), "unpack"),
        (lambda folder: data_file(folder, rows=("1\tgood\tA film.",)), "good"),
        (lambda folder: data_file(folder, member="other.txt"), "0 files named"),
    ],
    ids=["columns", "rating", "member"],
)
def test_data_of_another_layout_is_refused(fetch_data: Any, tmp_path: Path, make: Any, says: str) -> None:
    """A file that is not what the example knows is named, never half read."""
    path = make(tmp_path)
    with pytest.raises(fetch_data.DataError, match=says) as refusal:
        fetch_data.read(path)
    assert str(path) in str(refusal.value)


def test_changed_data_is_refused(fetch_data: Any, tmp_path: Path) -> None:
    """A data file with another hash is not used, and the message says what to do."""
    (tmp_path / fetch_data.FILE_NAME).write_bytes(b"something else")
    with pytest.raises(fetch_data.DataError, match="delete it"):
        fetch_data.fetch(tmp_path)


def test_data_is_read(fetch_data: Any, tmp_path: Path) -> None:
    """Each rated sentence is a review; those rated neither good nor bad are left out."""
    read = fetch_data.read(data_file(tmp_path))
    assert [(review.text, review.is_positive) for review in read] == [("A fine film.", True), ("Dull.", False), ("Good\u0085 enough.", True)]


def test_a_sentence_is_on_one_side_only(fetch_data: Any) -> None:
    """The split depends on the text alone: same text, same side, in any order; about a tenth is held out."""
    made = [fetch_data.Review(f"film {number}", 1.0) for number in range(1000)]
    learn, held_out = fetch_data.split([*made, *made])
    again = fetch_data.split(made[::-1])
    assert {review.text for review in learn}.isdisjoint(review.text for review in held_out)
    assert (len(learn), len(held_out)) == (2 * len(again[0]), 2 * len(again[1]))
    assert 50 < len(again[1]) < 150


@pytest.fixture(scope="module")
def sentiment() -> Any:
    """The small model's handler module."""
    return load("sentiment/model/sentiment.py")


@pytest.fixture
def context() -> FakeContext:
    """A context of the small model."""
    return FakeContext(EXAMPLES / "sentiment" / "model")


@pytest.fixture
def service(sentiment: Any, context: FakeContext) -> Any:
    """The small model, loaded."""
    service = sentiment.Sentiment()
    service.initialize(context)
    return service


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (b"\xff\xfe", "UTF-8"),
        ("  ", "empty"),
        (None, "as text"),
        ({"review": "good"}, "as text"),
        ([1], "as text"),
        ("good " * 30_000, "characters"),
    ],
    ids=["bytes", "blank", "nothing", "other-key", "list", "long"],
)
def test_a_bad_review_leaves_its_batch_alone(service: Any, context: FakeContext, value: object, says: str) -> None:
    """A request that makes no sense gets a 400 that says why; its neighbours are answered."""
    answers = service.handle([{"body": "wonderful"}, {"body": value}, {"body": "boring"}], context)
    assert context.statuses == {1: 400}
    assert says in answers[1]["message"]
    assert [answers[0]["sentiment"], answers[2]["sentiment"]] == ["positive", "negative"]


@pytest.mark.parametrize(
    "row",
    [{"body": "So wonderful."}, {"body": bytearray(b"So wonderful.")}, {"body": {"text": "So wonderful."}}, {"data": b"So wonderful.", "body": b""}],
    ids=["text", "bytes", "json", "form"],
)
def test_reviews_come_in_many_forms(service: Any, context: FakeContext, row: dict[str, Any]) -> None:
    """Text, bytes, JSON and a form field are the same review."""
    (answer,) = service.handle([row], context)
    assert answer["sentiment"] == "positive"
    assert "wonderful" in answer["because"]
    assert context.content_types == {0: "application/json"}


def test_clear_reviews_are_understood(service: Any) -> None:
    """What nobody would mistake is not mistaken."""
    good = ["This is an amazing movie.", "A wonderful film with great acting.", "A moving, beautifully acted film.", "I loved every minute of it."]
    bad = ["This is a terrible, boring movie.", "An utter waste of time.", "A dull, badly written mess.", "I didn\u2019t like it at all."]
    assert {service.predict(text)["sentiment"] for text in good} == {"positive"}
    assert {service.predict(text)["sentiment"] for text in bad} == {"negative"}


def test_unknown_words_get_an_unsure_answer(service: Any) -> None:
    """A text without a known word is answered, near even odds and without reasons."""
    answer = service.predict("zzyzx \U0001f600")
    assert answer["because"] == []
    assert answer["probability"] < 0.6


def test_the_committed_model_is_small() -> None:
    """The weights can live in the repository."""
    assert (EXAMPLES / "sentiment" / "model" / "weights.json").stat().st_size < 500_000


def test_training_gives_the_committed_weights(reviews: Path, tmp_path: Path) -> None:
    """train.py reproduces the committed weights byte for byte and says how good they are on held-out sentences."""
    command = [sys.executable, str(EXAMPLES / "sentiment" / "train.py"), "--data", str(reviews), "--out", str(tmp_path)]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert (tmp_path / "weights.json").read_bytes() == (EXAMPLES / "sentiment" / "model" / "weights.json").read_bytes()
    assert "accuracy 0.795 on 1060 sentences (held out)" in output


def test_hello_counts() -> None:
    """The plain function works without a server."""
    assert load("hello/handler.py").predict("Bring your own model.") == {"words": 4, "letters": 17, "reading_time_s": 1.0}


def test_hello_is_served(tmp_path: Path) -> None:
    """`argosy serve handler.py` serves the function under the name of its folder and ends well."""
    trial = load("try_model.py")
    inference, management = trial.free_ports()
    command = [str(Path(sys.executable).parent / "argosy"), "serve", str(EXAMPLES / "hello" / "handler.py")]
    base = f"http://127.0.0.1:{inference}"
    with trial.serving(command, f"inference_address={base}\nmanagement_address=http://127.0.0.1:{management}\n", tmp_path) as server:
        trial.wait_until_ready(server, base)
        trial.ask(f"{base}/predictions/hello", "text/plain", trial.Question("Bring your own model.", '"letters": 17'))


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_quickstart_works_twice(tmp_path: Path) -> None:
    """From nothing, in any folder, to two right answers; the second time nothing is installed; nothing but the environment is left."""
    (tmp_path / "here").mkdir()
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    environment = {**os.environ, "ARGOSY_VENV": str(tmp_path / "venv"), "TMPDIR": str(scratch)}
    script = str(ROOT / "scripts" / "quickstart")
    for _ in range(2):
        result = subprocess.run(script, cwd=tmp_path / "here", env=environment, capture_output=True, text=True, check=False)
        assert result.returncode == 0, result.stdout + result.stderr
        assert "Everything works" in result.stdout
        assert list(scratch.iterdir()) == list((tmp_path / "here").iterdir()) == []
        environment["PIP_NO_INDEX"] = "1"


FAKE_SERVER = """#!{python}
import http.server, os, re, signal, sys
config = open(os.environ["MMS_CONFIG_FILE"]).read()
print("the fake server speaks", flush=True)
if "{mode}" == "broken":
    sys.exit(3)
signal.signal(signal.SIGTERM, lambda *_: sys.exit(7 if "{mode}" == "untidy" else 0))
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.reply(b"Healthy")
    def do_POST(self):
        self.reply(b"You said " + self.rfile.read(int(self.headers["Content-Length"])))
    def reply(self, body):
        self.send_response(500 if "{mode}" == "failing" and self.command == "POST" else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
port = int(re.search(r"inference_address=.*:(\\d+)", config)[1])
http.server.HTTPServer(("127.0.0.1", port), Handler).serve_forever()
"""


def try_model(folder: Path, mode: str, expected: str) -> subprocess.CompletedProcess[str]:
    """Runs the trial against a server that answers with what it is told."""
    server = folder / "multi-model-server"
    server.write_text(FAKE_SERVER.format(python=sys.executable, mode=mode))
    server.chmod(0o755)
    command = [sys.executable, str(EXAMPLES / "try_model.py"), "--bin", str(folder), "--model-store", str(folder), "--model", "m=m.mar"]
    return subprocess.run([*command, "--path", "/predictions/m", "--ask", "good film", expected], capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("mode", "expected", "says"),
    [
        ("broken", "good", "the server ended"),
        ("well", "bad", "should hold bad"),
        ("failing", "good", "HTTP Error 500"),
        ("untidy", "good", "ended with status 7"),
    ],
)
def test_a_trial_that_fails_says_why(tmp_path: Path, mode: str, expected: str, says: str) -> None:
    """A server that breaks, answers wrongly or ends badly fails the trial, with the reason and the server's log."""
    result = try_model(tmp_path, mode, expected)
    assert result.returncode == 1
    assert says in result.stderr
    assert "the fake server speaks" in result.stderr


def test_a_trial_shows_question_and_answer(tmp_path: Path) -> None:
    """A server that answers as expected passes; the reader sees what to type."""
    result = try_model(tmp_path, "well", "good")
    assert result.returncode == 0, result.stderr
    assert "-d 'good film'\nYou said good film\n" in result.stdout


@pytest.fixture(scope="module")
def paddle_handler() -> Any:
    """The handler module of the PaddlePaddle example; it needs no PaddlePaddle before it is initialized."""
    return load("paddle_sentiment/paddle_sentiment_analysis.py")


def test_a_dictionary_with_code_is_refused(paddle_handler: Any, tmp_path: Path) -> None:
    """A pickle that asks for a function is not obeyed."""
    (tmp_path / "word_dict.pickle").write_bytes(pickle.dumps({"a": os.system}))
    with pytest.raises(pickle.UnpicklingError, match="system"):
        paddle_handler.PaddleSentimentAnalysis().initialize(FakeContext(tmp_path))


def test_weights_without_a_network_are_refused(paddle_handler: Any, tmp_path: Path) -> None:
    """A folder without the program file says which file is missing."""
    (tmp_path / "word_dict.pickle").write_bytes(pickle.dumps({"<unk>": 0}))
    with pytest.raises(FileNotFoundError, match="__model__"):
        paddle_handler.PaddleSentimentAnalysis().initialize(FakeContext(tmp_path))


def test_requests_become_word_numbers(paddle_handler: Any) -> None:
    """Known words by number, others as unknown, at most a thousand; what is no review stays an error in its place."""
    service = paddle_handler.PaddleSentimentAnalysis()
    service.word_numbers = {"did": 0, "n't": 1, "<unk>": 2}
    rows = service.preprocess([{"body": b"Didn\xe2\x80\x99t!"}, {"body": b"\xff"}, {"body": ""}, {"body": {}}, {"data": "did " * 2000}])
    assert rows[0] == [0, 1, 2]
    assert [type(row).__name__ for row in rows[1:4]] == ["BadReviewError"] * 3
    assert rows[4] == [0] * 1000


@pytest.fixture(scope="module")
def trained(reviews: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `artifacts/sentiment` of a small network that was just trained."""
    folder = tmp_path_factory.mktemp("paddle")
    train = [sys.executable, "-W", "ignore", str(EXAMPLES / "paddle_sentiment" / "train.py"), "--size", "small"]
    places = ["--data", str(reviews), "--out", str(folder / "artifacts" / "sentiment")]
    result = subprocess.run([*train, *places], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert "(held out)" in result.stdout
    return folder


@PADDLE
@pytest.mark.slow
@pytest.mark.timeout(240)
def test_paddle_folder_has_one_file_per_weight(trained: Path) -> None:
    """The folder to pack has the classic layout: network, one file for each weight, handler, dictionary."""
    sentiment = trained / "artifacts" / "sentiment"
    assert sorted(path.name for path in sentiment.iterdir()) == ["paddle_artifacts", "paddle_sentiment_analysis.py", "word_dict.pickle"]
    names = {path.name for path in (sentiment / "paddle_artifacts").iterdir()}
    assert {"__model__", "embedding_0.w_0", "fc_0.w_0", "fc_0.b_0", "fc_3.w_1", "lstm_2.w_0", "lstm_2.b_0"} <= names
    assert len(names) == 19


BATCH = """
import json, sys
import paddle_sentiment_analysis as handler
class Context:
    system_properties = {"model_dir": sys.argv[1]}
    statuses = {}
    def set_response_status(self, code, phrase, idx): self.statuses[idx] = code
    def set_response_content_type(self, idx, value): pass
context = Context()
assert handler.handle(None, context) is None
bodies = [bytearray(b"This is an amazing movie."), "A dull, boring mess.", "", bytearray(b"\\xff"), "zzyzx", "great " * 5000]
bodies += ["A wonderful film."] * 10
together = handler.handle([{"body": body} for body in bodies], context)
statuses = dict(context.statuses)
alone = [handler.handle([{"body": body}], context)[0] for body in bodies]
print(json.dumps([together, alone == together, statuses]))
"""


@PADDLE
@pytest.mark.slow
@pytest.mark.timeout(240)
def test_paddle_handler_answers_a_batch(trained: Path) -> None:
    """A batch of sixteen is answered as its items alone are; what is no review gets a 400 of its own."""
    folder = trained / "artifacts" / "sentiment"
    command = [sys.executable, "-W", "ignore", "-c", BATCH, str(folder)]
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    together, same, statuses = json.loads(result.stdout.splitlines()[-1])
    assert same
    assert statuses == {"2": 400, "3": 400}
    assert together[:2] == ["Prediction : This is a Positive review", "Prediction : This is a Negative review"]


@PADDLE
@pytest.mark.slow
@pytest.mark.timeout(240)
def test_paddle_model_is_packed_served_and_right(trained: Path) -> None:
    """The archive that model-archiver makes as tar.gz is served, and both reviews are understood."""
    commands = Path(sys.executable).parent
    (trained / "model-store").mkdir()
    pack = [str(commands / "model-archiver"), "-f", "--model-name", "paddle_sentiment", "--handler", "paddle_sentiment_analysis:handle"]
    places = ["--model-path", "artifacts/sentiment", "--export-path", "model-store", "--archive-format", "tgz"]
    subprocess.run([*pack, *places], cwd=trained, check=True)
    model = ["--model-store", "model-store", "--model", "paddle_sentiment=paddle_sentiment.tar.gz"]
    request = ["--path", "/invocations", "--content-type", "application/text"]
    good = ["--ask", "This is an amazing movie.", "Prediction : This is a Positive review"]
    bad = ["--ask", "This is a terrible, boring movie.", "Prediction : This is a Negative review"]
    trial = [sys.executable, str(EXAMPLES / "try_model.py"), *model, *request, *good, *bad]
    result = subprocess.run(trial, cwd=trained, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
