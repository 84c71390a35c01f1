"""What the server needs to know of a request's head, and why it refuses some."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import httptools

from argosy import wire
from argosy.frontend.limits import WRONG_VERSION, Limits, Problem, oversize, too_large
from argosy.frontend.pattern import Pattern, pattern_of
from argosy.frontend.plan import Plan
from argosy.printable import escape
from argosy.protocols.endpoint import HttpReply

if TYPE_CHECKING:
    from argosy.dataplane.served import ServedModel
    from argosy.frontend.site import Site
    from argosy.protocols.tokens import Gate

_ID_CHARACTERS = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.:/+=")
_LONGEST_ID = 128
_LONGEST_SUBJECT = 256
FRESH_ID = 36
"""Characters of an id that the server gives."""
_NOTHING = memoryview(b"")
_FORMS = (b"multipart/", b"application/x-www-form-urlencoded")
_VERSIONS = {"1.1": b"1.1", "1.0": b"1.0"}

_PREFLIGHT = Plan(refusal=HttpReply(200, content_type=None))
"""Where tokens are needed: browsers ask without one whether they may ask, and learn what is configured and nothing of the models."""

_HOST, _LENGTH, _TYPE, _CONNECTION, _ENCODING, _EXPECT, _ID, _UPGRADE = range(8)
_INTERESTING = {
    b"host": _HOST,
    b"content-length": _LENGTH,
    b"content-type": _TYPE,
    b"connection": _CONNECTION,
    b"transfer-encoding": _ENCODING,
    b"expect": _EXPECT,
    b"x-request-id": _ID,
    b"upgrade": _UPGRADE,
}


class Head:
    """The head of a request. A client that sends the same head again on its connection gets the same object.

    `plan` is None until the site has said what happens to the request. Written by the connection only, before the request starts.
    """

    __slots__ = (
        "block", "body", "content_type", "expects", "fields", "generation", "hosts", "id", "is_chunked", "is_form", "is_plain", "keep_alive",
        "large", "length", "line", "method", "model", "names_connection", "pattern", "plan", "problem", "raw", "shape", "size", "target",
        "upgrades", "version",
    )  # fmt: skip

    def __init__(self, method: bytes, target: bytes, fields: Sequence[bytes], keep_alive: bool) -> None:
        self.method = method
        self.target = target
        self.block = block = b"\0".join(fields)
        if b" \0" in block or b"\t\0" in block or block.endswith((b" ", b"\t")):  # blanks behind a value are no part of it
            fields = [field.rstrip(b" \t") for field in fields]
            self.block = b"\0".join(fields)
        self.fields = fields
        """name, value, name, value …"""
        self.keep_alive = keep_alive
        self.is_plain = keep_alive and method != b"HEAD"
        """Whether an ordinary answer needs no more than the ordinary head."""
        self.version = b"1.1"
        self.content_type = b""
        self.is_form = False
        self.length = 0
        """The announced length of the body."""
        self.id = b""
        """The request id that the client chose."""
        self.hosts = 0
        self.names_connection = False
        self.is_chunked = False
        self.expects = False
        self.upgrades = False
        self.problem: Problem | None = None
        self.plan: Plan | None = None
        self.model: ServedModel | None = None
        """The model, when the request is an ordinary prediction: its small body of known length is the only input."""
        self.large: ServedModel | None = None
        """The model, when the request is an ordinary prediction in all but the size of its body."""
        self.generation = -1
        self.raw = b""
        """The bytes of the head, once `remember` has got them."""
        self.size = -1
        """Bytes of a whole request that begins with `raw` and has a small body."""
        self.body = _NOTHING
        """Where the small body lies in the common buffer when the request has come whole."""
        self.shape = b""
        """What the job record says of its lengths, see `wire.job_shape`. Of an ordinary prediction whose `raw` is known."""
        self.pattern: Pattern | None = None
        """What `raw` has in common with the heads of other small bodies."""
        self.line = ""
        """The request line for the log, once `name` has made it."""
        for at in range(0, len(fields), 2):
            kind = _INTERESTING.get(fields[at].lower())
            if kind is not None:
                self._note(kind, fields[at + 1])

    def __repr__(self) -> str:
        return f"<Head {self.method.decode('latin-1')} {self.target!r} {self.length} bytes>"

    def _note(self, kind: int, value: bytes) -> None:
        if kind == _HOST:
            self.hosts += 1
        elif kind == _LENGTH:
            self.length = int(value)
        elif kind == _TYPE:
            self.content_type = value
            self.is_form = value.lower().startswith(_FORMS)
        elif kind == _CONNECTION:
            self.names_connection = True
        elif kind == _ENCODING:
            if self.is_chunked or value.strip().lower() != b"chunked":
                self.problem = 501, "NotImplementedException", "The only transfer coding that is understood is chunked, once."
            self.is_chunked = True
        elif kind == _EXPECT:
            self.expects = value.strip().lower() == b"100-continue"
            if not self.expects:
                self.problem = 417, "ExpectationFailedException", "The only expectation that is understood is 100-continue."
        elif kind == _UPGRADE:
            self.upgrades = True
        elif 0 < len(value) <= _LONGEST_ID and _ID_CHARACTERS.issuperset(value):
            self.id = value

    def name(self) -> str:
        """The request line, for the log: without control characters."""
        self.line = escape((b"%s %s HTTP/%s" % (self.method, self.target, self.version)).decode("latin-1"))
        return self.line

    @property
    def is_repeatable(self) -> bool:
        """Whether an equal head on the same connection means the same."""
        return self.version == b"1.1" and not (self.id or self.expects or self.upgrades or self.is_chunked)

    @property
    def framing(self) -> bytes:
        """The head of a request with a body of the same framing and nothing else."""
        framing = b"Transfer-Encoding: chunked" if self.is_chunked else b"Content-Length: %d" % self.length
        return b"POST / HTTP/1.1\r\nHost: -\r\n%s\r\n\r\n" % framing

    def planned(self, plan: Plan, limits: Limits) -> None:
        """The site has said what happens to the request."""
        self.plan = plan
        if not (plan.with_query or self.is_form or self.is_chunked or self.upgrades or self.expects or limits.request_deadline_s):
            if self.length < limits.arena_bytes:
                self.model = plan.model
            else:
                self.large = plan.model

    def remember(self, data: memoryview, size: int, small: int) -> None:
        """`data` begins with this head, `size` bytes long if nothing else came before it: equal bytes need not be parsed again.

        Nor need those that differ in the length of a body of less than `small` bytes.
        """
        raw = bytes(data[:size]) if size > 0 else b""
        if raw.find(b"\r\n\r\n") == size - 4 and self.is_repeatable:
            self.raw = raw
            if self.model is not None and len(self.content_type) <= wire.LONGEST_TYPE:
                self.size = size + self.length
                self.body = data[size : self.size]
                self.shape = wire.job_shape(FRESH_ID, len(self.content_type), len(self.block), self.length)
                self.pattern = pattern_of(raw, self.block, small)

    def as_last(self) -> Head:
        """The same head, of a request whose client sends nothing more."""
        last = copy.copy(self)
        last.keep_alive = last.is_plain = False
        return last

    def problem_with(self, version: bytes, limits: Limits) -> Problem | None:
        """Why the request cannot be served. `version` is empty when it is neither 1.0 nor 1.1."""
        self.version = version or b"1.1"
        if not version:
            return WRONG_VERSION
        if self.hosts != 1 and (self.hosts or version == b"1.1"):
            return 400, "BadRequestException", "An HTTP/1.1 request needs exactly one Host header."
        if self.is_chunked and version != b"1.1":
            return 501, "NotImplementedException", "Transfer codings belong to HTTP/1.1."
        if version != b"1.1":
            self.expects = False  # a client of HTTP/1.0 would take an interim reply for the final one
        if self.method == b"CONNECT":
            return 405, "MethodNotAllowedException", "CONNECT is not served here."
        return self.problem or (too_large(limits.body_bytes) if self.length > limits.body_bytes else None)


NO_HEAD = Head(b"GET", b"/", (), False)
"""The head of a request whose head has not been read."""


def read_head(parser: httptools.HttpRequestParser, target: bytes, fields: Sequence[bytes], received: int, site: Site) -> Head:
    """The head that the parser has read, of which `received` bytes have come; it has a problem or a plan."""
    keep = parser.should_keep_alive()
    head = Head(parser.get_method(), target, fields, keep)
    # with neither a Connection field nor a reason to close it can only be HTTP/1.1
    version = _VERSIONS.get(parser.get_http_version(), b"") if head.names_connection or not keep else b"1.1"
    head.problem = oversize(target, fields, site.limits, received) or head.problem_with(version, site.limits)
    if head.problem is None:
        plan = site.plan(head.method, target)
        if site.gate is not None:
            plan = pass_gate(head, plan, site.gate)
    if head.problem is None:
        head.planned(plan, site.limits)
        head.generation = site.registry.generation
    return head


def pass_gate(head: Head, plan: Plan, gate: Gate) -> Plan:
    """The plan of a request that the gate lets pass; `head.problem` says why not. A token is for the server: it does not reach the model."""
    names = [name.lower() for name in head.fields[::2]]
    if head.method == b"OPTIONS" and b"origin" in names and b"access-control-request-method" in names:
        return _PREFLIGHT
    head.problem = gate.problem(head.fields, plan.scope)
    if b"authorization" in names:
        kept = [at for at, name in enumerate(names) if name != b"authorization"]
        head.block = b"\0".join(piece for at in kept for piece in head.fields[2 * at : 2 * at + 2])
    return plan


def subject(certificate: Mapping[str, Any]) -> str:
    """Whom a client's certificate names, for the log: its common name, else its whole subject, without what could forge a line."""
    entries = [entry for group in certificate.get("subject", ()) for entry in group]
    names = [value for key, value in entries if key == "commonName"] or [f"{key}={value}" for key, value in entries]
    return escape(",".join(names)).replace('"', "'").replace("]", ")")[:_LONGEST_SUBJECT]


def access_lines(records: list[tuple[Any, ...]]) -> list[str]:
    """The lines of the access log for records of `Site.access`; of a reply in pieces the length of its body comes last."""
    try:
        return [f'{peer} "{head.line or head.name()}" {status} {int((now - started) * 1e3)}' for now, peer, head, status, started in records]
    except ValueError:  # a record has a length: few do, and the others need not be asked
        return [
            f'{peer} "{head.line or head.name()}" {status} {int((now - started) * 1e3)}{"".join(f" {size}" for size in more)}'
            for now, peer, head, status, started, *more in records
        ]
