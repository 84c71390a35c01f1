"""How far a client has come with reading, as the system tells it: below TLS, where the transport does not know what it has handed on."""

from __future__ import annotations

import socket
import struct
from typing import NamedTuple

_SIZE = 148
"""Of the part of Linux's `struct tcp_info` that is looked at."""
_UNACKED = struct.Struct("24xI")
_ACKED = struct.Struct("120xQ")
_NOT_SENT = struct.Struct("144xI")


class Progress(NamedTuple):
    """Of one connection."""

    taken: int
    """Bytes that the client's system has confirmed; grows as long as the client reads."""
    is_sending: bool
    """Whether some are still to be sent or confirmed."""


def progress(sock: socket.socket) -> Progress:
    """Ask the system about a TCP connection; where it cannot tell, nothing was taken and nothing is being sent."""
    try:
        told = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _SIZE)
    except (OSError, ValueError):  # closed, or no TCP
        told = b""
    if len(told) < _SIZE:  # Linux before 4.6
        return Progress(0, False)
    return Progress(_ACKED.unpack_from(told)[0], bool(_UNACKED.unpack_from(told)[0] or _NOT_SENT.unpack_from(told)[0]))
