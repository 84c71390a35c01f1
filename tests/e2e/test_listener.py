"""Listeners on real sockets, under both event loops."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import mmap
import os
import socket
import ssl
import stat
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import uvloop

from argosy import wire
from argosy.config import Address, Config
from argosy.dataplane.registry import Registry
from argosy.errors import ArgosyError, ErrorCode
from argosy.frontend.http import Connection
from argosy.frontend.limits import Limits
from argosy.frontend.listener import Listener
from argosy.frontend.site import Budget, HttpCounters, Site
from argosy.messages import Response
from argosy.server.tls import tls_context
from argosy.supervisor.page import Page
from argosy.testing.http import FakeDialect, FakeModel, LineList, Reply, echo, read_replies
from argosy.worker.room import Room
from fakes.certificates import identity

LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}
PING = b"GET /ping HTTP/1.1\r\nHost: a\r\n\r\n"
LAST = b"GET /ping HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
POST = b"POST /predictions/echo HTTP/1.1\r\nHost: a\r\n"
Scenario = Callable[[], Awaitable[None]]


@pytest.fixture(params=LOOPS)
def run(request: pytest.FixtureRequest) -> Callable[[Scenario], None]:
    """Runs a coroutine in either event loop."""

    def runner(scenario: Scenario) -> None:
        async def bounded() -> None:
            await asyncio.wait_for(scenario(), 30)

        with asyncio.Runner(loop_factory=LOOPS[request.param]) as loop:
            loop.run(bounded())

    return runner


async def until(done: Callable[[], bool]) -> None:
    """Let the loop run until it has happened."""
    while not done():  # noqa: ASYNC110 - what is waited for tells nobody
        await asyncio.sleep(0)


class Served:
    """A listener that accepts connections, and its model."""

    def __init__(self, listener: Listener, model: FakeModel) -> None:
        self.listener = listener
        self.model = model
        self.budget = listener.site.budget

    async def connect(self, tls: ssl.SSLContext | None = None) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A client."""
        address = self.listener.address
        if address.scheme == "unix":
            return await asyncio.open_unix_connection(address.path)
        return await asyncio.open_connection(address.host, address.port, ssl=tls)

    async def ask(self, data: bytes, tls: ssl.SSLContext | None = None) -> Reply:
        """The reply to a request that ends its connection."""
        reader, writer = await self.connect(tls)
        writer.write(data)
        with contextlib.suppress(ConnectionError):
            await writer.drain()
        (reply,) = read_replies(await reader.read(-1))
        writer.close()
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            await writer.wait_closed()
        return reply


@contextlib.asynccontextmanager
async def serving(address: Address, tls: ssl.SSLContext | None = None, model: FakeModel | None = None, **limits: Any) -> AsyncIterator[Served]:
    """A listener with one model; at the end all memory must be back."""
    model = model or FakeModel(handler=echo, arena_size=1 << 24)
    registry = Registry()
    registry.add(model)
    bounds = Limits(**{"body_bytes": 1 << 23, **limits})
    site = Site(asyncio.get_running_loop(), FakeDialect(), registry, bounds, Budget(1 << 24), HttpCounters(), LineList().write)
    listener = Listener(address, site, tls)
    listener.bind()
    await listener.start()
    try:
        yield Served(listener, model)
    finally:
        listener.close()
        await until(lambda: not listener._connections)
        assert site.budget.used == 0
        assert model.arena is not None
        assert model.arena.used == 0
        model.arena.close()


async def connections(served: Served) -> list[Connection]:
    """Those that the listener has, once there are any."""
    await until(lambda: bool(served.listener._connections))
    return list(served.listener._connections)


def loopback() -> Address:
    """A free port."""
    return Address("http", "127.0.0.1", 0)


def upload(size: int, last: bool = True) -> tuple[bytes, str]:
    """A large request and the hash of its body."""
    body = hashlib.shake_128(b"seed").digest(size)
    return POST + b"%sContent-Length: %d\r\n\r\n" % (b"Connection: close\r\n" if last else b"", size) + body, hashlib.sha256(body).hexdigest()


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "::", "0.0.0.0"])
def test_tcp(run: Callable[[Scenario], None], host: str) -> None:
    """A listener takes a free port and answers there; large bodies arrive unchanged."""

    async def scenario() -> None:
        try:
            async with serving(Address("http", host, 0)) as served:
                assert served.listener.address.port > 0
                data, digest = upload(5_000_000)
                reply = await served.ask(data)
                assert hashlib.sha256(reply.body).hexdigest() == digest
        except ArgosyError as error:
            if ":" not in host:
                raise
            pytest.skip(f"no IPv6 here: {error}")

    run(scenario)


