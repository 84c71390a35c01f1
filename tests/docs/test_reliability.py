"""What is promised on the pages about reliability and about HTTP is proved by tests that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "explanation" / "reliability.md"
OF_HTTP = PAGE.with_name("http.md")
NAMED = sorted({found for page in (PAGE, OF_HTTP) for found in re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", page.read_text())})


@pytest.mark.parametrize(("file", "test"), NAMED, ids=[test for _, test in NAMED])
def test_every_named_test_exists(file: str, test: str) -> None:
    """A promise without its test would be a claim."""
    assert re.search(rf"^ *def {test}\(|^{test} = ", (ROOT / file).read_text(), re.MULTILINE), f"{file} has no {test}"


def test_every_promise_names_a_test() -> None:
    """Each paragraph of the promises ends with what proves it."""
    promises = PAGE.read_text().partition("## Promises")[2].partition("\n## ")[0].strip().split("\n\n")
    promises += OF_HTTP.read_text().strip().split("\n\n")[2:]
    assert [text.split("\n")[0] for text in promises if "::test_" not in text] == []
    assert len(NAMED) > 15


def test_the_pages_lead_to_each_other() -> None:
    """Whoever reads of one finds the other."""
    assert "(http.md)" in PAGE.read_text()
    assert "(reliability.md)" in OF_HTTP.read_text()


def test_every_fault_is_on_the_page() -> None:
    """No test of the matrix is left out."""
    named = {test for _, test in NAMED}
    # attacks are the matter of the threat model
    files = [path for path in (ROOT / "tests" / "faults").glob("test_fault_*.py") if path.name != "test_fault_security.py"]
    found = {name for path in files for name in re.findall(r"^def (test_\w+)\(", path.read_text(), re.MULTILINE)}
    assert found - named == set()
