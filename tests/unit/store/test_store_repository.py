"""From urls to folders."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from argosy.errors import ArgosyError, ErrorCode
from argosy.store.address import AddressPolicy
from argosy.store.cache import Cache
from argosy.store.download import Downloader, DownloadLimits
from argosy.store.manifest import read_manifest
from argosy.store.repository import Repository, default_name, scan_store

if TYPE_CHECKING:
    from unit.store.conftest import WebServer

Maker = Callable[[Mapping[str, bytes]], bytes]


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """An empty model store."""
    folder = tmp_path / "store"
    folder.mkdir()
    return folder


@pytest.fixture
def repository(tmp_path: Path, store: Path) -> Iterator[Repository]:
    """A repository on the store; afterwards nothing may be left on disk."""
    root = tmp_path / "cache"
    made = Repository(store, Cache(root), Downloader(AddressPolicy([r"http://127\.0\.0\.1:\d+/.*"]), DownloadLimits(resume_delays_s=())))
    yield made
    assert [path for path in root.glob("server-*/*") if path.name not in ("lock", "scratch")] == []
    assert list(root.glob("server-*/scratch/*")) == []
    made.close()
    assert not root.exists()


def refusal(repository: Repository, url: str) -> ArgosyError:
    """Why a model is not found."""
    with pytest.raises(ArgosyError) as caught:
        repository.locate(url)
    return caught.value


@pytest.mark.parametrize("url", ["../okay", "okay..mar", "a/../b", "..", "/../../etc"])
def test_two_dots_are_refused_wherever_they_stand(repository: Repository, url: str) -> None:
    """In the words that clients know."""
    error = refusal(repository, url)
    assert (error.code, error.message) == (ErrorCode.MODEL_NOT_FOUND, f"Relative path is not allowed in url: {url}")


ELSEWHERE = ["nothere", "/etc/passwd", "file:///m.mar", "s3://bucket/m.mar", "ftp://x/m", "%2e%2e/x", "~", "\\\\host\\x", "http:/x"]


@pytest.mark.parametrize("url", [*ELSEWHERE, "a\0b", "x" * 5000, "m.mar/x"])
def test_what_is_not_in_the_store_is_not_found(repository: Repository, store: Path, zipped: Maker, url: str) -> None:
    """Absolute paths, other schemes and odd names are looked up inside of the store, like everything."""
    (store / "m.mar").write_bytes(zipped({}))
    error = refusal(repository, url)
    assert (error.code, error.message) == (ErrorCode.MODEL_NOT_FOUND, f"Model not found in model store: {url}")


def test_pipes_and_devices_are_no_models(repository: Repository, store: Path) -> None:
    """Reading them could block, or never end."""
    os.mkfifo(store / "pipe.mar")
    (store / "zero.mar").symlink_to("/dev/zero")
    for url in ("pipe.mar", "zero.mar"):
        assert refusal(repository, url).message == f"Model not found in model store: {url}"


def test_trouble_with_the_disk_is_told_as_such(repository: Repository, store: Path, tmp_path: Path, zipped: Maker) -> None:
    """In the known words, with the reason for the operator."""
    scratch = next((tmp_path / "cache").glob("server-*/scratch"))
    scratch.rmdir()
    scratch.touch()
    with pytest.raises(ArgosyError, match=r"Failed to save model: http://127\.0\.0\.1:9/m\.mar") as caught:
        repository.locate("http://127.0.0.1:9/m.mar")
    assert "File exists" in caught.value.detail
    assert repr(repository).startswith(f"<Repository {store} <Cache ")


def test_a_deleted_temporary_folder_is_made_for_a_download(repository: Repository, tmp_path: Path) -> None:
    """It fails for a reason of its own, not for want of the folder."""
    shutil.rmtree(tmp_path / "cache")
    with pytest.raises(ArgosyError, match=r"Failed to download model from: http://127\.0\.0\.1:9/m\.mar"):
        repository.locate("http://127.0.0.1:9/m.mar")
    assert [path.name for path in (tmp_path / "cache").glob("server-*/*") if path.is_dir()] == ["scratch"]


def test_without_a_store_only_downloads_are_possible(tmp_path: Path) -> None:
    """Said in the known words."""
    repository = Repository(None, Cache(tmp_path / "cache"), Downloader(AddressPolicy()))
    assert refusal(repository, "m").message == "Model store has not been configured."
    repository.close()


def test_a_broken_archive_leaves_nothing(repository: Repository, store: Path, zipped: Maker, model_files: dict[str, bytes]) -> None:
    """The message names the archive by its url."""
    (store / "cut.mar").write_bytes(zipped(model_files)[:-40])
    assert refusal(repository, "cut.mar").message.startswith("Model archive cut.mar ")


def test_an_unreadable_archive_is_told(repository: Repository, store: Path, tmp_path: Path) -> None:
    """Trouble with the disk is no answer about the model."""
    (store / "loop.mar").symlink_to(tmp_path / "cache" / "server-x")
    (tmp_path / "cache" / "server-x").symlink_to(store / "loop.mar")
    assert refusal(repository, "loop.mar").code is ErrorCode.MODEL_NOT_FOUND
    (tmp_path / "cache" / "server-x").unlink()


def test_a_file_url_is_for_the_operator_only(repository: Repository, model_dir: Path, zipped: Maker, model_files: dict[str, bytes]) -> None:
    """Whoever starts the server may name any folder or archive of the machine; a client may not."""
    (model_dir.parent / "m.mar").write_bytes(zipped(model_files))
    for path in (model_dir, model_dir.parent / "m.mar"):
        assert refusal(repository, f"file://{path}").message == f"Model not found in model store: file://{path}"
        location = repository.locate(f"file://{path}", trusted=True)
        assert read_manifest(location.directory).resolve().model_name == "m"
        location.release()
    with pytest.raises(ArgosyError, match="Model not found: /nowhere"):
        repository.locate("file:///nowhere", trusted=True)


def test_a_folder_is_used_in_place(repository: Repository, store: Path, model_dir: Path) -> None:
    """And stays when it is released. A leading slash means the store."""
    model_dir.rename(store / "m")
    for url in ("m", "/m", "m/", "./m"):
        location = repository.locate(url)
        assert location.directory == store / "m"
        assert not location.owned
        location.release()
    assert (store / "m" / "service.py").exists()


@pytest.mark.parametrize("name", ["m.mar", "m.model", "m.anything", "sub/m.mar"])
def test_a_zip_of_any_name_is_unpacked(repository: Repository, store: Path, zipped: Maker, model_files: dict[str, bytes], name: str) -> None:
    """The content decides, and the folder goes with its last user."""
    (store / name).parent.mkdir(exist_ok=True)
    (store / name).write_bytes(zipped(model_files))
    location = repository.locate(name)
    assert location.owned
    assert read_manifest(location.directory).resolve().model_name == "m"
    location.release()
    assert not location.directory.exists()


@pytest.mark.parametrize("prefix", ["m/", "./m/", "", "./"])
def test_a_tar_is_found_nested_or_flat(repository: Repository, store: Path, tarred: Maker, model_files: dict[str, bytes], prefix: str) -> None:
    """As the archiver nests it for SageMaker, or as people pack it."""
    (store / "m.tar.gz").write_bytes(tarred({prefix + name: data for name, data in model_files.items()}))
    location = repository.locate("m.tar.gz")
    assert (location.directory / "MAR-INF" / "MANIFEST.json").is_file()
    location.release()


def test_a_zip_with_a_folder_around_it_has_no_manifest(repository: Repository, store: Path, zipped: Maker, model_files: dict[str, bytes]) -> None:
    """So it was always; only tar archives nest."""
    (store / "m.mar").write_bytes(zipped({f"m/{name}": data for name, data in model_files.items()}))
    location = repository.locate("m.mar")
    assert read_manifest(location.directory).raw is None
    location.release()


def test_an_old_model_may_lie_one_folder_down(repository: Repository, store: Path, zipped: Maker) -> None:
    """In archives and in the store; the folder with the manifest is the model."""
    old = b'{"Model": {"Service": "s.py", "Model-Name": "old"}}'
    (store / "old.model").write_bytes(zipped({"x/MANIFEST.json": old, "x/s.py": b""}))
    location = repository.locate("old.model")
    assert read_manifest(location.directory).resolve().handler == "s.py"
    location.release()
    (store / "old" / "y").mkdir(parents=True)
    (store / "old" / "y" / "MANIFEST.json").write_bytes(old)
    assert repository.locate("old").directory == store / "old" / "y"
    assert repository.locate("").directory == store


def test_a_download_is_unpacked_and_shares_the_cache(
    repository: Repository, web: WebServer, store: Path, zipped: Maker, model_files: dict[str, bytes]
) -> None:
    """The same bytes from the store and from the web are one folder; what a server calls them does not matter."""
    data = zipped(model_files)
    (store / "m.mar").write_bytes(data)
    here, there = repository.locate("m.mar"), repository.locate(web.serve("/m.mar", data, ETag='"../../../evil"'))
    assert here.directory == there.directory
    here.release()
    assert (there.directory / "service.py").exists()
    there.release()


def test_equal_tags_with_other_bytes_are_other_models(repository: Repository, web: WebServer, zipped: Maker) -> None:
    """One server cannot make us run another one's code."""
    one = repository.locate(web.serve("/a.mar", zipped({"a": b"1"}), ETag='"same"'))
    two = repository.locate(web.serve("/b.mar", zipped({"a": b"2"}), ETag='"same"'))
    assert (one.directory / "a").read_bytes() != (two.directory / "a").read_bytes()
    one.release()
    two.release()


