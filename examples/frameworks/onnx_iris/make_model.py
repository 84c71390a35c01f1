"""Lays out the iris model that ONNX Runtime brings along: `python make_model.py [FOLDER]`."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from onnxruntime.datasets import get_example

HERE = Path(__file__).resolve().parent


def make(folder: Path) -> None:
    """Fill `folder` with what the archive holds."""
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(get_example("logreg_iris.onnx"), folder / "model.onnx")
    shutil.copyfile(HERE / "handler.py", folder / "handler.py")


if __name__ == "__main__":
    make(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE / "artifacts")
