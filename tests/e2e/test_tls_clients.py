"""TLS as hostile, broken and unusual clients speak it: on real sockets, record by record, under both event loops."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import itertools
import shutil
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import cast

import pytest

from argosy.config import Address, Config
from argosy.frontend.http import Connection
from argosy.frontend.newcomers import Newcomers
from argosy.frontend.progress import progress
from argosy.messages import Response
from argosy.server.tls import tls_context
from argosy.testing.http import FakeModel, read_replies
from e2e.test_listener import LAST, LOOPS, PING, POST, Served, client_tls, serving, until, upload
from fakes.certificates import Identity, authority, identity

Story = Callable[[Served, Identity], Awaitable[None]]
VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]
RECORD = 16384
OPENSSL = shutil.which("openssl")


class Records:
    """A client that decides what goes over the wire: its records come out of memory and are sent, cut, kept back or replaced by other bytes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, context: ssl.SSLContext) -> None:
        self.reader = reader
        self.writer = writer
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname="127.0.0.1")

    def hello(self) -> bytes:
        """The first message of the handshake."""
        with contextlib.suppress(ssl.SSLWantReadError):
            self._tls.do_handshake()
        return self._outgoing.read()

    async def shake_hands(self) -> None:
        """The whole handshake."""
        self.writer.write(self.hello())
        while True:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                self.writer.write(self._outgoing.read())
                self._incoming.write(await self.reader.read(RECORD))
            else:
                self.writer.write(self._outgoing.read())
                return

    def sealed(self, data: bytes, size: int = RECORD) -> bytes:
        """`data` in records of `size` bytes."""
        for begin in range(0, len(data), size):
            self._tls.write(data[begin : begin + size])
        return self._outgoing.read()

    def farewell(self) -> bytes:
        """What says that nothing more will be sent."""
        with contextlib.suppress(ssl.SSLWantReadError):
            self._tls.unwrap()
        return self._outgoing.read()

    @property
    def agreed(self) -> str | None:
        """The protocol that the server has chosen of those that were offered."""
        return self._tls.selected_alpn_protocol()

    async def some(self) -> bytes:
        """What the server says next; nothing at its farewell. Raises `ssl.SSLError` when the connection was cut before that."""
        while True:
            try:
                return self._tls.read(RECORD)
            except ssl.SSLWantReadError:
                received = await self.reader.read(1 << 16)
                if received:
                    self._incoming.write(received)
                else:
                    self._incoming.write_eof()
            except ssl.SSLZeroReturnError:
                return b""

    async def everything(self) -> bytes:
        """What the server says until its farewell. Raises as `some`."""
        found = bytearray()
        while piece := await self.some():
            found += piece
        return bytes(found)


