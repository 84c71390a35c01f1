"""The workloads on LitServe: `litserve_app.py WORK WORKERS PORT BATCH_SIZE BATCH_DELAY_S`."""

import sys
import time
from typing import Annotated, Any

import forward
import litserve
from fastapi import Body

WORK, WORKERS, PORT, BATCH_SIZE, DELAY_S = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]), float(sys.argv[5])
Raw = Annotated[bytes, Body(media_type="application/octet-stream")]


class Api(litserve.LitAPI):
    """One method for each step, as LitServe wants it."""

    def setup(self, device: str) -> None:
        if WORK == "mlp":
            forward.network()

    def decode_request(self, request: Raw) -> Any:
        return request

    def batch(self, inputs: list[Any]) -> list[Any]:
        return inputs

    def unbatch(self, output: list[Any]) -> list[Any]:
        return output

    def predict(self, x: Any) -> Any:
        if WORK == "mlp":
            return forward.answers(x) if isinstance(x, list) else forward.answers([x])[0]
        if WORK == "sleep":
            time.sleep(0.010)
        return "OK" if WORK in ("noop", "sleep") else len(x)

    def encode_response(self, output: Any) -> Any:
        return {"y": output} if WORK == "mlp" else output


class EchoApi(litserve.LitAPI):
    """JSON in and out."""

    def setup(self, device: str) -> None:
        """Nothing to load."""

    def decode_request(self, request: dict[str, Any]) -> Any:
        return request

    def predict(self, x: Any) -> Any:
        return {"y": sum(x["x"])}

    def encode_response(self, output: Any) -> Any:
        return output


if __name__ == "__main__":
    batching = {"max_batch_size": BATCH_SIZE, "batch_timeout": DELAY_S} if BATCH_SIZE > 1 else {}
    api = EchoApi() if WORK == "echo" else Api(**batching)
    server = litserve.LitServer(api, accelerator="cpu", workers_per_device=WORKERS)
    server.run(host="127.0.0.1", port=PORT, generate_client_file=False, log_level="warning")
