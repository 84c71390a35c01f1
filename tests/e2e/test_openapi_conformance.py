"""The server does what its API descriptions say: schemathesis asks every operation, with valid and invalid values, and checks each reply.

A status that is not described, also 5xx, a wrong type, an answer that does not fit its schema, or a hang, is a failure. About ten seconds.
"""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from argosy.testing.server import RunningServer, serving
from conftest import Report
from faults.figures import Figure

pytestmark = pytest.mark.skipif(importlib.util.find_spec("schemathesis") is None, reason="schemathesis is not installed (dependency group fuzz)")

FINE = '''
def handle(data, context):
    for place in range(len(data or ())):
        context.set_response_content_type(place, "application/octet-stream")
    return None if data is None else [b"fine"] * len(data)
'''
STRICT = "status_code_conformance,content_type_conformance,response_schema_conformance"
EXAMPLES = os.environ.get("ARGOSY_EXAMPLES", "5")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server with one model."""
    folder = tmp_path_factory.mktemp("openapi")
    with serving(folder, "other", settings={"default_response_timeout_seconds": 5}) as running:
        running.store.add("m", FINE)
        assert running.register("m").status == 200
        yield running
        assert running.stop() == 0


@pytest.mark.parametrize(("api", "document", "checks", "fixed"), [
    ("inference", "openapi.json", STRICT, True), ("management", "openapi.json", STRICT, False),
    # the original descriptions miss responses, so that only what the server must never do is checked
    ("inference", "api-description", "not_a_server_error,content_type_conformance", True),
    ("management", "api-description", "not_a_server_error,content_type_conformance", False),
])  # fmt: skip
def test_the_server_does_what_it_says(
    server: RunningServer, tmp_path: Path, figure: Report, api: str, document: str, checks: str, fixed: bool
) -> None:
    """On each listener, for the description that is valid and the one of old; `fixed` asks for the model that is there."""
    (tmp_path / "schemathesis.toml").write_text('[parameters]\n"path.model_name" = "m"\n"query.model_name" = "m"\n' if fixed else "")
    address = f"http://127.0.0.1:{getattr(server, api)}"
    is_strict = document == "openapi.json"
    found = subprocess.run(
        [sys.executable, "-c", "from schemathesis.cli import schemathesis; schemathesis()", "run", f"{address}/{document}", "--url", address,
         "--checks", checks, "--phases", "coverage,fuzzing" if is_strict else "fuzzing", "--max-examples", EXAMPLES, "--generation-deterministic",
         "--continue-on-failure", "--request-timeout", "20", "--no-color", "--exclude-path", "" if is_strict else INVALID],
        cwd=tmp_path, capture_output=True, text=True, timeout=100, check=False)  # fmt: skip
    cases = re.search(r"(\d+) generated", found.stdout)
    figure(Figure(f"every operation of {document}, {api}", sent=int(cases[1]) if cases else 0, right=int(cases[1]) if cases else 0))
    assert found.returncode == 0, found.stdout[-6000:] + found.stderr[-2000:]
    assert cases is not None
    assert int(cases[1]) > 10
    assert server.ping().status == 200


INVALID = "/models/{model_name}/invoke"
"""The path whose parameter the original description forgets."""
