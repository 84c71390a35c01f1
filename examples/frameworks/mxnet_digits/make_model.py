"""Trains a Gluon network on scikit-learn's handwritten digits: `python make_model.py [FOLDER]`, in the environment of requirements.txt.

Two things come out: `current`, a folder for model-archiver, and `mxnet_digits_old.model`, an archive as `mxnet-model-export` of the years before
Multi Model Server 1.0 made it. Both hold the same network.
"""

from __future__ import annotations

import json
import shutil
import sys
import zipfile
from pathlib import Path
from typing import Any

import mxnet as mx
import numpy as np
from mxnet import autograd, gluon
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

HERE = Path(__file__).resolve().parent
NAME = "mxnet_digits"
EPOCHS, ROWS = 12, 64
SIGNATURE = {
    "input_type": "image/png",
    "inputs": [{"data_name": "data", "data_shape": [0, 3, 8, 8]}],
    "output_type": "application/json",
    "outputs": [{"data_name": "probabilities", "data_shape": [0, 10]}],
}
OLD_MANIFEST = {
    "Engine": {"MXNet": 1.9},
    "Model-Archive-Description": "handwritten digits",
    "License": "Apache 2.0",
    "Model-Archive-Version": 0.1,
    "Model-Server": 0.1,
    "Model": {
        "Model-Name": "mxnet_digits_old",
        "Service": "service.py",
        "Symbol": f"{NAME}-symbol.json",
        "Parameters": f"{NAME}-0000.params",
        "Signature": "signature.json",
        "Description": "handwritten digits",
    },
    "Created-By": {"Author": "Argosy", "Author-Email": ""},
}


def as_images(pixels: np.ndarray) -> Any:
    """Rows of 64 numbers of 0 to 16 as a client's pictures look when they are decoded: three channels of 0 to 255."""
    grey = (pixels.reshape(-1, 1, 8, 8) * 255 / 16).round()
    return mx.nd.array(np.repeat(grey, 3, axis=1))


def train(images: Any, digits: Any) -> Any:
    """The network, without the softmax that serving wants."""
    net = gluon.nn.HybridSequential()
    scale = gluon.nn.HybridLambda(lambda _, pixels: pixels / 255)
    net.add(scale, gluon.nn.Conv2D(16, 3, activation="relu"), gluon.nn.Conv2D(32, 3, activation="relu"), gluon.nn.Flatten(), gluon.nn.Dense(10))
    net.initialize(mx.init.Xavier())
    loss_of = gluon.loss.SoftmaxCrossEntropyLoss()
    trainer = gluon.Trainer(net.collect_params(), "adam", {"learning_rate": 0.005})
    rows = gluon.data.DataLoader(gluon.data.ArrayDataset(images, mx.nd.array(digits)), ROWS, shuffle=True)
    for _ in range(EPOCHS):
        for pictures, labels in rows:
            with autograd.record():
                loss = loss_of(net(pictures), labels)
            loss.backward()
            trainer.step(len(pictures))
    return net


def make(folder: Path) -> float:
    """Fill `folder`; the accuracy on a quarter that was held out."""
    mx.random.seed(0)
    np.random.seed(0)
    pixels, digits = load_digits(return_X_y=True)
    learn_x, test_x, learn_y, test_y = train_test_split(pixels, digits, test_size=0.25, random_state=0)
    net = train(as_images(learn_x), learn_y)
    served = gluon.nn.HybridSequential()
    served.add(net, gluon.nn.HybridLambda("softmax"))
    served.hybridize()
    odds = served(as_images(test_x)).asnumpy()
    current = folder / "current"
    current.mkdir(parents=True, exist_ok=True)
    served.export(str(current / NAME))
    (current / "signature.json").write_text(json.dumps(SIGNATURE))
    (current / "synset.txt").write_text("zero\none\ntwo\nthree\nfour\nfive\nsix\nseven\neight\nnine\n")
    _write_old(folder / "mxnet_digits_old.model", current)
    shutil.copyfile(HERE / "handler.py", current / "handler.py")
    return float((odds.argmax(axis=1) == test_y).mean())


def _write_old(path: Path, current: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("MANIFEST.json", json.dumps(OLD_MANIFEST))
        archive.write(HERE / "service.py", "service.py")
        for name in (f"{NAME}-symbol.json", f"{NAME}-0000.params", "signature.json", "synset.txt"):
            archive.write(current / name, name)


if __name__ == "__main__":
    accuracy = make(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE / "artifacts")
    print(f"accuracy {accuracy:.3f} (held out)")
