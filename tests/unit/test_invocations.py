"""What handlers behind SageMaker use: attributes, sessions, records."""

from __future__ import annotations

import re
from typing import Any

import pytest

from argosy import invocations
from argosy.handler import Context, InvalidInput, RequestProcessor


def asked(**headers: str) -> Context:
    """The context of one request; underscores in names stand for hyphens."""
    context = Context("m", "/m", None, 1, None, "1.0")
    context.request_processor = [RequestProcessor({name.replace("_", "-"): value for name, value in headers.items()})]
    return context


@pytest.mark.parametrize("text", ["x" * 1025, "é", "a\nb", "a\0"])
def test_attributes_that_the_platform_refuses(text: str) -> None:
    """Are refused here, where the author sees it."""
    context = asked()
    with pytest.raises(ValueError, match="1024 printable ASCII"):
        invocations.set_custom_attributes(context, text)
    assert context.get_response_headers(0) == {}


def test_attributes_come_and_go() -> None:
    """In any letter case of the name; absent ones are empty."""
    context = asked(x_amzn_sagemaker_CUSTOM_attributes="trace=1")
    assert invocations.custom_attributes(context) == "trace=1"
    assert invocations.custom_attributes(asked()) == ""
    assert invocations.header(asked(), "accept") is None
    invocations.set_custom_attributes(context, "y" * 1024)
    assert context.get_response_headers(0) == {"X-Amzn-SageMaker-Custom-Attributes": "y" * 1024}


@pytest.mark.parametrize("id", ["", "-a", "a b", "a-", "a;b", "x" * 201, "é"])
def test_a_session_needs_an_id_that_the_platform_takes(id: str) -> None:
    """Letters, digits and hyphens inside."""
    context = asked()
    with pytest.raises(ValueError, match="at most 200 letters"):
        invocations.open_session(context, 60, id=id)
    assert context.get_response_headers(0) == {}


def test_the_life_of_a_session() -> None:
    """Asked for, opened with the end that the platform can read, used, closed; without one there is nothing to close."""
    context = asked(X_Amzn_SageMaker_Session_Id="NEW_SESSION")
    assert (invocations.wants_session(context), invocations.session_id(context)) == (True, None)
    invocations.close_session(context)
    assert context.get_response_headers(0) == {}
    session = invocations.open_session(context, 3600)
    values = set(context.get_response_headers(0).values())
    assert len(values) == 1
    # the pattern of the service's own model
    assert re.fullmatch(r"[a-zA-Z0-9](-*[a-zA-Z0-9])*;\sExpires=[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z", values.pop())
    later = asked(x_amzn_sagemaker_session_id=session)
    assert (invocations.wants_session(later), invocations.session_id(later)) == (False, session)
    invocations.close_session(later)
    assert later.get_response_headers(0) == {"X-Amzn-SageMaker-Closed-Session-Id": session}
    assert invocations.open_session(asked(), 1, id="a-1") == "a-1"


@pytest.mark.parametrize(("body", "kind", "words"), [
    (b'{"a": 1}\n{"a"\n', "application/jsonlines", "Record 2 is not valid JSON"),
    (b"\n\nnope", "application/json", "Record 1 is not valid JSON"),
    (b"\xff", "text/csv", "not valid UTF-8"),
    (b'"open', "text/csv", "not valid CSV"),
    (b"[" * 100_000, "application/jsonlines", "Record 1 is not valid JSON"),
])
def test_records_that_cannot_be_read_are_the_client_s(body: bytes, kind: str, words: str) -> None:
    """The record is named."""
    with pytest.raises(InvalidInput, match=words):
        invocations.read_records(body, kind)


@pytest.mark.parametrize(("body", "kind", "records"), [
    (b'{"a": 1}\n[2]\r\n\n"\xe2\x80\xa8"', "application/jsonlines", [{"a": 1}, [2], "\u2028"]),
    (b"1\n2\n", "application/json; charset=utf-8", [1, 2]),
    (b'{\n "a": 1\n}\n', "application/json", [{"a": 1}]),
    (b'1,a\n2,"b\nc"\n\n', "text/csv;header=absent", [["1", "a"], ["2", "b\nc"]]),
    ("one\n\ntwo\u2028still two", "text/plain", ["one", "two\u2028still two"]),
    (memoryview(b"a\nb"), "", ["a", "b"]),
    (bytearray(b""), "application/jsonlines", []),
    ({"decoded": 1}, "application/json", [{"decoded": 1}]),
])
def test_records(body: Any, kind: str, records: list[Any]) -> None:
    """One a line by the type of the body, whatever else ends a line elsewhere."""
    assert invocations.read_records(body, kind) == records


@pytest.mark.parametrize(("results", "kind", "text"), [
    ([{"a": 1}, [2], "x\n"], "application/jsonlines", '{"a": 1}\n[2]\n"x\\n"\n'),
    ([[1, "a,b"], 2], "text/csv", '1,"a,b"\n2\n'),
    (["a", 1], "text/plain; charset=utf-8", "a\n1\n"),
    ([], "application/json", ""),
])
def test_results(results: list[Any], kind: str, text: str) -> None:
    """One a line, so that the platform can put them beside their records."""
    assert invocations.write_records(results, kind) == text


def test_results_that_would_shift_the_others_are_refused() -> None:
    """A text of two lines would be taken for two results."""
    with pytest.raises(ValueError, match="one line"):
        invocations.write_records(["a\nb"], "text/plain")
    with pytest.raises(TypeError):
        invocations.write_records([object()], "application/json")
