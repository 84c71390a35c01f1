"""TLS contexts from keys that today's libraries would refuse."""

from __future__ import annotations

import datetime
import logging
import ssl
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import pkcs12
from cryptography.x509.oid import NameOID

from argosy.config import Config
from argosy.server.tls import tls_context


def settings(folder: Path, bits: int, *, is_keystore: bool) -> Config:
    """A configuration with a new RSA key of so many bits."""
    key = rsa.generate_private_key(65537, bits)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    day = datetime.timedelta(1)
    made = x509.CertificateBuilder(name, name, key.public_key(), 1, now - day, now + day).sign(key, hashes.SHA256())
    paths = folder / "key.pem", folder / "certs.pem", folder / "keystore.p12"
    paths[0].write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
    paths[1].write_bytes(made.public_bytes(serialization.Encoding.PEM))
    paths[2].write_bytes(pkcs12.serialize_key_and_certificates(b"1", key, made, None, serialization.BestAvailableEncryption(b"secret")))
    return Config(keystore=paths[2], keystore_pass="secret") if is_keystore else Config(private_key_file=paths[0], certificate_file=paths[1])


def handshake(server: ssl.SSLContext) -> str | None:
    """Let a client meet the server in memory; the version that they agree on."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_ciphers("DEFAULT:@SECLEVEL=1")
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [context.wrap_bio(to_client, to_server), server.wrap_bio(to_server, to_client, server_side=True)]
    for _ in range(4):
        for end in ends:
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
    return ends[1].version()


@pytest.mark.parametrize("is_keystore", [False, True])
def test_a_short_key_is_used_with_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture, is_keystore: bool) -> None:
    """An endpoint that used a key of 1024 bits goes on, and its operator is told; versions and ciphers do not get weaker with it."""
    with caplog.at_level(logging.WARNING, "argosy.server"):
        context = tls_context(settings(tmp_path, 1024, is_keystore=is_keystore))
    assert ["too short to be safe" in record.getMessage() for record in caplog.records] == [True]
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2
    assert not [cipher["name"] for cipher in context.get_ciphers() if cipher["name"].endswith("-SHA") or "NULL" in cipher["name"]]
    assert handshake(context) == "TLSv1.3"


def test_a_good_key_is_used_without_a_word(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The level of the library stays as it is."""
    with caplog.at_level(logging.WARNING, "argosy.server"):
        context = tls_context(settings(tmp_path, 2048, is_keystore=False))
    assert not caplog.records
    assert context.security_level == ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).security_level
    assert handshake(context) == "TLSv1.3"
