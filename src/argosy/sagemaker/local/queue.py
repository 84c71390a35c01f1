"""Asynchronous invocations: taken at once, served from storage to storage in their turn, a few at a time."""

from __future__ import annotations

import asyncio
import logging
import tempfile
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from argosy.errors import ArgosyError
from argosy.sagemaker.local.client import ContainerGone
from argosy.sagemaker.local.endpoint import Endpoint, Served
from argosy.sagemaker.local.failures import InvocationFailure, dependency_failed, internal, too_large, validation_error
from argosy.sagemaker.local.headers import Asked
from argosy.sagemaker.local.settings import AsyncSettings, Limits
from argosy.sagemaker.local.storage import ObjectAddress, Storage, read_address

T = TypeVar("T")
_log = logging.getLogger("argosy.sagemaker")
_MOST_WAITING = 10_000
_EXPIRED = "The inference request expired: it waited longer than its time to live."
_DELETED = "The endpoint was stopped before the request was served."


@dataclass(frozen=True, slots=True)
class Ticket:
    """What the client is told of a request that was taken."""

    inference_id: str
    output: ObjectAddress
    failure: ObjectAddress


@dataclass(frozen=True, slots=True)
class _Job:
    ticket: Ticket
    asked: Asked
    input: ObjectAddress | bytes
    expires: float
    """Of the loop's clock."""


class AsyncQueue:
    """The waiting requests of one endpoint. `folder` is for what is on its way."""

    def __init__(self, endpoint: Endpoint, settings: AsyncSettings, storage: Storage, limits: Limits, folder: Path) -> None:
        self._endpoint = endpoint
        self._settings = settings
        self._storage = storage
        self._limits = limits
        self._folder = folder
        self._jobs: asyncio.Queue[_Job] = asyncio.Queue(_MOST_WAITING)
        self._workers: list[asyncio.Task[None]] = []

    def __repr__(self) -> str:
        return f"<AsyncQueue {self._endpoint.settings.name} {self._jobs.qsize()} waiting>"

    def start(self) -> None:
        """Begin to serve: as many at once as the instances together may have."""
        count = self._settings.max_concurrent * sum(len(pool.instances) for pool in self._endpoint.pools.values())
        self._workers = [asyncio.get_running_loop().create_task(self._work()) for _ in range(count)]

    async def stop(self) -> None:
        """Serve nothing more; each request that was taken and not served gets its failure object."""
        for worker in self._workers:
            worker.cancel()
        await asyncio.gather(*self._workers, return_exceptions=True)
        while not self._jobs.empty():
            await self._fail(self._jobs.get_nowait(), internal(_DELETED))

    def take(self, asked: Asked, body: bytes) -> Ticket:
        """Take a request. Raises `InvocationFailure` 400 when it cannot be served whatever happens, 503 when too many wait."""
        job = self._read(asked, body)
        self._endpoint.named(asked)
        try:
            self._jobs.put_nowait(job)
        except asyncio.QueueFull:
            raise InvocationFailure(503, "ServiceUnavailable", f"{_MOST_WAITING} requests wait already.") from None
        return job.ticket

    def _read(self, asked: Asked, body: bytes) -> _Job:
        location = asked["inputlocation"]
        if bool(location) == bool(body):
            raise validation_error("Exactly one of an input location and a body is needed.")
        if len(body) > self._limits.inline_bytes:
            raise too_large(self._limits.inline_bytes)
        try:
            source = read_address(location) if location else body
        except ArgosyError as error:
            raise validation_error(error.message) from error
        ttl_s = asked.numbers.get("requestttlseconds", self._limits.async_ttl_s)
        return _Job(self._ticket(asked), asked, source, asyncio.get_running_loop().time() + ttl_s)

    def _ticket(self, asked: Asked) -> Ticket:
        made = str(uuid.uuid4())
        output, failure = self._settings.output, self._settings.failure or self._settings.output
        extension = asked["s3outputpathextension"].strip("/")
        name = asked["filename"] or f"{made}.out"
        try:
            where = read_address("/".join(part for part in (output.rstrip("/"), extension, name) if part))
        except ArgosyError as error:
            raise validation_error(error.message) from error
        return Ticket(asked["inference-id"] or made, where, read_address(f"{failure.rstrip('/')}/{made}-error.out"))

    async def _work(self) -> None:
        while True:
            job = await self._jobs.get()
            try:
                await self._serve(job)
            except asyncio.CancelledError:
                await self._fail(job, internal(_DELETED))
                raise
            except InvocationFailure as failure:
                await self._fail(job, failure)
            except Exception as error:  # noqa: BLE001  the boundary of a job: it fails, the others go on
                _log.error("asynchronous invocation %s failed inside the local runtime", job.ticket.inference_id, exc_info=error)
                await self._fail(job, internal(f"The local runtime failed: {error}"))

    async def _serve(self, job: _Job) -> None:
        """From storage through a container to storage. Raises `InvocationFailure`."""
        if job.expires <= asyncio.get_running_loop().time():
            raise validation_error(_EXPIRED)
        timeout_s = job.asked.numbers.get("invocationtimeoutseconds", self._limits.async_invocation_s)
        with tempfile.TemporaryDirectory(dir=self._folder) as name:
            body = await self._input(job, Path(name) / "input")
            async with self._endpoint.invocation(job.asked, body, timeout_s) as served:
                output = Path(name) / "output"
                await self._keep(served, output)
                kind = served.answer.headers.get("content-type", "")
            await _stored(lambda: self._storage.put(job.ticket.output, output, kind))
        _log.info("asynchronous invocation %s answered: %s", job.ticket.inference_id, job.ticket.output)

    async def _input(self, job: _Job, path: Path) -> bytes | Path:
        source = job.input
        if isinstance(source, bytes):
            return source
        size = await _stored(lambda: self._storage.size(source))
        if size > self._limits.async_bytes:
            raise validation_error(f"The input {source} has {size} bytes; at most {self._limits.async_bytes} are allowed.")
        await _stored(lambda: self._storage.fetch(source, path))
        return path

    async def _keep(self, served: Served, path: Path) -> None:
        """Write the answer to a file while it comes."""
        size = 0
        try:
            async with asyncio.timeout_at(served.deadline):
                with await asyncio.to_thread(path.open, "wb") as file:
                    async for piece in served.answer.chunks():
                        size += len(piece)
                        if size > self._limits.async_bytes:
                            raise served.source.answer_too_long(self._limits.async_bytes)
                        await asyncio.to_thread(file.write, piece)
        except TimeoutError:
            raise served.source.timed_out() from None
        except ContainerGone as error:
            raise served.source.broken() from error

    async def _fail(self, job: _Job, failure: InvocationFailure) -> None:
        """Write the failure object. When even that fails, the log has it."""
        _log.warning("asynchronous invocation %s failed: %s", job.ticket.inference_id, failure.message)

        def write() -> None:
            with tempfile.TemporaryDirectory(dir=self._folder) as name:
                path = Path(name) / "failure"
                path.write_bytes(failure.body)
                self._storage.put(job.ticket.failure, path, "application/json")

        try:
            await asyncio.to_thread(write)
        except (ArgosyError, OSError) as error:
            _log.error("the failure of asynchronous invocation %s could not be written: %s", job.ticket.inference_id, error)


async def _stored(work: Callable[[], T]) -> T:
    """Do what blocks on storage. Raises `InvocationFailure` 530 for its failures."""
    try:
        return await asyncio.to_thread(work)
    except ArgosyError as error:
        raise dependency_failed(error.message) from error
