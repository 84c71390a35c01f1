"""TLS between a transport and a connection, both in memory: what a client may make it hold, and how it ends."""

from __future__ import annotations

import contextlib
import random
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from argosy.config import Config
from argosy.frontend.listener import Listener
from argosy.frontend.tunnel import Tunnel
from argosy.server.tls import tls_context
from argosy.testing.http import FakeSite, FakeTransport
from fakes.certificates import Identity, identity

PING = b"GET /ping HTTP/1.1\r\nHost: a\r\n\r\n"


class Client:
    """TLS on the client's side, without a network."""

    def __init__(self, site: FakeSite, files: Identity) -> None:
        context = tls_context(Config(private_key_file=files.key, certificate_file=files.certificate))
        self.listener = Listener(site.listener.address, site.site, context)
        self.tunnel = Tunnel(context, self.listener)
        self.transport = FakeTransport(site.loop)
        self.transport.protocol = self.tunnel  # type: ignore[assignment] # it stands between the two
        self.tunnel.connection_made(self.transport)
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = ssl.create_default_context(cafile=str(files.certificate)).wrap_bio(self._incoming, self._outgoing, server_hostname="127.0.0.1")

    def shake_hands(self) -> None:
        """Until the server has a connection."""
        for _ in range(3):
            self.deliver(self.flight())
            self.listen()
        self.read()

    def flight(self) -> bytes:
        """What the client's side of the handshake has to say next."""
        with contextlib.suppress(ssl.SSLWantReadError):
            self._tls.do_handshake()
        return self._outgoing.read()

    def deliver(self, data: bytes) -> None:
        """The server receives these bytes."""
        while data:
            buffer = self.tunnel.get_buffer(-1)
            piece, data = data[: len(buffer)], data[len(buffer) :]
            buffer[: len(piece)] = piece
            self.tunnel.buffer_updated(len(piece))

    def listen(self) -> None:
        """Take what the server has sent."""
        self._incoming.write(self.transport.sent)
        self.transport.sent.clear()

    def sealed(self, data: bytes) -> bytes:
        """The records of `data`."""
        self._tls.write(data)
        return self._outgoing.read()

    def read(self) -> bytes:
        """What the server said."""
        self.listen()
        found = bytearray()
        with contextlib.suppress(ssl.SSLWantReadError, ssl.SSLZeroReturnError):
            while piece := self._tls.read(65536):
                found += piece
        return bytes(found)


@pytest.fixture
def site() -> Iterator[FakeSite]:
    """A site with one model."""
    made = FakeSite()
    yield made
    made.close()


@pytest.fixture
def client(site: FakeSite, tmp_path: Path) -> Client:
    """A client that has come."""
    return Client(site, identity(tmp_path))


def test_a_silent_client_costs_no_tls(client: Client) -> None:
    """Until something comes there is a place and nothing else; a hello makes a state, and leaving frees both."""
    newcomers = client.listener.site.newcomers
    assert (repr(client.tunnel), client.tunnel.get_extra_info("ssl_object"), len(newcomers)) == ("<Tunnel arriving>", None, 1)
    client.deliver(b"\x16")
    assert client.tunnel.get_extra_info("ssl_object") is not None
    client.tunnel.connection_lost(None)
    assert (repr(client.tunnel), client.tunnel.get_extra_info("ssl_object"), len(newcomers)) == ("<Tunnel closing>", None, 0)


@pytest.mark.parametrize("seed", range(100))
def test_flights_that_were_spoilt(site: FakeSite, tmp_path: Path, seed: int) -> None:
    """Whatever bytes of a handshake or of a request are changed, lost or invented: the client is served or refused, and leaves nothing."""
    chance = random.Random(seed)
    client = Client(site, identity(tmp_path))
    flights = chance.randrange(1, 4)
    with contextlib.suppress(ssl.SSLError):
        for flight in range(1, flights + 1):
            data = client.flight() or client.sealed(PING)
            for piece in spoilt(data, chance) if flight == flights else [data]:
                if not client.transport.closing:
                    client.deliver(piece)
                    site.loop.run()
            client.listen()
    site.loop.run()
    client.tunnel.connection_lost(None)
    assert not client.listener.site.newcomers
    assert (site.counters.connections, site.is_clean()) == (0, True)


def spoilt(data: bytes, chance: random.Random) -> list[bytes]:
    """The same with some bytes changed, lost or invented, in two pieces."""
    found = bytearray(data)
    for _ in range(chance.choice([1, 2, 5, 20])):
        at = chance.randrange(len(found) or 1)
        match chance.randrange(3):
            case 0:
                found[at : at + 1] = chance.randbytes(1)
            case 1:
                del found[at : at + chance.randrange(1, 30)]
            case _:
                found[at:at] = chance.randbytes(chance.randrange(1, 30))
    cut = chance.randrange(len(found) + 1)
    return [bytes(found[:cut]), bytes(found[cut:])]


def test_nothing_is_written_once_it_closes(client: Client, site: FakeSite) -> None:
    """After the farewell, which comes once, bytes of the connection go nowhere, and what still comes is dropped."""
    client.shake_hands()
    client.tunnel.close()
    assert client.tunnel.is_closing()
    sent = bytes(client.transport.sent)
    assert sent
    client.tunnel.close()
    client.tunnel.write(b"late")
    client.deliver(client.sealed(PING))
    site.loop.run()
    assert client.transport.sent == sent
    assert site.site.counters.successful == 0
    assert not client.transport.closing


def test_a_spoilt_record_of_a_client_that_does_not_read(client: Client) -> None:
    """It is not waited until such a client has read what was written before: the connection is cut."""
    client.shake_hands()
    client.transport.stuck = True
    client.tunnel.write(b"x" * 200_000)
    assert repr(client.tunnel) == "<Tunnel open full>"
    client.deliver(b"\x17\x03\x03\x00\x20" + b"x" * 32)
    assert client.transport.aborted


def test_whoever_makes_tls_answer_has_to_read(client: Client, site: FakeSite) -> None:
    """While a client leaves unread what was sent, and its records still make TLS itself say something, nothing more is received from it."""
    client.shake_hands()
    client.transport.stuck = True
    client.tunnel.write(b"x" * 200_000)
    client.deliver(client.sealed(PING[:4]))
    assert not client.transport.is_reading_paused
    client.tunnel._outgoing.write(b"a word of TLS itself")  # Python cannot make a client ask for new keys
    client.deliver(client.sealed(PING[4:8]))
    assert (client.transport.is_reading_paused, repr(client.tunnel)) == (True, "<Tunnel open full held>")
    client.transport.read_on()
    site.loop.run()
    assert not client.transport.is_reading_paused


def test_large_answers_are_sealed_in_pieces(client: Client) -> None:
    """All of it arrives, and what TLS keeps for the connection stays small."""
    client.shake_hands()
    client.tunnel.write(b"y" * 1_000_000)
    assert client.read() == b"y" * 1_000_000