def test_all_interfaces_are_those_of_ipv4_too(run: Callable[[Scenario], None]) -> None:
    """Whoever listens on `::` is found under 127.0.0.1 as well."""

    async def scenario() -> None:
        try:
            async with serving(Address("http", "::", 0)) as served:
                reader, writer = await asyncio.open_connection("127.0.0.1", served.listener.address.port)
                writer.write(LAST)
                (reply,) = read_replies(await reader.read(-1))
                assert reply.status == 200
                writer.close()
                await writer.wait_closed()
        except ArgosyError as error:
            pytest.skip(f"no IPv6 here: {error}")

    run(scenario)


def test_unix_socket(run: Callable[[Scenario], None], tmp_path: Path) -> None:
    """A socket file that was left behind is replaced, and removed at the end."""
    path = tmp_path / "argosy.sock"
    with socket.socket(socket.AF_UNIX) as left_behind:
        left_behind.bind(str(path))

    async def scenario() -> None:
        async with serving(Address("unix", path=str(path))) as served:
            assert stat.S_ISSOCK(path.stat().st_mode)
            data, digest = upload(5_000_000)
            reply = await served.ask(data)
            assert hashlib.sha256(reply.body).hexdigest() == digest
        assert not path.exists()

    run(scenario)


@pytest.mark.parametrize(("umask", "mode"), [(0o000, 0o770), (0o022, 0o750), (0o077, 0o700)])
def test_unix_socket_is_not_for_everybody(tmp_path: Path, umask: int, mode: int) -> None:
    """Whatever the mask of the process allows, others cannot connect; the mask of the process is as it was."""
    listener = Listener(Address("unix", path=str(tmp_path / "s")), Site.__new__(Site))
    before = os.umask(umask)
    try:
        listener.bind()
        assert (tmp_path / "s").stat().st_mode & 0o777 == mode
        assert os.umask(umask) == umask
    finally:
        os.umask(before)
        listener.close()


def test_unix_socket_of_another_server_is_left_alone(tmp_path: Path) -> None:
    """Somebody who listens there keeps the path; a socket that nobody listens on is replaced."""
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(path))
        other.listen(1)
        with pytest.raises(ArgosyError, match=r"Cannot listen on unix:.*in use"):
            Listener(Address("unix", path=str(path)), Site.__new__(Site)).bind()
        assert path.exists()
    listener = Listener(Address("unix", path=str(path)), Site.__new__(Site))
    listener.bind()
    listener.stop_accepting()
    assert not path.exists()


def test_unix_socket_over_a_file(tmp_path: Path) -> None:
    """A file that is no socket is not removed: the address cannot be taken."""
    path = tmp_path / "precious"
    path.write_text("data")
    with pytest.raises(ArgosyError, match="Cannot listen on unix:"):
        Listener(Address("unix", path=str(path)), Site.__new__(Site)).bind()
    assert path.read_text() == "data"


