"""The Dockerfile for a model, as text."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

BASES = {"cpu": "argosy:base-cpu", "gpu": "argosy:base-gpu"}
"""What `docker/build` calls its images."""
REQUIREMENTS = "requirements.txt"
STORE = "/opt/argosy/models"
"""Where models of an image are; /opt/ml/model belongs to the platform, which may mount something over it."""
IGNORED = """\
# what does not go into the image
Dockerfile
.dockerignore
.git
.env
.venv
venv
logs
**/__pycache__
**/*.pyc
**/.ipynb_checkpoints
"""


@dataclass(frozen=True, slots=True)
class Recipe:
    """What an image is made of: a base and the model in the folder of the Dockerfile."""

    base: str
    name: str
    """Of the model."""
    handler: str | None = None
    """The entry point of a model without a manifest."""
    has_requirements: bool = False
    """Whether the folder has a requirements.txt."""


def dockerfile(recipe: Recipe) -> str:
    """The text of the Dockerfile. Packages come before the model: a change of the handler does not install them again."""
    parts = [f"# Serves the model {recipe.name}: docker run --rm -p 8080:8080 {image_name(recipe.name)}\nFROM {recipe.base}"]
    if recipe.has_requirements:
        parts.append(
            f"COPY {REQUIREMENTS} /tmp/\nRUN pip install -r /tmp/{REQUIREMENTS} \\\n && rm /tmp/{REQUIREMENTS} \\\n"
            " && argosy docker sbom --output /usr/share/argosy/sbom.cdx.json")
    settings = {"MMS_MODEL_STORE": STORE, "MMS_LOAD_MODELS": f"{recipe.name}={recipe.name}"}
    if recipe.handler is not None:
        settings["MMS_DEFAULT_SERVICE_HANDLER"] = recipe.handler
    lines = " \\\n    ".join(f"{name}={json.dumps(value, ensure_ascii=False)}" for name, value in settings.items())
    parts.append(f"COPY . {STORE}/{recipe.name}/\nENV {lines}")
    return "\n\n".join(parts) + "\n"


def image_name(model: str) -> str:
    """A name for the image of a model: registries allow small letters, digits and single separators between them."""
    return re.sub(r"[^a-z0-9]+", "-", model.lower()).strip("-") or "model"
