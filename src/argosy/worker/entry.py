"""What was loaded: how the handler's input is prepared, how it is called and how it is closed."""

from __future__ import annotations

from typing import Any, Callable, Dict, List, Optional

from argosy import wire
from argosy.handler import Context
from argosy.worker import outputs
from argosy.worker.inputs import Inputs, JobRequest

Call = Callable[[List[Any], Context], Any]
Close = Callable[[], Any]


def nothing_to_close() -> None:
    """For entries that hold nothing."""


class Entry:
    """A handler that is ready. `call(inputs, context)` gives a list with one result, or one exception, for each input.

    `style` is function, class, legacy or typed. `batch` tells whether it takes several inputs at once, `view` whether it takes a body where it lies.
    """

    def __init__(self, style: str, call: Call, *, batch: bool = True, view: bool = False, close: Close = nothing_to_close) -> None:
        self.style = style
        self.call = call
        self.batch = batch
        self.view = view
        self.close = close
        self.context: Optional[Context] = None
        """The context to call it with; None for the one it was loaded with."""

    def __repr__(self) -> str:
        return "<Entry {} batch={} view={}>".format(self.style, self.batch, self.view)

    def prepare(self, inputs: Inputs, job: wire.Job) -> Any:
        """What the handler gets for a job: its parameters by name. Raises `InvalidInput`."""
        return inputs.parameters(job)

    def encode(self, item: Any, request: JobRequest) -> wire.Buffer:
        """The bytes of one result. Raises `ArgosyError` BAD_OUTPUT."""
        return outputs.encode_body(item)

    def describe(self) -> Dict[str, Any]:
        """What the server is told about it."""
        return {"style": self.style, "batch": self.batch, "view": self.view}
