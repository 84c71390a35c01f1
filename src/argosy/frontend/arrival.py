"""When the system tells of a body that is on its way: each time that it does costs as much as receiving 100 kB, so of a large one seldom."""

from __future__ import annotations

import contextlib
import socket

ANY = 1
"""As soon as anything has come: how a connection begins."""
PATIENCE_S = 1.0
"""How long a body may take to come in large pieces. A slower client is received from as it sends, so that its pace shows."""
_LEAST = 512 * 1024
_AT_ONCE = 1024 * 1024
"""The system keeps twice as much for the connection, which even one with little memory for connections allows."""


def worth_awaiting(left: int) -> int:
    """How many bytes shall have come before the system tells of a body of which so many are left."""
    return min(left, _AT_ONCE) if left >= _LEAST else ANY


def tell_at(sock: socket.socket | None, count: int) -> None:
    """Have the system tell of a connection when so many bytes have come, or its end; what there is no socket of stays as it is."""
    if sock is not None:
        with contextlib.suppress(OSError):  # closed
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, count)
