"""What a reply in pieces looks like on the wire: framing, its end, and how it shows that it has none."""

from __future__ import annotations

import pytest

from argosy.errors import ArgosyError, ErrorCode
from argosy.messages import Request, Response
from argosy.testing.http import FakeClient, FakeModel, FakeSite

from .conftest import MakeSite

HOST = b"Host: a\r\n"
POST = b"POST /predictions/echo HTTP/1.1\r\n" + HOST + b"x-request-id: one\r\nContent-Length: 0\r\n\r\n"
OLD = b"POST /predictions/echo HTTP/1.0\r\nx-request-id: one\r\nContent-Length: 0\r\n\r\n"
NO_CACHE = (
    b"Pragma: no-cache\r\nCache-Control: no-cache; no-store, must-revalidate, private\r\nExpires: Thu, 01 Jan 1970 00:00:00 UTC\r\n"
)
BOOM = ArgosyError(ErrorCode.HANDLER_FAILED, "Prediction failed")


class Meter:
    """The way back of a stream: counts how often there was room."""

    def __init__(self) -> None:
        self.count = 0

    def drained(self) -> None:
        """Count."""
        self.count += 1


class Answer:
    """A request whose handler answers in pieces, as a test says."""

    def __init__(self, make_site: MakeSite, request: bytes = POST, kind: str = "text/plain", status: int = 200, **options: object) -> None:
        self.model = FakeModel()
        self.site: FakeSite = make_site(model=self.model, **options)
        self.client: FakeClient = self.site.client().send(request)
        self.flow = Meter()
        self.job: Request = self.model.jobs[0]
        self.status = status
        self.kind = kind

    def begin(self, *pieces: bytes) -> Answer:
        """Begin it with these pieces."""
        self.job.sink.begin(Response(self.status, b"", "", [("content-type", self.kind)] if self.kind else None), self.flow)
        return self.chunk(*pieces)

    def chunk(self, *pieces: bytes) -> Answer:
        """Go on."""
        for piece in pieces:
            self.job.sink.chunk(piece)
        return self

    def end(self) -> Answer:
        """That was all."""
        self.model.jobs.remove(self.job)
        self.job.sink.end()
        return self

    def fail(self, error: ArgosyError = BOOM) -> Answer:
        """The rest does not come."""
        self.model.jobs.remove(self.job)
        self.job.sink.fail(error)
        return self


def test_transcript_of_a_stream(make_site: MakeSite) -> None:
    """The head says chunked and no length; each piece is a chunk; the last chunk is empty; the connection goes on."""
    answer = Answer(make_site).begin(b"first ", b"x" * 26)
    assert answer.client.raw == (
        b"HTTP/1.1 200 \r\ncontent-type: text/plain\r\nx-request-id: one\r\n" + NO_CACHE
        + b"transfer-encoding: chunked\r\nconnection: keep-alive\r\n\r\n6\r\nfirst \r\n1a\r\n" + b"x" * 26 + b"\r\n"
    )  # fmt: skip
    answer.chunk(b"\r\n0\r\n\r\n")
    assert answer.client.raw == b"7\r\n\r\n0\r\n\r\n\r\n"
    answer.end()
    assert answer.client.raw == b"0\r\n\r\n"
    assert answer.client.is_open
    assert answer.site.log.lines == ['/192.0.2.7:4711 "POST /predictions/echo HTTP/1.1" 200 0 39']
    assert answer.site.counters.successful == 1


def test_the_head_leaves_before_the_first_piece(make_site: MakeSite) -> None:
    """An answer that has begun shows, also when its first piece is still being made."""
    assert Answer(make_site).begin().client.raw.endswith(b"connection: keep-alive\r\n\r\n")


def test_pieces_of_one_turn_leave_together(make_site: MakeSite) -> None:
    """As replies do; those of the next turn do not wait for more."""
    answer = Answer(make_site).begin(b"a", b"b")
    assert answer.client.transport.sent == b""
    assert answer.client.raw.endswith(b"1\r\na\r\n1\r\nb\r\n")


