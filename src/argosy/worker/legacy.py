"""Services of the 0.x generation: classes that are made with the model's name, folder and manifest, and read a signature file."""

from __future__ import annotations

import ast
import json
import os
from typing import Any, Dict, List, Optional

from argosy.handler import Context


def manifest_of(context: Context) -> Dict[str, Any]:
    """The old manifest of a model: the context's, or the one that lies in its folder; empty if there is none."""
    if context.manifest and "Signature" in (context.manifest.get("Model") or context.manifest.get("model") or {}):
        return context.manifest
    folder = str(context.system_properties["model_dir"])
    for name in sorted(os.listdir(folder)):
        if name.lower() == "manifest.json":
            with open(os.path.join(folder, name), encoding="utf-8") as file:
                found: Dict[str, Any] = json.load(file)
            return found
    return {}


class ModelService:
    """The root of the old service classes. `signature` describes inputs and outputs; subclasses give `inference` and may give `ping`."""

    def __init__(self, model_name: str, model_dir: str, manifest: Dict[str, Any], gpu: Optional[int] = None) -> None:
        self.ctx: Any = None
        self._context: Optional[Context] = None
        self._signature: Any = None

    def initialize(self, context: Context) -> None:
        """Read the signature file that the manifest names. Raises ValueError when it is not there."""
        self._context = context
        if context.manifest is None or "Model" not in context.manifest:
            context.manifest = manifest_of(context)
        name = context.manifest.get("Model", {}).get("Signature")
        path = os.path.join(str(context.system_properties["model_dir"]), name or "signature.json")
        if not os.path.isfile(path):
            raise ValueError("Signature file is not found: {}".format(path))
        with open(path, encoding="utf-8") as file:
            self._signature = json.load(file)

    def inference(self, data: List[Any]) -> Any:
        """The answer to one request, whose inputs are `data`."""
        raise NotImplementedError("{} has no inference".format(type(self).__name__))

    def ping(self) -> Any:
        """Nothing calls it any more."""

    def signature(self) -> Any:
        """The parsed signature file."""
        return self._signature

    def handle(self, data: List[Dict[str, Any]], context: Context) -> List[Any]:
        """Answer every request of `data` by a call of `inference`: with its parameter of the signature's first name, else `body`, else `data`."""
        if len(data) == 1:
            return self._answers(data[0])
        answers = []
        for row in data:
            found = self._answers(row)
            if len(found) != 1:
                raise ValueError("inference gave {} results for one request".format(len(found)))
            answers += found
        return answers

    def _answers(self, row: Dict[str, Any]) -> List[Any]:
        names = (self._signature["inputs"][0]["data_name"], "body", "data")
        value = next((row[name] for name in names if row.get(name) is not None), None)
        if self._signature["input_type"] == "application/json" and isinstance(value, (bytes, bytearray)):
            value = ast.literal_eval(value.decode("utf-8"))
        answer = self.inference([value])
        return answer if isinstance(answer, list) else [answer]


class SingleNodeService(ModelService):
    """A service in three steps, each of which a subclass may replace."""

    def inference(self, data: List[Any]) -> Any:
        """Prepare the inputs, run the model, shape the output."""
        return self._postprocess(self._inference(self._preprocess(data)))

    def _inference(self, data: Any) -> Any:
        return data

    def _preprocess(self, data: List[Any]) -> Any:
        return data

    def _postprocess(self, data: Any) -> Any:
        return data
