"""One request and its reply on a connection; it is the reply sink of a prediction."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Sequence
from typing import TYPE_CHECKING

from argosy import wire
from argosy.errors import ArgosyError, ErrorCode
from argosy.frontend.head import NO_HEAD, Head
from argosy.frontend.limits import Problem
from argosy.frontend.plan import Plan
from argosy.frontend.replies import NO_CACHE, handler_headers, status_line
from argosy.frontend.streamed import StreamedReply
from argosy.frontend.target import split_target
from argosy.messages import Buffer, Flow, Part, PlainRequest, Request, Response
from argosy.protocols.endpoint import Call, HttpReply, HttpRequest
from argosy.protocols.forms import body_parts, query_parts
from argosy.protocols.status import failure, phrase

if TYPE_CHECKING:
    from argosy.dataplane.served import ServedModel
    from argosy.frontend.http import Connection
    from argosy.supervisor.arena import ArenaSlot

_log = logging.getLogger("argosy.frontend")
_PLAIN = b"HTTP/1.1 200 \r\nx-request-id: "
_JOINED = 64 * 1024


class Exchange:
    """From the first byte of a request to the last one of its reply. The connection makes it and is told when it is over."""

    # class attributes are the defaults: setting them for each request would cost more than all that is done with them. No constructor either:
    # calling one takes as much again as to make the object and set what it needs
    connection: Connection
    started: float
    chunks: list[bytes | bytearray]
    """Pieces of the body; not there when the request came without being parsed."""
    head = NO_HEAD
    id = b""
    received = 0
    reserved = 0
    """Bytes taken from the budget."""
    framed = -1
    """How much of a chunked body had come when its framing was last looked at; -1 before that."""
    uninvited = False
    """`100 Continue` has to wait for the reply to an earlier request."""
    upgraded = False
    """The body behind an ignored upgrade is being read."""
    slot: ArenaSlot | None = None
    request: Request | None = None
    task: asyncio.Task[None] | None = None
    streamed: StreamedReply | None = None
    """The reply that comes in pieces, once it has begun."""

    @classmethod
    def of(cls, connection: Connection, started: float) -> Exchange:
        """The next one of a connection."""
        exchange = cls()
        exchange.connection = connection
        exchange.started = started
        exchange.chunks = []
        return exchange

    def __repr__(self) -> str:
        return f"<Exchange {self.id.decode('latin-1')} {self.head!r} {self.received} received>"

    # -- the request was read ----------------------------------------------------------------------------------------

    def start(self) -> None:
        """Do what the request asks for. The reply comes now or later."""
        head = self.head
        try:
            if head.model is not None:  # nearly every request
                chunks = self.chunks
                body = chunks[0] if len(chunks) == 1 else b"".join(chunks)
                self.predict(self._shape(len(body)), head.block, body)
            elif head.large is not None and self.slot is not None:
                slot, self.slot = self.slot, None
                self.request = request = Request(self.id, head.content_type, head.block, slot.view, self, (), slot)
                request.admitted_at = self.connection.site.loop.time()
                head.large.submit(request)
            else:
                self._start_plan(head.plan)
        except ArgosyError as error:
            self.fail(error)
        except Exception as error:  # noqa: BLE001  the boundary of a request: it fails, the server goes on
            self._broken(error)

    def _shape(self, length: int) -> bytes:
        """See `wire.job_shape`. Raises `ArgosyError`."""
        try:
            return wire.job_shape(len(self.id), len(self.head.content_type), len(self.head.block), length)
        except wire.WireError as error:
            raise ArgosyError(ErrorCode.INVALID_REQUEST, f"The request cannot be handed to a worker: {error}") from error

    def predict(self, shape: bytes, block: bytes, body: Buffer) -> None:
        """Hand in an ordinary prediction: one with a small body, which is all of its input, and this header block. Any other goes through `start`."""
        head = self.head
        model = head.model
        assert model is not None
        self.request = request = PlainRequest()
        request.id = self.id
        request.content_type = head.content_type
        request.headers = block
        request.body = body
        request.sink = self
        request.shape = shape
        request.admitted_at = self.started
        try:
            model.submit(request)
        except ArgosyError as error:
            self.fail(error)
        except Exception as error:  # noqa: BLE001  as in `start`
            self._broken(error)

    def _start_plan(self, plan: Plan | None) -> None:
        """What is no ordinary prediction."""
        assert plan is not None
        if plan.model is not None:
            self._predict(plan.model, plan.with_query)
        elif plan.call is not None:
            self._call(plan.call)
        elif plan.refusal is not None:
            self.reply(plan.refusal)
        else:
            assert plan.error is not None
            self.fail(plan.error)

    def _predict(self, model: ServedModel, with_query: bool) -> None:
        body: Buffer | None
        if self.slot is not None:
            body = self.slot.view
        else:
            chunks = self.chunks
            body = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        parts: Sequence[Part] = ()
        if with_query:
            parts = query_parts(self.head.target.partition(b"?")[2].decode("latin-1"))
        head = self.head
        if head.is_form:
            fields = body_parts(head.content_type.decode("latin-1"), body)
            if fields is not None:
                parts = [*parts, *fields]
                body = None
        slot, self.slot = self.slot, None
        self.chunks = []
        self.request = request = Request(self.id, head.content_type, head.block, body, self, parts, slot)
        request.admitted_at = self.started if slot is None else self.connection.site.loop.time()
        limit_s = self.connection.site.limits.request_deadline_s
        if limit_s:
            request.deadline = self.started + limit_s
        model.submit(request)

    def _call(self, call: Call) -> None:
        head = self.head
        path, query = split_target(head.target)
        names = [name.decode("latin-1").lower() for name in head.fields[::2]]
        values = [value.decode("latin-1") for value in head.fields[1::2]]
        body = b"".join(self.chunks)
        self.chunks = []
        request = HttpRequest(
            head.method.decode("latin-1"), path, query, dict(zip(names, values, strict=True)), body, self.id.decode("latin-1"), self.connection.peer
        )
        result = call.function(request)
        if isinstance(result, HttpReply):
            self.reply(result)
        else:
            self.task = self.connection.site.loop.create_task(self._finish(result))

    async def _finish(self, result: Awaitable[HttpReply]) -> None:
        try:
            self.reply(await result)
        except ArgosyError as error:
            self.fail(error)
        except Exception as error:  # noqa: BLE001  as in `start`
            self._broken(error)

    def _broken(self, error: Exception) -> None:
        _log.error("request %s failed inside the server", self.id.decode("latin-1"), exc_info=error)
        self.fail(ArgosyError(ErrorCode.INTERNAL, f"The server failed; its log says more under request {self.id.decode('latin-1')}."))

    # -- the reply sink ----------------------------------------------------------------------------------------------

    def answer(self, body: Buffer, now: float, headers: Sequence[tuple[str, str]] = ()) -> None:
        """Send an ordinary answer of a handler: at once what `Connection.send`, `Connection.finished` and those that they call would do about it."""
        connection, head = self.connection, self.head
        site, length = connection.site, len(body)
        if not head.is_plain or connection.exchange is not self or site.is_special or length > _JOINED:
            self._respond(Response(200, body, "", headers))
            return
        try:
            begin = _PLAIN if not headers else site.beginning(tuple(headers))
            if begin is None:
                self._respond(Response(200, body, "", headers))
                return
            reply = b"".join((begin, self.id, site.tails.get(length) or site.tail(length), body))
            if connection.deferred is None:
                connection.deferred = reply
                if not site.senders:
                    site.loop.call_soon(site.send)
                site.senders.append(connection)
            else:
                connection.deferred += reply
            site.counters.successful += 1
            connection.since = now
            access = site.access
            if access is not None:
                access((now, connection.peer, head, "200", self.started))
            is_plain = type(self.request) is PlainRequest
            self.request = connection.exchange = None
            if connection.waiting or connection.reading_paused:
                connection.go_on()
            if not is_plain:
                self.free()  # last, for the memory may go to the next request of this very connection
        except Exception:
            connection.abort()
            raise

    def respond(self, response: Response) -> None:
        """Send the answer of a handler. When that is not possible the connection ends, so that its client does not wait for ever."""
        if response.status == 200 and not response.phrase:
            self.answer(response.body, self.connection.site.loop.time(), response.headers or ())
        else:
            self._respond(response)

    def _respond(self, response: Response) -> None:
        """Send an answer that needs a closer look."""
        status = response.status
        try:
            chosen = _chosen(response)
            if isinstance(chosen, ArgosyError):
                self.fail(chosen)
            else:
                self._send(status, status_line(status, response.phrase), chosen, response.body, response.headers or ())
        except Exception:
            self.connection.abort()
            raise

    def begin(self, response: Response, flow: Flow) -> None:
        """Send the head of an answer that comes in pieces. Who asked for the head alone waits for no more."""
        connection, status = self.connection, response.status
        if connection.exchange is not self:
            return
        chosen = _chosen(response)
        if isinstance(chosen, ArgosyError):
            self._stop()
            self.fail(chosen)
            return
        site = connection.site
        is_chunked = self.head.version == b"1.1"
        keep = self.head.keep_alive and status < 400 and not site.draining and is_chunked
        headers = response.headers or ()
        bodiless = status in (204, 304)
        connection.send(b"%s%sx-request-id: %s\r\n%s%s%s%s\r\n\r\n" % (
            status_line(status, response.phrase),
            chosen,
            self.id,
            _cors(site.cors, headers) if site.cors else b"",
            NO_CACHE,
            b"" if bodiless or not is_chunked else b"transfer-encoding: chunked\r\n",
            b"connection: keep-alive" if keep else b"connection: close",
        ))  # fmt: skip
        if bodiless or self.head.method == b"HEAD":
            self._stop()
            connection.finished(self, status, keep)
        else:
            kind = next((value for name, value in headers if name.lower() == "content-type"), "")
            self.streamed = StreamedReply(self, flow, status, keep, kind)

    def _stop(self) -> None:
        """Nothing more of the answer is wanted."""
        plan = self.head.plan
        if self.request is not None and plan is not None and plan.model is not None:
            plan.model.cancel(self.request)

    def chunk(self, data: bytes) -> None:
        """Send a piece."""
        if self.streamed is not None:
            self.streamed.chunk(data)

    def end(self) -> None:
        """The answer that came in pieces is whole."""
        if self.streamed is not None:
            self.streamed.end()

    def fail(self, error: ArgosyError) -> None:
        """Send a failure in the words of the dialect, or cut off what has begun."""
        reply = self.connection.site.dialect.error_reply(error, self.id.decode("latin-1"))
        if self.streamed is not None:
            self.streamed.cut(error, reply.body)
        else:
            self.reply(reply)

    def reply(self, reply: HttpReply) -> None:
        """Send a reply of the server itself."""
        kind = f"content-type: {reply.content_type}\r\n" if reply.content_type else ""
        more = "".join(f"{name}: {value}\r\n" for name, value in reply.headers)
        line = status_line(reply.status, phrase(reply.status) if reply.reason is None else reply.reason)
        self._send(reply.status, line, (kind + more).encode("latin-1"), reply.body, reply.headers)

    def _send(self, status: int, line: bytes, chosen: bytes, body: Buffer, headers: Sequence[tuple[str, str]]) -> None:
        connection = self.connection
        if connection.exchange is not self:  # its client is gone
            return
        site = connection.site
        keep = self.head.keep_alive and status < 400 and not site.draining
        cors = _cors(site.cors, headers) if site.cors else b""
        bodiless = status in (204, 304)
        head = b"%s%sx-request-id: %s\r\n%s%s%s%s\r\n\r\n" % (
            line,
            chosen,
            self.id,
            cors,
            NO_CACHE,
            b"" if bodiless else b"content-length: %d\r\n" % len(body),
            b"connection: keep-alive" if keep else b"connection: close",
        )
        if bodiless or self.head.method == b"HEAD":
            connection.write(head)
        elif len(body) <= _JOINED:
            connection.write(head + body)
        else:
            connection.write(head)
            connection.write(body)
        connection.finished(self, status, keep)

    def refused(self, problem: Problem, target: bytes) -> None:
        """Let the reply tell why the request is not read to its end. `target` is what is known of it when the head has not been read."""
        known = self.head
        self.head = head = Head(known.method, (target if known is NO_HEAD else known.target)[:1024] or b"/", (), False)
        head.version = known.version
        status, kind, message = problem
        challenge = (("WWW-Authenticate", 'Bearer realm="argosy"'),) if status == 401 else ()
        head.plan = Plan(refusal=HttpReply(status, failure(status, kind, message), headers=challenge, reason=phrase(status)))

    # -- the end -----------------------------------------------------------------------------------------------------

    def abandon(self) -> None:
        """The client is gone."""
        self.free()
        self._stop()

    def free(self) -> None:
        """Give back memory that no job holds."""
        if self.slot is not None:
            self.slot.release()
            self.slot = None
        if self.reserved:
            self.connection.site.budget.give_back(self.reserved)
            self.reserved = 0


def _chosen(response: Response) -> bytes | ArgosyError:
    """The header lines that a handler chose, or why its answer cannot be sent."""
    if not 200 <= response.status <= 999:
        return ArgosyError(ErrorCode.BAD_OUTPUT, f"The handler set the status {response.status}; a final status is 200 to 999.")
    lines = handler_headers(response.headers) if response.headers else b""
    if lines is None:
        return ArgosyError(ErrorCode.BAD_OUTPUT, "The handler set a response header that cannot be sent: a name or value is malformed.")
    return lines


def _cors(configured: tuple[tuple[str, str], ...], headers: Sequence[tuple[str, str]]) -> bytes:
    """The configured CORS headers, less those that the reply brings itself."""
    present = {name.lower() for name, _ in headers}
    return "".join(f"{name}: {value}\r\n" for name, value in configured if name not in present).encode("latin-1")
