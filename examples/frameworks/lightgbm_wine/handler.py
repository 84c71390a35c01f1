"""Serves a LightGBM model by the names of its features: `{"alcohol": 13.2, …}` in, the cultivar and its probability out."""

from __future__ import annotations

from pathlib import Path

import lightgbm
import numpy as np

from argosy.handler import Batch, Context, InvalidInput


class Wine:
    """One booster in each worker."""

    def load(self, ctx: Context) -> None:
        """Read the trees; they know the names of their features."""
        self.booster = lightgbm.Booster(model_file=Path(ctx.system_properties["model_dir"]) / "model.txt")
        self.names = self.booster.feature_name()

    def warmup(self) -> None:
        """The first call sets the threads up."""
        self.predict(Batch([dict.fromkeys(self.names, 0.0)]))

    def predict(self, wines: Batch[dict[str, float]]) -> Batch[object]:
        """A wine without a value is answered too, trees can do that; an unknown name is an error of this wine alone."""
        rows = np.array([[wine.get(name, np.nan) for name in self.names] for wine in wines])
        odds = self.booster.predict(rows, num_threads=1)
        return [self._answer(wine, row) for wine, row in zip(wines, odds, strict=True)]

    def _answer(self, wine: dict[str, float], odds: np.ndarray) -> object:
        unknown = sorted(set(wine) - set(self.names))
        if unknown:
            return InvalidInput(f"There is no feature {unknown[0]}; the features are {', '.join(self.names)}.")
        return {"cultivar": int(odds.argmax()), "probability": float(odds.max())}
