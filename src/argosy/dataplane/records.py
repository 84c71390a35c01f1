"""Job records: what the dispatcher writes into a message for a worker."""

from __future__ import annotations

from argosy import wire
from argosy.messages import Buffer, PlainRequest, Request

_SEQ = wire.SEQ.pack
_RECORD = wire.JOB.pack
_RECORD_SIZE = wire.JOB.size


def plain_records(jobs: list[Request], seq: int) -> tuple[list[Buffer], int]:
    """The records of ordinary jobs behind a place for the header of their frame, and their length; 0 if not all are of that kind."""
    pieces: list[Buffer] = [b""]
    for job in jobs:
        if not isinstance(job, PlainRequest):
            return [], 0
        pieces += (_SEQ(seq), job.shape, job.id, job.content_type, job.headers, job.body)
        seq += 1
    return pieces, sum(map(len, pieces))


def append_record(pieces: list[Buffer], job: Request, seq: int, now: float) -> int:
    """Append the record of a job of any kind to `pieces`; its length. Raises `wire.WireError` or `struct.error` when it cannot be written."""
    parts = wire.parts_block([(part.name, part.content_type, part.value) for part in job.parts]) if job.parts else b""
    timeout_ms = max(1, int((job.deadline - now) * 1e3)) if job.deadline else 0
    flags = length = offset = 0
    body = job.body
    if job.slot is not None:
        flags, length, offset, body = wire.ARENA, len(job.slot.view), job.slot.offset, b""
    elif body is None:
        flags, body = wire.NO_BODY, b""
    else:
        length = len(body)
    id, kind, headers = job.id, job.content_type, job.headers
    n_id, n_kind, n_headers, n_parts = len(id), len(kind), len(headers), len(parts)
    pieces += (_RECORD(seq, timeout_ms, flags, n_id, n_kind, n_headers, n_parts, length, offset), id, kind, headers, parts, body)
    return _RECORD_SIZE + n_id + n_kind + n_headers + n_parts + len(body)
