"""The workloads on Ray Serve: `ray_app.py WORK WORKERS PORT BATCH_SIZE BATCH_DELAY_S`."""

from __future__ import annotations

import os
import signal
import sys
import time
from typing import Any

import forward
import ray
from ray import serve
from starlette.requests import Request

WORK, WORKERS, PORT, BATCH_SIZE, DELAY_S = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]), float(sys.argv[5])


class Work:
    """Single requests."""

    def __init__(self) -> None:
        if WORK == "mlp":
            forward.network()

    async def __call__(self, request: Request) -> Any:
        if WORK == "echo":
            return {"y": sum((await request.json())["x"])}
        body = await request.body()
        if WORK == "mlp":
            return {"y": forward.answers([body])[0]}
        return "OK" if WORK == "noop" else str(len(body))


class Sleep:
    """Blocking, hence in a thread of Ray's."""

    def __call__(self, request: Request) -> str:
        time.sleep(0.010)
        return "OK"


class Batched:
    """Groups of requests."""

    def __init__(self) -> None:
        forward.network()

    @serve.batch(max_batch_size=BATCH_SIZE, batch_wait_timeout_s=DELAY_S)
    async def run(self, bodies: list[bytes]) -> list[list[float]]:
        return forward.answers(bodies)

    async def __call__(self, request: Request) -> Any:
        return {"y": await self.run(await request.body())}


if __name__ == "__main__":
    ray.init(address="local", num_cpus=4, include_dashboard=False, object_store_memory=200_000_000, log_to_driver=False)
    serve.start(http_options={"host": "127.0.0.1", "port": PORT})
    kind = Batched if BATCH_SIZE > 1 else Sleep if WORK == "sleep" else Work
    # its default of 5 would throttle every client beyond the fifth
    serve.run(serve.deployment(kind, num_replicas=WORKERS, max_ongoing_requests=100).bind(), name="m", route_prefix="/m")
    signal.sigwait([signal.SIGTERM, signal.SIGINT])
    os._exit(0)