@pytest.fixture(params=LOOPS)
def told(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[..., None]:
    """Runs a story beside a listener with TLS, in either event loop; afterwards the listener has forgotten its clients and serves the next one."""

    def run(story: Story, model: FakeModel | None = None, **limits: float) -> None:
        files = identity(tmp_path)

        async def bounded() -> None:
            context = tls_context(Config(private_key_file=files.key, certificate_file=files.certificate))
            async with serving(Address("https", "127.0.0.1", 0), context, model, **limits) as served:
                await story(served, files)
                await until(lambda: not served.listener._connections)
                assert (await served.ask(LAST, client_tls(files.certificate, ssl.TLSVersion.TLSv1_3))).status == 200

        with asyncio.Runner(loop_factory=LOOPS[request.param]) as loop:
            loop.run(asyncio.wait_for(bounded(), 30))

    return run


async def silent(served: Served, files: Identity, version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> Records:
    """A client that is connected and has said nothing."""
    return Records(*await served.connect(), client_tls(files.certificate, version))


async def known(served: Served, files: Identity, version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> Records:
    """A client that the server has accepted."""
    client = await silent(served, files, version)
    await client.shake_hands()
    await until(lambda: bool(served.listener._connections))
    return client


async def is_cut_off(client: Records) -> None:
    """The server ends the connection, in whatever way."""
    with contextlib.suppress(ConnectionError):
        while await client.reader.read(RECORD):
            pass
    client.writer.close()


@pytest.mark.parametrize("part", [0, 1, 4, 5, 100, -1])
def test_a_handshake_that_stops_is_ended(told: Callable[..., None], part: int) -> None:
    """Whoever says nothing, or not the whole of its first message, has the time of a head and is cut off; it never was a connection."""

    async def story(served: Served, files: Identity) -> None:
        client = await silent(served, files)
        client.writer.write(client.hello()[:part])
        await is_cut_off(client)
        assert served.listener.site.counters.successful == 0

    told(story, header_timeout_s=0.1)


@pytest.mark.parametrize("part", [0, 5, 100, -1])
def test_a_client_that_leaves_its_handshake_leaves_nothing(told: Callable[..., None], part: int) -> None:
    """A connection that ends in the first message is forgotten at once, long before its time is up."""

    async def story(served: Served, files: Identity) -> None:
        client = await silent(served, files)
        client.writer.write(client.hello()[:part])
        client.writer.write_eof()
        await is_cut_off(client)

    told(story, header_timeout_s=600)


@pytest.mark.parametrize("noise", [PING, b"\x16\x03\x01\xff\xff" + b"x" * 70_000, b"\0" * 100, b"\x15\x03\x03\0\x02\x02\x28"])
def test_what_is_no_handshake_is_ended(told: Callable[..., None], noise: bytes) -> None:
    """Plain HTTP, a record that is too long, zeros, and an alert as the first thing said: the connection ends and no request is run."""

    async def story(served: Served, files: Identity) -> None:
        client = await silent(served, files)
        client.writer.write(noise)
        await is_cut_off(client)
        assert served.listener.site.counters.successful == 0

    told(story, header_timeout_s=600)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("spoil", ["changed", "plain", "repeated"])
def test_records_that_were_tampered_with_end_the_connection(told: Callable[..., None], version: ssl.TLSVersion, spoil: str) -> None:
    """A body with a record that was changed, sent twice or is no record starts no job, and its memory comes back."""

    async def story(served: Served, files: Identity) -> None:
        client = await known(served, files, version)
        client.writer.write(client.sealed(POST + b"Content-Length: 100000\r\n\r\n" + b"x" * 50_000))
        await until(lambda: served.budget.used == 100_000)
        record = client.sealed(b"x" * 1000)
        client.writer.write({"changed": record[:-1] + bytes([record[-1] ^ 1]), "plain": b"x" * 1000, "repeated": record * 2}[spoil])
        await is_cut_off(client)
        await until(lambda: not served.budget.used)
        assert served.model.jobs == []

    told(story, FakeModel(arena_size=1 << 20))


@pytest.mark.parametrize("goodbye", [False, True])
@pytest.mark.parametrize("version", VERSIONS)
def test_a_client_that_goes_in_its_body_starts_no_job(told: Callable[..., None], version: ssl.TLSVersion, goodbye: bool) -> None:
    """With or without a word of farewell (close_notify), an unfinished body is dropped and its memory comes back."""

    async def story(served: Served, files: Identity) -> None:
        client = await known(served, files, version)
        client.writer.write(client.sealed(POST + b"Content-Length: 100000\r\n\r\n" + b"x" * 50_000))
        await until(lambda: served.budget.used == 100_000)
        client.writer.write(client.farewell() if goodbye else b"")
        client.writer.write_eof()
        await is_cut_off(client)
        await until(lambda: not served.budget.used)
        assert served.model.jobs == []

    told(story, FakeModel(arena_size=1 << 20))


@pytest.mark.parametrize("goodbye", [False, True])
def test_the_job_of_a_client_that_goes_is_cancelled(told: Callable[..., None], goodbye: bool) -> None:
    """Over TLS there is no half-closed connection: whoever says farewell, or ends its connection, wants no answer any more."""

    async def story(served: Served, files: Identity) -> None:
        client = await known(served, files)
        client.writer.write(client.sealed(POST + b"Content-Length: 1\r\n\r\nx"))
        await until(lambda: bool(served.model.jobs))
        client.writer.write(client.farewell() if goodbye else b"")
        client.writer.write_eof()
        await is_cut_off(client)
        await until(lambda: bool(served.model.cancelled))
        assert served.model.jobs == []

    told(story, FakeModel(arena_size=1 << 20))


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(("record", "segment"), [(1, 1 << 20), (7, 11), (RECORD, 1), (3000, 4096)])
def test_records_and_segments_of_any_size(told: Callable[..., None], version: ssl.TLSVersion, record: int, segment: int) -> None:
    """Requests that come byte by byte, in records or in packets, one after another and two in one record, are answered in order."""

    async def story(served: Served, files: Identity) -> None:
        client = await known(served, files, version)
        bodies = [b"one", b"two" * 600]
        data = client.sealed(b"".join([*(POST + b"Content-Length: %d\r\n\r\n" % len(body) + body for body in bodies), PING, LAST]), record)
        for begin in range(0, len(data), segment):
            client.writer.write(data[begin : begin + segment])
            await asyncio.sleep(0)
        replies = read_replies(await client.everything())
        assert [reply.body for reply in replies[:2]] == bodies
        assert [reply.status for reply in replies] == [200] * 4
        client.writer.close()

    told(story)


@pytest.mark.parametrize("record", [1000, RECORD])
def test_large_bodies_in_records_of_any_size(told: Callable[..., None], record: int) -> None:
    """Megabytes arrive and come back unchanged, and the server says farewell at the end: a cut cannot be taken for the end of an answer."""

    async def story(served: Served, files: Identity) -> None:
        client = await known(served, files)
        data, digest = upload(4_000_000)
        client.writer.write(client.sealed(data, record))
        (reply,) = read_replies(await client.everything())
        assert hashlib.sha256(reply.body).hexdigest() == digest
        client.writer.close()

    told(story)


def test_a_client_that_reads_late_gets_all(told: Callable[..., None]) -> None:
    """An answer that was given while its client read nothing is there when it reads at last, whole, and so is the next one."""

    async def story(served: Served, files: Identity) -> None:
        client = await known(served, files)
        transport = cast(asyncio.Transport, client.writer.transport)
        transport.pause_reading()
        data, digest = upload(8_000_000, last=False)
        client.writer.write(client.sealed(data))
        await until(lambda: served.listener.site.counters.successful == 1)
        client.writer.write(client.sealed(LAST))
        transport.resume_reading()
        first, second = read_replies(await client.everything())
        assert hashlib.sha256(first.body).hexdigest() == digest
        assert second.status == 200
        client.writer.close()

    told(story)


async def stuck(served: Served, files: Identity, last: bool) -> tuple[Records, Connection, str]:
    """A client that does not read its large answer, the server's side of it, and the hash of the answer."""
    client = await known(served, files)
    client.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 14)
    (connection,) = served.listener._connections
    data, digest = upload(8_000_000, last)
    client.writer.write(client.sealed(data))
    await until(lambda: served.listener.site.counters.successful == 1)
    return client, connection, digest


def hours() -> Iterator[float]:
    """One time of the loop after another, each long after what any limit allows."""
    return itertools.count(asyncio.get_running_loop().time() + 3600, 3600)


@pytest.mark.parametrize("last", [False, True])
def test_a_client_that_reads_slowly_gets_all(told: Callable[..., None], last: bool) -> None:
    """However long an answer takes: a client that reads on between two looks at it is not idle, and gets the whole."""

    async def story(served: Served, files: Identity) -> None:
        client, connection, digest = await stuck(served, files, last)
        sock, found, times = connection.socket, bytearray(), hours()
        assert sock is not None
        for _ in range(5):
            before = progress(sock).taken
            while progress(sock).taken == before:
                found += await client.some()
            connection.sweep(next(times))
        if not last:
            client.writer.write(client.sealed(LAST))
        first, *rest = read_replies(bytes(found) + await client.everything())
        assert hashlib.sha256(first.body).hexdigest() == digest
        assert [reply.status for reply in rest] == ([] if last else [200])
        client.writer.close()

    told(story)


@pytest.mark.parametrize("last", [False, True])
def test_a_client_that_stops_reading_is_cut_off(told: Callable[..., None], last: bool) -> None:
    """Who takes nothing more of an answer has the time of an idle connection, and no more, whether it was the last answer or not."""

    async def story(served: Served, files: Identity) -> None:
        client, connection, _ = await stuck(served, files, last)
        times = hours()

        def is_gone() -> bool:
            connection.sweep(next(times))
            return not served.listener._connections

        await until(is_gone)
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await client.everything()
        client.writer.close()

    told(story)


def test_a_farewell_is_not_waited_for(told: Callable[..., None]) -> None:
    """A client that has all and neither answers the farewell nor goes, as one that rests in a pool, is let go soon: it must not hold up a stop."""

    async def story(served: Served, files: Identity) -> None:
        client = await known(served, files)
        (connection,) = served.listener._connections
        sock, now = connection.socket, asyncio.get_running_loop().time()
        assert sock is not None
        client.writer.write(client.sealed(LAST))
        assert len(read_replies(await client.everything())) == 1
        await until(lambda: not progress(sock).is_sending)
        for step in (5, 10):
            connection.sweep(now + step)
        await until(lambda: not served.listener._connections)
        client.writer.close()

    told(story, linger_s=2, idle_timeout_s=1000)


@pytest.mark.skipif(OPENSSL is None, reason="no openssl program here")
@pytest.mark.parametrize("order", [b"K\n", b"k\n"], ids=["and asks for new ones", "alone"])
def test_a_client_that_changes_its_keys_is_answered(told: Callable[..., None], order: bytes) -> None:
    """TLS 1.3 lets a client go on with new keys, and ask the same of the server, between two requests."""

    async def story(served: Served, files: Identity) -> None:
        assert OPENSSL is not None
        address = f"127.0.0.1:{served.listener.address.port}"
        client = await asyncio.create_subprocess_exec(
            OPENSSL, "s_client", "-connect", address, "-CAfile", str(files.certificate), "-tls1_3", "-brief",
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        assert client.stdin is not None
        assert client.stdout is not None
        client.stdin.write(PING)
        await client.stdout.readuntil(b"HTTP/1.1 200 ")
        client.stdin.write(order)
        await client.stdout.readuntil(b"KEYUPDATE")
        client.stdin.write(LAST)
        assert b"HTTP/1.1 200 " in await client.stdout.read(-1)
        client.stdin.close()
        await client.wait()

    told(story)


def newcomers(served: Served) -> Newcomers:
    """Those who are on their way in."""
    return served.listener.site.newcomers


@pytest.mark.parametrize("part", [0, 1, 100, -1])
def test_a_crowd_that_never_arrives_keeps_nobody_out(told: Callable[..., None], part: int) -> None:
    """Half handshakes take the places that connections leave, and 16 when there are none; the oldest give way, others are served as always."""

    async def story(served: Served, files: Identity) -> None:
        trusted = client_tls(files.certificate, ssl.TLSVersion.TLSv1_3)
        friend = await known(served, files)
        crowd = [await silent(served, files) for _ in range(60)]
        for number, client in enumerate(crowd):
            client.writer.write(client.hello()[:part])
            if number % 20 == 0:
                assert (await served.ask(LAST, trusted)).status == 200
        friend.writer.write(friend.sealed(PING))
        assert read_replies(await friend.some())[0].status == 200
        for client in crowd[: 60 - 20]:
            await is_cut_off(client)
        assert len(newcomers(served)) <= 20
        assert newcomers(served).dropped >= 40
        for client in [*crowd, friend]:
            client.writer.close()
        await until(lambda: not newcomers(served))

    told(story, connections=20, header_timeout_s=600)


def test_a_connection_takes_the_place_of_who_is_on_the_way(told: Callable[..., None]) -> None:
    """Connections and those on the way are counted together: an established one more means one less on the way."""

    async def story(served: Served, files: Identity) -> None:
        crowd = [await silent(served, files) for _ in range(18)]
        await until(lambda: len(newcomers(served)) == 18)
        friends = [await known(served, files) for _ in range(2)]
        await until(lambda: len(newcomers(served)) == 16)
        for client in [*crowd, *friends]:
            client.writer.close()

    told(story, connections=18, header_timeout_s=600)


def test_a_handshake_byte_by_byte_has_no_more_time(told: Callable[..., None]) -> None:
    """What counts is when the client came, not when it sent last."""

    async def story(served: Served, files: Identity) -> None:
        client = await silent(served, files)
        begin = asyncio.get_running_loop().time()
        for byte in client.hello()[:50]:
            client.writer.write(bytes([byte]))
            await asyncio.sleep(0)
        newcomers(served).sweep(begin + 599)
        assert len(newcomers(served)) == 1
        newcomers(served).sweep(asyncio.get_running_loop().time() + 601)
        assert not newcomers(served)
        await is_cut_off(client)

    told(story, header_timeout_s=600)


def test_who_is_told_that_there_is_no_place_must_go(told: Callable[..., None]) -> None:
    """Over the limit a client is told 503 through TLS, and let go soon although it stays; meanwhile it takes one of few places."""

    async def story(served: Served, files: Identity) -> None:
        friend = await known(served, files)
        refused = await silent(served, files)
        await refused.shake_hands()
        assert read_replies(await refused.everything())[0].status == 503
        assert (len(newcomers(served)), served.listener.site.counters.connections_refused) == (1, 1)
        newcomers(served).sweep(asyncio.get_running_loop().time() + 2.1)
        assert not newcomers(served)
        await is_cut_off(refused)
        friend.writer.write(friend.sealed(LAST))
        assert read_replies(await friend.everything())[0].status == 200
        friend.writer.close()

    told(story, connections=1, linger_s=2)


@pytest.mark.parametrize("noise", [b"\x16\x03\x01\xff\xff" + b"x" * 100, b"\x16\x03\x01\0\x05hello"])
def test_what_is_no_handshake_is_told_so_in_tls(told: Callable[..., None], noise: bytes) -> None:
    """Records that are no handshake are answered with an alert, by which TLS on the other side can tell what is wrong."""

    async def story(served: Served, files: Identity) -> None:
        client = await silent(served, files)
        client.writer.write(noise)
        assert (await client.reader.read(-1))[:2] == b"\x15\x03"
        client.writer.close()

    told(story, header_timeout_s=600)


def test_unread_answers_count(told: Callable[..., None]) -> None:
    """What a client leaves unread counts over TLS as it does without; beyond the limit whoever has most to read is cut off."""

    async def story(served: Served, files: Identity) -> None:
        site = served.listener.site
        site.unread.limit = 1_000_000
        clients = []
        for number in range(3):
            client = await known(served, files)
            client.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 14)
            cast(asyncio.Transport, client.writer.transport).pause_reading()
            client.writer.write(client.sealed(upload(8_000_000, last=False)[0]))
            await until(lambda number=number: site.counters.successful == number + 1)  # type: ignore[misc] # mypy knows no defaults of lambdas
            clients.append(client)
        await until(lambda: site.unread.cut == 2)
        await until(lambda: len(served.listener._connections) == 1)
        (last,) = served.listener._connections
        assert last.is_paused
        assert 1_000_000 < last.unread_bytes < 8_100_000
        for client in clients:
            client.writer.transport.abort()

    told(story)


def test_what_comes_during_a_pause_is_answered_after_it(told: Callable[..., None]) -> None:
    """Requests behind one that takes long, in its very record and after it, wait sealed, and are answered in order."""

    async def story(served: Served, files: Identity) -> None:
        client = await known(served, files)
        post = POST + b"Content-Length: 1\r\n\r\n"
        client.writer.write(client.sealed(post + b"1" + post + b"2" + post + b"3"))
        await until(lambda: bool(served.model.jobs))
        client.writer.write(client.sealed(post + b"4" + LAST))
        for body in (b"1", b"2", b"3", b"4"):
            await until(lambda: bool(served.model.jobs))
            served.model.answer(Response(200, body))
        assert [reply.body for reply in read_replies(await client.everything())[:4]] == [b"1", b"2", b"3", b"4"]
        client.writer.close()

    told(story, FakeModel(arena_size=1 << 20))


def test_a_server_that_stops_waits_for_no_handshake(tmp_path: Path) -> None:
    """Who is on the way when the server stops has half a second; who arrives in it is served."""

    async def story() -> None:
        files = identity(tmp_path)
        context = tls_context(Config(private_key_file=files.key, certificate_file=files.certificate))
        async with serving(Address("https", "127.0.0.1", 0), context, header_timeout_s=600) as served:
            never, late = await silent(served, files), await silent(served, files)
            await until(lambda: len(newcomers(served)) == 2)
            draining = asyncio.ensure_future(served.listener.drain(20))
            await asyncio.sleep(0)
            await late.shake_hands()
            late.writer.write(late.sealed(PING))
            assert read_replies(await late.everything())[0].header("connection") == "close"
            await is_cut_off(never)
            late.writer.close()
            await draining

    asyncio.run(asyncio.wait_for(story(), 30))


@pytest.mark.parametrize(("offered", "chosen"), [(["h2", "http/1.1"], "http/1.1"), (["h2"], None), (["x" * 255] * 200, None), ([], None)])
def test_which_protocol_is_agreed_upon(told: Callable[..., None], offered: list[str], chosen: str | None) -> None:
    """HTTP/1.1 is agreed upon wherever it is offered (ALPN); who offers only other things is answered in it all the same."""

    async def story(served: Served, files: Identity) -> None:
        context = client_tls(files.certificate, ssl.TLSVersion.TLSv1_3)
        if offered:
            context.set_alpn_protocols(offered)
        client = Records(*await served.connect(), context)
        await client.shake_hands()
        assert client.agreed == chosen
        client.writer.write(client.sealed(LAST))
        assert read_replies(await client.everything())[0].status == 200
        client.writer.close()

    told(story)


async def shake_hands_and_listen(client: Records) -> None:
    """With TLS 1.3 only what the server says next tells whether it took the client's part of the handshake."""
    await client.shake_hands()
    await client.some()


def test_clients_with_junk_for_a_certificate(tmp_path: Path) -> None:
    """Where certificates are required, who has none, or one of somebody else, is told by an alert, takes no place and is in no log."""

    async def story() -> None:
        files, trusted, stranger = identity(tmp_path), authority(tmp_path, "ours"), authority(tmp_path, "theirs")
        config = Config(private_key_file=files.key, certificate_file=files.certificate, client_ca_file=trusted.certificate)
        async with serving(Address("https", "127.0.0.1", 0), tls_context(config)) as served:
            for shown in (None, stranger.client(tmp_path, "mallory"), trusted.client(tmp_path, "old", days=-1)):
                for version in VERSIONS:
                    context = client_tls(files.certificate, version)
                    if shown is not None:
                        context.load_cert_chain(*shown)
                    client = Records(*await served.connect(), context)
                    with pytest.raises(ssl.SSLError, match=r"ALERT|alert"):
                        await shake_hands_and_listen(client)
                    client.writer.close()
            await until(lambda: not newcomers(served))
            assert served.listener.site.counters.connections == 0

    asyncio.run(asyncio.wait_for(story(), 30))
