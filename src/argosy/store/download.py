"""Downloads an archive over http(s) into a file: checked on every hop, bounded in size and time, resumed when cut off."""

from __future__ import annotations

import errno
import http.client
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from typing import BinaryIO
from urllib.parse import urljoin

from argosy import __version__
from argosy.errors import ArgosyError, ErrorCode
from argosy.store.address import AddressPolicy, Target, is_remote

_CHUNK = 1 << 18
_REDIRECTS = (301, 302, 303, 307, 308)
_CONTENT_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+|\*)")


@dataclass(frozen=True, slots=True)
class DownloadLimits:
    """How much, how long and how often a download may try."""

    max_bytes: int = 64 << 30
    total_s: float = 3600.0
    idle_s: float = 30.0
    """How long connecting, or waiting for the next bytes, may take."""
    redirects: int = 10
    resume_delays_s: tuple[float, ...] = (0.2, 1.0, 5.0)
    """Pauses before each further attempt after the connection was cut off."""


class _Interrupted(Exception):
    """The connection ended before the body did; what arrived is kept."""


class Downloader:
    """Fetches archives. Blocking; one object may serve several threads."""

    def __init__(self, policy: AddressPolicy, limits: DownloadLimits | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._policy = policy
        self._limits = limits or DownloadLimits()
        self._clock = clock
        self._closed = threading.Event()
        self._connections: set[_Connection] = set()  # those under way, one for each thread

    def __repr__(self) -> str:
        return f"<Downloader {self._policy} {'closed' if self._closed.is_set() else 'open'}>"

    def close(self) -> None:
        """Let running downloads fail at once; only one that is still connecting takes until it is connected."""
        self._closed.set()
        for connection in list(self._connections):
            connection.cut()

    def fetch(self, url: str, file: BinaryIO, *, trusted: bool = False) -> None:
        """Write what is at the url into the empty file. No proxy and no credentials of the environment are used.

        Raises `ArgosyError`: as `AddressPolicy.check` for the url and every redirection; DOWNLOAD_FAILED; STORAGE_FULL.
        """
        attempt = _Attempt(self._policy, self._limits, self._clock, self._closed, self._connections, url, trusted)
        try:
            for delay in (*self._limits.resume_delays_s, None):
                try:
                    attempt.run(file)
                    file.flush()
                    return
                except _Interrupted as error:
                    if delay is None or self._closed.wait(delay):
                        raise _failed(url, "", f"cut off after {file.tell()} bytes, several times: {error}") from error
        except TimeoutError as error:
            raise ArgosyError(ErrorCode.DOWNLOAD_FAILED, f"Download model timeout: {url}") from error
        except http.client.HTTPException as error:
            raise _failed(url, "", f"{type(error).__name__}: {error}") from error
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                message = f"No space left to download {url}. Free some space where the server keeps its temporary files."
                raise ArgosyError(ErrorCode.STORAGE_FULL, message) from error
            raise _failed(url, "", str(error)) from error


def _failed(url: str, suffix: str, detail: str) -> ArgosyError:
    return ArgosyError(ErrorCode.DOWNLOAD_FAILED, f"Failed to download model from: {url}{suffix}", detail=detail)


class _Attempt:
    """One download, over as many connections as it takes."""

    def __init__(
        self,
        policy: AddressPolicy,
        limits: DownloadLimits,
        clock: Callable[[], float],
        closed: threading.Event,
        connections: set[_Connection],
        url: str,
        trusted: bool,
    ) -> None:
        self._policy = policy
        self._limits = limits
        self._clock = clock
        self._closed = closed
        self._connections = connections
        self._url = url
        self._trusted = trusted
        self._deadline = clock() + limits.total_s
        self._validator = ""

    def run(self, file: BinaryIO) -> None:
        """Follow the redirections and append what is missing to the file."""
        target = self._policy.check(self._url, trusted=self._trusted)
        for _ in range(self._limits.redirects):
            connection = _Connection(target, self._limits.idle_s)
            with self._noted(connection), self._ask(connection, target, file.tell()) as response:
                if response.status not in _REDIRECTS:
                    self._receive(response, file)
                    return
                target = self._next(target, response)
        raise _failed(self._url, "", f"more than {self._limits.redirects} redirections")

    @contextmanager
    def _noted(self, connection: _Connection) -> Iterator[None]:
        self._connections.add(connection)
        try:
            yield
        finally:
            self._connections.discard(connection)
            connection.close()

    def _ask(self, connection: _Connection, target: Target, offset: int) -> http.client.HTTPResponse:
        headers = {"Accept-Encoding": "identity", "User-Agent": f"argosy/{__version__}", "Connection": "close"}
        if offset and self._validator:
            headers |= {"Range": f"bytes={offset}-", "If-Range": self._validator}
        try:
            connection.connect()
            if self._closed.is_set():  # asked after there is something to cut, so that closing never comes too early
                raise _failed(self._url, "", "the server is stopping")
            connection.request("GET", target.path, headers=headers)
            return connection.getresponse()
        except ConnectionError as error:
            if offset:
                raise _Interrupted(str(error)) from error
            raise

    def _next(self, target: Target, response: http.client.HTTPResponse) -> Target:
        location = urljoin(target.url, response.headers.get("Location", ""))
        if not is_remote(location) or (target.secure and not location.lower().startswith("https:")):
            raise _failed(self._url, f", code: {response.status}", f"a redirection to {location[:200]} is not followed")
        return self._policy.check(location, trusted=self._trusted)

    def _receive(self, response: http.client.HTTPResponse, file: BinaryIO) -> None:
        offset = file.tell()
        if response.status == 206 and offset and _range_start(response.headers.get("Content-Range", "")) == offset:
            self._copy(response, file)
            return
        if response.status != 200:
            raise _failed(self._url, f", code: {response.status}", "")
        file.seek(0)
        file.truncate()
        self._validator = _validator(dict(response.headers.items()))
        self._copy(response, file)

    def _copy(self, response: http.client.HTTPResponse, file: BinaryIO) -> None:
        """Append the body. `_Interrupted` when it is shorter than announced."""
        missing = response.length
        if file.tell() + (missing or 0) > self._limits.max_bytes:
            raise self._too_large()
        while data := self._read(response):
            if missing is not None:
                missing -= len(data)
            file.write(data)
            if file.tell() > self._limits.max_bytes:
                raise self._too_large()
        if missing:
            raise _Interrupted(f"{missing} bytes are missing")

    def _read(self, response: http.client.HTTPResponse) -> bytes:
        if self._closed.is_set():
            raise _failed(self._url, "", "the server is stopping")
        if self._clock() > self._deadline:
            raise TimeoutError
        try:
            return response.read1(_CHUNK)
        except (http.client.IncompleteRead, ConnectionResetError) as error:
            raise _Interrupted(str(error)) from error

    def _too_large(self) -> ArgosyError:
        return _failed(self._url, f": it is larger than {self._limits.max_bytes} bytes", "")


def _range_start(header: str) -> int | None:
    found = _CONTENT_RANGE.fullmatch(header.strip())
    return int(found.group(1)) if found else None


def _validator(headers: Mapping[str, str]) -> str:
    """What tells a server that the rest must be of the same content: a strong ETag, else the date."""
    lower = {name.lower(): value for name, value in headers.items()}
    tag = lower.get("etag", "")
    return tag if tag.startswith('"') else lower.get("last-modified", "")


class _Connection(http.client.HTTPConnection):
    """Connects to the addresses that were checked, whatever the name means by then."""

    def __init__(self, target: Target, timeout_s: float) -> None:
        super().__init__(target.host, target.port, timeout=timeout_s)
        self._target = target
        self._dialled: socket.socket | None = None
        self.default_port = 443 if target.secure else 80  # decides whether the Host header names the port

    def connect(self) -> None:
        """Open the connection to the first address that answers."""
        with ExitStack() as undo:
            plain = self._dial()
            undo.callback(plain.close)
            secure = self._target.secure
            self.sock = ssl.create_default_context().wrap_socket(plain, server_hostname=self._target.host) if secure else plain
            undo.pop_all()
        self._dialled = self.sock

    def cut(self) -> None:
        """End the connection from another thread: whoever reads from it sees its end."""
        if self._dialled is not None:
            with suppress(OSError):
                self._dialled.shutdown(socket.SHUT_RDWR)

    def _dial(self) -> socket.socket:
        trouble: OSError | None = None
        for _, address in self._target.addresses:
            try:
                return socket.create_connection((address, self._target.port), self.timeout)
            except OSError as error:
                trouble = error
        raise trouble or OSError(f"{self._target.host} has no address")
