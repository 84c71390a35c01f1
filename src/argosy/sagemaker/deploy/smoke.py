"""The last proof: the endpoint answers a request."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from argosy.sagemaker.deploy.aws import Aws
from argosy.sagemaker.deploy.invocation import Options, invoke, invoke_later, wait_for
from argosy.sagemaker.deploy.rehearsal import Sample
from argosy.sagemaker.deploy.step import Action

_QUEUED_S = 900.0
"""As long as a request may take that is queued, unless told otherwise."""


class SmokeTest:
    """The sample is answered by the endpoint; asked anew in each run. An asynchronous one answers through `bucket`, which is None for others."""

    title = "smoke test"

    def __init__(self, aws: Aws, name: str, sample: Sample, bucket: str | None, pause: Callable[[float], None]) -> None:
        self._aws = aws
        self._sample = sample
        self._bucket = bucket
        self._pause = pause
        self.target = name
        self.answer: bytes | None = None
        """What it said."""

    def observe(self) -> None:
        """See `Step`."""

    def decide(self, seen: None) -> Sequence[Action]:
        """See `Step`."""
        return [Action("invoke", f"{self.target} answers {len(self._sample.body)} bytes of {self._sample.content_type}")]

    def apply(self, action: Action) -> None:
        """Raises `ArgosyError` with what the model said."""
        options = Options(self._sample.content_type)
        if self._bucket is None:
            self.answer = invoke(self._aws, self.target, self._sample.body, options).body
        else:
            pending = invoke_later(self._aws, self.target, self._sample.body, self._bucket, options)
            self.answer = wait_for(self._aws, pending, self._pause, _QUEUED_S)
