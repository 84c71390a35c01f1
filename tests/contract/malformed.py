"""Messages that no client should send: what is malformed, and what two readers could understand differently."""

from __future__ import annotations

HOST = b"Host: a\r\n"
_END = b"\r\n"
_POST = b"POST /predictions/echo HTTP/1.1\r\n" + HOST
_CHUNKED = _POST + b"Transfer-Encoding: chunked\r\n\r\n"


def _get(target: bytes = b"/ping", version: bytes = b"HTTP/1.1", headers: bytes = HOST) -> bytes:
    return b"GET " + target + b" " + version + b"\r\n" + headers + _END


def _with(headers: bytes) -> bytes:
    return _get(headers=HOST + headers)


MALFORMED: dict[str, bytes] = {
    "empty-line-garbage": b"\r\n\0\r\n\r\n",
    "binary": bytes(range(128, 256)) + b"\r\n\r\n",
    "tls-hello": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 40,
    "http2-preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "response": b"HTTP/1.1 200 OK\r\n\r\n",
    "method-lower": b"get /ping HTTP/1.1\r\n" + HOST + _END,
    "method-unknown": b"FROB /ping HTTP/1.1\r\n" + HOST + _END,
    "method-colon": b"GE:T /ping HTTP/1.1\r\n" + HOST + _END,
    "method-none": b" /ping HTTP/1.1\r\n" + HOST + _END,
    "method-long": b"G" * 5000 + b" /ping HTTP/1.1\r\n" + HOST + _END,
    "target-none": b"GET HTTP/1.1\r\n" + HOST + _END,
    "target-blank": _get(b"/pi ng"),
    "target-tab": _get(b"/pi\tng"),
    "target-nul": _get(b"/pi\0ng"),
    "target-high": _get(b"/p\xc3\xafng"),
    "target-relative": _get(b"ping"),
    "target-two": _get(b"/ping /ping"),
    "version-none": b"GET /ping\r\n\r\n",
    "version-0.9": _get(version=b"HTTP/0.9"),
    "version-2.0": _get(version=b"HTTP/2.0"),
    "version-9.9": _get(version=b"HTTP/9.9"),
    "version-1.10": _get(version=b"HTTP/1.10"),
    "version-lower": _get(version=b"http/1.1"),
    "version-garbage": _get(version=b"HTTP/x.y"),
    "version-other": _get(version=b"ICE/1.0"),
    "line-lf": b"GET /ping HTTP/1.1\nHost: a\n\n",
    "line-cr": b"GET /ping HTTP/1.1\rHost: a\r\r",
    "no-host-1.1": _get(headers=b"X: y\r\n"),
    "two-hosts": _with(b"Host: b\r\n"),
    "header-no-colon": _with(b"Broken\r\n"),
    "header-no-name": _with(b": y\r\n"),
    "header-name-blank": _with(b"X Y: z\r\n"),
    "header-ws-first": b"GET /ping HTTP/1.1\r\n X: y\r\n" + HOST + _END,
    "header-ws-colon": _with(b"X : y\r\n"),
    "header-folded": _with(b"X: y\r\n z\r\n"),
    "header-nul": _with(b"X: y\0z\r\n"),
    "header-bare-cr": _with(b"X: y\rz\r\n"),
    "header-name-high": _with(b"\xe9: y\r\n"),
    "header-control": _with(b"X: \x01\r\n"),
    "chunk-size-garbage": _CHUNKED + b"zz\r\nabc\r\n0\r\n\r\n",
    "chunk-overflow": _CHUNKED + b"10000000000000003\r\nabc\r\n0\r\n\r\n",
}
"""Each is refused or cut off."""

HIDDEN = b"GET /ping?hidden HTTP/1.1\r\n" + HOST + _END
_LENGTH = b"Content-Length: %d\r\n"

SMUGGLING: dict[str, bytes] = {
    "cl.te": _POST + _LENGTH % (5 + len(HIDDEN)) + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + HIDDEN,
    "te.cl": _POST + b"Transfer-Encoding: chunked\r\n" + _LENGTH % 3 + b"\r\n%x\r\n" % len(HIDDEN) + HIDDEN + b"\r\n0\r\n\r\n",
    "cl-twice": _POST + _LENGTH % 0 + _LENGTH % len(HIDDEN) + _END + HIDDEN,
    "cl-twice-equal": _POST + _LENGTH % 3 + _LENGTH % 3 + b"\r\nabc" + HIDDEN,
    "cl-list": _POST + b"Content-Length: 0, %d\r\n\r\n" % len(HIDDEN) + HIDDEN,
    "cl-plus": _POST + b"Content-Length: +%d\r\n\r\n" % len(HIDDEN) + HIDDEN,
    "cl-minus": _POST + b"Content-Length: -1\r\n\r\n" + HIDDEN,
    "cl-hex": _POST + b"Content-Length: 0x10\r\n\r\n" + HIDDEN,
    "cl-blank-inside": _POST + b"Content-Length: 1 0\r\n\r\n" + HIDDEN,
    "cl-overflow": _POST + b"Content-Length: 18446744073709551616\r\n\r\n" + HIDDEN,
    "cl-ws-name": _POST + b"Content-Length : %d\r\n\r\n" % len(HIDDEN) + HIDDEN,
    "te-xchunked-cl": _POST + b"Transfer-Encoding: xchunked\r\n" + _LENGTH % len(HIDDEN) + _END + HIDDEN,
    "te-identity-last": _POST + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n" + HIDDEN,
    "te-two-headers": _POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n" + HIDDEN,
    "te-twice": _POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + HIDDEN,
    "te-http10": b"POST /predictions/echo HTTP/1.0\r\n" + HOST + b"Transfer-Encoding: chunked\r\nConnection: keep-alive\r\n\r\n0\r\n\r\n" + HIDDEN,
    "te-tab": _POST + b"Transfer-Encoding:\x0bchunked\r\n" + _LENGTH % 0 + _END + HIDDEN,
    "chunk-lf-ext": _CHUNKED + b"3;x\nabc\r\n0\r\n\r\n" + HIDDEN,
    "chunk-size-sp": _CHUNKED + b"3 \r\nabc\r\n0\r\n\r\n" + HIDDEN,
    "chunk-no-crlf": _CHUNKED + b"3\r\nabcX\r\n0\r\n\r\n" + HIDDEN,
}
"""Two requests for one reader, one for another: the second one must never be answered."""

