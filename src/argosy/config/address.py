"""Where a listener listens: `http(s)://host[:port]` or `unix:/path`, parsed once."""

from __future__ import annotations

import re
from dataclasses import dataclass

from argosy.errors import ArgosyError, ErrorCode

_TCP = re.compile(r"(?P<scheme>https?)://(?:\[(?P<v6>[0-9a-f:.%]+)\]|(?P<host>[^\[\]/:?#@\s]+))(?::(?P<port>\d+))?/?", re.IGNORECASE)
_ALLOWED = "http://host[:port], https://host[:port] or unix:/path"
LOOPBACK_HOSTS = frozenset({"127.0.0.1", "::1", "localhost"})


@dataclass(frozen=True, slots=True)
class Address:
    """Where to listen. `scheme` is http, https or unix; `path` is the socket file of unix, else empty."""

    scheme: str
    host: str = ""
    port: int = 0
    """0 lets the system choose a free port."""
    path: str = ""

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach it: a loopback host, or a unix socket."""
        return self.scheme == "unix" or self.host in LOOPBACK_HOSTS or self.host.startswith("127.")

    def __str__(self) -> str:
        if self.scheme == "unix":
            return f"unix:{self.path}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class PortRange:
    """Ports from `low` to `high`, both included."""

    low: int
    high: int

    def __contains__(self, port: int) -> bool:
        return self.low <= port <= self.high

    def __str__(self) -> str:
        return f"{self.low}-{self.high}"


def parse_ports(text: str) -> PortRange:
    """Read `low-high`. Raises `ArgosyError` INVALID_CONFIG."""
    found = re.fullmatch(r"\s*(\d{1,5})\s*-\s*(\d{1,5})\s*", text)
    if found is None or not 1 <= int(found[1]) <= int(found[2]) <= 65535:
        raise ArgosyError(ErrorCode.INVALID_CONFIG, f"Invalid port range: {text}")
    return PortRange(int(found[1]), int(found[2]))


def parse_address(text: str, default_ports: tuple[int, int] = (80, 443)) -> Address:
    """Read an address. `default_ports` are those of http and https without a port. Raises `ArgosyError` INVALID_CONFIG."""
    if text[:5].lower() == "unix:":
        return _unix(text)
    found = _TCP.fullmatch(text)
    if found is None:
        raise ArgosyError(ErrorCode.INVALID_CONFIG, f"Invalid binding address: {text}; allowed is {_ALLOWED}")
    scheme = found["scheme"].lower()
    port = int(found["port"]) if found["port"] else default_ports[scheme == "https"]
    if port > 65535:
        raise ArgosyError(ErrorCode.INVALID_CONFIG, f"Invalid port number: {port}; allowed is 0 to 65535")
    return Address(scheme, (found["v6"] or found["host"]).lower(), port)


def _unix(text: str) -> Address:
    path = text[5:]
    if path.startswith("//"):
        path = "/" + path.lstrip("/")
    if not path or "\0" in path or len(path.encode()) > 107:
        raise ArgosyError(ErrorCode.INVALID_CONFIG, f"Invalid binding address: {text}; a unix socket needs a path of at most 107 bytes")
    return Address("unix", path=path)
