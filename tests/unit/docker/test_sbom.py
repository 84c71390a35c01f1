"""The bill of materials: what is listed, in which form, always in the same bytes."""

from __future__ import annotations

import json
from importlib import metadata
from pathlib import Path

import pytest

from argosy.docker.sbom import Component, debian_components, document, os_release, python_components

SYSTEM = 'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\n# a comment\nID=debian\nVERSION_ID=\'12\'\n\n'


def distribution(folder: Path, name: str, text: str) -> metadata.Distribution:
    """An installed distribution with this metadata."""
    made = folder / f"{name}.dist-info"
    made.mkdir()
    (made / "METADATA").write_text(text)
    return metadata.Distribution.at(made)


@pytest.mark.parametrize(("fields", "license"), [
    ("", ""), ("License-Expression: MIT OR Apache-2.0\n", "MIT OR Apache-2.0"), ("License: BSD-3-Clause\n", "BSD-3-Clause"),
    ("License: All rights reserved, and so on\n", ""), ("License: MIT\nLicense-Expression: 0BSD\n", "0BSD"),
])
def test_python_distributions(tmp_path: Path, fields: str, license: str) -> None:
    """The name as indexes spell it, the version, and the licence if it is an expression or one word."""
    found = distribution(tmp_path, "a", f"Metadata-Version: 2.1\nName: My_Fine.Package\nVersion: 1.0+local\n{fields}\n")
    assert list(python_components([found])) == [Component("pkg:pypi/my-fine-package@1.0%2Blocal", "My_Fine.Package", "1.0+local", license)]


def test_what_a_broken_installation_leaves(tmp_path: Path) -> None:
    """Metadata without a name is passed over."""
    assert list(python_components([distribution(tmp_path, "a", "Metadata-Version: 2.1\n\n")])) == []


def test_debian_packages() -> None:
    """What is installed, without what was removed and left its configuration."""
    listing = "libc6:amd64\t2.36-9+deb12u10\tamd64\tinstalled\nold\t1:2.0~rc1\tall\tconfig-files\ntzdata\t2025b-0\tall\tinstalled\n"
    assert list(debian_components(listing, "debian")) == [
        Component("pkg:deb/debian/libc6@2.36-9%2Bdeb12u10?arch=amd64", "libc6", "2.36-9+deb12u10"),
        Component("pkg:deb/debian/tzdata@2025b-0?arch=all", "tzdata", "2025b-0"),
    ]


def test_system_without_packages() -> None:
    """An empty listing gives nothing."""
    assert list(debian_components("", "debian")) == []


def test_os_release() -> None:
    """Entries with and without quotes."""
    assert os_release(SYSTEM) == {"PRETTY_NAME": "Debian GNU/Linux 12 (bookworm)", "ID": "debian", "VERSION_ID": "12"}


def test_document() -> None:
    """The fields that readers of CycloneDX need; sorted, each component once."""
    one = Component("pkg:pypi/b@1", "b", "1", "MIT")
    components = [one, Component("pkg:pypi/a@2", "a", "2", "MIT OR 0BSD"), one]
    bill = json.loads(document(components, os_release(SYSTEM), "9.9", 86400))
    assert (bill["bomFormat"], bill["specVersion"], bill["version"]) == ("CycloneDX", "1.5", 1)
    assert bill["metadata"]["timestamp"] == "1970-01-02T00:00:00Z"
    assert bill["metadata"]["component"]["properties"] == [{"name": "os", "value": "Debian GNU/Linux 12 (bookworm)"}]
    both = {"type": "library"}
    assert bill["components"] == [
        {**both, "bom-ref": "pkg:pypi/a@2", "name": "a", "version": "2", "purl": "pkg:pypi/a@2", "licenses": [{"expression": "MIT OR 0BSD"}]},
        {**both, "bom-ref": "pkg:pypi/b@1", "name": "b", "version": "1", "purl": "pkg:pypi/b@1", "licenses": [{"license": {"name": "MIT"}}]},
    ]


def test_same_bytes() -> None:
    """The order in which components are found does not matter."""
    components = [Component(f"pkg:pypi/{name}@1", name, "1") for name in "abc"]
    assert document(components, {}, "1", 0) == document(reversed(components), {}, "1", 0)
