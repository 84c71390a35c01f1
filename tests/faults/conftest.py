"""What tests of faults share. The fixture `figure`, which every one of them reports to, is in the conftest above, so that other tests may use it."""

from __future__ import annotations

import os

import pytest


@pytest.fixture(scope="session")
def seconds() -> float:
    """How long a fault goes on that has no end of its own; ARGOSY_FAULT_SECONDS says otherwise, and a full run takes 60."""
    return float(os.environ.get("ARGOSY_FAULT_SECONDS", "8"))
