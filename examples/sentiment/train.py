"""Learns `model/weights.json` from the movie reviews: logistic regression over words and pairs of words, in Python alone, in a few seconds.

The result is the same byte for byte on every machine: the order is fixed, sums are exactly rounded, and weights are kept as hundredths.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import zlib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import fetch_data
from model import sentiment

HERE = Path(__file__).resolve().parent
MIN_COUNT = 3
EPOCHS = 4
STEP = 0.3
SHRINK = 0.003
SCALE = 100


def learn(reviews: Sequence[fetch_data.Review]) -> tuple[dict[str, float], float]:
    """Weights by term and the bias. Sentences that people agreed about count for more."""
    bags = [sentiment.terms(review.text) for review in reviews]
    counts = Counter(term for bag in bags for term in bag)
    weights = {term: 0.0 for term in sorted(counts) if counts[term] >= MIN_COUNT}
    slopes = dict.fromkeys(weights, 0.01)
    bias = 0.0
    examples = [([t for t in bag if t in weights], review) for bag, review in zip(bags, reviews, strict=True)]
    examples.sort(key=lambda example: zlib.crc32(example[1].text.encode()))
    for _epoch in range(EPOCHS):
        for bag, review in examples:
            share = 1 / math.sqrt(len(bag) or 1)
            score = bias + share * math.fsum(weights[term] for term in bag)
            error = (1 / (1 + math.exp(-score)) - review.is_positive) * min(1.0, abs(review.rating))
            bias -= 0.01 * error
            for term in bag:
                slope = error * share + SHRINK * weights[term]
                slopes[term] += slope * slope
                weights[term] -= STEP * slope / math.sqrt(slopes[term])
    return weights, bias


def write(weights: dict[str, float], bias: float, target: Path) -> None:
    """Keeps hundredths, one term a line; a term that rounds to nothing is left out."""
    kept = {term: round(weight * SCALE) for term, weight in weights.items()}
    model = {"scale": SCALE, "bias": round(bias * SCALE), "weights": {term: weight for term, weight in kept.items() if weight}}
    target.write_text(json.dumps(model, ensure_ascii=False, indent=0, separators=(",", ":")) + "\n", encoding="utf-8")


def accuracy(folder: Path, reviews: Sequence[fetch_data.Review]) -> float:
    """Share of `reviews` that the model in `folder` answers as people do."""
    service = sentiment.Sentiment()
    service.initialize(SimpleNamespace(system_properties={"model_dir": str(folder)}))
    right = sum((service.predict(review.text)["sentiment"] == "positive") == review.is_positive for review in reviews)
    return right / len(reviews)


def main() -> None:
    """Fetches, learns, writes and says how good the result is on sentences that it has not seen."""
    parser = argparse.ArgumentParser(description="Train the small sentiment model.")
    parser.add_argument("--data", type=Path, default=fetch_data.DEFAULT_FOLDER, help="folder of the data file (default: %(default)s)")
    parser.add_argument("--out", type=Path, default=HERE / "model", help="folder that gets weights.json (default: %(default)s)")
    options = parser.parse_args()
    try:
        learned_from, held_out = fetch_data.split(fetch_data.read(fetch_data.fetch(options.data)))
    except fetch_data.DataError as error:
        sys.exit(f"train: {error}")
    options.out.mkdir(parents=True, exist_ok=True)
    write(*learn(learned_from), options.out / "weights.json")
    clear = [review for review in held_out if abs(review.rating) > 1]
    for name, reviews in (("learned from", learned_from), ("held out", held_out), ("held out, clearly rated", clear)):
        print(f"accuracy {accuracy(options.out, reviews):.3f} on {len(reviews)} sentences ({name})")


if __name__ == "__main__":
    main()
