"""Addresses of objects, and a folder in place of S3. S3 itself is tested end to end."""

from __future__ import annotations

from pathlib import Path

import pytest

from argosy.errors import ArgosyError, ErrorCode
from argosy.sagemaker.local.storage import FolderStorage, LateStorage, ObjectAddress, read_address


@pytest.mark.parametrize(("text", "bucket", "key"), [
    ("s3://b/k", "b", "k"), ("s3://b/a/b c.gz", "b", "a/b c.gz"), ("https://s3.amazonaws.com/b/a/k", "b", "a/k"),
    ("https://b.s3.eu-west-1.amazonaws.com/a/k", "b", "a/k"), ("https://my.own.s3.amazonaws.com/k", "my.own", "k"),
])  # fmt: skip
def test_addresses(text: str, bucket: str, key: str) -> None:
    """In the forms that the service takes."""
    assert read_address(text) == ObjectAddress(bucket, key)


@pytest.mark.parametrize("text", ["", "s3://b", "s3://b/", "s3:///k", "k", "/a/k", "http://b/k", "s3://b/../k", "s3://../k", "s3://b/a/./k", "https://s3.amazonaws.com/b"])
def test_what_is_no_address(text: str) -> None:
    """Is refused; above all what would lead out of a folder."""
    with pytest.raises(ArgosyError) as caught:
        read_address(text)
    assert caught.value.code is ErrorCode.INVALID_REQUEST


def test_a_folder_keeps_objects(tmp_path: Path) -> None:
    """What is put can be fetched, and put again; nothing else is left in the folder."""
    storage = FolderStorage(tmp_path / "s3")
    address = ObjectAddress("b", "a/k")
    for text in ("first", "second"):
        (tmp_path / "in").write_text(text)
        storage.put(address, tmp_path / "in", "text/plain")
    storage.fetch(address, tmp_path / "out")
    assert (tmp_path / "out").read_text() == "second"
    assert storage.size(address) == 6
    assert [path.name for path in (tmp_path / "s3" / "b" / "a").iterdir()] == ["k"]


def test_an_object_that_is_not_there(tmp_path: Path) -> None:
    """Is told by its address."""
    storage = FolderStorage(tmp_path)
    for work in (lambda: storage.size(ObjectAddress("b", "k")), lambda: storage.fetch(ObjectAddress("b", "k"), tmp_path / "out")):
        with pytest.raises(ArgosyError, match="no object at s3://b/k") as caught:
            work()
        assert caught.value.code is ErrorCode.MODEL_NOT_FOUND


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    """The reason is told."""
    (tmp_path / "b").write_text("a file where a bucket should be")
    (tmp_path / "in").write_text("x")
    with pytest.raises(ArgosyError, match=r"Cannot reach s3://b/k: (Not a directory|File exists)") as caught:
        FolderStorage(tmp_path).put(ObjectAddress("b", "k"), tmp_path / "in", "")
    assert caught.value.code is ErrorCode.DOWNLOAD_FAILED


def test_s3_that_cannot_be_reached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each operation says which object it was about; nothing is written."""
    variables = {"AWS_ENDPOINT_URL_S3": "http://127.0.0.1:9", "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_MAX_ATTEMPTS": "1"}
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    storage, address = LateStorage("", "us-east-1"), ObjectAddress("b", "k")
    (tmp_path / "in").write_text("x")
    calls = (
        lambda: storage.size(address), lambda: storage.fetch(address, tmp_path / "out"), lambda: storage.put(address, tmp_path / "in", ""),
    )  # fmt: skip
    for call in calls:
        with pytest.raises(ArgosyError, match="s3://b/k") as caught:
            call()
        assert caught.value.code is ErrorCode.DOWNLOAD_FAILED
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_storage_that_is_configured_late(tmp_path: Path) -> None:
    """It is the folder when one was named."""
    (tmp_path / "in").write_text("x")
    storage = LateStorage(str(tmp_path / "s3"), "us-east-1")
    storage.put(ObjectAddress("b", "k"), tmp_path / "in", "")
    assert storage.size(ObjectAddress("b", "k")) == 1
    storage.fetch(ObjectAddress("b", "k"), tmp_path / "out")
    assert (tmp_path / "out").read_text() == "x"
