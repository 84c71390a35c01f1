"""What a handler sees of the headers of its request."""

from __future__ import annotations

import pytest

from argosy import wire
from argosy.worker.inputs import Inputs


def seen(headers: list[tuple[str, str]], default: str | None) -> dict[str, object]:
    """The request's properties, without the body's."""
    job = wire.Job(seq=1, timeout_ms=0, arena_offset=-1, body_length=1, id="1", content_type="text/plain", headers=wire.header_block(headers),
                   parts=b"", body=memoryview(b"x"))  # fmt: skip
    found = Inputs(True, default_accept=default).request(job).get_request_properties()
    return {name: value for name, value in found.items() if name != "body"}


@pytest.mark.parametrize(("sent", "default", "expected"), [
    ([], None, {}),
    ([("Accept", "*/*")], None, {"Accept": "*/*"}),
    ([], "text/csv", {"Accept": "text/csv"}),
    ([("accept", "*/*")], "text/csv", {"accept": "text/csv"}),
    ([("ACCEPT", "")], "text/csv", {"ACCEPT": "text/csv"}),
    ([("accept", "application/json")], "text/csv", {"accept": "application/json"}),
    ([("accept", "text/html, */*")], "text/csv", {"accept": "text/html, */*"}),
])
def test_what_the_client_accepts(sent: list[tuple[str, str]], default: str | None, expected: dict[str, str]) -> None:
    """The default stands in for an `Accept` that says nothing, under the name that the client wrote."""
    assert seen(sent, default) == expected


def test_ever_new_content_types_do_not_fill_the_memory() -> None:
    """Each is understood, but only so many are remembered: clients choose them."""
    inputs = Inputs(True)
    for number in range(1000):
        job = wire.Job(seq=1, timeout_ms=0, arena_offset=-1, body_length=4, id="1", content_type=f"text/plain; n={number}", headers=b"", parts=b"",
                       body=memoryview(b"text"))  # fmt: skip
        assert inputs.parameters(job) == {"body": "text"}
    assert len(inputs._types) <= 256
