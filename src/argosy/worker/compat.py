"""Lets old handlers import `mms`: the package is looked up beside this file, after the model's own folders and before site-packages."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import os
import sys
from importlib.machinery import ModuleSpec
from typing import Any, Optional

NAMES = frozenset(("mms",))
_FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "shims")


class ShimFinder:
    """A finder for the top-level packages in `NAMES`; it costs nothing until one of them is imported."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Optional[ModuleSpec]:
        """Our stand-in, or None to let the usual search go on."""
        if name not in NAMES or self._is_own(name):
            return None
        folder = os.path.join(_FOLDER, name)
        return importlib.util.spec_from_file_location(name, os.path.join(folder, "__init__.py"), submodule_search_locations=[folder])

    @staticmethod
    def _is_own(name: str) -> bool:
        """Whether the model brings a package of that name itself."""
        own = [os.getcwd(), *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
        site = [path for path in own if "site-packages" not in path and "dist-packages" not in path]
        return importlib.machinery.PathFinder.find_spec(name, site) is not None


def install() -> None:
    """Make `import mms` work in this process. Calling it again does nothing."""
    if not any(isinstance(finder, ShimFinder) for finder in sys.meta_path):
        sys.meta_path.insert(0, ShimFinder())