def test_an_address_outside_of_the_list_needs_trust(repository: Repository, web: WebServer, zipped: Maker) -> None:
    """What the operator names may come from anywhere, what a client names may not."""
    url = web.serve("/m.mar", zipped({"a": b"1"})).replace("127.0.0.1", "127.0.0.2")
    assert refusal(repository, url).code is ErrorCode.FORBIDDEN
    with pytest.raises(ArgosyError) as caught:
        repository.locate(url, trusted=True)
    assert caught.value.code is ErrorCode.DOWNLOAD_FAILED


def test_a_cut_download_leaves_nothing(repository: Repository, web: WebServer, zipped: Maker) -> None:
    """Neither the part that came nor a folder."""
    assert refusal(repository, web.serve("/m.mar", zipped({"a": b"1"})[:-5])).code is ErrorCode.INVALID_MODEL


def test_the_scan_finds_what_can_be_a_model(store: Path, zipped: Maker, tarred: Maker) -> None:
    """Folders, archives by suffix, and tars that nobody unpacked; nothing hidden, nothing else."""
    for folder in ("okay", "_under dir", ".hidden", "unpacked"):
        (store / folder).mkdir()
    for name in ("echo.mar", "old.model", ".hidden.mar", "skipped.zip", "README.txt"):
        (store / name).write_bytes(zipped({}))
    (store / "fresh.tar.gz").write_bytes(tarred({"fresh/a": b""}))
    (store / "model.tar.gz").write_bytes(tarred({"./unpacked/a": b""}))
    (store / "unpacked.tgz").write_bytes(tarred({"unpacked/a": b""}))
    (store / "broken.tar.gz").write_bytes(b"\x1f\x8bbroken")
    (store / "empty.tar.gz").write_bytes(tarred({}))
    assert scan_store(store) == ["_under dir", "echo.mar", "fresh.tar.gz", "okay", "old.model", "unpacked"]


