"""`mms.model_service.mxnet_model_service` of the old server: services that run MXNet networks. MXNet is imported when one is made."""

import importlib
import json
import logging
import os
from typing import Any, Dict, List, Optional

from argosy.worker.legacy import ModelService, SingleNodeService

__all__ = ["GluonImperativeBaseService", "MXNetBaseService", "ModelService", "SingleNodeService", "check_input_shape"]


def check_input_shape(inputs: List[Any], signature: Dict[str, Any]) -> None:
    """See that arrays fit the signature, where a 0 in a shape, and the first number, stand for any. Raises ValueError."""
    wanted = signature["inputs"]
    if not isinstance(inputs, list) or len(inputs) != len(wanted):
        raise ValueError("the signature has {} inputs, the data {}".format(len(wanted), len(inputs) if isinstance(inputs, list) else "is no list"))
    for array, entry in zip(inputs, wanted):  # noqa: B905  strict= needs Python 3.10
        shape = list(entry["data_shape"])
        fits = len(array.shape) == len(shape) and all(not want or want == have for want, have in zip(shape[1:], array.shape[1:]))  # noqa: B905
        if not fits:
            raise ValueError("input {} has shape {}, the signature says {}".format(entry["data_name"], tuple(array.shape), tuple(shape)))


class _MXNetService(SingleNodeService):
    """What both kinds of MXNet services share: device, signature and labels."""

    def __init__(self, model_name: str, model_dir: str, manifest: Dict[str, Any], gpu: Optional[int] = None) -> None:
        super().__init__(model_name, model_dir, manifest, gpu)
        self._mx: Any = importlib.import_module("mxnet")
        self.param_filename: Optional[str] = None
        self.model_name = model_name
        self.ctx = self._mx.cpu() if gpu is None else self._mx.gpu(int(gpu))
        path = os.path.join(model_dir, manifest["Model"]["Signature"])
        with open(path, encoding="utf-8") as file:
            self._signature = json.load(file)
        labels = os.path.join(model_dir, "synset.txt")
        if os.path.isfile(labels):
            with open(labels, encoding="utf-8") as file:
                self.labels = [line.strip() for line in file]

    def ping(self) -> Any:
        """The version of MXNet."""
        return self._mx.__version__

    @property
    def signature(self) -> Any:
        """The parsed signature file."""
        return self._signature


class MXNetBaseService(_MXNetService):
    """Runs a symbolic network whose symbol and parameter files the manifest names."""

    def __init__(self, model_name: str, model_dir: str, manifest: Dict[str, Any], gpu: Optional[int] = None) -> None:
        super().__init__(model_name, model_dir, manifest, gpu)
        mx, model = self._mx, manifest["Model"]
        names = [entry["data_name"] for entry in self._signature["inputs"]]
        shapes = [(entry["data_name"], (1, *(size or 1 for size in entry["data_shape"][1:]))) for entry in self._signature["inputs"]]
        self.param_filename = model.get("Parameters")
        symbol, arguments, auxiliary = mx.model.load_checkpoint(os.path.join(model_dir, model["Symbol"][: -len("-symbol.json")]), self._epoch())
        self.mx_model = mx.mod.Module(symbol=symbol, context=self.ctx, data_names=names, label_names=None)
        self.mx_model.bind(for_training=False, data_shapes=shapes)
        self.mx_model.set_params(arguments, auxiliary, allow_missing=True, allow_extra=True)

    def _epoch(self) -> int:
        """The number in `<model>-<number>.params`; 0 if there is none."""
        digits = (self.param_filename or "")[len(self.model_name) + 1 : -len(".params")]
        return int(digits) if digits.isdigit() else 0

    def _preprocess(self, data: List[Any]) -> Any:
        return [self._mx.nd.array(item) for item in data]

    def _postprocess(self, data: Any) -> Any:
        return [str(item.asnumpy().tolist()) for item in data]

    def _inference(self, data: Any) -> Any:
        data = list(data)
        check_input_shape(data, self.signature)
        batch = importlib.import_module("mxnet.io").DataBatch([item.as_in_context(self.ctx) for item in data])
        self.mx_model.forward(batch)
        outputs = self.mx_model.get_outputs()
        for output in outputs:
            for array in output if isinstance(output, list) else [output]:
                array.wait_to_read()
        return outputs


class GluonImperativeBaseService(_MXNetService):
    """Runs the Gluon network `net`, whose parameter file the manifest names."""

    def __init__(self, model_name: str, model_dir: str, manifest: Dict[str, Any], net: Any = None, gpu: Optional[int] = None) -> None:
        super().__init__(model_name, model_dir, manifest, gpu)
        self.net = net
        self.param_filename = manifest["Model"].get("Parameters")
        if self.param_filename and net is not None:
            net.load_params(os.path.join(model_dir, self.param_filename), ctx=self.ctx)
        else:
            logging.info("No parameters file given for this imperative service")

    def _inference(self, data: Any) -> Any:
        check_input_shape(data, self.signature)
