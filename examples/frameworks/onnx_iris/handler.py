"""Serves an ONNX classifier whose batch has a fixed size: two measures of a flower in, its class and the odds of each class out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from argosy.handler import Batch, Context


@dataclass
class Flower:
    """What a client sends."""

    length: float
    width: float


class Iris:
    """One session in each worker."""

    def load(self, ctx: Context) -> None:
        """Read the graph and the size of its batch."""
        options = onnxruntime.SessionOptions()
        # ONNX Runtime does not look at OMP_NUM_THREADS: without this every worker takes all processors
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        path = Path(ctx.system_properties["model_dir"]) / "model.onnx"
        self.session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        (self.input,) = self.session.get_inputs()
        self.rows = int(self.input.shape[0])

    def predict(self, flowers: Batch[Flower]) -> Batch[dict]:
        """The graph takes exactly `rows` flowers: the last run is filled up, and what came of the filling is dropped."""
        rows = np.array([(flower.length, flower.width) for flower in flowers], np.float32)
        rows = np.concatenate([rows, np.zeros((-len(rows) % self.rows, 2), np.float32)])
        answers = [answer for start in range(0, len(rows), self.rows) for answer in self._run(rows[start : start + self.rows])]
        return answers[: len(flowers)]

    def _run(self, rows: Any) -> list[dict]:
        labels, odds = self.session.run(None, {self.input.name: rows})
        return [{"class": int(label), "probabilities": list(each.values())} for label, each in zip(labels, odds, strict=True)]
