"""TLS from PEM files and key stores: what is wrong with them is said."""

from __future__ import annotations

import datetime
import ssl
from pathlib import Path

import pytest

from argosy.config import Config
from argosy.errors import ArgosyError, ErrorCode
from argosy.server.tls import tls_context

x509 = pytest.importorskip("cryptography.x509")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A key and a certificate as PEM, the key encrypted, and both as a PKCS12 store."""
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import pkcs12

    made = tmp_path_factory.mktemp("tls")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(1)
    certificate = builder.not_valid_before(now).not_valid_after(now + datetime.timedelta(days=1)).sign(key, hashes.SHA256())
    locked = serialization.BestAvailableEncryption(b"pw")
    pem, pkcs8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    (made / "key.pem").write_bytes(key.private_bytes(pem, pkcs8, serialization.NoEncryption()))
    (made / "locked.pem").write_bytes(key.private_bytes(pem, pkcs8, serialization.BestAvailableEncryption(b"secret")))
    (made / "cert.pem").write_bytes(certificate.public_bytes(pem))
    (made / "store.p12").write_bytes(pkcs12.serialize_key_and_certificates(b"s", key, certificate, None, locked))
    (made / "keyless.p12").write_bytes(pkcs12.serialize_key_and_certificates(b"s", None, certificate, None, locked))
    (made / "junk").write_bytes(b"junk")
    return made


def test_pem_and_key_store(folder: Path) -> None:
    """Both give a context that speaks nothing older than TLS 1.2, in which no client may ask for handshake after handshake."""
    pem = Config(private_key_file=folder / "key.pem", certificate_file=folder / "cert.pem")
    for config in (pem, Config(keystore=folder / "store.p12", keystore_pass="pw")):
        context = tls_context(config)
        assert context.minimum_version is ssl.TLSVersion.TLSv1_2
        assert context.options & ssl.OP_NO_RENEGOTIATION
        assert context.cert_store_stats()["x509"] == 0


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({}, "https needs private_key_file and certificate_file, or keystore"),
        ({"private_key_file": "none.pem", "certificate_file": "cert.pem"}, "private_key_file not found: .*none.pem"),
        ({"private_key_file": "key.pem", "certificate_file": "none.pem"}, "certificate_file not found: .*none.pem"),
        ({"private_key_file": "junk", "certificate_file": "cert.pem"}, "junk"),
        ({"private_key_file": "locked.pem", "certificate_file": "cert.pem"}, "locked.pem"),
        ({"keystore": "none.p12"}, "none.p12 cannot be read"),
        ({"keystore": "junk"}, "junk cannot be opened"),
        ({"keystore": "store.p12", "keystore_pass": "wrong"}, "store.p12 cannot be opened with keystore_pass"),
        ({"keystore": "keyless.p12", "keystore_pass": "pw"}, "holds no private key"),
        ({"keystore": "store.p12", "keystore_type": "JCEKS"}, "keytool -importkeystore"),
    ],
)
def test_what_is_wrong_is_said(settings: dict[str, str], says: str, folder: Path) -> None:
    """The setting or file is named, and nothing else is raised."""
    values = {name: value if name in ("keystore_pass", "keystore_type") else folder / value for name, value in settings.items()}
    with pytest.raises(ArgosyError, match=says) as caught:
        tls_context(Config(**values))  # type: ignore[arg-type]  # paths and texts by name
    assert caught.value.code is ErrorCode.INVALID_CONFIG