def test_http_1_0_reads_until_the_end(make_site: MakeSite) -> None:
    """It knows no chunks: the pieces come bare, and the end of the connection is that of the body."""
    answer = Answer(make_site, OLD).begin(b"a", b"b").end()
    raw = answer.client.raw
    assert raw.endswith(b"connection: close\r\n\r\nab")
    assert b"transfer-encoding" not in raw
    assert b"content-length" not in raw
    assert (answer.client.is_open, answer.client.transport.aborted) == (False, False)


def test_last_request_of_a_connection(make_site: MakeSite) -> None:
    """A client that wants the connection closed gets a whole body first."""
    answer = Answer(make_site, POST.replace(HOST, HOST + b"Connection: close\r\n")).begin(b"a").end()
    raw = answer.client.raw
    assert b"connection: close\r\n" in raw
    assert raw.endswith(b"1\r\na\r\n0\r\n\r\n")
    assert not answer.client.is_open


def test_failure_before_the_first_piece_is_an_ordinary_reply(make_site: MakeSite) -> None:
    """The client learns the status."""
    reply = Answer(make_site).fail().client.reply()
    assert (reply.status, b"Prediction failed" in reply.body) == (503, True)


def test_failure_in_the_middle_has_no_clean_end(make_site: MakeSite, caplog: pytest.LogCaptureFixture) -> None:
    """What came before arrives, the last chunk never does, and the connection ends; the log says so."""
    answer = Answer(make_site).begin(b"a").fail()
    assert answer.client.raw.endswith(b"\r\n\r\n1\r\na\r\n")
    assert (answer.client.is_open, answer.client.transport.aborted) == (False, False)
    assert "request one: its answer was cut off after 1 bytes: Prediction failed" in caplog.text
    assert answer.site.log.lines[0].endswith(" 200 0 1")


def test_failure_in_the_middle_for_http_1_0_breaks_the_connection(make_site: MakeSite) -> None:
    """An orderly end would look like that of the body."""
    answer = Answer(make_site, OLD).begin(b"a").fail()
    assert answer.client.raw.endswith(b"\r\n\r\na")
    assert answer.client.transport.aborted


@pytest.mark.parametrize("kind", ["text/event-stream", "Text/Event-Stream; charset=utf-8"])
def test_a_stream_of_events_tells_of_its_failure(make_site: MakeSite, kind: str) -> None:
    """As its last event, in the words of a failed reply; the body is cut off all the same."""
    answer = Answer(make_site, kind=kind).begin(b"data: a\n\n").fail()
    body = answer.client.raw.partition(b"\r\n\r\n")[2]
    assert body.startswith(b"9\r\ndata: a\n\n\r\n")
    assert b"event: error\ndata: {\ndata:   \"code\": 503,\n" in body
    assert body.endswith(b"data: }\n\n\r\n")
    assert not answer.client.is_open


def test_head_of_a_stream(make_site: MakeSite) -> None:
    """HEAD gets the head alone; nobody waits for the pieces, so the job is cancelled, and the connection goes on."""
    answer = Answer(make_site, POST.replace(b"POST", b"HEAD")).begin(b"a")
    raw = answer.client.raw
    assert raw.endswith(b"transfer-encoding: chunked\r\nconnection: keep-alive\r\n\r\n")
    assert answer.model.cancelled == [answer.job]
    assert answer.client.is_open


@pytest.mark.parametrize("status", [204, 304])
def test_status_without_a_body(make_site: MakeSite, status: int) -> None:
    """Its pieces are not wanted."""
    answer = Answer(make_site, status=status).begin(b"a")
    raw = answer.client.raw
    assert raw.startswith(b"HTTP/1.1 %d " % status)
    assert b"transfer-encoding" not in raw
    assert raw.endswith(b"\r\n\r\n")
    assert answer.model.cancelled == [answer.job]


