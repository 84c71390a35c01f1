"""Unpacked archives: shared while used, gone afterwards, never anybody else's."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import BinaryIO

import pytest

from argosy.errors import ArgosyError, ErrorCode
from argosy.store.cache import Cache, Location

Maker = Callable[[Mapping[str, bytes]], bytes]


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[Cache]:
    """An empty cache."""
    made = Cache(tmp_path / "root")
    yield made
    made.close()


@pytest.fixture
def opened(tmp_path: Path) -> Callable[[bytes], BinaryIO]:
    """Opens bytes as a file on disk."""

    def make(data: bytes) -> BinaryIO:
        path = tmp_path / f"archive-{len(list(tmp_path.iterdir()))}"
        path.write_bytes(data)
        return io.FileIO(path)

    return make


def unpacked_folders(root: Path) -> list[Path]:
    """What a cache has on disk."""
    return [path for path in root.glob("server-*/*") if path.is_dir() and path.name != "scratch"]


def test_a_bad_archive_leaves_nothing(cache: Cache, tmp_path: Path, opened: Callable[[bytes], BinaryIO], zipped: Maker) -> None:
    """A failed unpacking frees everything, and the next try starts afresh."""
    data = zipped({"a": b"x" * 1000})
    with opened(data[:-30]) as broken, pytest.raises(ArgosyError):
        cache.unpacked(broken, "m")
    assert unpacked_folders(tmp_path / "root") == []
    with opened(data) as good:
        assert (cache.unpacked(good, "m").directory / "a").exists()


def test_a_file_that_is_being_written_is_refused(cache: Cache, tmp_path: Path, zipped: Maker) -> None:
    """The key is of the bytes that are unpacked, so they may not change in between."""
    path = tmp_path / "growing.mar"
    path.write_bytes(zipped({"a": b"x"}))

    class Growing(io.FileIO):
        def read(self, size: int | None = -1, /) -> bytes:
            with path.open("ab") as file:
                file.write(b"more")
            os.utime(path, ns=(1, 1))
            return super().read(0)

    with Growing(path) as file, pytest.raises(ArgosyError, match="is being written") as caught:
        cache.unpacked(file, "growing.mar")
    assert caught.value.code is ErrorCode.INVALID_MODEL


def test_nobody_else_can_hold_the_lock(cache: Cache, tmp_path: Path) -> None:
    """Whoever could open it could keep servers from starting."""
    found = {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "root").iterdir() if path.is_file()}
    assert found == {"lock": 0o600}


def test_one_content_is_unpacked_once_and_lives_as_long_as_its_last_user(
    cache: Cache, tmp_path: Path, opened: Callable[[bytes], BinaryIO], zipped: Maker
) -> None:
    """Two models of one archive share a folder; unregistering one does not hurt the other; releasing twice counts once."""
    data = zipped({"a": b"x"})
    with opened(data) as one, opened(data) as two:
        first, second = cache.unpacked(one, "one.mar"), cache.unpacked(two, "two.mar")
    assert first.directory == second.directory
    assert first.owned
    first.release()
    first.release()
    assert (second.directory / "a").read_bytes() == b"x"
    assert "1 archives, 1 users" in repr(cache)
    second.release()
    assert unpacked_folders(tmp_path / "root") == []


def test_other_bytes_are_another_folder(cache: Cache, opened: Callable[[bytes], BinaryIO], zipped: Maker) -> None:
    """Only the content decides, never a name or a header."""
    with opened(zipped({"a": b"1"})) as one, opened(zipped({"a": b"2"})) as two:
        assert cache.unpacked(one, "m").directory != cache.unpacked(two, "m").directory


def test_many_threads_share_one_unpacking(cache: Cache, tmp_path: Path, opened: Callable[[bytes], BinaryIO], zipped: Maker) -> None:
    """However users come and go at once, the files are there while used and gone in the end."""
    data = zipped({"a": b"x" * 10_000})
    files = [opened(data) for _ in range(8)]
    start = threading.Barrier(len(files))
    wrong: list[Location] = []

    def use(file: BinaryIO) -> None:
        start.wait()
        for _ in range(20):
            location = cache.unpacked(file, "m")
            if (location.directory / "a").stat().st_size != 10_000:
                wrong.append(location)
            location.release()

    threads = [threading.Thread(target=use, args=(file,)) for file in files]
    for thread in threads:
        thread.start()
    for thread, file in zip(threads, files, strict=True):
        thread.join()
        file.close()
    assert wrong == []
    assert unpacked_folders(tmp_path / "root") == []


@pytest.mark.parametrize("gone", ["", "server-*", "server-*/scratch"])
def test_a_folder_that_somebody_has_deleted_is_made_again(
    tmp_path: Path, gone: str, opened: Callable[[bytes], BinaryIO], zipped: Maker
) -> None:
    """What was unpacked there can be unpacked again, in the same place; another server leaves it alone, and closing leaves nothing."""
    root, data = tmp_path / "root", zipped({"a": b"x"})
    cache = Cache(root)
    with opened(data) as archive:
        before = cache.unpacked(archive, "m")
        for path in list(root.glob(gone)) if gone else [root]:
            shutil.rmtree(path)
        after = cache.unpacked(archive, "m")
    assert (after.directory, (after.directory / "a").read_bytes(), cache.scratch.is_dir()) == (before.directory, b"x", True)
    Cache(root).close()
    assert (after.directory / "a").exists()
    for location in (before, after):
        location.release()
    cache.close()
    cache.restore()
    assert not root.exists()


def test_leftovers_of_a_dead_server_are_removed_and_those_of_a_living_one_are_not(tmp_path: Path) -> None:
    """Whoever was killed cannot clean up; whoever lives is left alone."""
    root = tmp_path / "root"
    script = "import sys; from pathlib import Path; from argosy.store.cache import Cache\n"
    script += "cache = Cache(Path(sys.argv[1])); print(cache.scratch, flush=True); sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", script, root], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        scratch = Path(other.stdout.readline().strip())
        Cache(root).close()
        assert scratch.is_dir()
        other.kill()
        other.wait()
    assert scratch.is_dir()
    mine = Cache(root)
    assert not scratch.exists()
    mine.close()
    assert not root.exists()


def test_closing_stops_unpacking_and_leaves_nothing(tmp_path: Path, opened: Callable[[bytes], BinaryIO], zipped: Maker) -> None:
    """Closed from elsewhere while an archive is being unpacked: it is given up, and whoever comes later is refused."""
    cache = Cache(tmp_path / "root")
    data = zipped({f"f{index}": b"x" for index in range(50)})
    reading = threading.Event()

    def close() -> None:
        reading.wait()
        cache.close()

    closer = threading.Thread(target=close)

    class Slow(io.FileIO):
        """Lets the cache be closed when unpacking begins."""

        def seek(self, position: int, whence: int = 0, /) -> int:
            if whence == os.SEEK_END:
                reading.set()
            return super().seek(position, whence)

    closer.start()
    (tmp_path / "m.mar").write_bytes(data)
    with Slow(tmp_path / "m.mar") as file:
        try:
            location = cache.unpacked(file, "m")
        except ArgosyError as error:
            assert error.code in (ErrorCode.DRAINING, ErrorCode.INTERNAL)  # noqa: PT017  both ends of the race are right
        else:
            location.release()
    closer.join()
    assert not (tmp_path / "root").exists()
    with opened(data) as late, pytest.raises(ArgosyError, match="the server is stopping"):
        cache.unpacked(late, "m")


def test_servers_that_start_and_end_at_once_do_not_disturb_each_other(tmp_path: Path) -> None:
    """The last one to end takes the root away, whoever starts meanwhile has a whole one."""

    def live() -> None:
        for _ in range(10):
            cache = Cache(tmp_path / "root")
            alive.append(cache.scratch.is_dir())
            cache.close()

    alive: list[bool] = []
    threads = [threading.Thread(target=live) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert alive == [True] * 40
    assert not (tmp_path / "root").exists()


def test_a_server_that_ends_leaves_the_root_to_one_that_starts_at_that_moment(tmp_path: Path) -> None:
    """Between the last two steps of the one that ends, which take the lock and the folder away, another may make the lock anew."""
    root, is_over = tmp_path / "root", threading.Event()

    def begin() -> None:
        while not is_over.is_set():
            with contextlib.suppress(FileNotFoundError):
                os.close(os.open(root / "lock", os.O_WRONLY | os.O_CREAT, 0o600))

    starting = threading.Thread(target=begin)
    starting.start()
    try:
        for _ in range(200):
            Cache(root).close()
    finally:
        is_over.set()
        starting.join()
    Cache(root).close()
    assert not root.exists()


def test_a_root_of_somebody_else_is_refused(tmp_path: Path) -> None:
    """A link or a file in the place of the folder could lead anywhere."""
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    (tmp_path / "file").touch()
    for name in ("link", "file"):
        with pytest.raises(ArgosyError, match="Cannot use") as caught:
            Cache(tmp_path / name)
        assert caught.value.code is ErrorCode.INVALID_CONFIG


def test_the_root_is_private(tmp_path: Path) -> None:
    """Also when it was there before with wider permissions."""
    (tmp_path / "root").mkdir(mode=0o755)
    cache = Cache(tmp_path / "root")
    assert (tmp_path / "root").stat().st_mode & 0o777 == 0o700
    cache.close()
    cache.close()


def test_a_folder_in_place_belongs_to_the_user(tmp_path: Path) -> None:
    """Releasing it does nothing."""
    location = Location(tmp_path)
    location.release()
    assert tmp_path.is_dir()
    assert repr(location) == f"<Location {tmp_path} in place>"