def test_a_store_that_is_one_model_is_that_model(repository: Repository, store: Path, model_files: dict[str, bytes]) -> None:
    """A flat archive that a platform unpacked into the store itself."""
    for name, data in model_files.items():
        (store / name).parent.mkdir(exist_ok=True)
        (store / name).write_bytes(data)
    assert scan_store(store) == ["."]
    assert read_manifest(repository.locate(".").directory).resolve().model_name == "m"


def test_a_nested_archive_that_a_platform_unpacked_is_found(repository: Repository, store: Path, model_dir: Path, tarred: Maker) -> None:
    """The folder is the model; the archive left beside it is not loaded a second time."""
    model_dir.rename(store / "m")
    (store / "model.tar.gz").write_bytes(tarred({"m/service.py": b""}))
    assert scan_store(store) == ["m"]
    assert read_manifest(repository.locate("m").directory).resolve().model_name == "m"


@pytest.mark.parametrize(("beside", "found"), [
    ([], "h/model/m"), (["model.tar.gz", ".hidden", "__MACOSX/x", ".cache/x"], "h/model/m"), (["weights"], "h/model"), (["other/weights"], "h/model"),
    (["MAR-INF/MANIFEST.json"], "h/model"), (["MANIFEST.json"], "h/model"),
])
def test_a_nested_archive_that_was_unpacked_into_a_folder_of_its_own(
    repository: Repository, store: Path, model_dir: Path, beside: list[str], found: str
) -> None:
    """As target models of a multi-model container are: the one folder inside is the model, unless the folder is one itself or has more in it."""
    (store / "h").mkdir()
    (store / "h" / "model").mkdir()
    model_dir.rename(store / "h" / "model" / "m")
    for name in beside:
        (store / "h" / "model" / name).parent.mkdir(exist_ok=True)
        (store / "h" / "model" / name).write_bytes(b"{}")
    assert repository.locate(f"{store}/h/model").directory == store / found


