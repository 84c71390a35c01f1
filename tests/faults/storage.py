"""Model archives that tests pack."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from pathlib import Path


def pack(path: Path, members: Mapping[str, bytes]) -> Path:
    """A model archive of these files, with a manifest that names `service:handle`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    manifest = {"runtime": "python", "modelServerVersion": "1.0", "model": {"modelName": path.stem, "handler": "service:handle"}}
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("MAR-INF/MANIFEST.json", json.dumps(manifest))
        for name, data in members.items():
            file.writestr(name, data)
    return path
