"""Downloads from servers of every character."""

from __future__ import annotations

import errno
import io
import os
import socket
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from argosy.errors import ArgosyError, ErrorCode
from argosy.store.address import AddressPolicy, Target
from argosy.store.download import Downloader, DownloadLimits

if TYPE_CHECKING:
    from typing_extensions import Buffer

    from unit.store.conftest import WebServer

BODY = bytes(range(256)) * 100
QUICK = DownloadLimits(idle_s=5.0, max_bytes=1 << 20, resume_delays_s=(0.0, 0.0, 0.0))


def fetched(url: str, *, allowed: list[str] | None = None, limits: DownloadLimits = QUICK) -> bytes:
    """What a download brings."""
    file = io.BytesIO()
    Downloader(AddressPolicy(allowed), limits).fetch(url, file)
    return file.getvalue()


def refusal(url: str, *, allowed: list[str] | None = None, limits: DownloadLimits = QUICK) -> ArgosyError:
    """Why a download fails."""
    with pytest.raises(ArgosyError) as caught:
        fetched(url, allowed=allowed, limits=limits)
    return caught.value


def breaking_off(pieces: list[int], *, honours_range: bool = True, **headers: str) -> Callable[[BaseHTTPRequestHandler], None]:
    """A server that closes the connection after so many bytes, each time one of `pieces`, then goes on to the end."""
    left = list(pieces)

    def answer(handler: BaseHTTPRequestHandler) -> None:
        wanted = handler.headers.get("Range", "")
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and honours_range else 0
        handler.send_response(206 if start else 200)
        if start:
            handler.send_header("Content-Range", f"bytes {start}-{len(BODY) - 1}/{len(BODY)}")
        handler.send_header("Content-Length", str(len(BODY) - start))
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        handler.wfile.write(BODY[start : start + left.pop(0)] if left else BODY[start:])

    return answer


def test_a_refused_connection_fails_in_the_known_words() -> None:
    """The client sees the url, the operator the reason."""
    error = refusal("http://127.0.0.1:1/x.mar")
    assert (error.code, error.message) == (ErrorCode.DOWNLOAD_FAILED, "Failed to download model from: http://127.0.0.1:1/x.mar")
    assert "refused" in error.detail


@pytest.mark.parametrize("status", [204, 206, 304, 401, 404, 503])
def test_a_status_other_than_200_is_told(web: WebServer, status: int) -> None:
    """An error page is never taken for a model."""
    url = web.serve("/x.mar", b"", status)
    assert refusal(url).message == f"Failed to download model from: {url}, code: {status}"


