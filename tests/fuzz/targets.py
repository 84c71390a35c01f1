"""What is attacked with arbitrary bytes: each target feeds them to one reader and raises unless that keeps its promise."""

from __future__ import annotations

import contextlib
import io
import re
import struct
import tarfile
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from argosy import properties, wire
from argosy.config.load import load_config
from argosy.errors import ArgosyError, ErrorCode
from argosy.frontend.limits import Limits as HttpLimits
from argosy.frontend.target import split_target
from argosy.protocols.forms import MAX_PARTS, body_parts, query_values
from argosy.store.lenient import LenientError, read_lenient
from argosy.store.manifest import parse_legacy, parse_manifest
from argosy.store.tree import Limits
from argosy.store.unpack import unpack
from argosy.supervisor.launch import read_report
from argosy.testing.http import FakeModel, FakeSite, echo, read_replies
from argosy.testing.worker import job_record, jobs_frame

Attack = Callable[[bytes], None]


@dataclass(frozen=True, slots=True)
class Target:
    """A function that takes any bytes, and inputs from which interesting ones can be made."""

    attack: Attack
    seeds: tuple[bytes, ...]


def _only(code: ErrorCode, function: Callable[[], object]) -> None:
    """Whatever else is raised is a finding."""
    found = _failure(function)
    assert found is None or (found.code is code and found.message), found


def _failure(function: Callable[[], object]) -> ArgosyError | None:
    try:
        function()
    except ArgosyError as error:
        return error
    return None


def _frames(data: bytes, sizes: list[int], limit: int) -> tuple[list[tuple[int, int, int, bytes]], bool]:
    """The frames of a stream that comes in pieces of these sizes, and whether it broke."""
    reader, found, at, turn = wire.FrameReader(limit), [], 0, 0
    try:
        while at < len(data):
            space = reader.space()
            count = min(len(space), sizes[turn % len(sizes)], len(data) - at)
            space[:count] = data[at : at + count]
            reader.filled(count)
            at, turn = at + count, turn + 1
            while (frame := reader.next()) is not None:
                found.append((frame.kind, frame.count, frame.id, bytes(frame.data)))
    except wire.WireError:
        return found, True
    assert len(reader.space()) <= 20 * wire.OUTBOX_SIZE, "no more is kept than a frame may be long"
    return found, False


def frames_of_a_worker(data: bytes) -> None:
    """What a worker sends is read alike however it is cut, and nothing but `WireError` comes of it."""
    whole = _frames(data, [1 << 20], 1 << 16)
    assert _frames(data, [1 + data[0] % 40 if data else 1, 7], 1 << 16) == whole
    for kind, _, _, content in whole[0]:
        with contextlib.suppress(wire.WireError):
            if kind == wire.HEAD:
                for answer in wire.read_answers(content):
                    wire.read_headers(answer.headers)
            elif kind == wire.LOADED:
                assert isinstance(read_report(memoryview(content)), dict)


def frames_of_a_server(data: bytes) -> None:
    """So it is with what a server sends to a worker."""
    for kind, count, _, content in _frames(data, [1 << 20], 1 << 16)[0]:
        with contextlib.suppress(wire.WireError):
            if kind == wire.JOBS:
                for job in wire.read_jobs(memoryview(content), count):
                    wire.read_headers(job.headers)
                    list(wire.read_parts(job.parts))


def output_of_a_worker(data: bytes) -> None:
    """No byte of a line is lost or made up but the marks."""
    pieces = wire.read_output(data)
    rest = b"".join(text for _, text in pieces)
    assert rest == re.sub(b"\x1e[^\x1e\x1f]*\x1f", b"", data)


def manifest(data: bytes) -> None:
    """A manifest is read or INVALID_MODEL, new and old."""
    for parse in (parse_manifest, parse_legacy):
        _only(ErrorCode.INVALID_MODEL, lambda parse=parse: parse(data))  # type: ignore[misc]  # a default binds it


def lenient_json(data: bytes) -> None:
    """Lenient JSON is read or refused in words."""
    with contextlib.suppress(LenientError):
        read_lenient(data.decode("utf-8", "replace"))


