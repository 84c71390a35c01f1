"""The workloads on MLServer; `BENCH_WORK` names the one."""

from __future__ import annotations

import os
import time

import forward
import numpy as np
from mlserver import MLModel
from mlserver.codecs import Base64Codec, NumpyCodec
from mlserver.types import InferenceRequest, InferenceResponse, ResponseOutput

WORK = os.environ["BENCH_WORK"]


class Model(MLModel):
    """One tensor in, one out."""

    async def load(self) -> bool:
        if WORK == "mlp":
            forward.network()
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        return InferenceResponse(model_name=self.name, outputs=[self._output(payload.inputs[0])])

    def _output(self, tensor: object) -> ResponseOutput:
        if WORK == "mlp":
            rows = NumpyCodec.decode_input(tensor).astype(np.float32).reshape(-1, 512)
            return NumpyCodec.encode_output("y", forward.network()(rows))
        if WORK == "echo":
            rows = NumpyCodec.decode_input(tensor)
            return ResponseOutput(name="y", datatype="FP64", shape=[rows.shape[0]], data=[sum(row) for row in rows.tolist()])
        if WORK == "sleep":
            time.sleep(0.010)
        return ResponseOutput(name="y", datatype="INT64", shape=[1], data=[len(Base64Codec.decode_input(tensor)[0])])
