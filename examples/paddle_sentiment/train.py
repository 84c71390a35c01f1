"""Trains the sentiment model with PaddlePaddle and lays out the folder that model-archiver packs:

artifacts/sentiment/{paddle_artifacts/,paddle_sentiment_analysis.py,word_dict.pickle}, with one file per weight in `paddle_artifacts` and the
network itself in `paddle_artifacts/__model__`.
"""

from __future__ import annotations

import argparse
import pickle
import random
import shutil
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "sentiment"))

import fetch_data
import network
import numpy as np
import paddle
import paddle_sentiment_analysis as handler
from network import Size
from paddle import static

HERE = Path(__file__).resolve().parent
BATCH = 64
SIZES = {"book": (Size(embedding=128, hidden=512, depth=3), 3, 0.002), "small": (Size(embedding=32, hidden=64, depth=3), 3, 0.02)}
"""Network, epochs, step. The book's hundred epochs only learn these few sentences by heart: after three, the held-out accuracy falls."""

Example = tuple[list[int], int]


def vocabulary(reviews: Sequence[fetch_data.Review]) -> dict[str, int]:
    """A number for each word that occurs twice, the most frequent first, and one for all others."""
    counts = Counter(word for review in reviews for word in handler.split_words(review.text))
    words = sorted((word for word in counts if counts[word] > 1), key=lambda word: (-counts[word], word))
    return {word: number for number, word in enumerate([*words, handler.UNKNOWN])}


def encode(reviews: Sequence[fetch_data.Review], numbers: dict[str, int]) -> list[Example]:
    """Word numbers and label (1: positive) of each review."""
    unknown = numbers[handler.UNKNOWN]
    rows = [[numbers.get(word, unknown) for word in handler.split_words(review.text)] or [unknown] for review in reviews]
    return [(row, int(review.is_positive)) for row, review in zip(rows, reviews, strict=True)]


class Trainer:
    """The two programs (learn, answer) over one set of weights."""

    def __init__(self, words: int, size: Size, step: float) -> None:
        paddle.enable_static()
        paddle.seed(1)
        self.learn, start = static.Program(), static.Program()
        with static.program_guard(self.learn, start):
            self.words = static.data("words", [None, 1], "int64", lod_level=1)
            label = static.data("label", [None, 1], "int64")
            self.probabilities = network.build(self.words, words, size)
            self.answer = self.learn.clone(for_test=True)
            self.loss = network.cross_entropy(self.probabilities, label)
            paddle.optimizer.Adagrad(learning_rate=step).minimize(self.loss)
        self.executor = static.Executor(paddle.CPUPlace())
        self.executor.run(start)

    def epoch(self, examples: Sequence[Example]) -> float:
        """Learns from all examples once; returns the mean loss."""
        losses = [self.executor.run(self.learn, feed=feed(batch), fetch_list=[self.loss])[0] for batch in batches(examples, BATCH)]
        return float(np.mean(losses))

    def accuracy(self, examples: Sequence[Example]) -> float:
        """Share of right answers."""
        right = 0
        for batch in batches(examples, 256):
            (chances,) = self.executor.run(self.answer, feed=feed(batch), fetch_list=[self.probabilities.name])
            right += int((chances.argmax(1) == [label for _row, label in batch]).sum())
        return right / len(examples)

    def save(self, folder: Path) -> None:
        """Writes the network as `__model__` and each weight to a file of its own; what only training needs is left out."""
        block = self.answer.global_block()
        ends = [block.var(self.words.name)], [block.var(self.probabilities.name)]
        program = static.normalize_program(self.answer, *ends)
        static.save_vars(self.executor, str(folder), self.answer, predicate=lambda variable: isinstance(variable, paddle.base.framework.Parameter))
        (folder / "__model__").write_bytes(program.desc.serialize_to_string())


def batches(examples: Sequence[Example], size: int) -> Iterator[Sequence[Example]]:
    """The examples in runs of `size`."""
    return (examples[at : at + size] for at in range(0, len(examples), size))


def feed(batch: Sequence[Example]) -> dict[str, object]:
    """What the programs take."""
    return {"words": network.ragged([row for row, _label in batch]), "label": np.array([[label] for _row, label in batch], "int64")}


def lay_out(folder: Path, trainer: Trainer, numbers: dict[str, int]) -> None:
    """Makes the folder to pack; whatever was there before is replaced."""
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "paddle_artifacts").mkdir(parents=True)
    trainer.save(folder / "paddle_artifacts")
    (folder / "word_dict.pickle").write_bytes(pickle.dumps(numbers, protocol=2))
    shutil.copy(HERE / "paddle_sentiment_analysis.py", folder)


def options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description="Train the PaddlePaddle sentiment model.")
    parser.add_argument("--size", choices=sorted(SIZES), default="book", help="the book's, or one that takes seconds (default: %(default)s)")
    parser.add_argument("--epochs", type=int, help="times to read all sentences (default: what suits the size)")
    parser.add_argument("--data", type=Path, default=fetch_data.DEFAULT_FOLDER, help="folder of the data file (default: %(default)s)")
    parser.add_argument("--out", type=Path, default=HERE / "artifacts" / "sentiment", help="folder to lay out (default: %(default)s)")
    return parser.parse_args()


def main() -> None:
    """Fetches, learns, lays out and says how good the result is on sentences that it has not seen."""
    chosen = options()
    size, epochs, step = SIZES[chosen.size]
    try:
        learned_from, held_out = fetch_data.split(fetch_data.read(fetch_data.fetch(chosen.data)))
    except fetch_data.DataError as error:
        sys.exit(f"train: {error}")
    numbers = vocabulary(learned_from)
    examples, unseen = encode(learned_from, numbers), encode(held_out, numbers)
    trainer, order, began = Trainer(len(numbers), size, step), random.Random(3), time.monotonic()
    for epoch in range(chosen.epochs or epochs):
        order.shuffle(examples)
        loss = trainer.epoch(examples)
        print(f"epoch {epoch + 1}: loss {loss:.3f}, {time.monotonic() - began:.0f} s", flush=True)
    lay_out(chosen.out, trainer, numbers)
    clear = [example for example, review in zip(unseen, held_out, strict=True) if abs(review.rating) > 1]
    for name, some in (("learned from", examples), ("held out", unseen), ("held out, clearly rated", clear)):
        print(f"accuracy {trainer.accuracy(some):.3f} on {len(some)} sentences ({name})")


if __name__ == "__main__":
    main()
