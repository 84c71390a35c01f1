"""The workloads on BentoML; `BENCH_SETUP` holds work, workers, port, size and delay of a batch."""

import os
import time
from typing import Annotated, Any

import bentoml
import forward
from bentoml.validators import ContentType

WORK, WORKERS, _PORT, BATCH_SIZE, DELAY_S = os.environ["BENCH_SETUP"].split()
Raw = Annotated[bytes, ContentType("application/octet-stream")]

if int(BATCH_SIZE) > 1:

    @bentoml.service(workers=int(WORKERS), traffic={"timeout": 60})
    class Network:
        """Behind the HTTP service, since only calls between services are batched."""

        @bentoml.api(batchable=True, max_batch_size=int(BATCH_SIZE), max_latency_ms=60000)
        def run(self, bodies: list[bytes]) -> list[list[float]]:
            return forward.answers(bodies)

    @bentoml.service(workers=1, traffic={"timeout": 60})
    class Batched:
        """The door."""

        network = bentoml.depends(Network)

        @bentoml.api(route="/predict")
        async def predict(self, body: Raw, /) -> dict[str, Any]:
            return {"y": (await self.network.to_async.run([body]))[0]}

elif WORK == "echo":

    @bentoml.service(workers=int(WORKERS), traffic={"timeout": 60})
    class Echo:
        """JSON in and out."""

        @bentoml.api(route="/predict")
        def predict(self, x: list[float]) -> dict[str, Any]:
            return {"y": sum(x)}

elif WORK == "mlp":

    @bentoml.service(workers=int(WORKERS), traffic={"timeout": 60})
    class Single:
        """Bytes in, JSON out."""

        @bentoml.api(route="/predict")
        def predict(self, body: Raw, /) -> dict[str, Any]:
            return {"y": forward.answers([body])[0]}

else:

    @bentoml.service(workers=int(WORKERS), traffic={"timeout": 60})
    class Text:
        """Bytes in, text out."""

        @bentoml.api(route="/predict")
        def predict(self, body: Raw, /) -> str:
            if WORK == "sleep":
                time.sleep(0.010)
            return "OK" if WORK in ("noop", "sleep") else str(len(body))
