"""Trains a support vector machine on the handwritten digits that scikit-learn ships: `python make_model.py [FOLDER]`. Takes a second."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import joblib
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler
from sklearn.svm import SVC

HERE = Path(__file__).resolve().parent


def make(folder: Path) -> float:
    """Fill `folder` with what the archive holds; the accuracy on a quarter that was held out."""
    folder.mkdir(parents=True, exist_ok=True)
    pixels, digits = load_digits(return_X_y=True)
    learn_x, test_x, learn_y, test_y = train_test_split(pixels, digits, test_size=0.25, random_state=0)
    model = make_pipeline(MinMaxScaler(), SVC(C=10, gamma=0.1, random_state=0)).fit(learn_x, learn_y)
    joblib.dump(model, folder / "digits.joblib")
    shutil.copyfile(HERE / "handler.py", folder / "handler.py")
    return float(model.score(test_x, test_y))


if __name__ == "__main__":
    accuracy = make(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE / "artifacts")
    print(f"accuracy {accuracy:.3f} (held out)")
