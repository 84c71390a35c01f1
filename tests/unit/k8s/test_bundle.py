"""Which objects there are, as a stream and as a folder."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from argosy.errors import ArgosyError, ErrorCode
from argosy.k8s import bundle
from argosy.k8s.application import Access, Application, Exposure, Scaling

PLAIN = Application("words", "words:1")
FULL = replace(PLAIN, scaling=Scaling(2, 4), exposure=Exposure("a.example"), access=Access("a", None, "b"))


def kinds(application: Application) -> list[object]:
    """The kinds of its objects, in order."""
    return [manifest["kind"] for manifest in bundle.manifests(application)]


def test_objects() -> None:
    """What others need comes first; what was not asked for does not come."""
    always = ["Deployment", "Service", "PodDisruptionBudget"]
    assert kinds(PLAIN) == [*always, "ServiceMonitor"]
    assert kinds(replace(PLAIN, is_monitored=False)) == always
    assert kinds(FULL) == ["Secret", *always, "HorizontalPodAutoscaler", "Ingress", "ServiceMonitor"]


def test_objects_of_kserve() -> None:
    """It makes Deployment, Service and autoscaler itself."""
    wanted = replace(PLAIN, is_kserve=True, scaling=Scaling(1, 3), access=Access("a"))
    assert kinds(wanted) == ["Secret", "ServingRuntime", "InferenceService", "PodDisruptionBudget"]


def test_the_stream_is_the_objects() -> None:
    """Read back, they are what they were; a second time the bytes are the same."""
    text = bundle.stream(FULL)
    assert list(yaml.safe_load_all(text)) == list(bundle.manifests(FULL))
    assert text == bundle.stream(FULL)


def test_files() -> None:
    """One for each object, all of them listed."""
    found = bundle.files(FULL)
    listed = yaml.safe_load(found.pop("kustomization.yaml"))["resources"]
    assert listed == list(found)
    assert [yaml.safe_load(text) for text in found.values()] == list(bundle.manifests(FULL))
    assert "poddisruptionbudget.yaml" in found


def test_nothing_is_replaced(tmp_path: Path) -> None:
    """One file that is there stops all, unless by force; then nothing else is left in the folder."""
    (tmp_path / "b.yaml").write_text("mine")
    with pytest.raises(ArgosyError, match=r"b\.yaml exists already: name another folder") as caught:
        bundle.write(tmp_path, {"a.yaml": "1", "b.yaml": "2"}, force=False)
    assert caught.value.code is ErrorCode.CONFLICT
    assert [path.name for path in tmp_path.iterdir()] == ["b.yaml"]
    bundle.write(tmp_path, {"a.yaml": "1", "b.yaml": "2"}, force=True)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"a.yaml": "1", "b.yaml": "2"}


@pytest.mark.parametrize("force", [False, True])
def test_a_folder_in_the_place_of_a_file(tmp_path: Path, force: bool) -> None:
    """It is named, and nothing is written."""
    (tmp_path / "b.yaml").mkdir()
    with pytest.raises(ArgosyError, match=r"b\.yaml (is a folder, where a file shall be: remove it|exists already)") as caught:
        bundle.write(tmp_path, {"a.yaml": "1", "b.yaml": "2"}, force=force)
    assert caught.value.code is ErrorCode.CONFLICT
    assert [path.name for path in tmp_path.iterdir()] == ["b.yaml"]


def test_folders_that_cannot_be(tmp_path: Path) -> None:
    """A file in the way."""
    (tmp_path / "file").write_text("")
    with pytest.raises(ArgosyError, match=r"cannot write .*/file/deep: Not a directory"):
        bundle.write(tmp_path / "file" / "deep", {"a.yaml": ""}, force=False)


def test_folders_are_made(tmp_path: Path) -> None:
    """With those above."""
    bundle.write(tmp_path / "a" / "b", {"a.yaml": "1"}, force=False)
    assert (tmp_path / "a/b/a.yaml").read_text() == "1"
