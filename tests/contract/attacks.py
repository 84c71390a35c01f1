"""More messages from attackers: framings that two readers could understand differently, and targets that name something twice."""

from __future__ import annotations

from .malformed import HIDDEN, HOST

_POST = b"POST /predictions/echo HTTP/1.1\r\n" + HOST
_CHUNKED = _POST + b"Transfer-Encoding: chunked\r\n\r\n"


def _length(value: bytes) -> bytes:
    return _POST + b"Content-Length:" + value + b"\r\n\r\n" + HIDDEN


def _coding(value: bytes) -> bytes:
    return _POST + b"Transfer-Encoding:" + value + b"\r\n\r\n0\r\n\r\n" + HIDDEN


def _chunk(line: bytes) -> bytes:
    return _CHUNKED + line + b"abc\r\n0\r\n\r\n" + HIDDEN


REFUSED: dict[str, bytes] = {
    "cl-empty": _length(b""),
    "cl-blank": _length(b" \t "),
    "cl-equal-list": _length(b" 3, 3"),
    "cl-semicolon": _length(b" 3; x"),
    "cl-underscore": _length(b" 1_0"),
    "cl-dot": _length(b" 3.0"),
    "cl-exponent": _length(b" 1e1"),
    "cl-quoted": _length(b' "3"'),
    "cl-octal-mark": _length(b" 0o3"),
    "cl-high-digit": _length(b" \xd9\xa3"),
    "cl-vertical-tab": _length(b"\x0b3"),
    "cl-nul": _length(b" 3\0"),
    "cl-bare-cr": _length(b" 3\r4"),
    "cl-folded": _length(b" 3\r\n 4"),
    "cl-minus-zero": _length(b" -0"),
    "cl-20-digits": _length(b" 99999999999999999999"),
    "cl-wraps-64-bits": _length(b" 18446744073709551619"),
    "cl-case-twice": _POST + b"Content-Length: 0\r\ncontent-LENGTH: %d\r\n\r\n" % len(HIDDEN) + HIDDEN,
    "cl-tab-name": _POST + b"Content-Length\t: 3\r\n\r\nabc" + HIDDEN,
    "cl-lf-only": _POST + b"Content-Length: 3\n\r\nabc" + HIDDEN,
    "te.cl-folded": _POST + b"X: y\r\n Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\nabc" + HIDDEN,
    "te-cl-in-any-order": _POST + b"transfer-encoding: chunked\r\nX: y\r\ncontent-length: 0\r\n\r\n0\r\n\r\n" + HIDDEN,
    "te-space-name": _POST + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n" + HIDDEN,
    "te-leading-comma": _coding(b" ,chunked"),
    "te-trailing-comma": _coding(b" chunked,"),
    "te-parameter": _coding(b" chunked;x=y"),
    "te-list-twice": _coding(b" chunked, chunked"),
    "te-space-inside": _coding(b" chun ked"),
    "te-vertical-tab": _coding(b" chunked\x0b"),
    "te-double-cr": _POST + b"Transfer-Encoding: chunked\r\r\n\r\n0\r\n\r\n" + HIDDEN,
    "te-identity": _coding(b" identity"),
    "te-cow": _coding(b" cow"),
    "te-http10-cl": b"POST /predictions/echo HTTP/1.0\r\n" + HOST + b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\nabc" + HIDDEN,
    "chunk-plus": _chunk(b"+3\r\n"),
    "chunk-underscore": _chunk(b"0_3\r\n"),
    "chunk-high-digit": _chunk(b"\xd9\xa3\r\n"),
    "chunk-nul": _chunk(b"3\0\r\n"),
    "chunk-wraps-64-bits": _chunk(b"10000000000000003\r\n"),
    "chunk-16-f": _chunk(b"ffffffffffffffffff\r\n"),
    "chunk-double-cr": _chunk(b"3\r\r\n"),
    "chunk-lf-cr": _chunk(b"3\n\r"),
    "chunk-ext-nul": _chunk(b"3;a\0b\r\n"),
    "chunk-ext-lf-inside": _chunk(b'3;a="b\nc"\r\n'),
    "chunk-ext-crlf-quoted": _chunk(b'3;a="b\r\nc"\r\n'),
    "chunk-data-short": _CHUNKED + b"4\r\nabc\r\n0\r\n\r\n" + HIDDEN,
    "chunk-data-long": _CHUNKED + b"2\r\nabc\r\n0\r\n\r\n" + HIDDEN,
    "chunk-end-cr": _CHUNKED + b"3\r\nabc\r0\r\n\r\n" + HIDDEN,
    "trailer-folded": _CHUNKED + b"0\r\nX: y\r\n z\r\n\r\n" + HIDDEN,
    "trailer-space-name": _CHUNKED + b"0\r\nX : y\r\n\r\n" + HIDDEN,
    "trailer-bare-cr": _CHUNKED + b"0\r\nX: y\rz\r\n\r\n" + HIDDEN,
    "trailer-is-a-request": _CHUNKED + b"0\r\n" + HIDDEN,
    "host-list": b"GET /ping HTTP/1.1\r\nHost: a\r\nhost: a\r\n\r\n",
    "http2-preface-twice": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" * 2 + b"\0\0\0\x04\0\0\0\0\0",
    "connect": b"CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n" + HIDDEN,
    "upgrade-te-cl": _POST + b"Connection: Upgrade\r\nUpgrade: h2c\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n" + HIDDEN,
    "expect-else": _POST + b"Expect: 200-ok\r\nContent-Length: 3\r\n\r\nabc" + HIDDEN,
    "ssh": b"SSH-2.0-OpenSSH_9.2p1\r\n",
    "smtp": b"EHLO example.org\r\nMAIL FROM:<a@b>\r\n",
    "memcached": b"stats\r\n",
    "redis": b"*1\r\n$4\r\nPING\r\n",
    "zeros": b"\0" * 1000,
}
"""Each is answered once, with 400, 405, 417, 501 or 505, and its connection ends."""

TARGETS: dict[bytes, tuple[int, str]] = {
    b"/ping": (200, "/ping"),
    b"//ping": (404, ""),
    b"/./ping": (404, ""),
    b"/x/../ping": (404, ""),
    b"/%2e%2e/ping": (404, ""),
    b"/ping%2F": (404, ""),
    b"%2Fping": (400, ""),
    b"/%70ing": (200, "/ping"),
    b"/pin%67?a=%zz": (200, "/ping"),
    b"/ping%00": (404, ""),
    b"/ping%0d%0aX:%20y": (404, ""),
    b"/ping%": (400, ""),
    b"/ping%2": (400, ""),
    b"/ping%zz": (400, ""),
    b"/ping%+1": (400, ""),
    b"/%c0%afping": (400, ""),
    b"/%e0%80%af": (400, ""),
    b"/%ed%a0%80": (400, ""),
    b"/%ff": (400, ""),
    b"/%2570ing": (404, ""),
    b"http://a/ping": (200, "/ping"),
    b"HTTP://a/ping": (200, "/ping"),
    b"https://other.example:99/ping": (200, "/ping"),
    b"http://a//ping": (404, ""),
    b"http://": (404, ""),
    b"http:///ping": (200, "/ping"),
    b"ftp://a/ping": (400, ""),
    b"file:///ping": (400, ""),
    b"*": (404, ""),
    b"/ping#x": (404, ""),
    b"/?/ping": (404, ""),
    b"/ping;x=y": (404, ""),
    b"/\\ping": (404, ""),
}
"""Status, and the path that is logged and served, of GET for each target."""
