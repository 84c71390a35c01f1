"""`mms.model_service.mxnet_vision_service` of the old server: image classification with a symbolic network."""

from typing import Any, List

from ..utils.mxnet import image, ndarray
from .mxnet_model_service import MXNetBaseService


class MXNetVisionService(MXNetBaseService):
    """Resizes images to the signature's shape (NCHW) and answers with the five most probable labels of `synset.txt`."""

    def _preprocess(self, data: List[Any]) -> Any:
        arrays = []
        for index, item in enumerate(data):
            height, width = self.signature["inputs"][index]["data_shape"][2:]
            arrays.append(image.transform_shape(image.resize(image.read(item), width, height)))
        return arrays

    def _postprocess(self, data: Any) -> Any:
        if not hasattr(self, "labels"):
            raise ValueError("There are no labels: put synset.txt into the model archive, or set self.labels in __init__")
        return [ndarray.top_probability(item, self.labels, top=5) for item in data]
