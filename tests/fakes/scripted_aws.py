"""AWS as a script: what each operation answers, what it refuses, and what it was asked."""

from __future__ import annotations

import importlib
import io
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from argosy.sagemaker.deploy import Aws

ACCOUNT = "123456789012"
ClientError: Any = importlib.import_module("botocore.exceptions").ClientError


def refusal(code: str, message: str = "no") -> Exception:
    """What boto3 raises when AWS refuses a call."""
    found: Exception = ClientError({"Error": {"Code": code, "Message": message}}, "Operation")
    return found


def body(data: bytes) -> io.BytesIO:
    """A body that is read as it comes."""
    return io.BytesIO(data)


class Script:
    """Answers by operation: a value, an exception to raise, or a list of both that is used up; the last one stays.

    What is not in the script is absent: reading it is refused like something that is not there. Changes succeed.
    """

    region_name = "us-east-1"

    def __init__(self, answers: Mapping[str, Any] | None = None) -> None:
        self.answers = {name: answer if isinstance(answer, list) else [answer] for name, answer in (answers or {}).items()}
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.aws = Aws(self, ACCOUNT, "aws")

    def client(self, service: str, config: object) -> Script:
        """As a session of boto3 does; one client is enough."""
        return self

    def close(self) -> None:
        """As a client does."""

    def __getattr__(self, operation: str) -> Any:
        return partial(self._call, operation)

    def get_paginator(self, operation: str) -> Any:
        """One page for each answer of a list."""
        return _Pages(self, operation)

    def _call(self, operation: str, **arguments: Any) -> Any:
        self.calls.append((operation, arguments))
        found = self.answers.get(operation)
        if found is None:
            if operation.startswith(("describe", "get", "list", "head", "filter")):
                raise refusal("ResourceNotFound")
            return {}
        answer = found.pop(0) if len(found) > 1 else found[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    def asked(self, operation: str) -> list[dict[str, Any]]:
        """The arguments of the calls of an operation, in order."""
        return [arguments for name, arguments in self.calls if name == operation]

    def changes(self) -> list[str]:
        """The operations that change something, in order."""
        return [name for name, _ in self.calls if not name.startswith(("describe", "get", "list", "head", "filter"))]


class _Pages:
    def __init__(self, script: Script, operation: str) -> None:
        self._script = script
        self._operation = operation

    def paginate(self, **arguments: Any) -> Iterator[Any]:
        """The only page."""
        yield self._script._call(self._operation, **arguments)
