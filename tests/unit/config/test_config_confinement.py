"""What workers may use: how the operator says it, and how it is joined with what a registration asks for."""

from __future__ import annotations

import pwd

import pytest

from argosy.config import Config, Confinement, User, check_limit
from argosy.config.confinement import ModelConfinement, ModelLimits, parse_model_limits, parse_user

NOBODY = pwd.getpwnam("nobody")
SOMEBODY = User(4000, 4001)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("root", "cannot be root"), ("0", "cannot be root"), ("0:nogroup", "cannot be root"), ("no-such-user", "There is no user no-such-user"),
        ("nobody:no-such-group", "There is no group no-such-group"), ("-1", "There is no user -1"), ("4294967295", "There is no user"),
        ("99999999999", "There is no user"),
    ],
)  # fmt: skip
def test_users_that_workers_cannot_be(text: str, says: str) -> None:
    """Root, and whoever does not exist: -1 in particular would mean to the kernel that nothing changes."""
    with pytest.raises(ValueError, match=says):
        parse_user(text)


def test_users_by_name_and_by_number() -> None:
    """A name brings its groups and its home; a number without a name is its own group."""
    found = parse_user(" nobody ")
    assert (found.uid, found.gid, found.home, str(found)) == (NOBODY.pw_uid, NOBODY.pw_gid, NOBODY.pw_dir, f"nobody:{NOBODY.pw_gid}")
    assert parse_user(str(NOBODY.pw_uid)) == found
    assert parse_user("nobody:7").gid == 7
    assert parse_user("54321") == User(54321, 54321)
    assert parse_user("54321:54322") == User(54321, 54322)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "Not a JSON object of models"), ("[]", "Not a JSON object of models"), ("[" * 100000, "Not a JSON object of models"),
        ('{"m": 1}', "m: not an object"), ('{"m": {"memory": 1}}', "m: There is no limit 'memory'; known are memory_bytes, cpu_s"),
        ('{"m": {"memory_bytes": 1}}', "m: memory_bytes must be an integer of at least 16777216"),
        ('{"m": {"cpu_s": true}}', "cpu_s must be an integer of at least 1"), ('{"m": {"cpu_s": 1.5}}', "cpu_s must be an integer"),
        ('{"m": {"open_files": 1e400}}', "open_files must be"), ('{"m": {"processes": 9223372036854775808}}', "processes must be"),
        ('{"m": {"user": "root"}}', "m: Workers confined to a user of their own cannot be root"),
        ('{"m": {}, "m": {}}', "a name is there twice"), ('{"m": {"cpu_s": 1, "cpu_s": 2}}', "a name is there twice"),
    ],
)  # fmt: skip
def test_unusable_limits_of_models(text: str, says: str) -> None:
    """The message names the model and what is wrong with it."""
    with pytest.raises(ValueError, match="(?s)" + says.replace("[", r"\[")):
        parse_model_limits(text)


def test_limits_of_models_are_written_as_they_are_read() -> None:
    """What `config show` prints can be put into a configuration file."""
    text = '{"a": {"memory_bytes": 33554432, "core_bytes": 0}, "b": {"user": "54321:54322"}}'
    found = parse_model_limits(text)
    assert str(found) == text
    assert parse_model_limits(str(found)) == found
    assert str(ModelLimits()) == ""


def test_a_model_has_the_general_limits_but_for_its_own() -> None:
    """What is said of one model counts instead of the general settings, also when it is more."""
    limits = ModelLimits((ModelConfinement("a", (("memory_bytes", 1 << 30),), SOMEBODY), ModelConfinement("b", (("cpu_s", 9),))))
    config = Config(worker_memory_bytes=1 << 28, worker_open_files=64, model_limits=limits)
    assert config.confinement("other").limits == {"memory_bytes": 1 << 28, "open_files": 64}
    assert config.confinement("a").limits == {"memory_bytes": 1 << 30, "open_files": 64}
    assert config.confinement("b").limits == {"memory_bytes": 1 << 28, "cpu_s": 9, "open_files": 64}


def test_another_user_never_gains_privileges() -> None:
    """No program may bring root back, whatever `worker_new_privileges` says; without another user the setting counts."""
    assert not Config(worker_user=SOMEBODY).confinement("m").new_privileges
    assert Config().confinement("m").new_privileges
    assert not Config(worker_new_privileges=False).confinement("m").new_privileges


def test_every_user_of_workers_is_in_the_group_that_reads_archives() -> None:
    """With users of single models too, one group can read what was unpacked."""
    config = Config(worker_user=SOMEBODY, model_limits=ModelLimits((ModelConfinement("a", (), User(5000, 5001)),)))
    assert config.worker_group == 4001
    users = [config.confinement(model).user for model in ("a", "other")]
    assert [(user.uid, user.gid, user.groups) for user in users if user] == [(5000, 5001, (4001,)), (4000, 4001, (4001,))]
    assert config.worker_users == (SOMEBODY, User(5000, 5001))
    assert Config().worker_group is None


def test_asking_never_loosens() -> None:
    """Of what the operator allows and what is asked for the lower counts; what nobody limited can be limited."""
    allowed = Confinement(memory_bytes=100, cpu_s=10)
    asked = allowed.tightened({"memory_bytes": 200, "cpu_s": 5, "open_files": 20})
    assert asked.limits == {"memory_bytes": 100, "cpu_s": 5, "open_files": 20}
    assert allowed.tightened({}) == allowed


def test_nothing_confined() -> None:
    """A worker is free only when there is no limit, no other user, and no privilege withheld; zero is a limit."""
    assert Confinement().is_free
    assert not Confinement(core_bytes=0).is_free
    assert not Confinement(user=SOMEBODY).is_free
    assert not Confinement(new_privileges=False).is_free


@pytest.mark.parametrize("value", [None, "5", 1.0, True, 15, -1])
def test_values_that_are_no_limit(value: object) -> None:
    """A limit is a whole number that a worker can live with."""
    with pytest.raises(ValueError, match="open_files must be an integer of at least 16"):
        check_limit("open_files", value)