def test_status_that_cannot_be_sent(make_site: MakeSite) -> None:
    """The handler's output is bad; its pieces are not wanted."""
    answer = Answer(make_site, status=199).begin(b"a")
    assert answer.client.reply().status == 503
    assert answer.model.cancelled == [answer.job]


def test_status_of_a_handler(make_site: MakeSite) -> None:
    """It may stream the reason why it fails; like after every failure the connection ends."""
    answer = Answer(make_site, status=418).begin(b"a").end()
    raw = answer.client.raw
    assert raw.startswith(b"HTTP/1.1 418 ")
    assert b"connection: close" in raw
    assert raw.endswith(b"0\r\n\r\n")
    assert answer.site.counters.client_errors == 1


def test_cors_headers(make_site: MakeSite) -> None:
    """They are on streams, too."""
    answer = Answer(make_site, cors=(("access-control-allow-origin", "http://a"),)).begin().end()
    assert b"access-control-allow-origin: http://a\r\n" in answer.client.raw


def test_a_stopping_server_ends_the_connection_behind_a_stream(make_site: MakeSite) -> None:
    """The stream itself goes on to its end."""
    answer = Answer(make_site)
    answer.site.site.drain()
    answer.client.connection.drain()
    answer.begin(b"a").end()
    raw = answer.client.raw
    assert b"connection: close\r\n" in raw
    assert raw.endswith(b"0\r\n\r\n")
    assert not answer.client.is_open


def test_a_slow_reader_gives_no_room(make_site: MakeSite) -> None:
    """Each piece makes room for more until the client stops reading; when it reads on there is room again, once."""
    answer = Answer(make_site).begin(b"a", b"b")
    assert answer.flow.count == 2
    answer.client.transport.stuck = True
    answer.chunk(b"x" * 70_000)
    answer.site.loop.run()
    answer.flow.count = 0
    answer.chunk(b"c", b"d")
    answer.site.loop.run()
    assert answer.flow.count == 0
    answer.client.transport.read_on()
    assert answer.flow.count == 1
    answer.chunk(b"e")
    assert answer.flow.count == 2
    answer.end()
    assert answer.client.raw.endswith(b"1\r\ne\r\n0\r\n\r\n")


def test_a_client_that_reads_nothing_is_cut_off(make_site: MakeSite) -> None:
    """After the idle timeout, and its job is cancelled."""
    answer = Answer(make_site)
    answer.client.transport.stuck = True
    answer.begin(b"x" * 70_000)
    answer.client.wait(80)
    assert answer.client.transport.aborted
    assert answer.model.cancelled == [answer.job]


def test_a_client_that_leaves_cancels_its_job(make_site: MakeSite) -> None:
    """Pieces that still come go nowhere; the access log tells how much was sent."""
    answer = Answer(make_site).begin(b"abc")
    answer.site.loop.run()
    answer.client.leave()
    assert answer.model.cancelled == [answer.job]
    answer.chunk(b"late")
    answer.job.sink.end()
    answer.job.sink.fail(BOOM)
    assert answer.site.log.lines == ['/192.0.2.7:4711 "POST /predictions/echo HTTP/1.1" 200 0 3']


def test_an_answer_that_begins_for_nobody(make_site: MakeSite) -> None:
    """Its client left before: nothing is written."""
    answer = Answer(make_site)
    answer.client.leave()
    answer.begin(b"a")
    answer.job.sink.end()
    assert answer.client.raw == b""


def test_pipelined_requests_wait_for_the_end(make_site: MakeSite) -> None:
    """The next request of a connection starts when the stream is whole."""
    answer = Answer(make_site, POST + POST).begin(b"a")
    assert len(answer.model.jobs) == 1
    answer.end()
    answer.client.pump()
    assert len(answer.model.jobs) == 1
    assert answer.model.jobs[0] is not answer.job
    answer.model.answer(Response(200, b"second"))
    second = b"HTTP/1.1 200 \r\nx-request-id: one\r\n" + NO_CACHE + b"content-length: 6\r\nconnection: keep-alive\r\n\r\nsecond"
    assert answer.client.raw.endswith(b"0\r\n\r\n" + second)
