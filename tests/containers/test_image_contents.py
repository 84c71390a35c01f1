"""What is in the base image, what it says about itself, and images made from it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import argosy
from argosy.testing.server import Store
from containers.conftest import Start
from fakes.images import BASE, built, podman

HANDLER = '''
"""Says which version of a package of the image it got, and as whom."""
import os

import iniconfig

def handle(data, context):
    return None if data is None else ["%s %d" % (iniconfig.__file__, os.getuid())] * len(data)
'''

STALE = """
import argosy, glob, importlib.util, os
files = [*glob.glob(os.path.dirname(os.__file__) + "/*.py"), *glob.glob(os.path.dirname(argosy.__file__) + "/**/*.py", recursive=True)]
flags = {file: open(importlib.util.cache_from_source(file), "rb").read(8)[4:] for file in files}
# the mark of byte code that is taken as it is
print(len(files) > 200, [file for file, flag in flags.items() if flag != bytes([1, 0, 0, 0])])
"""


def inside(command: str, image: str = BASE) -> str:
    """What a command of a shell prints in a container."""
    return podman("run", "--rm", image, "bash", "-c", command)


@pytest.fixture(scope="module")
def image() -> dict[str, Any]:
    """The description of the base image."""
    found: list[dict[str, Any]] = json.loads(podman("image", "inspect", BASE))
    return found[0]


def test_labels(image: dict[str, Any]) -> None:
    """SageMaker may choose the port and load models; a socket for two-way streams is not promised before there is one."""
    labels = image["Config"]["Labels"]
    prefix = "com.amazonaws.sagemaker.capabilities."
    promised = {name.removeprefix(prefix): value for name, value in labels.items() if name.startswith(prefix)}
    assert promised == {"accept-bind-to-port": "true", "multi-models": "true"}
    assert labels["org.opencontainers.image.version"] == argosy.__version__


def test_entry_point(image: dict[str, Any]) -> None:
    """In exec form, so that no shell stands between the platform's signals and the server; `serve` unless something else is said."""
    assert image["Config"]["Entrypoint"] == ["/usr/local/bin/argosy-entrypoint"]
    assert image["Config"]["Cmd"] == ["serve"]
    assert image["Config"].get("User", "") == ""


def test_manifest_format(image: dict[str, Any]) -> None:
    """One that SageMaker takes."""
    assert image["ManifestType"] == "application/vnd.docker.distribution.manifest.v2+json"


def test_size(image: dict[str, Any]) -> None:
    """Debian, Python, pip and a server: less than 250 MB."""
    assert image["Size"] < 250e6


def test_bill_of_materials() -> None:
    """It lists exactly the Python distributions and Debian packages that are installed."""
    bill = json.loads(inside("cat /usr/share/argosy/sbom.cdx.json"))
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.5")
    listed: dict[str, set[tuple[str, ...]]] = {"pypi": set(), "deb": set()}
    for component in bill["components"]:
        kind = component["purl"].partition("/")[0].removeprefix("pkg:")
        listed[kind].add((component["name"], component["version"]))
    python = {(item["name"], item["version"]) for item in json.loads(inside("pip list --format json"))}
    debian = {tuple(line.split()) for line in inside("dpkg-query -Wf '${Package} ${Version}\\n'").splitlines()}
    assert listed == {"pypi": python, "deb": debian}
    assert ("argosy", argosy.__version__) in python


def test_the_bill_can_be_made_again() -> None:
    """The command gives what the image has, byte for byte: its contents have not changed since."""
    assert inside("SOURCE_DATE_EPOCH=0 argosy docker sbom | cmp - /usr/share/argosy/sbom.cdx.json && echo same") == "same\n"


def test_python() -> None:
    """`python` and `pip` are those of the system, into which `pip install` may install; what frameworks link against is there."""
    assert inside("python -c 'import sys; print(sys.prefix == sys.base_prefix)'") == "True\n"
    assert inside("pip install --dry-run --no-index --quiet argosy && echo fine") == "fine\n"
    assert "libgomp.so.1" in inside("ldconfig -p")


def test_nothing_is_left_of_the_build() -> None:
    """No caches, lists, logs or temporary files."""
    folders = "~/.cache /tmp /var/lib/apt/lists /var/cache/apt /var/log /source /wheel /installed"
    assert inside(f"find {folders} -type f 2>/dev/null; true") == ""


def test_byte_code_needs_no_times() -> None:
    """Every module of the server and of the library has byte code that is not compared with its source."""
    assert inside(f"cat <<'END' | python\n{STALE}\nEND") == "True []\n"


def test_packages_of_a_user(start: Start, store: Store, tmp_path: Path) -> None:
    """`RUN pip install --user -U`, as Dockerfiles for Multi Model Server have it, works, and whoever the server runs as finds the package."""
    context = tmp_path / "context"
    context.mkdir()
    text = f"FROM {BASE.removeprefix('localhost/')}\n\nRUN pip install --user -U iniconfig \\\n && pip install --user -U iniconfig\n"
    store.add("m", HANDLER)
    with built(context, "argosy-test-user-packages", text) as image:
        for options in ([], ["--user", "1000"], ["--user", "4242"]):
            container = start("serve", image=image, options=options)
            container.wait_until_healthy()
            path, user = container.ask("POST", "/invocations", "?").body.decode().split()
            assert path.startswith("/home/model-server/.local/lib/python3")
            assert user == (options[1] if options else "0")
            assert container.stop() == 0


def test_a_user_of_its_own(start: Start, store: Store, tmp_path: Path) -> None:
    """The image's user may install too: Dockerfiles that change to it go on working."""
    context = tmp_path / "context"
    context.mkdir()
    store.add("m", HANDLER)
    with built(context, "argosy-test-own-user", f"FROM {BASE}\nUSER model-server\nRUN pip install --user -U iniconfig\n") as image:
        container = start("serve", image=image)
        container.wait_until_healthy()
        assert container.ask("POST", "/invocations", "?").body.decode().endswith(" 1000")
