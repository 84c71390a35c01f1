"""Archives, manifests, names, handlers and urls of somebody who wants more than to serve a model."""

from __future__ import annotations

import enum
import gzip
import io
import json
import stat
import struct
import tarfile
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path

SERVICE = b"def handle(data, context):\n    return data and ['served'] * len(data)\n"
MANIFEST = {"runtime": "python", "model": {"modelName": "m", "handler": "service:handle"}}
MEMBERS = {"service.py": SERVICE, "MAR-INF/MANIFEST.json": json.dumps(MANIFEST).encode()}
MIB = 1 << 20


def zipped(extra: Mapping[str, bytes] | None = None, *entries: tuple[zipfile.ZipInfo, bytes], members: Mapping[str, bytes] = MEMBERS) -> bytes:
    """A zip with a good model and more."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in [*members.items(), *(extra or {}).items()]:
            archive.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED)
        for entry, data in entries:
            archive.writestr(entry, data)
    return buffer.getvalue()


def tarred(*entries: tuple[tarfile.TarInfo, bytes], form: int = tarfile.PAX_FORMAT, packed: bool = True) -> bytes:
    """A tar with a good model and more."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz" if packed else "w", format=form) as archive:
        for name, data in MEMBERS.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
        for entry, data in entries:
            archive.addfile(entry, io.BytesIO(data))
    return buffer.getvalue()


def _zip_entry(name: str, mode: int = 0, system: int = 3) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name)
    entry.external_attr, entry.create_system = mode << 16, system
    return entry


def _tar_entry(name: str, kind: bytes = tarfile.REGTYPE, link: str = "", size: int = 0, pax: dict[str, str] | None = None) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.type, entry.linkname, entry.size, entry.pax_headers = kind, link, size, pax or {}
    return entry


class Kind(enum.Enum):
    """What an entry of an archive is after."""

    LEAVE = "archives that leave their folder"
    LINK = "archives that link out of their folder"
    COLLIDE = "archives whose names collide"
    SPECIAL = "archives with pipes, devices and sockets"
    LIE = "archives whose headers lie"


COLLISIONS = ("collision", "manifest collision", "same name", "file as folder")
SPECIAL = ("fifo", "device", "socket", "character device", "block device", "unknown kind")
LINKS = ("symlink", "symlink up", "hard link", "hard link up", "file through symlink", "long link")
LIES = ("encrypted", "unknown method", "overlapping", "sparse", "pax size", "pax sparse", "negative size", "newline", "escape", "nul", "long", "deep")


def kind(what: str) -> Kind:
    """What an attack of `zips` or `tars` is after."""
    kinds = ((COLLISIONS, Kind.COLLIDE), (SPECIAL, Kind.SPECIAL), (LINKS, Kind.LINK), (LIES, Kind.LIE))
    return next((found for names, found in kinds if what in names), Kind.LEAVE)


def escapes(outside: Path) -> dict[str, str]:
    """Names that lead out of a folder; `outside` is where they would like to write."""
    up = "../" * 30
    return {
        "up": "../evil", "two up": "../../evil", "far up": f"{up}{str(outside)[1:]}/evil", "inside out": "a/../../evil",
        "absolute": f"{outside}/evil",
        "double slash": f"/{outside}/evil", "backslash": "..\\evil", "backslash far": "a\\..\\..\\evil", "drive": "C:\\evil",
        "drive slash": "C:/evil",
        "unc": "\\\\host\\share\\evil", "dots only": "..", "trailing dots": "a/..", "prefix": f"../{outside.name}-evil/x", "nul": "evil\0.py",
        "newline": "evil\n.py", "escape": "evil\x1b[2J.py", "long": "x" * 5000, "deep": "d/" * 300 + "evil", "collision": "Service.PY",
        "manifest collision": "mar-inf/manifest.json", "same name": "service.py", "file as folder": "service.py/evil",
    }  # fmt: skip


def zips(outside: Path) -> Iterator[tuple[str, bytes]]:
    """Zips that want out, or to be more than files."""
    for what, name in escapes(outside).items():
        entry = zipfile.ZipInfo("x")
        entry.filename = name  # as it is: the constructor would cut and translate it
        yield what, zipped(None, (entry, b"evil"))
    for what, mode, data in (
        ("symlink", stat.S_IFLNK | 0o777, str(outside).encode()), ("symlink up", stat.S_IFLNK | 0o777, b"../../.."),
        ("fifo", stat.S_IFIFO | 0o644, b""), ("device", stat.S_IFCHR | 0o666, b""), ("socket", stat.S_IFSOCK | 0o666, b""),
    ):  # fmt: skip
        yield what, zipped(None, (_zip_entry("link", mode), data))
    yield "file through symlink", zipped(None, (_zip_entry("link", stat.S_IFLNK | 0o777), str(outside).encode()), (_zip_entry("link/evil"), b"evil"))
    good = zipped({"extra": b"extra"})
    at = good.rindex(b"PK\x01\x02")
    yield "encrypted", good[: at + 8] + b"\x01\x00" + good[at + 10 :]
    yield "unknown method", good[: at + 10] + b"\x63\x00" + good[at + 12 :]
    yield "overlapping", good[: at + 42] + struct.pack("<I", 0) + good[at + 46 :]


