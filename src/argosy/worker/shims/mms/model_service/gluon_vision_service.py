"""`mms.model_service.gluon_vision_service` of the old server: image classification with a Gluon network."""

from typing import Any, List

from ..utils.mxnet import ndarray
from .mxnet_model_service import GluonImperativeBaseService

_MEAN = (0.485, 0.456, 0.406)
_DEVIATION = (0.229, 0.224, 0.225)


class GluonVisionService(GluonImperativeBaseService):
    """Resizes and normalises images as ImageNet networks expect and answers with the five most probable labels of `synset.txt`."""

    def _preprocess(self, data: List[Any]) -> Any:
        mx, arrays = self._mx, []
        for index, item in enumerate(data):
            height, width = self.signature["inputs"][index]["data_shape"][2:]
            pixels = mx.image.imresize(mx.img.imdecode(item), width, height).astype("float32") / 255
            pixels = mx.image.color_normalize(pixels, mean=mx.nd.array(_MEAN), std=mx.nd.array(_DEVIATION))
            arrays.append(mx.nd.transpose(pixels, (2, 0, 1)).expand_dims(axis=0))
        return arrays

    def _inference(self, data: Any) -> Any:
        super()._inference(data)
        return self.net(data[0]).softmax()

    def _postprocess(self, data: Any) -> Any:
        if not hasattr(self, "labels"):
            raise ValueError("There are no labels: put synset.txt into the model archive, or set self.labels in __init__")
        return [ndarray.top_probability(item, self.labels, top=5) for item in data]
