"""Lays out the file type model of the package magika, an ONNX network of 3 MB: `python make_model.py [FOLDER]`."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import magika

HERE = Path(__file__).resolve().parent


def make(folder: Path) -> None:
    """Fill `folder` with what the archive holds."""
    (models,) = (Path(magika.__file__).parent / "models").glob("standard_*")
    shutil.copytree(models, folder / "model", dirs_exist_ok=True, ignore=shutil.ignore_patterns("README.md"))
    shutil.copyfile(HERE / "handler.py", folder / "handler.py")


if __name__ == "__main__":
    make(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE / "artifacts")
