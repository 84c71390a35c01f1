"""What tests of faults share. The fixture `figure`, which every one of them reports to, is in the conftest above, so that other tests may use it.

A test that is skipped or ends before it has a figure has a line too, which says why: no fault is missing from the table.
"""

from __future__ import annotations

import os
from collections.abc import Generator

import pytest

from conftest import report_figure
from faults.figures import PROPERTY, Figure


@pytest.fixture(scope="session")
def seconds() -> float:
    """How long workers are killed and the server is overloaded: a minute, unless ARGOSY_FAULT_SECONDS says otherwise. Storms last a twelfth of it."""
    return float(os.environ.get("ARGOSY_FAULT_SECONDS", "60"))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Give a test that has no figure one that says why."""
    report = yield
    is_missing = not any(name == PROPERTY for name, _ in item.user_properties)
    if is_missing and (report.skipped or report.failed) and "figure" in getattr(item, "fixturenames", ()):
        report_figure(item, Figure(item.name, figures=f"{'does not apply' if report.skipped else 'no figure'}: {reason(report)}"))
        report.user_properties.append(item.user_properties[-1])
    return report


def reason(report: pytest.TestReport) -> str:
    """Why a test was skipped or failed, in one line."""
    if isinstance(report.longrepr, tuple):
        return report.longrepr[2].removeprefix("Skipped: ")
    return " ".join(report.longreprtext.strip().splitlines()[-1].split())[:160]
