"""The text of Dockerfiles, and names of images."""

from __future__ import annotations

import pytest

from argosy.docker.recipe import Recipe, dockerfile, image_name

FULL = '''\
# Serves the model My_Words: docker run --rm -p 8080:8080 my-words
FROM base:1

COPY requirements.txt /tmp/
RUN pip install -r /tmp/requirements.txt \\
 && rm /tmp/requirements.txt \\
 && argosy docker sbom --output /usr/share/argosy/sbom.cdx.json

COPY . /opt/argosy/models/My_Words/
ENV MMS_MODEL_STORE="/opt/argosy/models" \\
    MMS_LOAD_MODELS="My_Words=My_Words" \\
    MMS_DEFAULT_SERVICE_HANDLER="service:handle"
'''


def test_everything() -> None:
    """Packages first, then the model; the server is told where the model is, its name and its handler."""
    assert dockerfile(Recipe("base:1", "My_Words", "service:handle", True)) == FULL


def test_a_model_with_a_manifest() -> None:
    """It needs neither handler nor packages."""
    text = dockerfile(Recipe("base:1", "w"))
    assert text.splitlines()[1:] == [
        "FROM base:1", "", "COPY . /opt/argosy/models/w/", 'ENV MMS_MODEL_STORE="/opt/argosy/models" \\', '    MMS_LOAD_MODELS="w=w"']


@pytest.mark.parametrize(("model", "image"), [
    ("words", "words"), ("My_Model.v2", "my-model-v2"), ("__x__", "x"), ("a--b", "a-b"), ("___", "model"),
])
def test_image_names(model: str, image: str) -> None:
    """Small letters, digits, single hyphens between them."""
    assert image_name(model) == image
