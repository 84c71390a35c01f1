"""The software bill of materials of an image: what Python and Debian say is installed, as CycloneDX JSON."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from urllib.parse import quote

FORMAT = "${binary:Package}\t${Version}\t${Architecture}\t${db:Status-Status}\n"
"""What `dpkg-query --show --showformat` is asked for, one package a line."""
_SPDX = re.compile(r"[A-Za-z0-9.+-]+")


@dataclass(frozen=True, slots=True, order=True)
class Component:
    """A package that is installed. `purl` names it for programs that know advisories."""

    purl: str
    name: str
    version: str
    license: str = ""
    """The expression of the package itself; empty if it gives none."""


def python_components(distributions: Iterable[metadata.Distribution]) -> Iterator[Component]:
    """The installed distributions of an interpreter; those without a name or version, which a broken installation leaves, are passed over."""
    for distribution in distributions:
        fields = distribution.metadata.json
        name, version = (str(fields.get(key, "")) for key in ("name", "version"))
        if name and version:
            canonical = re.sub(r"[-_.]+", "-", name).lower()
            expression, text = (str(fields.get(key, "")) for key in ("license_expression", "license"))
            # an older text of several words is a whole licence
            license = expression or (text if _SPDX.fullmatch(text) else "")
            yield Component(f"pkg:pypi/{canonical}@{quote(version)}", name, version, license)


def debian_components(listing: str, distribution: str) -> Iterator[Component]:
    """The packages in a listing made with `FORMAT`; `distribution` is the ID of /etc/os-release, as `debian` or `ubuntu`."""
    for line in listing.splitlines():
        package, version, architecture, status = line.split("\t")
        if status == "installed":
            name = package.partition(":")[0]
            yield Component(f"pkg:deb/{distribution}/{quote(name)}@{quote(version)}?arch={architecture}", name, version)


def os_release(text: str) -> dict[str, str]:
    """The entries of /etc/os-release."""
    pairs = (line.split("=", 1) for line in text.splitlines() if "=" in line and not line.startswith("#"))
    return {name: value.strip().strip("\"'") for name, value in pairs}


def document(components: Iterable[Component], system: Mapping[str, str], version: str, made_at: int) -> str:
    """The bill as CycloneDX 1.5 JSON. `system` is /etc/os-release, `version` that of Argosy, `made_at` seconds since 1970.

    The same contents give the same bytes.
    """
    return json.dumps({
        "$schema": "http://cyclonedx.org/schema/bom-1.5.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {
            "timestamp": datetime.fromtimestamp(made_at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "tools": {"components": [{"type": "application", "name": "argosy", "version": version}]},
            "component": {
                "type": "container", "bom-ref": "image", "name": "argosy", "version": version,
                "properties": [{"name": "os", "value": system.get("PRETTY_NAME", "unknown")}],
            },
        },
        "components": [_entry(component) for component in sorted(set(components))],
    }, indent=1) + "\n"  # fmt: skip


def _entry(component: Component) -> dict[str, object]:
    entry: dict[str, object] = {
        "type": "library", "bom-ref": component.purl, "name": component.name, "version": component.version, "purl": component.purl}
    if component.license:
        # an expression of SPDX is a field of its own, a single word may be any name
        is_expression = " " in component.license
        entry["licenses"] = [{"expression": component.license}] if is_expression else [{"license": {"name": component.license}}]
    return entry
