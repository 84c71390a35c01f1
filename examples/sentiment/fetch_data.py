"""Fetches the movie reviews that both sentiment examples learn from, and reads them.

The sentences come from Rotten Tomatoes; for each of them twenty people said how positive it is, from -4 to +4. They were collected for
C. Hutto and E. Gilbert, "VADER: A Parsimonious Rule-based Model for Sentiment Analysis of Social Media Text", ICWSM-14, and travel inside
release 0.5 of the Python package vaderSentiment. We fetch that file, pinned by its hash, and never copy the sentences into this repository.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import subprocess
import sys
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

PACKAGE = "vaderSentiment==0.5"
FILE_NAME = "vaderSentiment-0.5.zip"
SHA256 = "5d97c37f3ef6e24eef331122e055dbedafeb6a56abfce0608b326701116ea49a"
INNER_ARCHIVE = "additional_resources/hutto_ICWSM_2014.tar.gz"
RATINGS = "movieReviewSnippets_GroundTruth.txt"
DEFAULT_FOLDER = Path(__file__).resolve().parent / "artifacts"


class DataError(Exception):
    """The data cannot be fetched, or is not what it should be; the message says what to do."""


@dataclass(frozen=True)
class Review:
    """One sentence and the mean of its ratings, from -4 (bad) to +4 (good), never 0."""

    text: str
    rating: float

    @property
    def is_positive(self) -> bool:
        """Whether people found it more good than bad."""
        return self.rating > 0


def fetch(folder: Path = DEFAULT_FOLDER) -> Path:
    """The data file in `folder`, downloaded with pip unless it is there. Raises `DataError` if it cannot be had or has changed."""
    target = folder / FILE_NAME
    if not target.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            _download(Path(scratch))
            (Path(scratch) / FILE_NAME).replace(target)
    found = hashlib.sha256(target.read_bytes()).hexdigest()
    if found != SHA256:
        raise DataError(f"{target} has the SHA-256 {found}, not {SHA256}: delete it and try again")
    return target


def _download(folder: Path) -> None:
    """pip checks the hash before it opens the file."""
    pinned = folder / "pinned.txt"
    pinned.write_text(f"{PACKAGE} --hash=sha256:{SHA256}\n", encoding="ascii")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", ":none:", "--dest", str(folder), "-r", str(pinned)]
    ended = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if ended.returncode or not (folder / FILE_NAME).is_file():
        raise DataError(f"pip could not download {PACKAGE} (status {ended.returncode}):\n{ended.stderr.strip()}")


def read(archive: Path) -> list[Review]:
    """All reviews of the data file in its order, without those that people found neither good nor bad. Raises `DataError` on another layout."""
    try:
        with zipfile.ZipFile(archive) as outer, tarfile.open(fileobj=io.BytesIO(outer.read(_only(outer.namelist(), INNER_ARCHIVE)))) as inner:
            ratings = inner.extractfile(_only(inner.getnames(), RATINGS))
            lines = ratings.read().decode("utf-8").split("\n") if ratings else []
        rows = [line.split("\t") for line in lines if line.strip()]
        reviews = [Review(text.strip(), float(rating)) for _number, rating, text in rows]
    except (zipfile.BadZipFile, tarfile.TarError, KeyError, ValueError) as error:
        raise DataError(f"{archive} is not the data file that this example knows: {error}") from error
    return [review for review in reviews if review.rating]


def _only(names: Sequence[str], ending: str) -> str:
    found = [name for name in names if name == ending or name.endswith("/" + ending)]
    if len(found) != 1:
        raise KeyError(f"{len(found)} files named {ending}")
    return found[0]


def split(reviews: Sequence[Review]) -> tuple[list[Review], list[Review]]:
    """Nine tenths to learn from and one tenth held out. The text alone decides, so the split is the same everywhere and a repeated sentence
    is never on both sides."""
    learn: list[Review] = []
    held_out: list[Review] = []
    for review in reviews:
        (learn if zlib.crc32(review.text.encode()) % 10 else held_out).append(review)
    return learn, held_out


def main() -> None:
    """Fetches the data and says what is in it."""
    parser = argparse.ArgumentParser(description="Fetch the movie reviews that the sentiment examples learn from.")
    parser.add_argument("--folder", type=Path, default=DEFAULT_FOLDER, help="where to keep the file (default: %(default)s)")
    try:
        archive = fetch(parser.parse_args().folder)
        reviews = read(archive)
    except DataError as error:
        sys.exit(f"fetch_data: {error}")
    learn, held_out = split(reviews)
    good = sum(review.is_positive for review in reviews)
    print(f"{archive}: {len(reviews)} rated sentences, {good} positive and {len(reviews) - good} negative")
    print(f"{len(learn)} to learn from, {len(held_out)} held out")


if __name__ == "__main__":
    main()