def archive(data: bytes) -> None:
    """An archive is unpacked into its folder or refused; nothing is made beside it, and nothing of a refused one stays."""
    with tempfile.TemporaryDirectory() as folder:
        inside = Path(folder) / "model"
        limits = Limits(total_bytes=1 << 20, free_bytes=1 << 16, entries=50, depth=8)
        failure = _failure(lambda: unpack(io.BytesIO(data), inside, "a.mar", limits))
        assert failure is None or (failure.code is ErrorCode.INVALID_MODEL and not inside.exists()), failure
        files = list(Path(folder).rglob("*"))
        assert all(path == inside or inside in path.parents for path in files)
        assert not any(path.is_symlink() for path in files)
        assert sum(path.stat().st_size for path in files if path.is_file()) <= 1 << 20
        assert len(files) <= 600


def configuration(data: bytes) -> None:
    """A configuration is read or INVALID_CONFIG, and each problem names a key or a line."""
    with contextlib.suppress(ArgosyError):
        for entry in properties.parse(properties.decode(data)):
            assert entry.line > 0
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "config.properties").write_bytes(data)
        _only(ErrorCode.INVALID_CONFIG, lambda: load_config({}, {}, Path(folder)))


def form(data: bytes) -> None:
    """A form, of the content type in the first line, is taken apart into bounded parts or INVALID_REQUEST."""
    kind, _, body = data.partition(b"\n")

    def parts() -> None:
        found = body_parts(kind.decode("latin-1"), body)
        assert found is None or (len(found) <= MAX_PARTS and sum(len(part.value) for part in found) <= len(body))

    _only(ErrorCode.INVALID_REQUEST, parts)


def query(data: bytes) -> None:
    """So it is with a query."""
    _only(ErrorCode.INVALID_REQUEST, lambda: query_values(data.decode("latin-1")))


def target(data: bytes) -> None:
    """A request target is a path or INVALID_REQUEST; what is accepted is decoded once."""

    def split() -> None:
        path, _ = split_target(data)
        assert path.startswith("/") or path[:1] in ("", "*") or data.startswith(b"%"), path

    _only(ErrorCode.INVALID_REQUEST, split)


class _Server:
    """One listener for all attacks on HTTP."""

    def __init__(self) -> None:
        self.site = FakeSite(limits=HttpLimits(arena_bytes=16, body_bytes=2000, head_bytes=2000, target_bytes=500), model=FakeModel(handler=echo))

    def outcome(self, data: bytes, cuts: list[int]) -> tuple[list[tuple[int, bytes]], list[bytes], bool]:
        """Statuses and bodies of the replies, what the model got, and whether the connection goes on."""
        client = self.site.client().send_split(data, cuts)
        heads = b"HEAD " in data
        replies = [] if heads else [(reply.status, reply.body) for reply in read_replies(client.raw) if reply.status >= 200]
        found = replies, list(self.site.model.bodies), client.is_open
        self.site.model.bodies.clear()
        self.site.log.lines.clear()
        client.leave()
        assert self.site.is_clean()
        assert self.site.loop.failures == []
        return found


def http() -> Attack:
    """Bytes on a connection, the first of which says how they are cut: replies are whole, the same for every cut, and all memory comes back."""
    server = _Server()

    def attack(data: bytes) -> None:
        step, data = 1 + (data[0] if data else 0), data[1:]
        assert server.outcome(data, list(range(step, len(data), step))) == server.outcome(data, [])

    return attack


def _zipped(compression: int) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as made:
        made.writestr("service.py", b"x" * 300)
        made.writestr("MAR-INF/MANIFEST.json", MANIFEST)
    return buffer.getvalue()


def _tarred(mode: str, form: int) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode, format=form) as made:  # type: ignore[call-overload]  # the mode is a variable
        for name in ("service.py", "s/" * 60 + "long.py", "\xe4.py"):
            entry = tarfile.TarInfo(name)
            entry.size = 300
            made.addfile(entry, io.BytesIO(b"x" * 300))
    return buffer.getvalue()


