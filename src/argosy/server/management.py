"""Makes the manager of models."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from concurrent.futures import Executor

from argosy.config import Config, free_memory
from argosy.control.manager import Manager
from argosy.control.memory import Memory
from argosy.control.registration import Interpreters
from argosy.dataplane.model import Model
from argosy.dataplane.registry import Registry
from argosy.store.manifest import read_manifest
from argosy.store.repository import Repository
from argosy.supervisor.spec import ModelSpec


def make_manager(
    config: Config, registry: Registry, repository: Repository, make_model: Callable[[ModelSpec], Model], executor: Executor
) -> Manager:
    """The only writer of the registry. Files are read on `executor`; in a multi-model container memory is asked for before models load."""
    memory = Memory(config.load_memory_factor, free_memory) if config.multi_model else None
    return Manager(registry, config, repository, read_manifest, make_model, executor, Interpreters(sys.executable, shutil.which), memory)
