"""What follows from the settings: times in seconds, who is let in, what is served from the start, how workers are confined."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from argosy.config import Address, Config, Target, declarations, load_config, parse_target
from argosy.config.confinement import parse_model_limits, parse_user
from argosy.config.values import allowed
from argosy.errors import ArgosyError, ErrorCode


@pytest.mark.parametrize(("text", "expected"), [
    ("m.mar", Target(None, "m.mar")), ("n=m.mar", Target("n", "m.mar")), (" n = m.mar ", Target("n", "m.mar")), ("=m.mar", Target(None, "m.mar")),
    ("https://h/m.mar?v=1", Target(None, "https://h/m.mar?v=1")), ("n=https://h/m.mar?v=1", Target("n", "https://h/m.mar?v=1")),
    ("a/b=c", Target(None, "a/b=c")), ("handler.py:f=g", Target(None, "handler.py:f=g")), ("n=", Target("n", "")), ("", Target(None, "")),
])  # fmt: skip
def test_a_target_may_have_a_name(text: str, expected: Target) -> None:
    """An equals sign inside a path or an address is part of that."""
    assert parse_target(text) == expected


@pytest.mark.parametrize("text", ["m.mar", "n=m.mar", "n=https://h/m?v=1"])
def test_a_target_is_written_as_it_is_read(text: str) -> None:
    """So that it can be named in a message."""
    assert str(parse_target(text)) == text


@pytest.mark.parametrize(("listed", "targets", "loads_all"), [
    (None, [], False), ("", [], False), (" , ", [], False), ("a, n=b ,", ["a", "n=b"], False), ("ALL", [], True), (" all ", [], True),
    ("ALL,a", ["ALL", "a"], False),
])  # fmt: skip
def test_models_of_the_start(listed: str | None, targets: list[str], loads_all: bool) -> None:
    """A list between commas, or the word that means the whole store if it stands alone."""
    config = Config(load_models=listed)
    assert ([str(target) for target in config.start_targets], config.loads_all) == (targets, loads_all)


@pytest.mark.parametrize(("minutes", "seconds", "expected"), [(2, -1, 120.0), (2, 0, 0.0), (2, 7, 7.0), (0, -1, 0.0)])
def test_the_response_timeout_is_in_minutes_unless_it_says_seconds(minutes: int, seconds: int, expected: float) -> None:
    """As it always was, whatever its documentation said; 0 is no limit."""
    assert Config(default_response_timeout=minutes, default_response_timeout_seconds=seconds).response_timeout_s == expected


def address(text: str) -> Address:
    """An address of one listener."""
    scheme, _, rest = text.partition("://")
    return Address("unix", rest, 0) if scheme == "unix" else Address(scheme, *_host(rest))


def _host(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    return host, int(port)


@pytest.mark.parametrize(("inference", "management", "is_one"), [
    ("http://h:80", "http://h:80", True), ("http://h:80", "http://h:81", False), ("http://h:80", "https://h:80", False),
    ("http://h:0", "http://h:0", False), ("unix:///s", "unix:///s", True), ("unix:///s", "unix:///t", False),
])  # fmt: skip
def test_one_address_is_one_listener(inference: str, management: str, is_one: bool) -> None:
    """Unless the system chooses the ports: then there are two."""
    assert Config(inference_address=address(inference), management_address=address(management)).is_one_listener is is_one


@pytest.mark.parametrize(("given", "needs", "uses"), [
    ({}, False, False), ({"management_token": "t"}, True, False), ({"tokens": "x"}, True, True),
    ({"tokens": "x", "token_scopes": frozenset({"inference"}), "management_token": "t"}, False, True),
])  # fmt: skip
def test_who_manages_needs_a_token_if_there_are_such(given: dict[str, object], needs: bool, uses: bool) -> None:
    """Among tokens with scopes it is the scopes that decide, and not the single one."""
    config = dataclasses.replace(Config(), **given)  # type: ignore[arg-type]  # names of settings
    assert (config.management_needs_token, config.uses_tokens) == (needs, uses)


def test_a_model_has_the_limits_of_all_and_its_own() -> None:
    """Its own instead of those, also where they allow more; other models are not touched."""
    config = Config(worker_memory_bytes=100, worker_cpu_s=5, model_limits=parse_model_limits('{"big": {"memory_bytes": 99000000}}'))
    assert config.confinement("big").limits == {"memory_bytes": 99_000_000, "cpu_s": 5}
    assert config.confinement("small").limits == {"memory_bytes": 100, "cpu_s": 5}


def test_workers_with_a_user_share_the_group_that_may_read_archives() -> None:
    """And cannot gain rights, whatever the setting for others says."""
    own = parse_model_limits('{"own": {"user": "5001:5002"}}')
    config = Config(worker_user=parse_user("4001:4002"), model_limits=own, worker_new_privileges=True)
    assert config.worker_group == 4002
    assert [user.uid for user in config.worker_users] == [4001, 5001]
    found = config.confinement("own")
    assert found.user is not None
    assert (found.user.uid, found.user.gid, 4002 in found.user.groups, found.new_privileges) == (5001, 5002, True, False)


def test_without_a_user_nobody_else_may_read_archives() -> None:
    """And the setting decides about rights."""
    assert (Config().worker_group, Config().worker_users) == (None, ())
    assert [Config(worker_new_privileges=value).confinement("m").new_privileges for value in (True, False)] == [True, False]


def test_every_setting_is_declared_once() -> None:
    """With words for people; its default passes its own checks, where they have bounds."""
    for name, (setting, default) in declarations().items():
        assert setting.help.endswith((".", ")", ":")), name
        if isinstance(default, (int, float)) and setting.low is not None and not setting.needless:
            assert default >= setting.low or default == -1, name


NUMBERS = [name for name, (setting, _) in declarations().items() if setting.kind in ("integer", "number")]


@pytest.mark.parametrize("name", NUMBERS)
def test_every_number_has_a_lower_bound(tmp_path: Path, name: str) -> None:
    """From a file, and from the command line, what is below it is refused with the value, the place and what is allowed; the bound itself is fine."""
    setting, _ = declarations()[name]
    assert setting.low is not None
    bound, below = (f"{setting.low:.0f}", f"{setting.low - 1:.0f}") if setting.kind == "integer" else (f"{setting.low:g}", f"{setting.low - 0.01:g}")
    file = tmp_path / "config.properties"
    file.write_text(f"{name}={below}\n")
    for flags, origin in (({}, f"{file}:1"), ({name: below}, "command line")):
        with pytest.raises(ArgosyError) as caught:
            load_config(flags, {}, tmp_path)
        assert caught.value.code is ErrorCode.INVALID_CONFIG
        assert caught.value.message.startswith(f"Out of range: {below}: {name}={below} ({origin}")
        assert caught.value.message.endswith(f"allowed is {allowed(setting)}")
    file.unlink()
    assert getattr(load_config({name: bound}, {}, tmp_path).config, name) == setting.low
