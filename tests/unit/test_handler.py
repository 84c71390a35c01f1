"""What handlers see: every method of the context, as old handlers call them."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

from argosy.handler import Batch, CallContext, Context, InvalidInput, PredictionException, RequestProcessor


@pytest.fixture
def context() -> Context:
    """The context of a batch of two."""
    context = Context("m", "/models/m", {"k": 1}, 2, None, "1.1.11")
    context.request_ids = {0: "a", 1: "b"}
    context.request_processor = [RequestProcessor({"Accept": "x/y", "body": {"content-type": ""}}), RequestProcessor({})]
    return context


@pytest.mark.parametrize(
    ("owner", "method", "signature"),
    [
        (Context, "get_request_id", "(self, idx=0)"),
        (Context, "get_request_header", "(self, idx, key)"),
        (Context, "get_all_request_header", "(self, idx)"),
        (Context, "set_response_content_type", "(self, idx, value)"),
        (Context, "get_response_content_type", "(self, idx)"),
        (Context, "get_response_status", "(self, idx)"),
        (Context, "set_response_status", "(self, code=200, phrase='', idx=0)"),
        (Context, "set_all_response_status", "(self, code=200, phrase='')"),
        (Context, "get_response_headers", "(self, idx)"),
        (Context, "set_response_header", "(self, idx, key, value)"),
        (Context, "__init__", "(self, model_name, model_dir, manifest, batch_size, gpu, mms_version)"),
        (RequestProcessor, "__init__", "(self, request_header)"),
        (RequestProcessor, "get_request_property", "(self, key)"),
        (RequestProcessor, "get_request_properties", "(self)"),
        (RequestProcessor, "report_status", "(self, code, reason_phrase=None)"),
        (RequestProcessor, "get_response_status_code", "(self)"),
        (RequestProcessor, "get_response_status_phrase", "(self)"),
        (RequestProcessor, "add_response_property", "(self, key, value)"),
        (RequestProcessor, "get_response_headers", "(self)"),
        (RequestProcessor, "get_response_header", "(self, key)"),
        (PredictionException, "__init__", "(self, message, error_code=500)"),
    ],
)
def test_signatures_are_those_of_the_old_server(owner: Any, method: str, signature: str) -> None:
    """Handlers pass these arguments by position and by name."""
    found = inspect.signature(getattr(owner, method))
    bare = [parameter.replace(annotation=inspect.Parameter.empty) for parameter in found.parameters.values()]
    assert str(inspect.Signature(bare)) == signature


def test_old_context_has_no_other_names() -> None:
    """Some handlers list what the context has."""
    assert [name for name in dir(Context("m", "d", None, 1, None, "v")) if not name.startswith(("__", "_Context__"))] == [
        "_metrics", "_request_processor", "_system_properties", "get_all_request_header", "get_request_header", "get_request_id",
        "get_response_content_type", "get_response_headers", "get_response_status", "manifest", "metrics", "model_name", "request_ids",
        "request_processor", "set_all_response_status", "set_response_content_type", "set_response_header", "set_response_status",
        "system_properties",
    ]  # fmt: skip


def test_requests_are_read_by_index(context: Context) -> None:
    """Ids and headers; letter case counts; what is not there is None."""
    assert [context.get_request_id(index) for index in (0, 1, 2)] == ["a", "b", None]
    assert context.get_request_id() == "a"
    assert context.get_request_header(0, "Accept") == "x/y"
    assert context.get_request_header(0, "accept") is None
    assert context.get_all_request_header(0)["body"] == {"content-type": ""}
    with pytest.raises(IndexError):
        context.get_request_header(2, "Accept")


def test_answers_are_written_by_index(context: Context) -> None:
    """Status, phrase, headers and media type of each request alone, or of all."""
    assert context.get_response_status(0) == (200, None)
    context.set_response_status(201, "Made", 1)
    context.set_response_content_type(1, "a/b")
    context.set_response_header(1, "X", "1")
    assert context.get_response_status(0) == (200, None)
    assert context.get_response_status(1) == (201, "Made")
    assert context.get_response_headers(1) == {"content-type": "a/b", "X": "1"}
    assert context.get_response_content_type(1) == "a/b"
    assert context.get_response_content_type(0) is None
    context.set_all_response_status(418, "Tea")
    assert [context.get_response_status(index) for index in (0, 1)] == [(418, "Tea")] * 2
    assert context.request_processor[1].get_response_header("X") == "1"


def test_a_thread_that_asks_while_the_next_batch_begins() -> None:
    """It may get the requests of its own batch; those of the next one stay what they are."""
    context = Context("m", "d", None, 1, 0, "v")

    def make() -> list[str]:
        context.request_processor = ["of the next"]
        return ["of this one"]

    context.request_processor = make
    assert context.request_processor == ["of this one"]
    assert context.request_processor == ["of the next"]


def test_while_loading_there_is_no_request() -> None:
    """Ids and processors are None; asking for a request is an error that says so."""
    context = Context("m", "d", None, 1, 0, "v")
    assert (context.request_ids, context.request_processor, context.metrics) == (None, None, None)
    assert context.get_request_id() is None
    assert context.system_properties == {"model_dir": "d", "gpu_id": 0, "batch_size": 1, "server_name": "MMS", "server_version": "v"}
    with pytest.raises(IndexError, match="while the model loads"):
        context.set_response_status(500)


def test_metrics_are_made_when_they_are_asked_for() -> None:
    """A function in their place is called once."""
    context = Context("m", "d", None, 1, None, "v")
    context.metrics = list
    assert context.metrics == []
    assert context.metrics is context.metrics


def test_contexts_are_compared_by_value(context: Context) -> None:
    """Two of the same content are equal, and nothing else is."""
    other = Context("m", "/models/m", {"k": 1}, 2, None, "1.1.11")
    assert context != other
    other.request_ids = {0: "a", 1: "b"}
    other.request_processor = [RequestProcessor({"Accept": "x/y", "body": {"content-type": ""}}), RequestProcessor({})]
    assert context == other
    other.set_response_status(201)
    assert context != other
    assert context != "context"
    assert RequestProcessor(None) != "processor"
    assert repr(context) == "<Context of m with 2 requests>"
    assert repr(RequestProcessor(None)) == "<RequestProcessor status=200 headers={}>"


def test_prediction_exception_shows_message_and_code() -> None:
    """As text, and as attributes."""
    error = PredictionException("no", 404)
    assert (str(error), error.message, error.error_code, PredictionException("x").error_code) == ("no : 404", "no", 404, 500)


def test_context_of_typed_handlers_has_short_names(context: Context) -> None:
    """Id and headers of the request itself, header names in lower case."""
    call = CallContext("m", "d", None, 1, None, "v")
    assert call.id == ""
    call.request_ids, call.request_processor = context.request_ids, context.request_processor
    assert (call.id, call.headers) == ("a", {"accept": "x/y"})


def test_batch_is_a_list() -> None:
    """Handlers use it as one."""
    assert Batch(["a"]) == ["a"]
    assert issubclass(InvalidInput, ValueError)
