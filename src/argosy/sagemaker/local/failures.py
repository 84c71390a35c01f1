"""What a client is told when an invocation fails: the statuses, names and bodies of SageMaker's runtime."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

_MOST_MESSAGE = 2048
"""Characters; the service model of the runtime allows no more."""
_TIMED_OUT = (
    "Your invocation timed out while waiting for a response from container {container}. "
    "Review the latency metrics for each container in Amazon CloudWatch, resolve the issue, and try again."
)
_TOO_LONG = "The response of container {container} is over {limit} bytes."
_BROKEN = "The connection to container {container} was closed before the response was complete."


class InvocationFailure(Exception):
    """A failure in the words of the runtime. `kind` is the name of the error, `more` what its body holds beside the message."""

    def __init__(self, status: int, kind: str, message: str, more: Mapping[str, str | int] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.kind = kind
        self.message = message[:_MOST_MESSAGE]
        self.more = dict(more or {})

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.status} {self.kind}: {self.message}>"

    @property
    def body(self) -> bytes:
        """The JSON body."""
        return json.dumps({"Message": self.message, **self.more}).encode()


def validation_error(message: str, status: int = 400) -> InvocationFailure:
    """The request cannot be served as it is."""
    return InvocationFailure(status, "ValidationError", message)


def endpoint_not_found(name: str, account: str) -> InvocationFailure:
    """There is no such endpoint."""
    return validation_error(f"Endpoint {name} of account {account} not found.")


def too_large(limit: int) -> InvocationFailure:
    """The request's body is over the limit of bytes."""
    fault = f"Value at 'body' failed to satisfy constraint: Member must have length less than or equal to {limit}"
    return validation_error(f"1 validation error detected: {fault}", 413)


def not_ready(message: str) -> InvocationFailure:
    """The model is still being loaded; try again."""
    return InvocationFailure(429, "ModelNotReadyException", message)


def throttled(message: str) -> InvocationFailure:
    """A serverless endpoint runs as many invocations as it may."""
    return InvocationFailure(429, "ThrottlingException", message)


def unavailable(message: str) -> InvocationFailure:
    """No instance can take the request now; try again."""
    return InvocationFailure(503, "ServiceUnavailable", message)


def internal(message: str) -> InvocationFailure:
    """The endpoint itself failed."""
    return InvocationFailure(500, "InternalFailure", message)


def dependency_failed(message: str) -> InvocationFailure:
    """What the endpoint needs, such as its storage, failed."""
    return InvocationFailure(530, "InternalDependencyException", message)


@dataclass(frozen=True, slots=True)
class Source:
    """The container that an answer comes from, and where its log is."""

    container: str
    log_stream: str
    """An ARN."""
    console: str
    """Where to read the log."""

    def model_error(self, status: int, original: str) -> InvocationFailure:
        """The container answered with an error `status`; 0 when it did not answer. `original` is what it said."""
        original = original[:_MOST_MESSAGE]
        side = "client" if 400 <= status < 500 else "server"
        message = f'Received {side} error ({status}) from {self.container} with message "{original}". See {self.console} for more information.'
        more: dict[str, str | int] = {"OriginalStatusCode": status, "OriginalMessage": original, "LogStreamArn": self.log_stream}
        return InvocationFailure(424, "ModelError", message, more)

    def timed_out(self) -> InvocationFailure:
        """The container did not answer in time."""
        return self.model_error(0, _TIMED_OUT.format(container=self.container))

    def answer_too_long(self, limit: int) -> InvocationFailure:
        """The container's answer is over the limit of bytes."""
        return self.model_error(0, _TOO_LONG.format(container=self.container, limit=limit))

    def broken(self) -> InvocationFailure:
        """The container closed the connection."""
        return self.model_error(0, _BROKEN.format(container=self.container))
