"""Frames of `application/vnd.amazon.eventstream`, in which streamed answers reach the client."""

from __future__ import annotations

import json
import struct
import zlib

CONTENT_TYPE = "application/vnd.amazon.eventstream"
MOST_PAYLOAD = 1 << 20
"""Bytes of a part; longer chunks of a container become several parts. Clients refuse frames of 16 MiB."""

_STRING = 7


def payload_part(data: bytes) -> bytes:
    """The frame of one piece of the answer."""
    return _frame({":message-type": "event", ":event-type": "PayloadPart", ":content-type": "application/octet-stream"}, data)


def payload_parts(data: bytes) -> bytes:
    """The frames of one chunk: one, unless it is longer than `MOST_PAYLOAD`; none for an empty chunk."""
    return b"".join(payload_part(data[at : at + MOST_PAYLOAD]) for at in range(0, len(data), MOST_PAYLOAD))


def model_stream_error(code: str, message: str) -> bytes:
    """The frame that ends a stream that the model could not finish: `ModelInvocationTimeExceeded` or `StreamBroken`."""
    return _exception("ModelStreamError", {"Message": message, "ErrorCode": code})


def internal_stream_failure(message: str) -> bytes:
    """The frame that ends a stream that failed here and not in the model."""
    return _exception("InternalStreamFailure", {"Message": message})


def _exception(kind: str, body: dict[str, str]) -> bytes:
    headers = {":message-type": "exception", ":exception-type": kind, ":content-type": "application/json"}
    return _frame(headers, json.dumps(body).encode())


def _frame(headers: dict[str, str], payload: bytes) -> bytes:
    """Both lengths with their checksum, the headers, the payload, and the checksum of it all."""
    block = b"".join(_header(name, value) for name, value in headers.items())
    lengths = struct.pack(">II", 16 + len(block) + len(payload), len(block))
    whole = b"".join((lengths, struct.pack(">I", zlib.crc32(lengths)), block, payload))
    return whole + struct.pack(">I", zlib.crc32(whole))


def _header(name: str, value: str) -> bytes:
    raw_name, raw_value = name.encode(), value.encode()
    return struct.pack(">B", len(raw_name)) + raw_name + struct.pack(">BH", _STRING, len(raw_value)) + raw_value
