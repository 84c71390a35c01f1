"""Serves an MXNet network the way handlers of Multi Model Server do: pictures of any size in, the three most probable digits out."""

import json
import os

import mxnet as mx
from mms.service import PredictionException
from mms.utils.mxnet import image, ndarray


class MXNetDigitService(object):  # noqa: UP004  as handlers of that time are written
    """Symbol and parameters, bound once; one instance in each worker."""

    def __init__(self):
        self.initialized = False
        self.module = None
        self.labels = []
        self.shape = []

    def initialize(self, context):
        """Read what export() wrote."""
        properties = context.system_properties
        folder, gpu = properties["model_dir"], properties.get("gpu_id")
        with open(os.path.join(folder, "signature.json")) as file:
            (entry,) = json.load(file)["inputs"]
        with open(os.path.join(folder, "synset.txt")) as file:
            self.labels = file.read().split()
        symbol, arguments, auxiliary = mx.model.load_checkpoint(os.path.join(folder, "mxnet_digits"), 0)
        self.shape = entry["data_shape"]
        device = mx.cpu() if gpu is None else mx.gpu(int(gpu))
        self.module = mx.mod.Module(symbol=symbol, context=device, data_names=[entry["data_name"]], label_names=None)
        self.module.bind(for_training=False, data_shapes=[(entry["data_name"], (1, *self.shape[1:]))])
        self.module.set_params(arguments, auxiliary)
        self.initialized = True

    def preprocess(self, data):
        """Decode and resize each picture."""
        pictures = []
        for row in data:
            try:
                picture = image.read(bytes(row.get("data") or row.get("body") or b""))
            except (mx.MXNetError, TypeError, ValueError) as error:
                raise PredictionException("Send a picture as the body, or as the form field data.", 400) from error
            pictures.append(image.transform_shape(image.resize(picture, self.shape[3], self.shape[2])))
        return mx.nd.concat(*pictures, dim=0).astype("float32")

    def inference(self, pictures):
        """The network runs once for the batch; the module binds itself anew when the size changes."""
        self.module.forward(mx.io.DataBatch([pictures]), is_train=False)
        return self.module.get_outputs()[0]

    def postprocess(self, odds):
        """The best three of each row."""
        return [ndarray.top_probability(odds[index : index + 1], self.labels, top=3) for index in range(odds.shape[0])]

    def handle(self, data, context):
        """A picture that cannot be read fails alone: the server asks again with parts of the batch until it is found."""
        return self.postprocess(self.inference(self.preprocess(data)))


_service = MXNetDigitService()


def handle(data, context):
    """What the server calls: once with None when a worker starts, then with each batch."""
    if not _service.initialized:
        _service.initialize(context)
    if data is None:
        return None
    return _service.handle(data, context)
