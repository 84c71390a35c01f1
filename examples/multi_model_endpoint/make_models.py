"""Packs one model for each kind of review: films.tar.gz, phones.tar.gz and travel/hotels.tar.gz below a folder, as they would lie in a bucket."""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
MODELS = {
    "films": {"unpredictable": 2, "moving": 2, "amazing": 3, "quiet": 1, "thin": -2, "boring": -3, "long": -1},
    "phones": {"unpredictable": -3, "thin": 2, "amazing": 3, "quiet": -2, "slow": -3, "long": 2},
    "travel/hotels": {"unpredictable": -2, "thin": -2, "amazing": 3, "quiet": 3, "loud": -3, "moving": -1},
}
"""What words are worth, in whole numbers: who praises a film may be warning of a hotel."""


def pack(name: str, folder: Path) -> Path:
    """One archive, from the handler and these weights; its path."""
    target = folder / f"{name}.tar.gz"
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="argosy-model-") as scratch:
        source = Path(scratch, "model")
        shutil.copytree(HERE / "model", source, ignore=shutil.ignore_patterns("__pycache__"))
        (source / "weights.json").write_text(json.dumps(MODELS[name]), encoding="utf-8")
        command = [str(Path(sys.executable).parent / "model-archiver"), "-f", "--model-name", target.name.partition(".")[0]]
        places = ["--model-path", str(source), "--export-path", str(target.parent), "--archive-format", "tgz"]
        subprocess.run([*command, "--handler", "reviews:Reviews", *places], check=True)
    return target


def main() -> None:
    """Packs all of them."""
    parser = argparse.ArgumentParser(description="Pack the models of the example.")
    parser.add_argument("--out", type=Path, default=HERE / "artifacts", help="folder to pack into (default: %(default)s)")
    for name in MODELS:
        print(pack(name, parser.parse_args().out))


if __name__ == "__main__":
    main()
