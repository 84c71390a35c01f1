"""The endpoints that ship with the server, for containers of Amazon SageMaker: execution parameters, and its way to ask for health."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from argosy.plugins import Context, Request, Response

_MIB = 1024 * 1024
_MOST_MB = 100
"""SageMaker refuses batch transform jobs with larger payloads."""
_HEALTHY = '{\n\t"Status": "Healthy"\n}\n'


class ExecutionParameters:
    """Tells batch transform how much to send at once."""

    pattern = "execution-parameters"
    listener = "inference"
    description = "How many requests at once, and how large, SageMaker's batch transform may send."

    def get(self, request: Request, context: Context) -> Response:
        """As many requests as `max_concurrent_transforms` says or the loaded workers take at once, at least one; `batch_strategy`.

        And whole megabytes that fit `max_request_size`, 1 to 100.
        """
        slots = sum(model.batch_size * model.concurrency for model in context.models.values() for worker in model.workers if worker.is_running)
        payload_mb = int(context.config["max_request_size"]) // _MIB
        return Response.json({
            "MaxConcurrentTransforms": int(context.config["max_concurrent_transforms"]) or max(1, slots),
            "BatchStrategy": context.config["batch_strategy"].upper(),
            "MaxPayloadInMB": min(max(1, payload_mb), _MOST_MB),
        })


class SageMakerPing:
    """Takes the place of `/ping`: 503 until some model can serve, 200 from then on.

    In a multi-model container, where models come later, it asks for the file of `default_service_handler` instead.
    """

    pattern = "ping"
    listener = "inference"
    description = "Health in SageMaker's terms."

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        self._is_multi = any(environ.get(name, "false").lower() not in ("", "false") for name in ("SAGEMAKER_MULTI_MODE", "SAGEMAKER_MULTI_MODEL"))
        self._was_ready = False
        """Goes from false to true, once."""

    async def get(self, request: Request, context: Context) -> Response:
        """200 or 503."""
        if self._is_multi:
            return _unavailable("Service file unavailable") if _lacks_file(context.config["default_service_handler"]) else _healthy()
        if not self._was_ready:
            self._was_ready = any(worker.is_running for model in context.models.values() for worker in model.workers)
        return _healthy() if self._was_ready else _unavailable("Models are not loaded", "Model loading...")


def _lacks_file(handler: str) -> bool:
    """Whether a handler names a file that is not there; a module that Python finds by name, or no handler, needs none."""
    named = handler.rpartition(":")[0] or handler
    if "/" not in named and not named.endswith(".py"):
        return False
    return not Path(named if named.endswith(".py") else f"{named}.py").is_file()


def _healthy() -> Response:
    return Response(_HEALTHY, content_type="application/json")


def _unavailable(body: str, reason: str | None = None) -> Response:
    return Response(body, 503, reason or body, "text/plain")