def tars(outside: Path) -> Iterator[tuple[str, bytes]]:
    """Tars that want out, or to be more than files."""
    for what, name in escapes(outside).items():
        if what != "nul":
            yield what, tarred((_tar_entry(name, size=4), b"evil"), form=tarfile.GNU_FORMAT if len(name) > 90 else tarfile.PAX_FORMAT)
    for what, kind, link in (
        ("symlink", tarfile.SYMTYPE, str(outside)), ("symlink up", tarfile.SYMTYPE, "../../.."), ("hard link", tarfile.LNKTYPE, f"{outside}/secret"),
        ("hard link up", tarfile.LNKTYPE, "../../secret"), ("fifo", tarfile.FIFOTYPE, ""), ("character device", tarfile.CHRTYPE, ""),
        ("block device", tarfile.BLKTYPE, ""), ("sparse", tarfile.GNUTYPE_SPARSE, ""), ("unknown kind", b"Z", ""),
    ):  # fmt: skip
        yield what, tarred((_tar_entry("link", kind, link), b""), packed=kind != tarfile.SYMTYPE)
    through = _tar_entry("link/evil", size=4), b"evil"
    yield "file through symlink", tarred((_tar_entry("link", tarfile.SYMTYPE, str(outside)), b""), through)
    yield "pax path", tarred((_tar_entry("harmless", size=4, pax={"path": f"{outside}/evil"}), b"evil"))
    yield "pax size", tarred((_tar_entry("harmless", size=4, pax={"size": "99999999999999999999"}), b"evil"))
    yield "pax sparse", tarred((_tar_entry("harmless", pax={"GNU.sparse.major": "1", "GNU.sparse.name": f"{outside}/evil"}), b""))
    yield "long link", tarred((_tar_entry("l", tarfile.SYMTYPE, "../" * 100 + "etc"), b""), form=tarfile.GNU_FORMAT)
    yield "negative size", _with_size(tarred((_tar_entry("x"), b""), packed=False), b"\xff" * 12)


def _with_size(tar: bytes, field: bytes) -> bytes:
    """The size of the last entry replaced, with a right checksum."""
    at = tar.rindex(b"ustar") - 257
    head = bytearray(tar[at : at + 512])
    head[124:136], head[148:156] = field, b" " * 8
    head[148:156] = b"%06o\0 " % sum(head)
    return tar[:at] + bytes(head) + tar[at + 512 :]


def bombs() -> Iterator[tuple[str, bytes]]:
    """Small archives that unpack to much."""
    yield "300 MiB of zeros, zip", zipped({"zeros": bytes(300 * MIB)})
    yield "120,000 empty files, zip", _crowd(120_000)
    yield "300 MiB of zeros, tar.gz", gzip.compress(_zeros(300 * MIB), 1)
    yield "120,000 folders, tar.gz", gzip.compress(_tar_entry("a", tarfile.DIRTYPE).tobuf() * 120_000 + bytes(1024), 1)
    yield "8 EiB announced, tar", _with_size(tarred((_tar_entry("x"), b""), packed=False), b"\x80" + b"\0" * 3 + b"\x7f" + b"\xff" * 7)
    yield "gzip of gzip", gzip.compress(gzip.compress(bytes(64 * MIB)))


def _crowd(count: int) -> bytes:
    """A zip of so many empty files."""
    names = [b"%06x" % number for number in range(count)]
    local = struct.pack("<4s5H3I2H", b"PK\3\4", 20, 0, 0, 0, 33, 0, 0, 0, 6, 0)
    central = [struct.pack("<4s6H3I5H2I", b"PK\1\2", 20, 20, 0, 0, 0, 33, 0, 0, 0, 6, 0, 0, 0, 0, 0, at * 36) + name for at, name in enumerate(names)]
    body, listed = b"".join(local + name for name in names), b"".join(central)
    return body + listed + struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, count % 65536, count % 65536, len(listed), len(body), 0)


def _zeros(size: int) -> bytes:
    return _tar_entry("zeros", size=size).tobuf() + bytes(size)