MORE_SMUGGLING: dict[str, bytes] = {
    "te-null": _POST + b"Transfer-Encoding: chunked\0\r\n\r\n0\r\n\r\n" + HIDDEN,
    "te-gzip": _POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n" + HIDDEN,
    "te-empty": _POST + b"Transfer-Encoding:\r\n\r\n0\r\n\r\n" + HIDDEN,
    "te-quoted": _POST + b'Transfer-Encoding: "chunked"\r\n\r\n0\r\n\r\n' + HIDDEN,
    "te-folded": _POST + b"Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n" + HIDDEN,
    "chunk-size-0x": _CHUNKED + b"0x3\r\nabc\r\n0\r\n\r\n" + HIDDEN,
    "chunk-size-minus": _CHUNKED + b"-1\r\nabc\r\n0\r\n\r\n" + HIDDEN,
    "chunk-size-lead-sp": _CHUNKED + b" 3\r\nabc\r\n0\r\n\r\n" + HIDDEN,
    "chunk-lf": _CHUNKED + b"3\nabc\n0\n\n" + HIDDEN,
    "chunk-cr": _CHUNKED + b"3\rabc\r0\r\r" + HIDDEN,
    "chunk-data-lf": _CHUNKED + b"3\r\nabc\n0\r\n\r\n" + HIDDEN,
    "chunk-ext-cr": _CHUNKED + b"3;a\rb\r\nabc\r\n0\r\n\r\n" + HIDDEN,
    "chunk-empty-size": _CHUNKED + b"\r\nabc\r\n0\r\n\r\n" + HIDDEN,
    "trailer-lf": _CHUNKED + b"0\r\nX: y\n\r\n" + HIDDEN,
    "trailer-nul": _CHUNKED + b"0\r\nX: \0\r\n\r\n" + HIDDEN,
    "last-chunk-garbage": _CHUNKED + b"0\r\nX\r\n\r\n" + HIDDEN,
}
"""More of the same kind."""

VALID: dict[str, tuple[bytes, int]] = {
    "get": (_get(), 1),
    "two": (_get() + _get(b"/show"), 2),
    "length": (_POST + b"Content-Length: 5\r\n\r\nhello" + HIDDEN, 2),
    "length-0": (_POST + b"Content-Length: 0\r\n\r\n" + HIDDEN, 2),
    "chunked": (_CHUNKED + b"3;x=y\r\nabc\r\nA\r\n0123456789\r\n0\r\nX: y\r\n\r\n" + HIDDEN, 2),
    "expect": (_POST + b"Expect: 100-continue\r\nContent-Length: 3\r\n\r\nabc" + HIDDEN, 2),
    "upgrade": (_POST + b"Connection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 3\r\n\r\nabc", 1),
    "upgrade-chunked": (_POST + b"Connection: Upgrade\r\nUpgrade: h2c\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", 1),
    "close": (_POST + b"Connection: close\r\nContent-Length: 3\r\n\r\nabc" + HIDDEN, 1),
    "http-1.0": (b"GET /ping HTTP/1.0\r\n\r\n", 1),
    "http-1.0-kept": (b"GET /ping HTTP/1.0\r\nConnection: keep-alive\r\n\r\n" + HIDDEN, 2),
    "absolute": (_get(b"http://a/ping"), 1),
    # two blanks before the target, but not behind it, are skipped: RFC 9112 lets a server split the line into words
    "two-blanks": (b"GET  /ping HTTP/1.1\r\n" + HOST + _END, 1),
    "options": (b"OPTIONS * HTTP/1.1\r\n" + HOST + _END, 1),
    "odd-values": (_with(b"X:\r\nY: \t a\x80\xff \r\nz!#$%&'*+-.^_`|~: ;,\r\n"), 1),
    "not-found": (b"POST /nowhere HTTP/1.1\r\n" + HOST + b"Content-Length: 3\r\n\r\nabc" + HIDDEN, 1),
    "form": (_POST + b"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 7\r\n\r\na=1&b=2", 1),
}
"""Good messages and how many final replies they get."""
