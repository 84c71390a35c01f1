"""The server's side of the page that it shares with a worker."""

from __future__ import annotations

import fcntl
import os

import pytest

from argosy import wire
from argosy.supervisor.page import Page


def leave(page: Page, data: bytes, length: int | None = None) -> None:
    """What a worker would leave in its outbox."""
    os.pwrite(page.fd, data, wire.PAGE_SIZE)
    os.pwrite(page.fd, (len(data) if length is None else length).to_bytes(8, "little"), 8 * wire.OUTBOX)


def test_progress_and_cancellations() -> None:
    """A fresh page says that nothing was begun; marks are set and taken away for one job each, modulo the number of places."""
    page = Page()
    assert (page.begun, page.unsent()) == (0, [])
    os.pwrite(page.fd, (7).to_bytes(8, "little"), 8 * wire.BEGUN)
    assert page.begun == 7
    page.cancel(wire.CANCEL_SLOTS + 3)
    assert os.pread(page.fd, 3, wire.CANCEL_OFFSET + 2) == b"\0\1\0"
    page.uncancel(3)
    assert os.pread(page.fd, 3, wire.CANCEL_OFFSET + 2) == b"\0\0\0"
    page.close()


@pytest.mark.parametrize("size", [0, wire.PAGE_SIZE, wire.PAGE_SIZE + wire.OUTBOX_SIZE + 1])
def test_a_worker_cannot_resize_it(size: int) -> None:
    """If one could take the memory away, the server would be killed when it looks at it; nor can the seals be taken off or others be added."""
    page = Page()
    with pytest.raises(PermissionError):
        os.ftruncate(page.fd, size)
    with pytest.raises(PermissionError):
        fcntl.fcntl(page.fd, 1033, 0x8)
    assert page.begun == 0
    page.close()


@pytest.mark.parametrize(
    "data",
    [
        b"junk",
        wire.answer_record(1, 200, b"body")[:-1],
        wire.answer_record(1, 200, b"piece", flags=0),
        wire.answer_record(1, 200, b"", headers=b"a\0b\0c"),
        wire.answer_record(1, 200, b"fine") + b"rest",
    ],
)
def test_an_outbox_that_is_not_answers(data: bytes) -> None:
    """Nothing of it is believed."""
    page = Page()
    leave(page, data)
    assert page.unsent() == []
    page.close()


def test_what_a_worker_had_finished() -> None:
    """Answers and failures come as they were written, and a length beyond the outbox is not followed."""
    page = Page()
    leave(page, wire.answer_record(1, 200, b"a", headers=b"k\0v") + wire.failure_record(2, 11, "no", detail="odd"))
    assert [(answer.seq, answer.failed, answer.body) for answer in page.unsent()] == [(1, False, b"a"), (2, True, b"")]
    leave(page, b"", 1 << 60)
    assert page.unsent() == []
    page.close()
