"""From file, environment and command line to a configuration."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from argosy.config import Address, Config, Host, Loaded, Target, declarations, load_config, parse_target
from argosy.errors import ArgosyError, ErrorCode

HOST = Host(4, "4 may be used", 8 * 1024**3, 1024)


def loaded(
    cwd: Path, text: str | None = None, *, environ: Mapping[str, str] | None = None, flags: Mapping[str, str] | None = None, host: Host | None = None
) -> Loaded:
    """What a server started in `cwd` reads, with `text` as its config.properties."""
    if text is not None:
        (cwd / "config.properties").write_text(text)
    return load_config(flags or {}, environ or {}, cwd, host=host)


def refused(cwd: Path, text: str, environ: Mapping[str, str] | None = None) -> ArgosyError:
    """The error that a configuration gives."""
    with pytest.raises(ArgosyError) as caught:
        loaded(cwd, text, environ=environ)
    assert caught.value.code is ErrorCode.INVALID_CONFIG
    return caught.value


def test_a_bad_value_names_key_value_origin_and_what_is_allowed(tmp_path: Path) -> None:
    """The words that Multi Model Server used come first, the help after them."""
    message = refused(tmp_path, "# workers\ndefault_workers_per_model=many\n").message
    assert message.startswith('For input string: "many"')
    assert "default_workers_per_model=many" in message
    assert f"{tmp_path / 'config.properties'}:2" in message
    assert "an integer from 0 to 10000" in message


@pytest.mark.parametrize(("line", "words"), [
    ("inference_address=nonsense", "Invalid binding address: nonsense"),
    ("inference_address=http://127.0.0.1:70000", "Invalid port number: 70000"),
    ("job_queue_size=0", "Out of range: 0"),
    ("job_queue_size=1.5", "For input string"),
    ("blacklist_env_vars=*(", "Not a regular expression"),
    ("allowed_urls=a,(", "Not a regular expression"),
    ("preload_model=maybe", "Not a yes or no: maybe"),
    ("error_detail=all", "Unknown word: all"),
    ("drain_timeout_s=nan", "For input string"),
    ("drain_timeout_s=soon", "For input string"),
    ("drain_timeout_s=-1", "Out of range"),
    ("model_store=\\u0000", "zero character"),
    ("default_workers_per_model=$$NOT_SET$$", "Invalid Environment Variable NOT_SET"),
    ("private_key_file=key.pem", "belong together"),
    ("inference_address=https://127.0.0.1:8443", "https needs a key"),
    ("inference_address=http://h:1\nmanagement_address=https://h:1\nkeystore=k", "one port cannot speak http and https"),
    ("a=\\uzzzz", "Malformed"),
])
def test_what_is_refused(tmp_path: Path, line: str, words: str) -> None:
    """A wrong value stops the start instead of a later request."""
    assert words in refused(tmp_path, line).message


def test_all_problems_are_told_at_once(tmp_path: Path) -> None:
    """The detail lists every one of them."""
    assert len(refused(tmp_path, "job_queue_size=x\nmax_request_size=y\n").detail.splitlines()) == 2


def test_a_secret_is_not_repeated(tmp_path: Path) -> None:
    """A message never shows a password; here the token is one setting of several on a bad command line."""
    with pytest.raises(ArgosyError) as caught:
        load_config({"management_token": "hush", "job_queue_size": "x"}, {}, tmp_path)
    assert "hush" not in caught.value.detail


def test_an_unknown_setting_on_the_command_line_is_refused(tmp_path: Path) -> None:
    """There it is an error, not a warning."""
    with pytest.raises(ArgosyError, match="did you mean job_queue_size"):
        load_config({"job_queue_sise": "1"}, {}, tmp_path)


def test_defaults(tmp_path: Path) -> None:
    """Without anything, the defaults hold and nothing is warned about."""
    found = loaded(tmp_path)
    assert found.config.inference_address == Address("http", "127.0.0.1", 8080)
    assert found.config.log_location == tmp_path / "logs"
    assert (found.origins, found.warnings, found.file) == ({}, (), None)


def test_precedence(tmp_path: Path) -> None:
    """File, then own variable, then command line, then MMS variables if they are enabled."""
    text = "job_queue_size=1\nmax_request_size=1\nerror_detail=message\nmax_response_size=1\nenable_envvars_config=TRUE\n"
    environ = {"MMS_JOB_QUEUE_SIZE": "4", "ARGOSY_ERROR_DETAIL": "traceback"}
    found = loaded(tmp_path, text, environ=environ, flags={"job_queue_size": "3", "max_request_size": "3"})
    config = found.config
    assert (config.job_queue_size, config.max_request_size, config.max_response_size, config.error_detail) == (4, 3, 1, "traceback")
    assert found.origins["job_queue_size"] == "environment MMS_JOB_QUEUE_SIZE"
    assert found.origins["max_request_size"] == "command line"
    assert found.origins["error_detail"] == "environment ARGOSY_ERROR_DETAIL"


def test_mms_variables_without_permission_are_named(tmp_path: Path) -> None:
    """They are ignored, as before, but not silently."""
    found = loaded(tmp_path, "", environ={"MMS_JOB_QUEUE_SIZE": "4"})
    assert found.config.job_queue_size == 100
    assert found.warnings == ("MMS_JOB_QUEUE_SIZE is ignored because enable_envvars_config is not true",)


def test_which_file_counts(tmp_path: Path) -> None:
    """`MMS_CONFIG_FILE` beats the named file, which beats that of the current folder."""
    for name, size in (("config.properties", 1), ("named", 2), ("variable", 3)):
        (tmp_path / name).write_text(f"job_queue_size={size}")
    assert load_config({}, {}, tmp_path).config.job_queue_size == 1
    assert load_config({}, {}, tmp_path, config_file="named").config.job_queue_size == 2
    environ = {"MMS_CONFIG_FILE": str(tmp_path / "variable")}
    assert load_config({}, environ, tmp_path, config_file="named").config.job_queue_size == 3


def test_a_missing_file_is_skipped_with_a_warning(tmp_path: Path) -> None:
    """A variable that names nothing does not stop the server."""
    found = load_config({}, {"MMS_CONFIG_FILE": "/no/such"}, tmp_path)
    assert found.file is None
    assert "/no/such" in found.warnings[0]


@pytest.mark.parametrize("variables", [{}, {"MMS_CONFIG_FILE": "named"}])
def test_a_file_that_cannot_be_looked_at_is_skipped_with_a_warning(tmp_path: Path, variables: dict[str, str]) -> None:
    """Neither does a current folder in which nothing can be found, as one that nobody may enter, and here one with too long a name."""
    found = load_config({}, variables, tmp_path / ("n" * 300))
    assert found.file is None
    assert "cannot be read: File name too long; going on without it" in found.warnings[0]


def test_substitution(tmp_path: Path) -> None:
    """`$$NAME$$` is replaced wherever it stands, and its value is taken literally."""
    found = loaded(tmp_path, "load_models=$$A$$-$$B$$\n", environ={"A": "x", "B": "\\1$$"})
    assert found.config.load_models == "x-\\1$$"


def test_blanks_after_a_number_do_not_count(tmp_path: Path) -> None:
    """An invisible blank stopped the original."""
    assert loaded(tmp_path, "job_queue_size=7  \n").config.job_queue_size == 7


def test_an_empty_value_is_no_value(tmp_path: Path) -> None:
    """It leaves the default; for a boolean it says false."""
    config = loaded(tmp_path, "job_queue_size=\nmodel_store=\ndecode_input_request=\n").config
    assert (config.job_queue_size, config.model_store, config.decode_input_request) == (100, None, False)


@pytest.mark.parametrize(("word", "expected"), [("true", True), ("TRUE ", True), ("false", False), ("yes", False), ("1", False)])
def test_booleans(tmp_path: Path, word: str, expected: bool) -> None:
    """Only true is true."""
    assert loaded(tmp_path, f"decode_input_request={word}\n").config.decode_input_request is expected


def test_unknown_keys_are_warned_about(tmp_path: Path) -> None:
    """With the nearest known one, and the line."""
    found = loaded(tmp_path, "\njob_que_size=1\n", environ={"ARGOSY_EROR_DETAIL": "none"})
    assert "unknown setting job_que_size" in found.warnings[0]
    assert ":2 is ignored; did you mean job_queue_size?" in found.warnings[0]
    assert "ARGOSY_ERROR_DETAIL" in found.warnings[1]


def test_a_repeated_key_is_warned_about(tmp_path: Path) -> None:
    """The last one counts, as in Java."""
    found = loaded(tmp_path, "job_queue_size=1\njob_queue_size=2\n")
    assert found.config.job_queue_size == 2
    assert "given twice" in found.warnings[0]


def test_keys_of_the_java_server_are_named_as_needless(tmp_path: Path) -> None:
    """Whatever they say, they are accepted; those that nobody set are not mentioned."""
    found = loaded(tmp_path, "vmargs=-Xmx128m\nnumber_of_netty_threads=many\nasync_logging=true\n")
    told = next(note for note in found.notes if "no longer needed" in note)
    assert sorted(told.partition(": ")[2].split(", ")) == ["async_logging", "number_of_netty_threads", "vmargs"]
    assert found.warnings == ()
    assert not any("no longer needed" in note for note in loaded(tmp_path, "job_queue_size=1\n").notes)


def test_free_ports_are_two(tmp_path: Path) -> None:
    """Port 0 is whatever is free: listeners of two protocols that both ask for it are not in each other's way."""
    found = loaded(tmp_path, "inference_address=http://127.0.0.1:0\nmanagement_address=https://127.0.0.1:0\nkeystore=k\n")
    assert found.config.inference_address.port == found.config.management_address.port == 0


