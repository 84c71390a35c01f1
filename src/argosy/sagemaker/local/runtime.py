"""The runtime: all endpoints behind one address, started and stopped together."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import sys
import tempfile
from pathlib import Path

from argosy.sagemaker.local.api import Api
from argosy.sagemaker.local.build import Workshop
from argosy.sagemaker.local.endpoint import Endpoint
from argosy.sagemaker.local.engine import find_engine
from argosy.sagemaker.local.http import HttpServer
from argosy.sagemaker.local.leftovers import Ledger, clear
from argosy.sagemaker.local.models import ModelSource
from argosy.sagemaker.local.pool import together
from argosy.sagemaker.local.queue import AsyncQueue
from argosy.sagemaker.local.settings import RuntimeSettings, invalid
from argosy.sagemaker.local.storage import LateStorage

_log = logging.getLogger("argosy.sagemaker")
_LEFTOVERS_S = 10.0


class Runtime:
    """Everything behind one address. Use it in one event loop: `start`, then `stop` on every path."""

    def __init__(self, settings: RuntimeSettings) -> None:
        self.settings = settings
        self.logs = Path()
        """Where the containers' output is, once it is started."""
        self.is_up = False
        """Whether `start` has come to its end."""
        self._storage = LateStorage(settings.storage, settings.region)
        self._ledger: Ledger | None = None
        self._endpoints: dict[str, Endpoint] = {}
        self._queues: dict[str, AsyncQueue] = {}
        api = Api(self._endpoints, self._queues, settings.limits, account=settings.account, allow_unsigned=settings.allow_unsigned)
        self._server = HttpServer(api.answer, api.refuse, settings.limits.body_bytes)

    def __repr__(self) -> str:
        return f"<Runtime {self.url} {list(self._endpoints)}>"

    @property
    def url(self) -> str:
        """What `AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME` has to be."""
        host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(self.settings.host, self.settings.host)  # noqa: S104 - how to reach a server on all addresses
        return f"http://{host}:{self._server.port}"

    async def start(self) -> None:
        """Start all containers, wait until they are healthy, and listen.

        Raises `ArgosyError` when that fails, with what the container printed last as its detail; `stop` has to be called nevertheless.
        """
        # nobody is served before everything is there, but a port that is taken is told before minutes were spent
        await self._listen()
        parent = Path(tempfile.gettempdir())
        if found := await asyncio.to_thread(clear, parent, _LEFTOVERS_S):
            _log.warning("ended what a runtime that was killed had left behind: %s", ", ".join(found))
        ledger = self._ledger = _ledger(parent)
        self.logs = _folder(self.settings.logs, ledger.folder / "logs")
        show = _to_terminal if self.settings.show_logs else None
        engine = self.settings.engine
        workshop = Workshop(
            self.settings, ModelSource(self._storage), lambda: find_engine(engine, self.settings.network), ledger, self.logs,
            secrets.token_hex(4), show)  # fmt: skip
        built = [await workshop.endpoint(settings) for settings in self.settings.endpoints]
        self._endpoints.update({endpoint.settings.name: endpoint for endpoint in built})
        await together(endpoint.start() for endpoint in built)
        for endpoint in built:
            self._start_queue(endpoint, ledger.folder)
        self.is_up = True

    async def _listen(self) -> None:
        try:
            await self._server.start(self.settings.host, self.settings.port)
        except OSError as error:
            address = f"{self.settings.host}:{self.settings.port}"
            raise invalid(f"cannot listen on {address}: {error.strerror or error}. Choose another port, 0 for a free one") from None

    def _start_queue(self, endpoint: Endpoint, work: Path) -> None:
        settings = endpoint.settings.queue
        if settings is not None:
            queue = self._queues[endpoint.settings.name] = AsyncQueue(endpoint, settings, self._storage, self.settings.limits, work)
            queue.start()

    async def stop(self, drain_s: float = 10.0) -> None:
        """Finish what was begun, at most so many seconds, and leave no container, process, port or temporary folder."""
        try:
            await self._server.stop(drain_s)
            await asyncio.gather(*(queue.stop() for queue in self._queues.values()))
        finally:
            await asyncio.gather(*(endpoint.stop() for endpoint in self._endpoints.values()))
            if self._ledger is not None:
                await asyncio.to_thread(self._ledger.close)

    def hurry(self) -> None:
        """Make a stop short: what is being answered is cut off and containers are killed."""
        self._server.abort()
        for endpoint in self._endpoints.values():
            endpoint.hurry()


def _ledger(parent: Path) -> Ledger:
    try:
        return Ledger(parent)
    except OSError as error:
        raise invalid(f"cannot make a folder in {parent}: {error.strerror}. Name another place in TMPDIR") from None


def _folder(asked: str, usual: Path) -> Path:
    """The folder for logs, made if need be."""
    folder = Path(asked).absolute() if asked else usual
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise invalid(f"cannot make the folder {folder} for logs: {error.strerror}") from None
    return folder


def _to_terminal(line: str) -> None:
    with contextlib.suppress(OSError):
        sys.stderr.write(f"{line}\n")
