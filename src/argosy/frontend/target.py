"""Request targets: what stands between method and version."""

from __future__ import annotations

from urllib.parse import unquote_to_bytes

from argosy.errors import ArgosyError, ErrorCode


def split_target(target: bytes) -> tuple[str, str]:
    """The percent-decoded path and the raw query of a request target. Raises `ArgosyError` INVALID_REQUEST."""
    raw, _, query = target.partition(b"?")
    if not raw.startswith(b"/") and raw != b"*":
        scheme, colon, rest = raw.partition(b"://")
        if not colon or scheme.lower() not in (b"http", b"https"):
            raise ArgosyError(ErrorCode.INVALID_REQUEST, "The request target is neither a path nor an http address.")
        raw = b"/" + rest.partition(b"/")[2]
    at = raw.find(b"%")
    while at >= 0:
        if len(raw) < at + 3 or not all(digit in b"0123456789abcdefABCDEF" for digit in raw[at + 1 : at + 3]):
            raise ArgosyError(ErrorCode.INVALID_REQUEST, "The path has a % that is not followed by two hexadecimal digits.")
        at = raw.find(b"%", at + 1)
    try:
        return unquote_to_bytes(raw).decode(), query.decode("latin-1")
    except UnicodeDecodeError as error:
        raise ArgosyError(ErrorCode.INVALID_REQUEST, "The path is not UTF-8.") from error
