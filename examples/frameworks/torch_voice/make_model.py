"""Lays out the voice detector of the package silero-vad, a TorchScript network of 2 MB: `python make_model.py [FOLDER]`."""

from __future__ import annotations

import importlib.util
import shutil
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent


def make(folder: Path) -> None:
    """Fill `folder` with what the archive holds."""
    found = importlib.util.find_spec("silero_vad")
    if found is None or found.origin is None:
        raise SystemExit("make_model: silero-vad is not installed; it brings the network along")
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(Path(found.origin).parent / "data" / "silero_vad.jit", folder / "model.pt")
    shutil.copyfile(HERE / "handler.py", folder / "handler.py")


if __name__ == "__main__":
    make(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE / "artifacts")
