"""Serves the sentiment model that `train.py` makes: text in, `Prediction : This is a Positive review` (or `Negative`) out."""

from __future__ import annotations

import os
import pickle
import re
import unicodedata
from pathlib import Path
from typing import Any

import numpy as np

MAX_WORDS = 1000  # of a longer review, these first ones decide: an LSTM reads word by word, so time grows with the length
UNKNOWN = "<unk>"


class BadReviewError(ValueError):
    """A request that is no review; the message is for the client."""


class PlainUnpickler(pickle.Unpickler):
    """Reads numbers, strings and containers only: a pickle that asks for a class or function could run code, so it is refused."""

    def find_class(self, module: str, name: str) -> Any:
        """Never finds one."""
        raise pickle.UnpicklingError(f"the pickle asks for {module}.{name}; a word dictionary holds words and numbers only")


def split_words(text: str) -> list[str]:
    """The words of a review as training sees them; "didn't" is two, "did" and "n't"."""
    plain = unicodedata.normalize("NFKC", text).lower().replace("\u2019", "'").replace("`", "'")
    return re.findall(r"n't|\w+(?:'\w+)?|[!?]", re.sub(r"n't\b", " n't", plain))


def review_text(row: dict[str, Any]) -> str:
    """The text of one request: the field `data` of a form or a query, else the body. Raises `BadReviewError`."""
    value = row.get("data", row.get("body"))
    if isinstance(value, (bytes, bytearray)):
        try:
            value = value.decode("utf-8")
        except UnicodeDecodeError as error:
            raise BadReviewError(f"The review is not UTF-8 text: {error.reason} at byte {error.start}.") from error
    if not isinstance(value, str):
        raise BadReviewError("Send the review as plain text.")
    return value


class PaddleSentimentAnalysis(object):  # noqa: UP004  the form that handlers of this kind have always had
    """The service; one instance in each worker process."""

    def __init__(self) -> None:
        self.initialized = False
        self.word_numbers: dict[str, int] = {}
        self.predictor: Any = None

    def initialize(self, context: Any) -> None:
        """Reads the word dictionary and the network from the model's folder."""
        folder = Path(context.system_properties["model_dir"])
        with open(folder / "word_dict.pickle", "rb") as words:
            self.word_numbers = PlainUnpickler(words).load()
        self.predictor = load_network(folder / "paddle_artifacts")
        self.initialized = True

    def preprocess(self, data: list[dict[str, Any]]) -> list[list[int] | BadReviewError]:
        """The word numbers of each request, or what is wrong with it."""
        return [self._encode(row) for row in data]

    def _encode(self, row: dict[str, Any]) -> list[int] | BadReviewError:
        try:
            words = split_words(review_text(row))[:MAX_WORDS]
        except BadReviewError as error:
            return error
        unknown = self.word_numbers[UNKNOWN]
        return [self.word_numbers.get(word, unknown) for word in words] or BadReviewError("There is no word in the review.")

    def inference(self, input: list[list[int] | BadReviewError]) -> list[Any]:
        """The probabilities (negative, positive) of each row; the network runs once for the whole batch. Errors stay where they are."""
        rows = [row for row in input if not isinstance(row, BadReviewError)]
        answers = iter(self._run(rows) if rows else [])
        return [row if isinstance(row, BadReviewError) else next(answers) for row in input]

    def _run(self, rows: list[list[int]]) -> Any:
        words = self.predictor.get_input_handle(self.predictor.get_input_names()[0])
        words.copy_from_cpu(np.concatenate([np.asarray(row, "int64") for row in rows]).reshape(-1, 1))
        words.set_lod([np.cumsum([0, *map(len, rows)]).tolist()])
        self.predictor.run()
        return self.predictor.get_output_handle(self.predictor.get_output_names()[0]).copy_to_cpu()

    def postprocess(self, output: list[Any], data: list[dict[str, Any]]) -> list[str]:
        """One sentence for each request."""
        return [str(answer) if isinstance(answer, BadReviewError) else sentence(answer[0], answer[1]) for answer in output]


def sentence(negative: float, positive: float) -> str:
    """The answer as a person reads it."""
    return f"Prediction : This is a {'Positive' if positive >= negative else 'Negative'} review"


def load_network(folder: Path) -> Any:
    """The network and weights in `folder`, ready to run. Raises `FileNotFoundError` if the program is not there."""
    if not (folder / "__model__").is_file():
        raise FileNotFoundError(f"{folder} has no file __model__, which holds the network; train.py writes it beside the weights")
    from paddle import inference  # takes a second and 150 MB: only a worker that serves needs it

    config = inference.Config(str(folder))
    config.disable_gpu()
    config.disable_glog_info()
    config.set_cpu_math_library_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    return inference.create_predictor(config)


_service = PaddleSentimentAnalysis()


def handle(data: list[dict[str, Any]] | None, context: Any) -> list[str] | None:
    """What the server calls: once with None when a worker starts, then with each batch."""
    if not _service.initialized:
        _service.initialize(context)

    if data is None:
        return None

    pre = _service.preprocess(data)
    inf = _service.inference(pre)
    for index, answer in enumerate(inf):
        context.set_response_content_type(index, "text/plain")
        if isinstance(answer, BadReviewError):
            context.set_response_status(400, "Bad Request", index)
    return _service.postprocess(inf, data)
