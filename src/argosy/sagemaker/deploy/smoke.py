"""The last proof: the endpoint answers a request."""

from __future__ import annotations

from collections.abc import Sequence

from argosy.sagemaker.deploy.aws import Aws
from argosy.sagemaker.deploy.invocation import Options, invoke
from argosy.sagemaker.deploy.rehearsal import Sample
from argosy.sagemaker.deploy.step import Action


class SmokeTest:
    """The sample is answered by the endpoint; asked anew in each run."""

    title = "smoke test"

    def __init__(self, aws: Aws, name: str, sample: Sample) -> None:
        self._aws = aws
        self._sample = sample
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
        self.answer = invoke(self._aws, self.target, self._sample.body, Options(self._sample.content_type)).body
