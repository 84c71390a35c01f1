"""Starts a worker: makes `argosy` importable in the model's interpreter without the rest of the server's packages, then serves the link.

Usage: <interpreter> <this file> --fd N --page-fd M [--arena-fd K --arena-size S]
"""

from __future__ import annotations

import gc
import sys


def _import_argosy() -> None:
    """Import `argosy` from where this file lies, and drop this folder from `sys.path`: its modules are not the model's."""
    import importlib.util
    import os.path

    folder = os.path.dirname(os.path.abspath(__file__))
    root = os.path.dirname(folder)
    sys.path[:] = [path for path in sys.path if os.path.abspath(path) != folder]
    if "argosy" in sys.modules:
        return
    spec = importlib.util.spec_from_file_location("argosy", os.path.join(root, "__init__.py"), submodule_search_locations=[root])
    if spec is None or spec.loader is None:
        raise ImportError("cannot import argosy from {}".format(root))
    module = importlib.util.module_from_spec(spec)
    sys.modules["argosy"] = module
    spec.loader.exec_module(module)


if __name__ == "__main__":
    gc.disable()  # hardly anything of it is garbage, and looking for some takes a tenth of the time
    _import_argosy()
    from argosy.worker.start import main

    gc.enable()
    sys.exit(main(sys.argv[1:]))
