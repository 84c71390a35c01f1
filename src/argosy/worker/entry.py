"""What was loaded: how the handler's input is prepared, how it is called and how it is closed."""

from __future__ import annotations

from typing import Any, Callable, Dict, List, Optional

from argosy import wire
from argosy.handler import Context
from argosy.worker import outputs
from argosy.worker.inputs import Inputs, JobRequest
from argosy.worker.manner import Manner

Call = Callable[[List[Any], Context], Any]
Close = Callable[[], Any]
PLAIN = Manner(streams=False, asynchronous=False)


def nothing_to_close() -> None:
    """For entries that hold nothing."""


class Entry:
    """A handler that is ready. `call(inputs, context)` gives a list with one result, or one exception, for each input.

    A result may come in pieces: it is then an iterator. `style` is function, class, legacy or typed. `batch` tells whether it takes several inputs at
    once, which one that is declared to stream never does, and `view` whether it takes a body where it lies.
    """

    def __init__(
        self, style: str, call: Call, *, manner: Manner = PLAIN, batch: bool = True, view: bool = False, close: Close = nothing_to_close
    ) -> None:
        self.style = style
        self.call = call
        self.manner = manner
        self.batch = batch and manner == PLAIN
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
        return {
            "style": self.style, "batch": self.batch, "view": self.view,
            "streams": self.manner.streams, "asynchronous": self.manner.asynchronous,
        }  # fmt: skip
