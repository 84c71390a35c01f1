"""The workloads on the SDK of KServe: `kserve_app.py WORK WORKERS PORT …`."""

from __future__ import annotations

import sys
import time
import uuid
from typing import Any

import forward
from kserve import InferOutput, InferRequest, InferResponse, Model, ModelServer

WORK, WORKERS, PORT = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])


class Work(Model):
    """One tensor in, one out."""

    def __init__(self) -> None:
        super().__init__("m")
        self.ready = True
        if WORK == "mlp":
            forward.network()

    def predict(self, payload: InferRequest, headers: Any = None, response_headers: Any = None) -> InferResponse:
        return InferResponse(response_id=payload.id or str(uuid.uuid4()), model_name="m", infer_outputs=[self._output(payload.inputs[0].as_numpy())])

    def _output(self, tensor: Any) -> InferOutput:
        if WORK == "mlp":
            rows = forward.network()(tensor)
            return InferOutput("y", list(rows.shape), "FP32", data=rows.reshape(-1).tolist())
        if WORK == "echo":
            return InferOutput("y", [1], "FP64", data=[sum(tensor.reshape(-1).tolist())])
        if WORK == "sleep":
            time.sleep(0.010)
        return InferOutput("y", [1], "INT64", data=[len(tensor)])


if __name__ == "__main__":
    ModelServer(http_port=PORT, workers=WORKERS, enable_grpc=False, access_log_format=None).start([Work()])
