"""Images without a container engine: a tool that has one image and pushes its manifest to moto."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import Any

from argosy.sagemaker.deploy.images import Commands, Login

_KIND = "application/vnd.docker.distribution.manifest.v2+json"


@dataclass
class FakeTool:
    """Has the images of `contents`, by reference; `pushed` are the destinations so far."""

    ecr: Any
    """A client of moto itself."""
    contents: dict[str, str] = field(default_factory=lambda: {"hello:1": "first"})
    pushed: list[str] = field(default_factory=list)
    logins: list[Login] = field(default_factory=list)
    name: str = "fake"
    commands: Commands = field(default_factory=lambda: Commands({}))

    def identity(self, reference: str) -> str | None:
        """The digest of what it has."""
        text = self.contents.get(reference)
        return None if text is None else f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"

    def push(self, reference: str, destination: str, login: Login) -> None:
        """Put a manifest under the tag."""
        repository, _, tag = destination.partition("/")[2].rpartition(":")
        manifest = json.dumps({"schemaVersion": 2, "mediaType": _KIND, "config": {"digest": self.identity(reference)}, "layers": []})
        self.ecr.put_image(repositoryName=repository, imageTag=tag, imageManifest=manifest)
        self.pushed.append(destination)
        self.logins.append(login)
