"""Makes the repository that finds, fetches and unpacks models."""

from __future__ import annotations

import os

from argosy.config import Config
from argosy.store.address import AddressPolicy
from argosy.store.cache import Cache
from argosy.store.download import Downloader, DownloadLimits
from argosy.store.repository import Repository
from argosy.store.tree import Limits


def make_repository(config: Config) -> Repository:
    """The repository that the configuration describes. Takes the temporary folder; raises `ArgosyError` INVALID_CONFIG when that cannot be."""
    patterns = [pattern.pattern for pattern in config.allowed_urls]
    guarded = config.management_address.is_loopback or config.management_needs_token
    policy = AddressPolicy(patterns if patterns or not guarded else None)
    group = config.worker_group
    # a folder of its own for each such group: servers of one user share the folder, and must agree who may enter it
    root = config.temp_dir / (f".argosy-{os.getuid()}" if group is None else f".argosy-{os.getuid()}-{group}")
    cache = Cache(root, Limits(total_bytes=config.max_archive_bytes), group)
    return Repository(config.model_store, cache, Downloader(policy, DownloadLimits(max_bytes=config.max_archive_bytes)))