def damaged() -> Iterator[tuple[str, bytes]]:
    """What is no whole archive."""
    tar = tarred(packed=False)
    whole = tar[: tar.rindex(MEMBERS["MAR-INF/MANIFEST.json"]) + 512]
    for what, good in (("zip", zipped({"weights": bytes(range(256)) * 40})), ("tar.gz", tarred()), ("tar", whole)):
        for part in (30, 60, 97):
            yield f"{what} cut at {part} %", good[: len(good) * part // 100]
        middle = len(good) // 3
        if what != "tar":
            yield f"{what} with a flipped bit", good[:middle] + bytes([good[middle] ^ 0x10]) + good[middle + 1 :]
    yield "empty", b""
    yield "a page", b"<!DOCTYPE html><title>404</title>" * 50
    yield "zip's end alone", b"PK\x05\x06" + bytes(18)


def manifests() -> Iterator[tuple[str, bytes]]:
    """Archives whose manifest is absurd."""
    texts: dict[str, bytes] = {
        "empty": b"", "binary": b"\0\1\2\xff" * 64, "text": b'"m"', "list": b"[]", "null": b"null", "number": b"1e400",
        "model is a text": b'{"model": "m"}',
        "name is a list": b'{"model": {"modelName": ["m"], "handler": "service:handle"}}',
        "handler is an object": b'{"model": {"modelName": "m", "handler": {}}}',
        "cut": b'{"model": {"modelName": "m", "hand', "deep objects": b'{"a":' * 200_000, "deep lists": b"[" * 200_000,
        "unknown runtime": _manifest(runtime="ruby"),
        "huge": b'{"x": "' + b"z" * (2 * MIB) + b'"}', "surrogates": b'{"model": {"modelName": "\\ud800", "handler": "service:handle"}}',
        "name that leaves": _manifest(name="../evil"), "name with newline": _manifest(name="a\n2026-01-01 root"),
        "name with nul": _manifest(name="a\0b"),
        "name with escape": _manifest(name="\x1b[2J"), "long name": _manifest(name="m" * 5000), "slash": _manifest(name="a/b"),
        "no handler": _manifest(handler=None),
        "latin": b'{"model": {"modelName": "\xe9"}}',
    }  # fmt: skip
    for what, text in texts.items():
        yield what, zipped(members={"service.py": SERVICE, "MAR-INF/MANIFEST.json": text})


def _manifest(name: str = "m", handler: str | None = "service:handle", runtime: str = "python") -> bytes:
    model = {"modelName": name, **({} if handler is None else {"handler": handler})}
    return json.dumps({"runtime": runtime, "model": model}).encode()


def handlers(outside: Path) -> list[str]:
    """Handlers that are not in the model."""
    far = "../" * 30 + str(outside)[1:]
    return [
        f"{outside}/evil:handle", f"{outside}/evil.py:handle", f"{far}/evil:handle", "../outside/evil:handle", "a/../../outside/evil.py:handle",
        f"//{outside}/evil:handle", f"file://{outside}/evil:handle", "..\\outside\\evil:handle", "evil\0:handle", "evil\n:handle",
        "\x1b[2Jevil:handle",
    ]  # fmt: skip


def archive_with_handler(handler: str) -> bytes:
    """A good archive but for its handler."""
    return zipped(members={"service.py": SERVICE, "MAR-INF/MANIFEST.json": _manifest(handler=handler)})


NAMES = [
    "../../evil", "..", ".", "a/b", "/etc/passwd", "a\\b", "a\n2026-11-22T10:00:00,000 [INFO ] forged", "a\r\nb", "a\0b", "\x1b[2Jx", "m" * 5000,
    " ", "a b", "-rf",
    ".hidden", "a%2fb", "a;b", "a:b", "$(id)", "`id`", "a|b", "\u202eevil", "\uff0e\uff0e", "m\u0301", "a'b", 'a"b', "<script>",
]  # fmt: skip


def urls(outside: Path) -> list[str]:
    """Urls of a registration that do not mean a model of the store."""
    up = "../" * 20 + str(outside)[1:]
    return [
        f"file://{outside}", f"file:{outside}", f"FILE://{outside}", f"file://localhost{outside}", str(outside), f"/{outside}", up, "..",
        "../outside", "./../outside",
        "m/../../outside", "..%2foutside", "%2e%2e/outside", "..\\outside", "\\\\host\\share", "outside\0.mar", f"{outside}/../outside",
        "ftp://127.0.0.1/m.mar",
        "gopher://127.0.0.1:1/x", "data:application/zip;base64,UEsFBg==", "jar:file:///x!/", "s3://bucket/m.mar", "ldap://127.0.0.1/x",
        "unix:/tmp/x", "http://",
        "http:///m.mar", "http:m.mar", "https://@/x", "http://[::1", "http://user:pw@127.0.0.1/m.mar", "http://127.0.0.1:99999/m.mar",
        "//127.0.0.1/m.mar",
    ]  # fmt: skip
