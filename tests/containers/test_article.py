"""The Dockerfile of the article about PaddlePaddle on SageMaker, unchanged but for the tag it starts from."""

from __future__ import annotations

import os

import pytest

from argosy.testing.server import Store
from containers.conftest import Start
from fakes.images import article_image

HANDLER = '''
"""Adds numbers with PaddlePaddle."""
import os

import paddle

def handle(data, context):
    if data is None:
        return None
    return ["%d as %d" % (int(paddle.to_tensor([int(word) for word in item["body"].decode().split()]).sum()), os.getuid()) for item in data]
'''


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.skipif(not os.environ.get("ARGOSY_PADDLE"), reason="ARGOSY_PADDLE does not say that 800 MB of PaddlePaddle may be installed")
def test_it_builds_and_serves(start: Start, store: Store) -> None:
    """A model that needs PaddlePaddle answers, as root and as another user."""
    image = article_image()
    store.add("m", HANDLER)
    for user in ("0", "1000"):
        container = start("serve", image=image, options=["--user", user], env={"MMS_DEFAULT_WORKERS_PER_MODEL": "1"})
        container.wait_until_healthy()
        assert container.ask("POST", "/invocations", "20 22", "application/text").body == f"42 as {user}".encode(), container.output
        assert container.stop() == 0