def test_what_is_no_http_fails(web: WebServer) -> None:
    """Whatever a server sends, it ends in one kind of failure."""
    def mail(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(b"220 smtp ready\r\n")

    web.answers["/x"] = mail
    assert refusal(web.url("/x")).code is ErrorCode.DOWNLOAD_FAILED


def test_a_silent_server_times_out(web: WebServer) -> None:
    """Waiting for bytes has an end."""

    def silent(handler: BaseHTTPRequestHandler) -> None:
        handler.rfile.read(1)

    web.answers["/x"] = silent
    assert refusal(web.url("/x"), limits=DownloadLimits(idle_s=0.05)).message == f"Download model timeout: {web.url('/x')}"


def test_a_download_as_a_whole_times_out(web: WebServer) -> None:
    """A server that drips cannot hold on for ever; the clock decides."""
    ticks = iter([0.0, 11.0])
    with pytest.raises(ArgosyError, match="Download model timeout"):
        Downloader(AddressPolicy(), DownloadLimits(total_s=10.0), lambda: next(ticks)).fetch(web.serve("/x", BODY), io.BytesIO())


def test_a_server_that_stops_ends_its_downloads(web: WebServer) -> None:
    """Closing fails what is running at its next bytes."""
    downloader = Downloader(AddressPolicy())
    downloader.close()
    with pytest.raises(ArgosyError) as caught:
        downloader.fetch(web.serve("/x", BODY), io.BytesIO())
    assert caught.value.detail == "the server is stopping"
    assert repr(downloader) == "<Downloader <AddressPolicy any> closed>"


def test_a_download_that_waits_ends_at_once_when_the_server_stops(web: WebServer) -> None:
    """Without waiting for the next bytes."""
    asked = threading.Event()

    def silent(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", "10")
        handler.end_headers()
        asked.set()
        handler.rfile.read(1)

    web.answers["/x"] = silent
    downloader = Downloader(AddressPolicy(), DownloadLimits(idle_s=600.0))

    def close() -> None:
        asked.wait()
        downloader.close()

    closer = threading.Thread(target=close)
    closer.start()
    with pytest.raises(ArgosyError) as caught:
        downloader.fetch(web.url("/x"), io.BytesIO())
    closer.join()
    assert caught.value.code is ErrorCode.DOWNLOAD_FAILED


def test_a_resumed_download_may_find_the_server_gone_for_a_moment(web: WebServer) -> None:
    """A connection that fails when resuming is one more interruption."""
    body, refusals = breaking_off([1000], ETag='"one"'), iter([True])

    def answer(handler: BaseHTTPRequestHandler) -> None:
        if "Range" not in handler.headers or not next(refusals, False):
            body(handler)

    web.answers["/x"] = answer
    assert fetched(web.url("/x")) == BODY


def test_a_full_disk_is_told_apart(web: WebServer) -> None:
    """It is not the fault of the address."""

    class FullDisk(io.BytesIO):
        def write(self, data: Buffer, /) -> int:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(ArgosyError, match="No space left to download") as caught:
        Downloader(AddressPolicy()).fetch(web.serve("/x", BODY), FullDisk())
    assert caught.value.code is ErrorCode.STORAGE_FULL


@pytest.mark.parametrize("announced", [True, False])
def test_a_download_is_bounded(web: WebServer, announced: bool) -> None:
    """By what the server announces, and by what it sends."""

    def endless(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        if announced:
            handler.send_header("Content-Length", str(1 << 40))
        handler.end_headers()
        handler.wfile.write(bytes(5000))

    web.answers["/x"] = endless
    error = refusal(web.url("/x"), limits=DownloadLimits(max_bytes=4000))
    assert error.message.endswith("/x: it is larger than 4000 bytes")


@pytest.mark.parametrize("where", ["file:///etc/passwd", "ftp://127.0.0.1/x", "", "gopher://x"])
def test_a_redirection_to_another_kind_of_address_is_not_followed(web: WebServer, where: str) -> None:
    """The status is told, as for any answer but 200."""
    url = web.redirect("/x", where or "//")
    error = refusal(url)
    assert error.code in (ErrorCode.DOWNLOAD_FAILED, ErrorCode.MODEL_NOT_FOUND)


def test_every_hop_is_checked_before_it_is_contacted(web: WebServer) -> None:
    """An allowed server cannot send us to another one."""
    web.serve("/secret/x", BODY)
    url = web.redirect("/good/x", web.url("/secret/x"))
    assert refusal(url, allowed=[web.url("/good/.*")]).code is ErrorCode.FORBIDDEN
    assert [path for path, _ in web.requests] == ["/good/x"]


def test_a_name_that_changes_its_meaning_is_not_asked_again(web: WebServer) -> None:
    """What was checked is what is connected to: whoever answers for the name later (DNS rebinding) cannot send the download elsewhere."""
    web.answers["/m.mar"] = breaking_off([])

    class Remembering(AddressPolicy):
        def check(self, url: str, *, trusted: bool = False) -> Target:
            return Target(url, False, "rebound.invalid", web.port, "/m.mar", ((socket.AF_INET, "127.0.0.1"),))

    file = io.BytesIO()
    Downloader(Remembering(), QUICK).fetch(f"http://rebound.invalid:{web.port}/m.mar", file)
    assert file.getvalue() == BODY


def test_redirections_are_followed_and_end(web: WebServer) -> None:
    """Relative and absolute ones, but not in a circle."""
    web.serve("/end", BODY)
    web.redirect("/middle", "end")
    assert fetched(web.redirect("/start", web.url("/middle"))) == BODY
    assert "more than 10 redirections" in refusal(web.redirect("/circle", "/circle")).detail


def test_an_interrupted_download_is_resumed_where_it_stopped(web: WebServer) -> None:
    """Only what is missing is asked for, and only if the content is still the same."""
    web.answers["/x"] = breaking_off([1000, 2000], ETag='"one"')
    assert fetched(web.url("/x")) == BODY
    asked = [(headers.get("Range"), headers.get("If-Range")) for _, headers in web.requests]
    assert asked == [(None, None), ("bytes=1000-", '"one"'), ("bytes=3000-", '"one"')]


DATE = "Sun, 22 Nov 2026 00:00:00 GMT"


@pytest.mark.parametrize(("headers", "honours"), [({"ETag": 'W/"weak"'}, True), ({}, True), ({"Last_Modified": DATE}, False)])
def test_without_a_way_to_resume_it_starts_again(web: WebServer, headers: dict[str, str], honours: bool) -> None:
    """Two contents are never mixed into one file."""
    web.answers["/x"] = breaking_off([1000], honours_range=honours, **headers)
    assert fetched(web.url("/x")) == BODY


def test_a_download_that_never_ends_whole_fails(web: WebServer) -> None:
    """A length that is a lie is found out, after a few tries."""
    web.answers["/x"] = breaking_off([10] * 9, ETag='"one"')
    error = refusal(web.url("/x"))
    assert error.message == f"Failed to download model from: {web.url('/x')}"
    assert "cut off after 40 bytes, several times" in error.detail
    assert len(web.requests) == 4


def test_a_broken_chunked_body_is_interrupted_too(web: WebServer) -> None:
    """A body without length says itself where it ends."""

    def chunked(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")

    web.answers["/x"] = chunked
    assert "several times" in refusal(web.url("/x")).detail


def test_a_wrong_range_is_not_appended(web: WebServer) -> None:
    """What begins elsewhere than asked for is an error."""
    first = breaking_off([10], ETag='"one"')

    def answer(handler: BaseHTTPRequestHandler) -> None:
        if "Range" not in handler.headers:
            first(handler)
            return
        handler.send_response(206)
        handler.send_header("Content-Range", "bytes 5-9/10")
        handler.send_header("Content-Length", "5")
        handler.end_headers()

    web.answers["/x"] = answer
    assert refusal(web.url("/x")).message.endswith("code: 206")


def test_no_proxy_and_no_encoding_is_asked_for(web: WebServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment cannot send downloads elsewhere, and the bytes come as they are."""
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.setenv("all_proxy", "http://127.0.0.1:1")
    assert fetched(web.serve("/x", BODY)) == BODY
    assert web.requests[0][1]["Accept-Encoding"] == "identity"
    assert web.requests[0][1]["Host"] == f"127.0.0.1:{web.port}"


def test_https_needs_a_certificate_that_is_known(web: WebServer, secure_web: tuple[WebServer, Path]) -> None:
    """A server without TLS, or with an unknown certificate, is not believed: nothing is asked of it."""
    server, _ = secure_web
    assert refusal(web.serve("/x", BODY).replace("http:", "https:")).code is ErrorCode.DOWNLOAD_FAILED
    error = refusal(server.serve("/x", BODY))
    assert error.code is ErrorCode.DOWNLOAD_FAILED
    assert "certificate" in error.detail
    assert server.requests == []


def test_https_with_a_certificate_of_the_host(secure_web: tuple[WebServer, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """A certificate that the system trusts is good for the names in it, and for no other; the Host header names the port."""
    server, certificate = secure_web
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    url = server.serve("/x", BODY)
    assert fetched(url) == BODY
    assert server.requests[0][1]["Host"] == f"127.0.0.1:{server.port}"
    assert "certificate" in refusal(url.replace("127.0.0.1", "127.1")).detail
    assert len(server.requests) == 1


def test_a_redirection_never_leaves_https(web: WebServer, secure_web: tuple[WebServer, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """From http to https it may lead, not back: what came over a secure connection is not taken from an open one."""
    server, certificate = secure_web
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    assert fetched(web.redirect("/up", server.serve("/x", BODY))) == BODY
    web.serve("/open", BODY)
    for where in (web.url("/open"), web.url("/open").upper().replace("/OPEN", "/open")):
        error = refusal(server.redirect("/down", where))
        assert error.message.endswith(", code: 302")
        assert "is not followed" in error.detail
    assert [path for path, _ in web.requests] == ["/up"]
    for where in ("x", server.url("/x").replace("https", "HTTPS")):
        assert fetched(server.redirect("/same", where)) == BODY