@pytest.mark.parametrize(("text", "seconds", "note"), [
    ("", 7200.0, "default_response_timeout=120 was read as minutes"),
    ("default_response_timeout=2", 120.0, "default_response_timeout=2 was read as minutes"),
    ("default_response_timeout=2\ndefault_response_timeout_seconds=5", 5.0, "default_response_timeout_seconds=5 was read as seconds"),
    ("default_response_timeout=2\ndefault_response_timeout_seconds=-1", 120.0, "read as minutes"),
    ("debug=true", 0.0, "no response timeout"),
])
def test_timeouts_keep_their_real_units(tmp_path: Path, text: str, seconds: float, note: str) -> None:
    """A start-up note says how each was read."""
    found = loaded(tmp_path, text)
    assert found.config.response_timeout_s == seconds
    assert note in found.notes[0]


def test_the_unregister_timeout_is_seconds(tmp_path: Path) -> None:
    """It has another unit than its neighbour, which is told."""
    found = loaded(tmp_path, "unregister_model_timeout=9")
    assert found.config.unregister_timeout_s == 9.0
    assert "unregister_model_timeout=9 was read as seconds" in found.notes


def test_the_packaged_sagemaker_file(tmp_path: Path) -> None:
    """`--mms-config sagemaker` takes everything from seven variables."""
    environ = {
        "SAGEMAKER_MODEL_STORE": str(tmp_path), "SAGEMAKER_BIND_TO_PORT": "8085", "SAGEMAKER_RESPONSE_TIMEOUT": "60",
        "SAGEMAKER_NUM_MODEL_WORKERS": "3", "SAGEMAKER_HANDLER": "service.py:handle", "SAGEMAKER_MAX_RESPONSE_SIZE": "7",
        "SAGEMAKER_MAX_REQUEST_SIZE": "8",
    }
    config = load_config({}, environ, tmp_path, config_file="sagemaker").config
    assert config.inference_address == Address("http", "0.0.0.0", 8085)
    assert config.is_one_listener
    assert (config.model_store, config.default_workers_per_model, config.default_service_handler) == (tmp_path, 3, "service.py:handle")
    assert (config.response_timeout_s, config.unregister_timeout_s) == (3600.0, 60.0)
    assert (config.max_response_size, config.max_request_size, config.decode_input_request) == (7, 8, False)
    with pytest.raises(ArgosyError, match="Invalid Environment Variable SAGEMAKER_MODEL_STORE"):
        load_config({}, {}, tmp_path, config_file="sagemaker")


