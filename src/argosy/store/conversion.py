"""Turns the ONNX file of a model folder into MXNet's symbol and parameter files, for packing; the folder itself stays as it is."""

from __future__ import annotations

import importlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from argosy.errors import ArgosyError, ErrorCode


@dataclass(frozen=True, slots=True)
class Converted:
    """What to pack instead of the ONNX file."""

    replaced: str
    """The ONNX file's name."""
    files: Mapping[str, Path]


def convert(model_path: Path, model_name: str, scratch: Path) -> Converted | None:
    """Convert the one `.onnx` file at the top of the folder into files below `scratch`; None if there is no such file.

    `signature.json` of the folder gets the name and shape of the model's first input. Raises `ArgosyError` INVALID_REQUEST when
    there are several ONNX files or a package is missing, INVALID_MODEL when the conversion fails.
    """
    found = sorted(path.name for path in model_path.iterdir() if path.name.endswith(".onnx"))
    if len(found) > 1:
        message = f"model-archiver expects only one .onnx file in the folder. Found {len(found)} files {found} in model-path."
        raise ArgosyError(ErrorCode.INVALID_REQUEST, message)
    if not found:
        return None
    mxnet, importer = _package("mxnet", "MXNet"), _package("mxnet.contrib.onnx", "MXNet")
    onnx = _package("onnx", "Onnx")
    source = model_path / found[0]
    try:
        signature = _signature(model_path / "signature.json", onnx.load(str(source)).graph)
        symbol, arguments, auxiliary = importer.import_model(str(source))
        return Converted(found[0], _write(mxnet, scratch, model_name, symbol, {**arguments, **auxiliary}, signature))
    except Exception as error:  # two foreign packages raise whatever they like about a broken file
        message = f"Failed to convert {source}: {error}. Verify that it is a valid ONNX model and that signature.json describes its input."
        raise ArgosyError(ErrorCode.INVALID_MODEL, message) from error


def _package(module: str, name: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        package = name.lower()
        raise ArgosyError(ErrorCode.INVALID_REQUEST, f"{name} package is not installed. Run command: pip install {package} to install it.") from error


def _signature(path: Path, graph: Any) -> Any:
    """The folder's signature with the first real input of the graph in it."""
    weights = {tensor.name for tensor in graph.initializer}
    first = next(entry for entry in graph.input if entry.name not in weights)
    signature = json.loads(path.read_text())
    signature["inputs"][0]["data_name"] = first.name
    signature["inputs"][0]["data_shape"] = [int(size.dim_value) for size in first.type.tensor_type.shape.dim]
    return signature


def _write(mxnet: Any, scratch: Path, name: str, symbol: Any, weights: Mapping[str, Any], signature: Any) -> dict[str, Path]:
    files = {file: scratch / file for file in (f"{name}-symbol.json", f"{name}-0000.params", "signature.json")}
    symbol_path, weights_path, signature_path = files.values()
    symbol_path.write_text(symbol.tojson())
    mxnet.nd.save(str(weights_path), {f"arg:{key}": value.as_in_context(mxnet.cpu()) for key, value in weights.items()})
    signature_path.write_text(json.dumps(signature, indent=2))
    return files
