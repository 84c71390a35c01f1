"""Where models, inputs and answers lie: S3 through any endpoint, or a folder that stands for it."""

from __future__ import annotations

import importlib
import os
import shutil
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

from argosy.errors import ArgosyError, ErrorCode

_MISSING = frozenset({"404", "NoSuchKey", "NoSuchBucket", "NotFound"})


@dataclass(frozen=True, slots=True)
class ObjectAddress:
    """An object: `s3://bucket/key`."""

    bucket: str
    key: str

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.key}"


def read_address(text: str) -> ObjectAddress:
    """The address that a text says: `s3://bucket/key`, or the https address of an object with the bucket as first part of host or path.

    Raises `ArgosyError` INVALID_REQUEST.
    """
    found = urlsplit(text)
    bucket, key = found.netloc, found.path.lstrip("/")
    if found.scheme == "https":
        name, dot, rest = bucket.partition(".s3")
        bucket, key = (name, key) if dot and rest.endswith(".amazonaws.com") else (key.partition("/")[0], key.partition("/")[2])
    elif found.scheme != "s3":
        bucket = ""
    if not bucket or not key or any(part in (".", "..") for part in (bucket, *key.split("/"))):
        raise ArgosyError(ErrorCode.INVALID_REQUEST, f"{text[:200]} is no address of an object: s3://BUCKET/KEY is needed.")
    return ObjectAddress(bucket, key)


class Storage(Protocol):
    """Objects by address. All methods block, and raise `ArgosyError`: MODEL_NOT_FOUND when there is no such object, DOWNLOAD_FAILED otherwise."""

    def size(self, address: ObjectAddress) -> int:
        """Bytes of the object."""

    def fetch(self, address: ObjectAddress, path: Path) -> None:
        """Write the object into a new file."""

    def put(self, address: ObjectAddress, path: Path, content_type: str) -> None:
        """Make the object from a file."""


class FolderStorage:
    """A folder with a folder for each bucket. Objects appear whole or not at all."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def __repr__(self) -> str:
        return f"<FolderStorage {self._root}>"

    def _path(self, address: ObjectAddress) -> Path:
        return self._root / address.bucket / address.key

    def size(self, address: ObjectAddress) -> int:
        """See `Storage`."""
        try:
            return self._path(address).stat().st_size
        except OSError as error:
            raise _failed(address, error.strerror or str(error), isinstance(error, FileNotFoundError)) from None

    def fetch(self, address: ObjectAddress, path: Path) -> None:
        """See `Storage`."""
        try:
            shutil.copyfile(self._path(address), path)
        except OSError as error:
            raise _failed(address, error.strerror or str(error), isinstance(error, FileNotFoundError)) from None

    def put(self, address: ObjectAddress, path: Path, content_type: str) -> None:
        """See `Storage`. The content type is dropped."""
        target = self._path(address)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            descriptor, name = tempfile.mkstemp(dir=target.parent, prefix=".")
            os.close(descriptor)
            shutil.copyfile(path, name)
            os.replace(name, target)
        except OSError as error:
            raise _failed(address, error.strerror or str(error), False) from None


class S3Storage:
    """S3 as boto3 is configured: credentials, region, and `AWS_ENDPOINT_URL_S3` for one that is not Amazon's."""

    def __init__(self, client: Any) -> None:
        self._client = client
        exceptions = importlib.import_module("botocore.exceptions")
        self._refused: type[Exception] = exceptions.ClientError
        self._broken: tuple[type[Exception], ...] = (exceptions.BotoCoreError, importlib.import_module("boto3.exceptions").Boto3Error, OSError)

    def __repr__(self) -> str:
        return f"<S3Storage {self._client.meta.endpoint_url}>"

    def _run(self, address: ObjectAddress, method: str, *arguments: Any, **named: Any) -> Any:
        try:
            return getattr(self._client, method)(*arguments, **named)
        except self._refused as error:
            code = str(getattr(error, "response", {}).get("Error", {}).get("Code", ""))
            raise _failed(address, str(error), code in _MISSING) from error
        except self._broken as error:
            raise _failed(address, str(error), False) from error

    def size(self, address: ObjectAddress) -> int:
        """See `Storage`."""
        return int(self._run(address, "head_object", Bucket=address.bucket, Key=address.key)["ContentLength"])

    def fetch(self, address: ObjectAddress, path: Path) -> None:
        """See `Storage`."""
        self._run(address, "download_file", address.bucket, address.key, str(path))

    def put(self, address: ObjectAddress, path: Path, content_type: str) -> None:
        """See `Storage`."""
        extra = {"ContentType": content_type} if content_type else {}
        self._run(address, "upload_file", str(path), address.bucket, address.key, ExtraArgs=extra)


def s3_storage(region: str) -> S3Storage:
    """S3 by the standard configuration of boto3. Raises `ArgosyError` INVALID_CONFIG when boto3 is not installed."""
    try:
        boto3 = importlib.import_module("boto3")
    except ModuleNotFoundError:
        message = "S3 needs boto3: pip install 'argosy[sagemaker]', or let a folder stand for S3 with --storage"
        raise ArgosyError(ErrorCode.INVALID_CONFIG, message) from None
    return S3Storage(boto3.session.Session(region_name=os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or region).client("s3"))


class LateStorage:
    """Storage that is configured when it is first needed: who needs none needs no boto3 either. `folder` stands for S3 unless it is empty."""

    def __init__(self, folder: str, region: str) -> None:
        self._folder = folder
        self._region = region
        self._s3: S3Storage | None = None
        self._lock = threading.Lock()  # it is asked from threads

    def __repr__(self) -> str:
        return f"<LateStorage {self._s3!r}>"

    def _found(self) -> Storage:
        if self._folder:
            return FolderStorage(Path(self._folder))
        with self._lock:
            self._s3 = self._s3 or s3_storage(self._region)
        return self._s3

    def size(self, address: ObjectAddress) -> int:
        """See `Storage`."""
        return self._found().size(address)

    def fetch(self, address: ObjectAddress, path: Path) -> None:
        """See `Storage`."""
        self._found().fetch(address, path)

    def put(self, address: ObjectAddress, path: Path, content_type: str) -> None:
        """See `Storage`."""
        self._found().put(address, path, content_type)


def _failed(address: ObjectAddress, reason: str, is_missing: bool) -> ArgosyError:
    if is_missing:
        return ArgosyError(ErrorCode.MODEL_NOT_FOUND, f"There is no object at {address}.", detail=reason)
    return ArgosyError(ErrorCode.DOWNLOAD_FAILED, f"Cannot reach {address}: {reason}", detail=reason)
