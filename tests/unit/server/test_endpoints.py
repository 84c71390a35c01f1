"""Which custom endpoints are loaded, and the threads that they run in."""

from __future__ import annotations

from importlib.metadata import EntryPoint

import pytest

from argosy.errors import ArgosyError, ErrorCode
from argosy.plugins import GROUP
from argosy.server.endpoints import installed_endpoints, load_endpoints

PARAMETERS = EntryPoint("parameters", "argosy.protocols.sagemaker:ExecutionParameters", GROUP)
PING = EntryPoint("ping", "argosy.protocols.sagemaker:SageMakerPing", GROUP)
OTHER_PING = EntryPoint("other", "argosy.protocols.sagemaker:SageMakerPing", GROUP)
MISSING = EntryPoint("missing", "argosy.no_such_module:Endpoint", GROUP)
UNFIT = EntryPoint("unfit", "json:dumps", GROUP)


def test_endpoints_are_loaded_by_name() -> None:
    """Only those named, or all; what is not named is not even imported."""
    installed = [PARAMETERS, PING, MISSING]
    assert [one.pattern for one in load_endpoints(["ping"], installed)] == ["ping"]
    assert [one.pattern for one in load_endpoints(["all"], installed[:2])] == ["execution-parameters", "ping"]
    assert load_endpoints([], installed) == []


@pytest.mark.parametrize(("names", "message"), [
    (["ping", "nosuch"], "endpoints names nosuch, which is not installed; installed are: missing, other, ping, unfit"),
    (["missing"], r"Endpoint missing \(argosy.no_such_module:Endpoint\) cannot be loaded: ModuleNotFoundError: No module named"),
    (["unfit"], r"Endpoint unfit \(json:dumps\) cannot be used: its pattern is None"),
    (["ping", "other"], 'Multiple plugins found for endpoint "ping"'),
])
def test_what_cannot_be_loaded_refuses_the_start(names: list[str], message: str) -> None:
    """With a message that names the culprit."""
    with pytest.raises(ArgosyError, match=message) as caught:
        load_endpoints(names, [PING, OTHER_PING, MISSING, UNFIT])
    assert caught.value.code is ErrorCode.INVALID_CONFIG


def test_nothing_is_installed() -> None:
    """The message says so."""
    with pytest.raises(ArgosyError, match="installed are: none"):
        load_endpoints(["a"], [])


def test_the_shipped_ones_are_installed() -> None:
    """As entry points of the server's own package."""
    assert {"execution-parameters", "sagemaker-ping"} <= {entry.name for entry in installed_endpoints()}
