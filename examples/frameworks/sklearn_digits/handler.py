"""Serves a scikit-learn pipeline: `{"pixels": [64 numbers of 0 to 16]}` in, `{"digit": 3}` out. A class as Multi Model Server has always known it."""

from __future__ import annotations

import os
from typing import Any

import joblib
import numpy as np


class DigitService:
    """One instance in each worker."""

    def __init__(self) -> None:
        self.model: Any = None

    def initialize(self, context: Any) -> None:
        """Read the pipeline. It is a pickle: load only those that you made yourself."""
        self.model = joblib.load(os.path.join(context.system_properties["model_dir"], "digits.joblib"))

    def preprocess(self, data: list[dict[str, Any]]) -> list[Any]:
        """The pixels of each request, or what is wrong with them. Errors stay in their place of the batch."""
        return [self._pixels(row.get("body")) for row in data]

    @staticmethod
    def _pixels(body: Any) -> Any:
        try:
            pixels = np.asarray(body["pixels"], np.float64)
        except (TypeError, KeyError, ValueError):
            return ValueError("Send a JSON object with a list of numbers named pixels.")
        return pixels.ravel() if pixels.size == 64 else ValueError(f"A digit has 8 x 8 pixels, not {pixels.size}.")

    def inference(self, rows: list[Any]) -> list[Any]:
        """One call of the pipeline for the whole batch."""
        good = [row for row in rows if not isinstance(row, ValueError)]
        digits = iter(self.model.predict(np.stack(good)).tolist() if good else [])
        return [row if isinstance(row, ValueError) else next(digits) for row in rows]

    def postprocess(self, answers: list[Any], context: Any) -> list[dict[str, Any]]:
        """A status for each bad request, a digit for each good one."""
        results = []
        for index, answer in enumerate(answers):
            context.set_response_content_type(index, "application/json")
            if isinstance(answer, ValueError):
                context.set_response_status(400, "Bad Request", index)
                results.append({"message": str(answer)})
            else:
                results.append({"digit": answer})
        return results

    def handle(self, data: list[dict[str, Any]], context: Any) -> list[dict[str, Any]]:
        """What the server calls with each batch."""
        return self.postprocess(self.inference(self.preprocess(data)), context)
