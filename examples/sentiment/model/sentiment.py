"""Says whether a movie review is good or bad, and which words decided it. Needs nothing but Python 3.8 and `weights.json` beside it."""

from __future__ import annotations

import json
import math
import re
import unicodedata
from pathlib import Path
from typing import Any

MAX_CHARACTERS = 100_000
TOKEN = re.compile(r"n't|\w+(?:'\w+)?|[!?]")


def terms(text: str) -> list[str]:
    """The words of a text and its pairs of neighbours, each once, in the order in which they first appear."""
    plain = unicodedata.normalize("NFKC", text).lower().replace("\u2019", "'").replace("`", "'")
    words = TOKEN.findall(re.sub(r"n't\b", " n't", plain))
    pairs = [" ".join(words[at : at + 2]) for at in range(len(words) - 1)]
    return list(dict.fromkeys(words + pairs))


def review_text(row: dict[str, Any]) -> str:
    """The review in one request: the field `data` of a form or a query, else the body; text, bytes in UTF-8, or JSON `"…"` or `{"text": "…"}`.

    Raises `ValueError` with a message for the client.
    """
    value = row.get("data", row.get("body"))
    if isinstance(value, dict):
        value = value.get("text")
    if isinstance(value, (bytes, bytearray, memoryview)):
        try:
            value = bytes(value).decode("utf-8")
        except UnicodeDecodeError as error:
            raise ValueError(f"the review is not UTF-8 text: {error.reason} at byte {error.start}") from error
    if not isinstance(value, str):
        raise ValueError('send the review as text, or as JSON {"text": "..."}')
    if not value.strip():
        raise ValueError("the review is empty")
    if len(value) > MAX_CHARACTERS:
        raise ValueError(f"the review has {len(value)} characters; {MAX_CHARACTERS} are allowed")
    return value


class Sentiment:
    """The service: one logistic regression over words and pairs of words."""

    def __init__(self) -> None:
        self._bias = 0.0
        self._weights: dict[str, float] = {}

    def initialize(self, context: Any) -> None:
        """Reads the weights from the model's folder."""
        model = json.loads((Path(context.system_properties["model_dir"]) / "weights.json").read_text(encoding="utf-8"))
        self._bias = model["bias"] / model["scale"]
        self._weights = {term: weight / model["scale"] for term, weight in model["weights"].items()}

    def predict(self, text: str) -> dict[str, Any]:
        """`sentiment`, its `probability` and up to three terms that spoke for it most."""
        known = {term: self._weights[term] for term in terms(text) if term in self._weights}
        score = self._bias + math.fsum(known.values()) / math.sqrt(len(known) or 1)
        sign = 1 if score >= 0 else -1
        because = sorted((term for term in known if known[term] * sign > 0), key=lambda term: -abs(known[term]))
        return {
            "sentiment": "positive" if sign > 0 else "negative",
            "probability": round(1 / (1 + math.exp(-abs(score))), 3),
            "because": because[:3],
        }

    def handle(self, data: list[dict[str, Any]], context: Any) -> list[dict[str, Any]]:
        """One answer for each request of the batch; a request that makes no sense gets its own 400 and leaves the others alone."""
        answers = []
        for index, row in enumerate(data):
            context.set_response_content_type(index, "application/json")
            try:
                answers.append(self.predict(review_text(row)))
            except ValueError as error:
                context.set_response_status(400, "Bad Request", index)
                answers.append({"code": 400, "type": "BadRequestException", "message": str(error)})
        return answers
