"""From file, environment and command line to one checked `Config`, with the origin of every value."""

from __future__ import annotations

import dataclasses
import difflib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from argosy import properties
from argosy.config.declare import Setting
from argosy.config.host import Host, connection_limit, request_memory
from argosy.config.sagemaker import FORMS, management_address
from argosy.config.settings import Config, declarations
from argosy.config.values import allowed, parse_value
from argosy.errors import ArgosyError, ErrorCode
from argosy.folders import temporary_folder
from argosy.printable import escape

SAGEMAKER = "sagemaker"
CONTAINER = "SageMaker container"
COMMAND = "default of the command"
_BATCH = "execution-parameters"
_EXPLICIT = ("command line", "environment MMS_")
_SUBSTITUTION = re.compile(r"\$\$(\w+)\$\$")


@dataclass(frozen=True, slots=True)
class Given:
    """A text that somebody gave for a setting, and where."""

    text: str
    origin: str


@dataclass(frozen=True, slots=True)
class Loaded:
    """A checked configuration, where each value came from, and what the operator should be told."""

    config: Config
    origins: Mapping[str, str]
    """By setting; those not listed have their defaults."""
    warnings: tuple[str, ...]
    """Probable mistakes."""
    notes: tuple[str, ...]
    """How things were read."""
    file: Path | None
    """The file that was read, if any."""


@dataclass(slots=True)
class _Reading:
    """What was found so far; belongs to one call of `load_config`."""

    given: dict[str, Given] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    @property
    def is_shared(self) -> bool:
        """Whether both listeners were given one address, in the same words."""
        inference, management = (self.given.get(f"{name}_address") for name in ("inference", "management"))
        return inference is not None and management is not None and inference.text.strip() == management.text.strip()


def load_config(
    flags: Mapping[str, str],
    environ: Mapping[str, str],
    cwd: Path,
    *,
    config_file: str | None = None,
    host: Host | None = None,
    defaults: Mapping[str, str] | None = None,
    habits: Mapping[str, str] | None = None,
) -> Loaded:
    """Read the configuration. `flags` are texts by setting, from the command line; `config_file` is that of `--mms-config`.

    Later sources win: `habits` of the command, `defaults` of a container, file, variables that always count, command line, `MMS_*` when
    `enable_envvars_config` is on. With a `host`, limits that are left open are taken from it. Raises `ArgosyError` INVALID_CONFIG with the first
    problem as message, all in `detail`.
    """
    reading = _Reading({name: Given(text, COMMAND) for name, text in (habits or {}).items()})
    reading.given.update({name: Given(text, CONTAINER) for name, text in (defaults or {}).items()})
    file = find_file(environ, cwd, config_file, reading.warnings)
    if file is not None:
        _read_file(file, environ, reading)
    was_shared = reading.is_shared
    _read_variables(environ, reading)
    reading.given.update({name: Given(text, _flag_origin(name)) for name, text in flags.items()})
    reading.warnings += [f"{name} on the command line can be read by every user of this machine; set it in a file or in the environment"
                         for name in flags if name in declarations() and declarations()[name][0].secret]  # fmt: skip
    _read_mms_variables(environ, reading)
    values = _parse(reading)
    config = _place_management(Config(**_absolute(values, cwd)), reading, was_shared)  # type: ignore[arg-type]  # checked by the parsers
    config = _finish(config, environ, cwd, host, reading)
    # they repeat what others have written
    problems, warnings = tuple(map(escape, reading.problems)), tuple(map(escape, reading.warnings))
    if problems:
        raise ArgosyError(ErrorCode.INVALID_CONFIG, problems[0], detail="\n".join(problems))
    origins = {name: given.origin for name, given in reading.given.items()}
    return Loaded(config, origins, warnings, tuple(_notes(config, origins)), file)


def find_file(environ: Mapping[str, str], cwd: Path, config_file: str | None, warnings: list[str]) -> Path | None:
    """The file that counts: `MMS_CONFIG_FILE`, else the one named, else `config.properties` in the current folder. None if there is none."""
    named = environ.get("MMS_CONFIG_FILE") or config_file
    if named == SAGEMAKER:
        return Path(__file__).with_name("sagemaker.properties")
    path = cwd / (named or "config.properties")
    why = "does not exist"
    try:
        if path.is_file():
            return path
    except OSError as error:  # nobody may look into its folder, or its name cannot be
        why = f"cannot be read: {error.strerror}"
    if named or why != "does not exist":
        warnings.append(f"configuration file {path} {why}; going on without it")
    return None


