"""Frames of the event stream are what the official client reads."""

from __future__ import annotations

import importlib
import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from argosy.sagemaker.local.eventstream import MOST_PAYLOAD, internal_stream_failure, model_stream_error, payload_part, payload_parts

eventstream: Any = importlib.import_module("botocore.eventstream")


def parse(data: bytes) -> list[tuple[dict[str, Any], bytes]]:
    """The frames in `data`, as botocore reads them: it checks both checksums and every length."""
    buffer = eventstream.EventStreamBuffer()
    buffer.add_data(data)
    return [(message.headers, message.payload) for message in buffer]


@given(st.lists(st.binary(min_size=1, max_size=2000), max_size=8))
def test_each_chunk_is_one_part(chunks: list[bytes]) -> None:
    """Parts come out as they went in, with the headers of the operation."""
    frames = parse(b"".join(payload_parts(chunk) for chunk in chunks))
    headers = {":message-type": "event", ":event-type": "PayloadPart", ":content-type": "application/octet-stream"}
    assert frames == [(headers, chunk) for chunk in chunks]


def test_an_empty_chunk_is_no_part() -> None:
    """Nothing to say is not said."""
    assert payload_parts(b"") == b""


def test_a_long_chunk_becomes_parts_that_clients_take() -> None:
    """No part is over the limit, and nothing is lost."""
    data = bytes(range(256)) * (MOST_PAYLOAD // 128) + b"end"
    payloads = [payload for _, payload in parse(payload_parts(data))]
    assert [len(payload) for payload in payloads] == [MOST_PAYLOAD, MOST_PAYLOAD, 3]
    assert b"".join(payloads) == data


def test_a_model_that_fails_in_the_middle_is_told_by_name() -> None:
    """The spelling of the exception type is what the client looks for, and the body has both fields."""
    (headers, payload), = parse(model_stream_error("StreamBroken", "it broke"))
    assert headers[":message-type"] == "exception"
    assert headers[":exception-type"] == "ModelStreamError"
    assert json.loads(payload) == {"Message": "it broke", "ErrorCode": "StreamBroken"}


def test_a_failure_of_the_endpoint_is_another_exception() -> None:
    """It is not blamed on the model."""
    (headers, payload), = parse(internal_stream_failure("ours"))
    assert headers[":exception-type"] == "InternalStreamFailure"
    assert json.loads(payload) == {"Message": "ours"}


def test_a_damaged_frame_is_noticed() -> None:
    """The checksums are real ones: one changed byte of the payload is refused."""
    frame = bytearray(payload_part(b"payload"))
    frame[-6] ^= 1
    try:
        parse(bytes(frame))
    except eventstream.ChecksumMismatch:
        return
    raise AssertionError("the damage was not noticed")
