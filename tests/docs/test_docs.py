"""The documents: links lead somewhere, code compiles, what the reader is told to type works."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([
    *ROOT.glob("*.md"),
    *(page for folder in ("docs", "benchmarks", "examples", "changelog.d") for page in (ROOT / folder).glob("**/*.md")),
])
FRAGMENTS = sorted(path for path in (ROOT / "changelog.d").glob("*") if path.name != "README.md")
# the brackets keep this file from matching its own pattern
FOREIGN = re.compile(
    r"/(?:[w]ork|[r]oot|[f]arm)/|/[t]mp/(?:dev|mmsenv)|[p]ypi\.org|[p]ythonhosted|[d]eb\.debian|[r]egistry\.npmjs|(?:TO)(?:DO)|(?:FIX)(?:ME)"
)


def name(path: Path) -> str:
    """How a page is called in a test's id."""
    return str(path.relative_to(ROOT))


def blocks(page: Path, language: str) -> list[str]:
    """The fenced code blocks of a page in one language."""
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)


def prose(page: Path) -> str:
    """A page without its code."""
    return re.sub(r"`[^`\n]*`", "", re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL))


def links(page: Path) -> Iterator[str]:
    """The targets of the relative links of a page."""
    for target in re.findall(r"\[[^\]]*\]\(([^)\s]+)\)", prose(page)):
        if not re.match(r"[a-z]+:", target):
            yield target


def anchors(page: Path) -> set[str]:
    """What the headings of a page can be linked by."""
    headings = re.findall(r"^#+ +(.+?) *$", re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def is_broken(page: Path, target: str) -> bool:
    """Whether a relative link leads nowhere."""
    path, _, anchor = target.partition("#")
    file = (page.parent / path).resolve() if path else page
    return not file.exists() or bool(anchor and anchor not in anchors(file))


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_relative_links_resolve(page: Path) -> None:
    """No link of a page leads nowhere."""
    assert [target for target in links(page) if is_broken(page, target)] == []


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_python_blocks_compile(page: Path) -> None:
    """Python in a page is Python."""
    for block in blocks(page, "python"):
        compile(block, name(page), "exec")


def test_every_page_is_reachable() -> None:
    """A reader who starts at the README or the index finds every page of docs."""
    seen: set[Path] = set()
    pending = [ROOT / "README.md", ROOT / "docs" / "index.md"]
    while pending:
        page = pending.pop()
        if page in seen or page.suffix != ".md" or not page.is_file():
            continue
        seen.add(page)
        pending += [(page.parent / target.partition("#")[0]).resolve() for target in links(page) if not target.startswith("#")]
    assert [name(page) for page in PAGES if page.is_relative_to(ROOT / "docs") and page not in seen] == []


def test_changelog_fragments_are_one_paragraph() -> None:
    """Each fragment is named by its subject and holds one paragraph that is not empty."""
    for path in FRAGMENTS:
        assert re.fullmatch(r"[a-z0-9-]+(\.(added|changed|fixed|removed))?\.md", path.name)
        text = path.read_text().strip()
        assert text, name(path)
        assert "\n\n" not in text, name(path)


def test_repository_names_no_machine_and_no_registry() -> None:
    """No file holds a path of somebody's machine, the host of a package registry, or a note to do something later."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False)
    if listed.returncode:
        pytest.skip("not a git work tree")
    found = []
    for path in (ROOT / relative for relative in listed.stdout.decode().split("\0") if relative):
        if path.is_file():
            lines = path.read_bytes().decode("utf-8", "replace").splitlines()
            found += [f"{name(path)}:{number}: {line.strip()[:100]}" for number, line in enumerate(lines, 1) if FOREIGN.search(line)]
    assert found == []
