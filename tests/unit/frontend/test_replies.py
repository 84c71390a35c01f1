"""The bytes of a reply's head."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from argosy.frontend.replies import handler_headers, status_line
from argosy.protocols.endpoint import is_header


@given(st.lists(st.tuples(st.text(max_size=8), st.text(max_size=8)), max_size=4))
def test_no_header_breaks_out_of_its_line(headers: list[tuple[str, str]]) -> None:
    """Whatever a handler sets, either all but the server's own headers can be sent and stays in as many lines, or it is refused as a whole."""
    chosen = [(name, value) for name, value in headers if handler_headers([(name, "x")]) != b""]
    found = handler_headers(headers)
    if found is None:
        assert not all(is_header(name, value) for name, value in chosen)
    else:
        lines = found.split(b"\r\n")[:-1]
        assert [tuple(line.decode("latin-1").split(": ", 1)) for line in lines] == chosen
        assert found.count(b"\n") == found.count(b"\r") == len(chosen)


@given(st.integers(200, 999), st.text())
def test_no_phrase_breaks_out_of_its_line(status: int, phrase: str) -> None:
    """A phrase is one line of printable characters."""
    line = status_line(status, phrase)
    assert line.startswith(b"HTTP/1.1 %d " % status)
    assert line.endswith(b"\r\n")
    assert all(byte >= 32 and byte != 127 for byte in line[:-2])