def test_log_folders_come_from_the_environment(tmp_path: Path) -> None:
    """LOG_LOCATION and METRICS_LOCATION always count; `none` means no files."""
    config = loaded(tmp_path, environ={"LOG_LOCATION": "/var/log/a", "METRICS_LOCATION": "none"}).config
    assert (config.log_location, config.metrics_location) == (Path("/var/log/a"), None)


def test_the_temporary_folder(tmp_path: Path) -> None:
    """TEMP is where the server keeps its files; without it the system's rule holds."""
    one, two = tmp_path / "one", tmp_path / "two"
    one.mkdir()
    two.mkdir()
    assert loaded(tmp_path, environ={"TEMP": str(one), "TMPDIR": str(two)}).config.temp_dir == one
    assert loaded(tmp_path, environ={"TMPDIR": str(two)}).config.temp_dir == two


def test_limits_come_from_the_host(tmp_path: Path) -> None:
    """What is left open is taken from the machine; what is set stays."""
    config = loaded(tmp_path, host=HOST).config
    assert (config.request_memory_bytes, config.max_connections) == (2 * 1024**3, 768)
    config = loaded(tmp_path, "request_memory_bytes=5\nmax_connections=6\n", host=HOST).config
    assert (config.request_memory_bytes, config.max_connections) == (5, 6)