MANIFEST = b'{"runtime": "python", "model": {"modelName": "m", "handler": "service:handle", "modelVersion": 1.0}, "engine": {"engineName": "MXNet"}}'
_LEGACY = b'{"Model": {"Model-Name": "m", "Service": "s.py", "Symbol": "a"}, "Engine": {"MXNet": 0.12}} // end'
_ANSWERS = wire.answer_record(1, 200, b"body", phrase=b"OK", headers=b"a\0b") + wire.failure_record(2, 11, "no", detail="more", status=500)
_PARTS = [("name", "text/plain", b"value"), ("", "", b"")]
_POST = b"POST /predictions/echo HTTP/1.1\r\nHost: a\r\n"

TARGETS: dict[str, Target] = {
    "frames of a worker": Target(frames_of_a_worker, (
        wire.frame(wire.HEAD, _ANSWERS, count=2) + wire.frame(wire.METRIC, b"a.b:1|#\n"), wire.frame(wire.LOADED, b'{"ok": true, "pid": 1}'),
        wire.frame_header(wire.HEAD, 1 << 31), struct.pack("<HB", wire.MAGIC, 2))),
    "frames of a server": Target(frames_of_a_server, (
        jobs_frame(job_record(1, b"body", "text/plain", headers=[("a", "b")], parts=_PARTS), job_record(2, None), job_record(3, arena=(0, 9))),
        wire.frame(wire.STOP) + wire.frame(wire.CANCEL, id=3))),
    "output of a worker": Target(output_of_a_worker, (b"plain", b"a\x1eid,id2\x1ftext\x1e\x1fmore\x1ecut", b"\x1e\x1f" * 5)),
    "manifest": Target(manifest, (MANIFEST, _LEGACY, b'{"model": null}', b"[" * 100, b"\xff\xfe{\0}\0")),
    "lenient JSON": Target(lenient_json, (_LEGACY, b"{a: 'b\\u00e4', c = [1, 2.5e3; x], # c\n d: /* e */ null}", b"{" * 100)),
    "archive": Target(archive, (
        _zipped(zipfile.ZIP_STORED), _zipped(zipfile.ZIP_DEFLATED), _tarred("w", tarfile.USTAR_FORMAT), _tarred("w", tarfile.GNU_FORMAT),
        _tarred("w:gz", tarfile.PAX_FORMAT))),
    "config.properties": Target(configuration, (
        b"inference_address=http://127.0.0.1:8080\njob_queue_size = 10\n# c\nload_models=a,\\\n  b\nallowed_urls=https?://x/.*\n",
        b"default_workers_per_model=$$NUM$$\nmax_request_size:1\\u0030\nmodel_limits={\"a\": {}}\n",
        b"\xef\xbb\xbfdrain_timeout_s=1e3\r\npreload_model=TRUE")),
    "form": Target(form, (
        b"application/x-www-form-urlencoded\na=b&c=%20+d&&=e", b"multipart/form-data; boundary=x\n--x\r\nContent-Disposition: form-data; name=\"a\"; "
        b"filename=\"f\"\r\nContent-Type: text/plain\r\n\r\nv\r\n--x--\r\n", b"multipart/form-data; boundary=\"\"\n--", b"text/plain\nx")),
    "query": Target(query, (b"a=b&c=%e2%82%ac;d=+#e", b"&&==%", b"a" * 300)),
    "target": Target(target, (b"/a/%41?b", b"http://host:1/a%2Fb?c#d", b"*", b"//a", b"/%c3%a9/%ff")),
    "HTTP": Target(http(), (
        b"\x07" + _POST + b"Content-Length: 20\r\n\r\n" + b"x" * 20 + _POST + b"Content-Length: 3\r\n\r\nabc" * 2,
        b"\x00" + _POST + b"Transfer-Encoding: chunked\r\n\r\n3;a=b\r\nabc\r\n0\r\nX: y\r\n\r\nGET /ping HTTP/1.1\r\nHost: a\r\n\r\n",
        b"\x20" + _POST + b"Expect: 100-continue\r\nConnection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 3\r\n\r\nabc")),
}  # fmt: skip
