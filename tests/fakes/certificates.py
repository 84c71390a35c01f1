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


@dataclass(frozen=True)
class Authority:
    """Signs certificates of clients."""

    key: ec.EllipticCurvePrivateKey
    name: x509.Name
    certificate: Path

    def client(self, folder: Path, name: str, *, days: int = 1) -> tuple[Path, Path]:
        """Certificate and key of a client with that common name; with `days` below 0 they have expired."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        made = _signed(subject, self.name, key, self.key, days, is_authority=False)
        files = folder / f"client-{made.serial_number}.pem", folder / f"client-{made.serial_number}.key"
        files[0].write_bytes(made.public_bytes(serialization.Encoding.PEM))
        files[1].write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
        return files


def authority(folder: Path, name: str = "authority") -> Authority:
    """A new authority, its certificate in the folder."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    file = folder / f"{name}.pem"
    file.write_bytes(_signed(subject, subject, key, key, 1, is_authority=True).public_bytes(serialization.Encoding.PEM))
    return Authority(key, subject, file)


def _signed(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, by: ec.EllipticCurvePrivateKey, days: int, *, is_authority: bool
) -> x509.Certificate:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key.public_key()).serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=5)).not_valid_after(now + datetime.timedelta(days=days))
        .add_extension(x509.BasicConstraints(is_authority, None), critical=True).sign(by, hashes.SHA256())
    )  # fmt: skip