def _read_file(file: Path, environ: Mapping[str, str], reading: _Reading) -> None:
    try:
        entries = properties.parse(properties.decode(file.read_bytes()))
    except OSError as error:
        raise ArgosyError(ErrorCode.INVALID_CONFIG, f"Cannot read {file}: {error.strerror}") from None
    except ArgosyError as error:
        raise ArgosyError(error.code, f"{error.message} ({file})") from None
    known = declarations()
    for entry in entries:
        origin = f"{file}:{entry.line}"
        text = _substitute(entry, origin, environ, reading)
        if entry.key in reading.given and reading.given[entry.key].origin not in (CONTAINER, COMMAND):
            reading.warnings.append(f"{entry.key} is given twice; {origin} counts")
        if entry.key in known:
            reading.given[entry.key] = Given(text, origin)
        else:
            reading.warnings.append(f"unknown setting {entry.key} in {origin} is ignored{_nearest(entry.key, known)}")


def _substitute(entry: properties.Property, origin: str, environ: Mapping[str, str], reading: _Reading) -> str:
    def replaced(found: re.Match[str]) -> str:
        if found[1] not in environ:
            reading.problems.append(f"Invalid Environment Variable {found[1]}: {entry.key} in {origin} uses it, but it is not set")
        return environ.get(found[1], found[0])

    return _SUBSTITUTION.sub(replaced, entry.value)


def _nearest(key: str, known: Mapping[str, object]) -> str:
    close = difflib.get_close_matches(key, known, n=1)
    return f"; did you mean {close[0]}?" if close else ""


def _read_variables(environ: Mapping[str, str], reading: _Reading) -> None:
    known = declarations()
    for name, (setting, _) in known.items():
        variable = next((variable for variable in setting.env if environ.get(variable)), None)
        if variable is not None:
            reading.given[name] = Given(environ[variable], f"environment {variable}")
        else:
            _read_forms(name, setting, environ, reading)
    names = {f"ARGOSY_{name.upper()}": None for name in known}
    for variable in environ:
        if variable.startswith("ARGOSY_") and variable not in names:
            reading.warnings.append(f"unknown variable {variable} is ignored{_nearest(variable, names)}")


def _read_forms(name: str, setting: Setting, environ: Mapping[str, str], reading: _Reading) -> None:
    """Variables of a platform, in terms of their own."""
    for variable, form in setting.forms:
        if environ.get(variable):
            try:
                reading.given[name] = Given(FORMS[form].translate(environ[variable]), f"environment {variable}")
            except ValueError as error:
                reading.problems.append(f"{error}: {variable}={environ[variable]} (environment); it sets {name}")


def _flag_origin(name: str) -> str:
    declared = declarations().get(name)
    return f"command line {declared[0].flag}" if declared and declared[0].flag else "command line"


def _read_mms_variables(environ: Mapping[str, str], reading: _Reading) -> None:
    wanted = reading.given.get("enable_envvars_config")
    enabled = wanted is not None and wanted.text.strip().lower() == "true"
    for name, (setting, _) in declarations().items():
        variable = f"MMS_{name.upper()}"
        if not setting.mms_env or variable not in environ:
            continue
        if enabled:
            reading.given[name] = Given(environ[variable], f"environment {variable}")
        else:
            reading.warnings.append(f"{variable} is ignored because enable_envvars_config is not true")


def _parse(reading: _Reading) -> dict[str, object]:
    """The values of what was given. An empty text leaves the default, except for booleans, where it says false."""
    values: dict[str, object] = {}
    known = declarations()
    for name, given in reading.given.items():
        if name not in known:
            reading.problems.append(f"Unknown setting: {name} ({given.origin}){_nearest(name, known)}")
        elif given.text.strip() or known[name][0].kind == "boolean":
            _parse_one(name, given, known[name][0], values, reading.problems)
    return values


def _parse_one(name: str, given: Given, setting: Setting, values: dict[str, object], problems: list[str]) -> None:
    try:
        values[name] = parse_value(given.text, setting)
    except ValueError as error:
        problems.append(_problem(name, given, setting, str(error)))


def _problem(name: str, given: Given, setting: Setting, what: str) -> str:
    shown = "" if setting.secret else f"={given.text}"
    return f"{what}: {name}{shown} ({given.origin}); allowed is {allowed(setting)}"


