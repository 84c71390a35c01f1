"""Declared metrics have names by the rules and are documented."""

from __future__ import annotations

from pathlib import Path

from argosy.metrics import instruments

ROOT = Path(__file__).resolve().parents[3]


def test_names_follow_the_rules() -> None:
    """Names are unique, begin with ours, and only those of counters end in _total."""
    names = [metric.name for metric in instruments.ALL]
    assert len(set(names)) == len(names)
    assert all(name.startswith("argosy_") for name in names)
    assert all(metric.name.endswith("_total") == (metric.kind == instruments.COUNTER) for metric in instruments.ALL)


def test_reference_page_is_up_to_date() -> None:
    """The documentation holds the table that the declarations give."""
    assert instruments.reference() in (ROOT / "docs/reference/metrics.md").read_text("utf-8")
