"""Self-signed certificates for tests of TLS."""

from __future__ import annotations

import datetime
import ipaddress
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import pkcs12
from cryptography.x509.oid import NameOID


@dataclass(frozen=True)
class Identity:
    """Files with one key and its certificate for 127.0.0.1 and localhost."""

    key: Path
    certificate: Path
    keystore: Path
    password: str


def identity(folder: Path, *, is_rsa: bool = False, password: str = "changeit", encrypted: bool = False) -> Identity:
    """A new key in PEM files (`encrypted`: with the password) and in a PKCS12 key store."""
    key = rsa.generate_private_key(65537, 2048) if is_rsa else ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    names = x509.SubjectAlternativeName([x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    certificate = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1)).not_valid_after(now + datetime.timedelta(days=1)).add_extension(names, critical=False)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    secret = serialization.BestAvailableEncryption(password.encode())
    made = Identity(folder / "key.pem", folder / "certificate.pem", folder / "keystore.p12", password)
    made.key.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, secret if encrypted else serialization.NoEncryption())
    )
    made.certificate.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    made.keystore.write_bytes(pkcs12.serialize_key_and_certificates(b"1", key, certificate, None, secret))
    return made