def _absolute(values: Mapping[str, object], cwd: Path) -> dict[str, object]:
    known = declarations()
    complete = {**{name: default for name, (_, default) in known.items()}, **values}
    return {name: cwd / value if isinstance(value, Path) else value for name, value in complete.items()}


def _place_management(config: Config, reading: _Reading, was_shared: bool) -> Config:
    """Management where the platform allows it to listen, unless somebody said explicitly where; for many models with predictions in any case."""
    origins = [reading.given.get(f"{name}_address", Given("", "")).origin for name in ("inference", "management")]
    is_bound = origins[0] == "environment SAGEMAKER_BIND_TO_PORT"
    is_obeyed = origins[1].startswith(_EXPLICIT) and not config.multi_model
    found = None if is_obeyed else management_address(config, is_bound=is_bound, was_shared=was_shared and is_bound)
    if found is None:
        return config
    reading.given["management_address"] = Given(str(found[0]), f"follows from {found[1]}")
    return dataclasses.replace(config, management_address=found[0])


def _finish(config: Config, environ: Mapping[str, str], cwd: Path, host: Host | None, reading: _Reading) -> Config:
    """Fill in what depends on the machine and check what depends on several settings."""
    reading.problems.extend(_contradictions(config))
    if not (config.management_address.is_loopback or config.management_needs_token or _certified(config)):
        reading.warnings.append(
            f"management_address={config.management_address} is open to other machines and asks for no token: whoever reaches it can run code here; "
            "see tokens_file, or leave management on loopback")
    changes: dict[str, object] = {}
    if config.batch_transform and _BATCH not in config.endpoints:
        changes["endpoints"] = (*config.endpoints, _BATCH)
    if "temp_dir" not in reading.given:
        changes["temp_dir"] = temporary_folder(environ, cwd)
    if host is not None and ("request_memory_bytes" not in reading.given or not config.request_memory_bytes):
        changes["request_memory_bytes"] = request_memory(host)
    if host is not None and not config.max_connections:
        changes["max_connections"] = connection_limit(host)
    return dataclasses.replace(config, **changes)  # type: ignore[arg-type]  # the names and types are those above


def _certified(config: Config) -> bool:
    """Whether nobody can manage the server without a certificate."""
    return config.client_ca_file is not None and config.client_certificates == "required" and config.management_address.scheme == "https"


def _contradictions(config: Config) -> Iterator[str]:
    inference, management = config.inference_address, config.management_address
    pem = (config.private_key_file, config.certificate_file)
    if (pem[0] is None) != (pem[1] is None):
        yield "private_key_file and certificate_file belong together: only one of them is set"
    if config.uses_tls and config.keystore is None and None in pem:
        yield "https needs a key: set private_key_file and certificate_file (PEM), or keystore"
    if config.client_ca_file is not None and not config.uses_tls:
        yield "client_ca_file needs a listener that speaks https: neither inference_address nor management_address does"
    same_port = inference.scheme != "unix" and inference.port != 0 and (inference.host, inference.port) == (management.host, management.port)
    if same_port and inference.scheme != management.scheme:
        yield f"one port cannot speak http and https: inference_address={inference}, management_address={management}"
    ports = config.safe_port_range
    if ports is not None and management.scheme != "unix" and management.port not in ports and not config.is_one_listener:
        yield f"management_address={management} is outside of safe_port_range={ports}: give it a port of that range, or the inference_address"


def _notes(config: Config, origins: Mapping[str, str]) -> Iterator[str]:
    yield _response_note(config)
    if "unregister_model_timeout" in origins:
        yield f"unregister_model_timeout={config.unregister_model_timeout} was read as seconds"
    needless = [name for name, (setting, _) in declarations().items() if setting.needless and name in origins]
    if needless:
        yield f"no longer needed, without effect: {', '.join(needless)}"


def _response_note(config: Config) -> str:
    if config.debug:
        return "debug: there is no response timeout"
    if config.default_response_timeout_seconds >= 0:
        read = f"default_response_timeout_seconds={config.default_response_timeout_seconds} was read as seconds"
    else:
        read = f"default_response_timeout={config.default_response_timeout} was read as minutes"
    limit = f"{config.response_timeout_s:g} s" if config.response_timeout_s else "no limit"
    return f"response timeout of a batch: {limit} ({read})"