@pytest.mark.parametrize(("files", "found"), [
    (["weights", "code/inference.py"], ["."]), (["model.tar.gz", "deep/weights"], ["deep"]), (["weights", "m/MAR-INF/MANIFEST.json"], ["m"]),
    (["weights", "m.mar"], ["m.mar"]), (["weights", "old/MANIFEST.json"], ["old"]), ([".hidden", "__MACOSX/x", "lost+found/y"], []),
])
def test_a_default_handler_serves_the_files_of_a_store_without_models(store: Path, files: list[str], found: list[str]) -> None:
    """Plain files are one model, unless something in the store says of itself that it is one."""
    for name in files:
        (store / name).parent.mkdir(parents=True, exist_ok=True)
        (store / name).write_bytes(b"{}")
    assert scan_store(store, has_default=True) == found
    assert "." not in scan_store(store)


def test_a_model_may_be_named_by_its_path_in_the_store(repository: Repository, store: Path, model_dir: Path) -> None:
    """The absolute path is the same as the relative one; nothing else is reached by it."""
    model_dir.rename(store / "m")
    assert repository.locate(str(store / "m")).directory == store / "m"
    for outside in (str(store.parent), f"{store}/../m", f"{store}x/m"):
        with pytest.raises(ArgosyError) as caught:
            repository.locate(outside)
        assert caught.value.code is ErrorCode.MODEL_NOT_FOUND


def test_a_store_that_cannot_be_read_is_a_wrong_configuration(tmp_path: Path) -> None:
    """With the folder in the message."""
    with pytest.raises(ArgosyError, match=r"Cannot read the model store .*gone"):
        scan_store(tmp_path / "gone")


@pytest.mark.parametrize(
    ("url", "name"),
    [
        (".", "model"),
        ("no name-1.2.mar", "no_name_1_2"),
        ("_under dir", "_under_dir"),
        ("sub/teller.model", "teller"),
        ("a.b", "a_b"),
        ("m.tar.gz", "m"),
        ("m.tgz", "m"),
        ("/opt/models/m/", "m"),
        ("http://host:1/x/m.mar?sig=a.b/c", "m"),
        ("é.mar", "_"),
    ],
)
def test_a_model_without_name_is_called_after_its_url(url: str, name: str) -> None:
    """The rule of the original, and its suffixes for tar."""
    assert default_name(url) == name


def test_a_store_that_the_system_will_not_look_at(tmp_path: Path) -> None:
    """A name that cannot be, as a folder that nobody may enter, is a wrong configuration."""
    with pytest.raises(ArgosyError, match=r"^Cannot read the model store .*: File name too long") as caught:
        scan_store(tmp_path / ("x" * 300))
    assert caught.value.code is ErrorCode.INVALID_CONFIG
