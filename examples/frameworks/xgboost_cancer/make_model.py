"""Trains boosted trees on the breast cancer data that scikit-learn ships: `python make_model.py [FOLDER]`. Takes a second."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import xgboost
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split

HERE = Path(__file__).resolve().parent


def make(folder: Path) -> float:
    """Fill `folder` with what the archive holds; the accuracy on a quarter that was held out."""
    folder.mkdir(parents=True, exist_ok=True)
    rows, benign = load_breast_cancer(return_X_y=True)
    learn_x, test_x, learn_y, test_y = train_test_split(rows, benign, test_size=0.25, random_state=0)
    settings = {"objective": "binary:logistic", "max_depth": 3, "eta": 0.2, "nthread": 1, "seed": 0}
    booster = xgboost.train(settings, xgboost.DMatrix(learn_x, learn_y), num_boost_round=60)
    booster.save_model(folder / "model.json")
    shutil.copyfile(HERE / "handler.py", folder / "handler.py")
    return float(((booster.predict(xgboost.DMatrix(test_x)) > 0.5) == test_y).mean())


if __name__ == "__main__":
    accuracy = make(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE / "artifacts")
    print(f"accuracy {accuracy:.3f} (held out)")
