"""Decides whether a model may be downloaded from an address: one parse, one decision, and the decided address is what is opened."""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from urllib.parse import SplitResult, unquote, urlsplit

from argosy.errors import ArgosyError, ErrorCode

_METADATA = frozenset({
    "fd00:ec2::254",  # Amazon
    "100.100.100.200",  # Alibaba
    "168.63.129.16",  # Azure
    "192.0.0.192",  # Oracle
    "fd20:ce::254",  # Google
})  # fmt: skip
"""Where clouds keep the credentials of their machines, besides 169.254.169.254."""
_EMBEDDING = (("64:ff9b::/96", 96), ("64:ff9b:1::/48", 96), ("2002::/16", 16), ("::/96", 96), ("::ffff:0:0/96", 96), ("::ffff:0:0:0/96", 96))
"""Networks of IPv6 whose addresses stand for one of IPv4, and the bit where that begins."""
_PORTS = {"http": 80, "https": 443}

IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address


def is_remote(url: str) -> bool:
    """Whether the url of a model means a download, in any letter case of its scheme."""
    return url.lower().startswith(("http://", "https://"))


@dataclass(frozen=True, slots=True)
class Target:
    """A checked address: what to connect to and what to ask for."""

    url: str
    """In normal form, without fragment."""
    secure: bool
    host: str
    port: int
    path: str
    """With the query."""
    addresses: tuple[tuple[socket.AddressFamily, str], ...]
    """Where the host is, by (family, numeric address); only these are connected to."""


class AddressPolicy:
    """Which addresses may be contacted."""

    def __init__(self, allowed_urls: Sequence[str] | None = None) -> None:
        """`allowed_urls` are regular expressions that a whole url must match; None allows every http(s) url.

        Raises `ArgosyError` INVALID_CONFIG for an expression that is none.
        """
        self._patterns = None if allowed_urls is None else [_compiled(text) for text in allowed_urls]

    def __repr__(self) -> str:
        return "<AddressPolicy any>" if self._patterns is None else f"<AddressPolicy {len(self._patterns)} patterns>"

    def check(self, url: str, *, trusted: bool = False) -> Target:
        """The address to contact for that url. `trusted` urls need not be in the list.

        Link-local and metadata addresses are refused unless an expression spells the address out, trusted or not.
        Raises `ArgosyError`: MODEL_NOT_FOUND for a malformed url, FORBIDDEN, DOWNLOAD_FAILED when the host is unknown.
        """
        parts, port = _parsed(url)
        scheme, host = parts.scheme.lower(), parts.hostname or ""
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        literal = f"[{host}]" if ":" in host else host
        normal = f"{scheme}://{literal}{f':{port}' if port != _PORTS[scheme] else ''}{path}"
        if not (trusted or self._patterns is None or any(pattern.fullmatch(normal) for pattern in self._patterns)):
            raise _forbidden(url, "it matches none of the allowed_urls. Ask the operator to list it")
        addresses = _resolve(host, port, url)
        for _, address in addresses:
            if _is_sensitive(ipaddress.ip_address(address)) and not self._spells_out(address):
                raise _forbidden(url, f"{address} is a link-local or metadata address")
        return Target(normal, scheme == "https", host, port, path, addresses)

    def _spells_out(self, address: str) -> bool:
        return any(address in pattern.pattern.replace("\\", "") for pattern in self._patterns or ())


def _compiled(text: str) -> re.Pattern[str]:
    try:
        return re.compile(text)
    except re.error as error:
        raise ArgosyError(ErrorCode.INVALID_CONFIG, f"allowed_urls: {text!r} is not a regular expression: {error}.") from error


def _forbidden(url: str, why: str) -> ArgosyError:
    return ArgosyError(ErrorCode.FORBIDDEN, f"Model url is not allowed: {url}: {why}.")


def _parsed(url: str) -> tuple[SplitResult, int]:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise _invalid(url) from error
    if not parts.hostname or port == 0 or not url.isascii() or any(letter <= " " or letter in '\\\x7f"<>' for letter in url):
        raise _invalid(url)
    if "@" in parts.netloc:
        raise ArgosyError(ErrorCode.FORBIDDEN, "Model url is not allowed: it contains user information. Use a signed url instead.")
    if ".." in unquote(parts.path).replace("\\", "/").split("/"):
        raise ArgosyError(ErrorCode.MODEL_NOT_FOUND, f"Relative path is not allowed in url: {url}")
    return parts, port or _PORTS[parts.scheme.lower()]


def _invalid(url: str) -> ArgosyError:
    return ArgosyError(ErrorCode.MODEL_NOT_FOUND, f"Invalid model url: {url}")


def _resolve(host: str, port: int, url: str) -> tuple[tuple[socket.AddressFamily, str], ...]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise ArgosyError(ErrorCode.DOWNLOAD_FAILED, f"Failed to download model from: {url}", detail=f"{host}: {error}") from error
    return tuple((family, str(address[0])) for family, _, _, _, address in found)


def _is_sensitive(address: IpAddress) -> bool:
    return any(meant.is_link_local or str(meant).partition("%")[0] in _METADATA for meant in _meanings(address))


def _meanings(address: IpAddress) -> Iterator[IpAddress]:
    """The address, and the addresses of IPv4 that a gateway or the system may make of it."""
    yield address
    if isinstance(address, ipaddress.IPv6Address):
        for network, start in _EMBEDDING:
            if address in ipaddress.ip_network(network):
                yield ipaddress.IPv4Address(int(address) >> (96 - start) & 0xFFFFFFFF)
        if address.teredo is not None:
            yield from address.teredo
