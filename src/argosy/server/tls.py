"""The TLS context of a listener, from PEM files or a key store."""

from __future__ import annotations

import logging
import os
import ssl
import tempfile
from pathlib import Path

from argosy.config import Config
from argosy.errors import ArgosyError, ErrorCode

_log = logging.getLogger("argosy.server")
_FOR_SMALL_KEYS = "@SECLEVEL=1:ECDH+AESGCM:ECDH+CHACHA20:ECDH+AES:!aNULL:!SHA1"
"""OpenSSL's own level 2 wants 2,048 bits. Everything else stays as strict: TLS 1.2, forward secrecy, no SHA-1."""


def tls_context(config: Config) -> ssl.SSLContext:
    """TLS 1.2 and 1.3 with the configured key. Raises `ArgosyError` INVALID_CONFIG that names the file and what is wrong with it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])  # proxies that ask for HTTP/2 as well, or do not go on without an answer, are told
    context.options |= ssl.OP_NO_RENEGOTIATION  # OpenSSL before 3.0 lets any client ask for handshake after handshake
    if config.private_key_file is not None and config.certificate_file is not None:
        _load_pem(context, config.certificate_file, config.private_key_file)
    elif config.keystore is not None:
        _load_keystore(context, config.keystore, config.keystore_pass, config.keystore_type)
    else:
        raise _wrong("https needs private_key_file and certificate_file, or keystore.")
    if config.client_ca_file is not None:
        _ask_clients(context, config.client_ca_file, is_required=config.client_certificates == "required")
    return context


def _ask_clients(context: ssl.SSLContext, authorities: Path, *, is_required: bool) -> None:
    try:
        context.load_verify_locations(cafile=authorities)
    except (ssl.SSLError, OSError) as error:
        raise _wrong(f"client_ca_file {authorities} cannot be used: {error}") from error
    context.verify_mode = ssl.CERT_REQUIRED if is_required else ssl.CERT_OPTIONAL


def _load_pem(context: ssl.SSLContext, certificate: Path, key: Path) -> None:
    for name, path in (("certificate_file", certificate), ("private_key_file", key)):
        if not path.is_file():
            raise _wrong(f"{name} not found: {path}")
    try:
        _load_chain(context, certificate, key, certificate)
    except (ssl.SSLError, OSError, ValueError) as error:
        raise _wrong(f"private_key_file {key} and certificate_file {certificate} cannot be used: {error}") from error


def _load_chain(context: ssl.SSLContext, certificate: Path, key: Path | None, named: Path) -> None:
    """Load key and certificate. One that is short by today's measure is used with a warning: Multi Model Server took such keys."""
    try:
        context.load_cert_chain(certificate, key, password=_no_password)
    except ssl.SSLError as error:
        if error.reason not in ("EE_KEY_TOO_SMALL", "CA_KEY_TOO_SMALL"):
            raise
        _log.warning("The key of %s is too short to be safe; replace it by one of 2048 bits or more, or by an elliptic curve key.", named)
        context.set_ciphers(_FOR_SMALL_KEYS)
        context.load_cert_chain(certificate, key, password=_no_password)


def _no_password() -> str:
    raise ValueError("the key is encrypted; decrypt it with: openssl pkey -in KEY -out PLAIN")


def _load_keystore(context: ssl.SSLContext, path: Path, password: str, kind: str) -> None:
    if kind.upper() not in ("PKCS12", "P12", "PFX"):
        raise _wrong(
            f"keystore {path} of type {kind} cannot be read; convert it with: "
            f"keytool -importkeystore -srckeystore {path.name} -destkeystore {path.stem}.p12 -deststoretype PKCS12"
        )
    try:
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.serialization import pkcs12
    except ImportError as error:
        raise _wrong(f"keystore {path} needs an optional package; install it with: pip install 'argosy[keystore]'") from error
    try:
        key, certificate, others = pkcs12.load_key_and_certificates(path.read_bytes(), password.encode())
    except OSError as error:
        raise _wrong(f"keystore {path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise _wrong(f"keystore {path} cannot be opened with keystore_pass: {error}") from error
    if key is None or certificate is None:
        raise _wrong(f"keystore {path} holds no private key with a certificate")
    chain = b"".join(item.public_bytes(serialization.Encoding.PEM) for item in (certificate, *others))
    plain = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    # the ssl module reads keys from files only; this one is ours alone and gone at once
    with tempfile.NamedTemporaryFile(prefix="argosy-", suffix=".pem") as file:
        os.fchmod(file.fileno(), 0o600)
        file.write(plain + chain)
        file.flush()
        _load_chain(context, Path(file.name), None, path)


def _wrong(message: str) -> ArgosyError:
    return ArgosyError(ErrorCode.INVALID_CONFIG, message)
