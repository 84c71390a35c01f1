"""Converting ONNX files, with stand-ins for the two packages that do the work."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from argosy.errors import ArgosyError, ErrorCode
from argosy.store.conversion import convert

MXNET = """
class Array:
    def as_in_context(self, context):
        return context
class nd:
    @staticmethod
    def save(path, arrays):
        with open(path, "w") as file:
            file.write(repr(arrays))
def cpu():
    return "cpu"
"""
IMPORTER = """
import mxnet
class Symbol:
    def tojson(self):
        return "symbol"
def import_model(path):
    with open(path) as file:
        content = file.read()
    if content == "broken":
        raise RuntimeError("not a model")
    return Symbol(), {"w": mxnet.Array()}, {"b": mxnet.Array()}
"""
ONNX = """
from types import SimpleNamespace as N
def load(path):
    def tensor(name, *shape):
        return N(name=name, type=N(tensor_type=N(shape=N(dim=[N(dim_value=size) for size in shape]))))
    return N(graph=N(initializer=[N(name="w")], input=[tensor("w", 1), tensor("picture", 1, 3)]))
"""
MODULES = ("mxnet", "mxnet.contrib", "mxnet.contrib.onnx", "onnx")


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A folder with one ONNX file."""
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "net.onnx").write_text("fine")
    (folder / "signature.json").write_text('{"inputs": [{"data_name": "?", "data_shape": [0]}]}')
    return folder


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    """Where converted files go."""
    folder = tmp_path / "scratch"
    folder.mkdir()
    return folder


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder on the module path for stand-ins; what was imported from it is forgotten afterwards."""
    folder = tmp_path / "packages"
    (folder / "mxnet" / "contrib").mkdir(parents=True)
    monkeypatch.syspath_prepend(folder)
    yield folder
    for name in MODULES:
        sys.modules.pop(name, None)


def install(packages: Path) -> None:
    """Put the stand-ins there."""
    (packages / "mxnet" / "__init__.py").write_text(MXNET)
    (packages / "mxnet" / "contrib" / "__init__.py").touch()
    (packages / "mxnet" / "contrib" / "onnx.py").write_text(IMPORTER)
    (packages / "onnx.py").write_text(ONNX)


def refusal(model: Path, scratch: Path) -> ArgosyError:
    """Why nothing is converted."""
    with pytest.raises(ArgosyError) as caught:
        convert(model, "m", scratch)
    assert list(scratch.iterdir()) == []
    return caught.value


def test_several_files_are_refused(model: Path, scratch: Path) -> None:
    """Nobody says which one is meant."""
    (model / "other.onnx").touch()
    message = "model-archiver expects only one .onnx file in the folder. Found 2 files ['net.onnx', 'other.onnx'] in model-path."
    assert refusal(model, scratch).message == message


def test_a_missing_package_is_named(model: Path, scratch: Path, packages: Path) -> None:
    """With the command that installs it."""
    assert refusal(model, scratch).message == "MXNet package is not installed. Run command: pip install mxnet to install it."
    for name in MODULES:
        sys.modules.pop(name, None)
    install(packages)
    (packages / "onnx.py").write_text("raise ImportError")
    assert refusal(model, scratch).message == "Onnx package is not installed. Run command: pip install onnx to install it."


def test_a_broken_model_is_told(model: Path, scratch: Path, packages: Path) -> None:
    """Whatever the packages raise becomes one message."""
    install(packages)
    (model / "net.onnx").write_text("broken")
    error = refusal(model, scratch)
    assert error.code is ErrorCode.INVALID_MODEL
    assert "net.onnx: not a model. Verify" in error.message


def test_nothing_to_convert_is_fine(model: Path, scratch: Path) -> None:
    """The option does no harm to other models."""
    (model / "net.onnx").unlink()
    assert convert(model, "m", scratch) is None


def test_the_files_of_mxnet_take_the_place_of_the_onnx_file(model: Path, scratch: Path, packages: Path) -> None:
    """Symbol, parameters and the signature with the real input; the model folder stays as it is."""
    install(packages)
    before = {path.name: path.read_text() for path in model.iterdir()}
    found = convert(model, "m", scratch)
    assert found is not None
    assert found.replaced == "net.onnx"
    assert found.files["m-symbol.json"].read_text() == "symbol"
    assert found.files["m-0000.params"].read_text() == "{'arg:w': 'cpu', 'arg:b': 'cpu'}"
    assert json.loads(found.files["signature.json"].read_text()) == {"inputs": [{"data_name": "picture", "data_shape": [1, 3]}]}
    assert {path.name: path.read_text() for path in model.iterdir()} == before
