"""The real models: what they run on is installed beside Argosy, and the one of PaddlePaddle is trained."""

from __future__ import annotations

import subprocess
import sys

from benchmarks.measure import BenchError
from benchmarks.systems import PADDLE, ROOT

REQUIREMENTS = ("onnxruntime", "paddlepaddle==3.3.1", "numpy")
TIMEOUT_S = 600


def install_models(python: str = sys.executable) -> None:
    """Install into the environment of `python`, 800 MB, and train for ten seconds. Raises `BenchError` when that fails or takes too long."""
    train = ROOT / "examples" / "paddle_sentiment" / "train.py"
    for command in (
        ["-m", "pip", "install", "-q", *REQUIREMENTS],
        [str(train), "--size", "small", "--data", str(PADDLE.parent), "--out", str(PADDLE)],
    ):
        try:
            subprocess.run([python, *command], check=True, capture_output=True, text=True, timeout=TIMEOUT_S)
        except subprocess.TimeoutExpired as error:
            raise BenchError(f"the models were not there within {TIMEOUT_S} s: {' '.join(command)}") from error
        except subprocess.CalledProcessError as error:
            raise BenchError(f"the models cannot be had: {(error.stderr or error.stdout)[-1500:]}") from error
