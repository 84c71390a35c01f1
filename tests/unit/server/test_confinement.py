"""Settings that this server cannot keep are refused at the start."""

from __future__ import annotations

import pytest

from argosy.config import Config, ModelLimits, User
from argosy.config.confinement import ModelConfinement
from argosy.errors import ArgosyError, ErrorCode
from argosy.server.confinement import check_confinement

SOMEBODY = User(4000, 4001)
PROCESSES = (("processes", 9),)


@pytest.mark.parametrize(
    "config", [Config(worker_user=SOMEBODY), Config(model_limits=ModelLimits((ModelConfinement("m", (), SOMEBODY),)))], ids=["all", "one"])
def test_only_root_has_other_users(config: Config) -> None:
    """Another user for workers is refused without root, and is fine with it."""
    with pytest.raises(ArgosyError, match="needs a server that runs as root") as caught:
        check_confinement(config, is_root=False)
    assert caught.value.code is ErrorCode.INVALID_CONFIG
    check_confinement(config, is_root=True)


@pytest.mark.parametrize(
    ("config", "named"),
    [(Config(worker_processes=9), "worker_processes"), (Config(model_limits=ModelLimits((ModelConfinement("m", PROCESSES),))), r"\(m\)")],
    ids=["all", "one"])  # fmt: skip
def test_root_has_no_limit_of_processes(config: Config, named: str) -> None:
    """The kernel does not count the processes of root; another user's are counted."""
    with pytest.raises(ArgosyError, match=named):
        check_confinement(config, is_root=True)
    check_confinement(config, is_root=False)


def test_a_limit_of_processes_for_another_user() -> None:
    """With a user of their own, for all models or for the one, there is something to count."""
    check_confinement(Config(worker_processes=9, worker_user=SOMEBODY), is_root=True)
    check_confinement(Config(model_limits=ModelLimits((ModelConfinement("m", PROCESSES, SOMEBODY),))), is_root=True)
    check_confinement(Config(), is_root=True)
