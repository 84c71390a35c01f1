"""The workloads on Triton's Python backend; `BENCH_WORK` names the one."""

from __future__ import annotations

import os
import sys
import time
from typing import Any

sys.path[:0] = os.environ["BENCH_PATH"].split(":")  # its worker does not keep PYTHONPATH

import forward  # noqa: E402 - the path comes first
import numpy as np  # noqa: E402
import triton_python_backend_utils as backend  # noqa: E402

WORK = os.environ["BENCH_WORK"]


class TritonPythonModel:
    """One tensor in, one out."""

    def initialize(self, args: dict[str, str]) -> None:
        if WORK == "mlp":
            forward.network()

    def execute(self, requests: list[Any]) -> list[Any]:
        tensors = [backend.get_input_tensor_by_name(request, "x").as_numpy() for request in requests]
        return [backend.InferenceResponse([backend.Tensor("y", output)]) for output in self._outputs(tensors)]

    def _outputs(self, tensors: list[Any]) -> list[Any]:
        if WORK == "mlp":
            rows = forward.network()(np.concatenate(tensors))
            return [rows[index : index + 1] for index in range(len(tensors))]
        if WORK == "echo":
            return [np.array([[sum(tensor[0].tolist())]]) for tensor in tensors]
        if WORK == "sleep":
            time.sleep(0.010)
        return [np.array([[len(tensor.reshape(-1)[0])]], np.int64) for tensor in tensors]