def test_address_in_use() -> None:
    """A second server on an address is told so, with the address."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = Address("http", "127.0.0.1", taken.getsockname()[1])
        with pytest.raises(ArgosyError, match=rf"Cannot listen on http://127\.0\.0\.1:{address.port}: .*in use") as caught:
            Listener(address, Site.__new__(Site)).bind()
        assert caught.value.code is ErrorCode.INVALID_CONFIG
        assert "choose another port" in caught.value.message


def test_unknown_host() -> None:
    """So is one whose host does not exist."""
    with pytest.raises(ArgosyError, match="Cannot listen on http://no-such-host"):
        Listener(Address("http", "no-such-host.invalid", 0), Site.__new__(Site)).bind()


def client_tls(certificate: Path, version: ssl.TLSVersion) -> ssl.SSLContext:
    """A client that speaks exactly this version."""
    context = ssl.create_default_context(cafile=str(certificate))
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    context.maximum_version = version
    context.minimum_version = version
    return context


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("kind", ["pem", "rsa", "keystore"])
def test_tls(run: Callable[[Scenario], None], tmp_path: Path, version: ssl.TLSVersion, kind: str) -> None:
    """TLS 1.2 and 1.3 with keys from PEM files or a key store; large bodies arrive unchanged."""
    files = identity(tmp_path, is_rsa=kind == "rsa", password="secret")
    config = (
        Config(keystore=files.keystore, keystore_pass="secret") if kind == "keystore" else
        Config(private_key_file=files.key, certificate_file=files.certificate)
    )  # fmt: skip

    async def scenario() -> None:
        async with serving(Address("https", "127.0.0.1", 0), tls_context(config)) as served:
            data, digest = upload(3_000_000)
            reply = await served.ask(data, client_tls(files.certificate, version))
            assert hashlib.sha256(reply.body).hexdigest() == digest
            assert served.listener.site.counters.successful == 1

    run(scenario)


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1 is deprecated:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:.*MINIMUM_SUPPORTED:DeprecationWarning")
def test_old_tls_is_refused(run: Callable[[Scenario], None], tmp_path: Path) -> None:
    """TLS 1.1, and plain HTTP on a TLS address, get no answer; the next client does."""
    files = identity(tmp_path)
    config = Config(private_key_file=files.key, certificate_file=files.certificate)

    async def scenario() -> None:
        async with serving(Address("https", "127.0.0.1", 0), tls_context(config)) as served:
            with pytest.raises((ssl.SSLError, ConnectionError)):
                await served.connect(client_tls(files.certificate, ssl.TLSVersion.TLSv1_1))
            reader, writer = await served.connect()
            writer.write(PING)
            with contextlib.suppress(ConnectionError):
                assert b"HTTP" not in await reader.read(-1)
            writer.close()
            assert (await served.ask(LAST, client_tls(files.certificate, ssl.TLSVersion.TLSv1_3))).status == 200

    run(scenario)


@pytest.mark.parametrize("is_tls", [False, True])
def test_refused_upload_can_read_why(run: Callable[[Scenario], None], tmp_path: Path, is_tls: bool) -> None:
    """A client that sends megabytes before it looks still finds the 413, over TLS too."""
    files = identity(tmp_path)
    config = Config(private_key_file=files.key, certificate_file=files.certificate)

    async def scenario() -> None:
        context = tls_context(config) if is_tls else None
        async with serving(Address("https" if is_tls else "http", "127.0.0.1", 0), context, body_bytes=1000) as served:
            reader, writer = await served.connect(client_tls(files.certificate, ssl.TLSVersion.TLSv1_3) if is_tls else None)
            writer.write(POST + b"Content-Length: 4000000\r\n\r\n" + b"x" * 4_000_000)
            await writer.drain()
            head = await reader.readuntil(b"\r\n")
            assert head == b"HTTP/1.1 413 Request Entity Too Large\r\n"
            writer.close()
            with contextlib.suppress(ConnectionError, ssl.SSLError):
                await writer.wait_closed()

    run(scenario)


def test_pipeline(run: Callable[[Scenario], None]) -> None:
    """Hundreds of requests at once, small and large, are answered in order."""

    async def scenario() -> None:
        async with serving(loopback()) as served:
            reader, writer = await served.connect()
            bodies = [b"%d," % number * (20_000 if number % 50 == 7 else 1) for number in range(300)]
            writer.writelines([*(POST + b"Content-Length: %d\r\n\r\n" % len(body) + body for body in bodies), LAST])
            replies = read_replies(await reader.read(-1))
            assert [reply.body for reply in replies[:-1]] == bodies
            writer.close()

    run(scenario)


def test_client_that_leaves(run: Callable[[Scenario], None]) -> None:
    """The job of a client that has left is cancelled."""

    async def scenario() -> None:
        async with serving(loopback(), model=FakeModel(arena_size=1 << 20)) as served:
            _, writer = await served.connect()
            writer.write(POST + b"Content-Length: 100000\r\n\r\n" + b"x" * 100_000)
            await until(lambda: bool(served.model.jobs))
            writer.transport.abort()
            await until(lambda: bool(served.model.cancelled))
            assert served.model.jobs == []

    run(scenario)


def test_slow_client(run: Callable[[Scenario], None]) -> None:
    """The listener itself looks for slow clients."""

    async def scenario() -> None:
        async with serving(loopback(), header_timeout_s=0.1, linger_s=0.1) as served:
            reader, writer = await served.connect()
            writer.write(b"GET /")
            (reply,) = read_replies(await reader.read(-1))
            assert reply.status == 408
            await until(lambda: not served.listener._connections)
            writer.close()

    run(scenario)


def test_large_bodies_one_after_the_other(run: Callable[[Scenario], None]) -> None:
    """On one connection, those that are received in large pieces, small ones among them, and one whose end comes with the next request."""

    async def scenario() -> None:
        async with serving(loopback()) as served:
            reader, writer = await served.connect()
            uploads = [upload(size, False) for size in (600_000, 5_000_000, 10, 5_000_000, 5_000_000, 1 << 20, 100_000, (1 << 20) + 1, 600_000)]
            writer.writelines([*(data for data, _ in uploads), LAST])
            replies = read_replies(await reader.read(-1))
            assert [hashlib.sha256(reply.body).hexdigest() for reply in replies[:-1]] == [digest for _, digest in uploads]
            writer.close()

    run(scenario)


def test_slow_upload(run: Callable[[Scenario], None]) -> None:
    """A client that stops in the middle of a large body is received from up to where it stopped, and answered when it goes on."""

    async def scenario() -> None:
        async with serving(loopback()) as served:
            reader, writer = await served.connect()
            data, digest = upload(3_000_000)
            head = data.index(b"\r\n\r\n") + 4
            first, second = data.index(b"\r\n\r\n") + 1_000_000, 2_500_000
            writer.write(data[:first])
            (connection,) = await connections(served)
            await until(lambda: connection.reading is not None and connection.reading.received == first - head)
            writer.write(data[first:second])
            await until(lambda: connection.reading is not None and connection.reading.received == second - head)
            writer.write(data[second:])
            (reply,) = read_replies(await reader.read(-1))
            assert hashlib.sha256(reply.body).hexdigest() == digest
            writer.close()

    run(scenario)


def test_an_answer_is_held_until_it_was_sent(run: Callable[[Scenario], None]) -> None:
    """One that lies in the memory of a worker stays there while its client does not read, and no longer: the worker writes the next one there."""
    size = 10_000_000
    page = Page(size + 4096)
    room = Room(memoryview(mmap.mmap(page.fd, 0)))

    def answer(_: object) -> Response:
        place = room.put(b"first " * (size // 6))
        assert place is not None
        return Response(200, page.body(wire.Place(*wire.PLACE.unpack(place))))

    async def scenario() -> None:
        async with serving(loopback(), model=FakeModel(handler=answer, arena_size=1 << 20)) as served:
            reader, writer = await served.connect()
            writer.write(POST + b"Connection: close\r\nContent-Length: 1\r\n\r\nx")
            begin = await reader.readexactly(1000)
            early = room.put(b"wrong " * (size // 6))  # asyncio's own loop keeps a copy of what it could not send, uvloop does not
            (reply,) = read_replies(begin + await reader.read(-1))
            assert reply.body == b"first " * (size // 6)
            writer.close()
            await until(lambda: early is not None or room.put(bytes(size)) is not None)

    run(scenario)
    page.close()


def test_drain(run: Callable[[Scenario], None], tmp_path: Path) -> None:
    """A draining listener takes no new connection, ends idle ones, and answers what it has accepted."""
    path = tmp_path / "argosy.sock"

    async def scenario() -> None:
        async with serving(Address("unix", path=str(path)), model=FakeModel(arena_size=1 << 20)) as served:
            idle, idle_writer = await served.connect()
            busy, busy_writer = await served.connect()
            busy_writer.write(POST + b"Content-Length: 1\r\n\r\nx")
            await until(lambda: bool(served.model.jobs))
            draining = asyncio.ensure_future(served.listener.drain(20))
            assert await idle.read(-1) == b""
            with pytest.raises(OSError, match=r"No such file|refused"):
                await served.connect()
            served.model.answer(Response(200, b"done"))
            (reply,) = read_replies(await busy.read(-1))
            assert (reply.body, reply.header("connection")) == (b"done", "close")
            for writer in (idle_writer, busy_writer):
                writer.close()
            await draining

    run(scenario)
