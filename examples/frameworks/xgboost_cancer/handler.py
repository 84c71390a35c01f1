"""Serves an XGBoost model to clients that speak CSV: lines of 30 numbers in, one probability a line out. A function of the old form, with state."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import xgboost

_booster: Any = None
FEATURES = 30


def read_csv(body: Any) -> Any:
    """The rows of one request. Raises ValueError when they are not what the model takes."""
    text = body if isinstance(body, str) else bytes(body or b"").decode("utf-8")
    rows = [[float(value) for value in line.split(",")] for line in text.splitlines() if line.strip()]
    if not rows or {len(row) for row in rows} != {FEATURES}:
        raise ValueError(f"Send lines of {FEATURES} numbers with commas between them.")
    return np.array(rows, np.float32)


def handle(data: list[dict[str, Any]] | None, context: Any) -> list[str] | None:
    """Called once with None when the worker starts, then with each batch. All rows of all requests go through the trees together."""
    global _booster
    if _booster is None:
        _booster = xgboost.Booster({"nthread": 1}, model_file=os.path.join(context.system_properties["model_dir"], "model.json"))
    if data is None:
        return None
    answers: list[str] = [""] * len(data)
    tables: dict[int, Any] = {}
    for index, row in enumerate(data):
        context.set_response_content_type(index, "text/csv")
        try:
            tables[index] = read_csv(row.get("body"))
        except ValueError as error:
            context.set_response_status(415 if isinstance(error, UnicodeDecodeError) else 400, "Bad Request", index)
            answers[index] = f"{error}\n"
    if tables:
        scores = iter(_booster.predict(xgboost.DMatrix(np.concatenate(list(tables.values())))).tolist())
        for index, table in tables.items():
            answers[index] = "".join(f"{next(scores):.6f}\n" for _ in table)
    return answers