@pytest.mark.parametrize(("text", "expected"), [
    ("okay", Target(None, "okay")), ("first=okay", Target("first", "okay")), ("a=http://h/x?y=z", Target("a", "http://h/x?y=z")),
    ("http://h/x?y=z", Target(None, "http://h/x?y=z")), ("/a/b=c.mar", Target(None, "/a/b=c.mar")), ("=x", Target(None, "x")),
])
def test_targets(text: str, expected: Target) -> None:
    """An equals sign that belongs to a url or a path names nothing."""
    assert parse_target(text) == expected


def test_models_at_start() -> None:
    """Empty items are skipped; ALL, in any letter case, is no name."""
    assert [str(target) for target in Config(load_models="a, b=c,,").start_targets] == ["a", "b=c"]
    assert Config(load_models=" All").loads_all
    assert Config(load_models="ALL").start_targets == Config().start_targets == ()


def test_shared_and_secure_listeners() -> None:
    """Two free ports are never one listener."""
    free = Address("http", "127.0.0.1", 0)
    assert not Config(inference_address=free, management_address=free).is_one_listener
    assert Config(inference_address=Address("https", "h", 1)).uses_tls
    assert not Config().uses_tls


@given(st.dictionaries(st.sampled_from(sorted(declarations())), st.text(max_size=20), max_size=5))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_text_is_a_value_or_a_domain_error(tmp_path: Path, flags: Mapping[str, str]) -> None:
    """No text of a setting brings anything else to light."""
    with contextlib.suppress(ArgosyError):
        load_config(flags, {}, tmp_path)


def test_a_secret_on_the_command_line_is_warned_about(tmp_path: Path) -> None:
    """Everybody on the machine sees arguments; the warning does not repeat the secret, and a file or the environment gets none."""
    found = loaded(tmp_path, "", flags={"management_token": "t0ken", "job_queue_size": "5"})
    assert [warning for warning in found.warnings if "management_token" in warning and "every user" in warning]
    assert "t0ken" not in "".join(found.warnings)
    assert loaded(tmp_path, "management_token=t0ken", environ={"ARGOSY_TOKENS": "a inference sha256:" + "0" * 64}).warnings == ()


@pytest.mark.parametrize(
    ("lines", "warned"),
    [
        ("management_address=http://0.0.0.0:8081", True), ("management_address=http://models.example:8081", True),
        ("management_address=http://0.0.0.0:8081\nmanagement_token=t", False), ("management_address=http://0.0.0.0:8081\ntokens_file=t", False),
        ("management_address=http://0.0.0.0:8081\ntokens_file=t\ntoken_scopes=inference", True), ("management_address=unix:/run/m", False),
        ("inference_address=http://0.0.0.0:8080", False), ("", False),
        ("management_address=https://0.0.0.0:8444\nkeystore=k\nclient_ca_file=ca", False),
        ("management_address=https://0.0.0.0:8444\nkeystore=k\nclient_ca_file=ca\nclient_certificates=optional", True),
    ],
)  # fmt: skip
def test_management_that_strangers_can_use_is_warned_about(tmp_path: Path, lines: str, warned: bool) -> None:
    """Whoever reaches it may run code: it is on loopback, or asks for a token, or the operator is told at every start."""
    assert any("whoever reaches it can run code" in warning for warning in loaded(tmp_path, lines).warnings) is warned
