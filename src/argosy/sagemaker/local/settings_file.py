"""Reads what the local runtime shall run from a TOML or JSON file."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from argosy.sagemaker.local.settings import AsyncSettings, ContainerSettings, EndpointSettings, RuntimeSettings, Serverless, VariantSettings, invalid

T = TypeVar("T")
_Kind = type | tuple[type, ...]
_CONTAINER: dict[str, _Kind] = {
    "model_data": str, "image": str, "command": list, "env": dict, "hostname": str, "multi_model": bool,
}  # fmt: skip
_VARIANT: dict[str, _Kind] = {
    "name": str, "weight": (int, float), "instances": int, "direct": bool, "serverless": dict, "startup_timeout_s": (int, float), "containers": list,
}  # fmt: skip
_ENDPOINT: dict[str, _Kind] = {"name": str, "variants": list, "components": list, "async": dict}
_RUNTIME: dict[str, _Kind] = {
    "endpoints": list, "host": str, "port": int, "engine": str, "network": str, "region": str, "account": str, "allow_unsigned": bool, "storage": str,
    "logs": str, "show_logs": bool,
}  # fmt: skip
_KINDS = {str: "a text", list: "a list", dict: "a table", bool: "true or false", int: "a whole number"}


def read_file(path: Path) -> RuntimeSettings:
    """The settings in a file. Relative paths in it count from its folder. Raises `ArgosyError` INVALID_CONFIG that names file and place."""
    try:
        text = path.read_text("utf-8")
        found = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    except OSError as error:
        raise invalid(f"cannot read {path}: {error.strerror}") from None
    except RecursionError:
        raise invalid(f"{path} is nested too deep") from None
    except ValueError as error:
        raise invalid(f"{path} is no {'JSON' if path.suffix == '.json' else 'TOML'}: {error}") from None
    return read_settings(found, path.parent, str(path))


def read_settings(found: object, base: Path, where: str) -> RuntimeSettings:
    """The settings in what a file says. Raises like `read_file`."""
    values = _table(found, _RUNTIME, where)
    endpoints = _each(values, "endpoints", where, lambda item, place: _endpoint(item, base, place))
    for name in ("storage", "logs"):
        if values.get(name):
            values[name] = str(base / values[name])
    return RuntimeSettings(**{**values, "endpoints": endpoints})


def _endpoint(found: object, base: Path, where: str) -> EndpointSettings:
    """An endpoint; without `variants` and `components` its own table describes its one variant."""
    if not isinstance(found, dict) or not isinstance(found.get("name"), str):
        raise invalid(f"{where}: an endpoint needs a name")
    where = f"{where} ({found['name']})"
    if "variants" in found or "components" in found:
        values = _table(found, _ENDPOINT, where)
        variants = _each(values, "variants", where, lambda item, place: _variant(item, base, place))
        components = _each(values, "components", where, lambda item, place: _variant(item, base, place))
    else:
        own = {name: value for name, value in found.items() if name not in _ENDPOINT}
        variants, components = (_variant(own, base, where),), ()
    return EndpointSettings(found["name"], variants, components, _queue(found.get("async"), where))


def _queue(found: object, where: str) -> AsyncSettings | None:
    if found is None:
        return None
    values = _table(found, {"output": str, "failure": str, "max_concurrent": int}, f"{where}: async")
    if "output" not in values:
        raise invalid(f"{where}: async needs output, an s3:// folder")
    return AsyncSettings(**values)


def _variant(found: object, base: Path, where: str) -> VariantSettings:
    """A variant; without `containers` its own table describes its one container."""
    values = _table(found, {**_VARIANT, **_CONTAINER}, where)
    own = {name: values.pop(name) for name in _CONTAINER if name in values}
    if "containers" in values:
        if own:
            raise invalid(f"{where}: {next(iter(own))} belongs into one of its containers")
        values["containers"] = _each(values, "containers", where, lambda item, place: _container(item, base, place))
    else:
        values["containers"] = (_container(own, base, where),)
    if "serverless" in values:
        values["serverless"] = Serverless(**_table(values["serverless"], {"max_concurrency": int}, f"{where}: serverless"))
    return VariantSettings(**values)


def _container(found: object, base: Path, where: str) -> ContainerSettings:
    values = _table(found, _CONTAINER, where)
    data = values.get("model_data", "")
    if data and "://" not in data:
        values["model_data"] = str(base / data)
    values["command"] = tuple(_word(part, f"{where}: command[{index}]") for index, part in enumerate(values.get("command", ())))
    values["env"] = {_variable(name, where): _word(value, f"{where}: env.{name}") for name, value in values.get("env", {}).items()}
    return ContainerSettings(**values)


def _variable(name: str, where: str) -> str:
    if not name or "=" in name or "\0" in name:
        raise invalid(f"{where}: env has {name!r}, which is no name of a variable")
    return name


def _word(value: object, where: str) -> str:
    """A text, or a number or a truth value as the file has it."""
    if isinstance(value, bool):
        return str(value).lower()
    if not isinstance(value, (str, int, float)) or "\0" in str(value):
        raise invalid(f"{where} must be a text without zero characters, a number or a truth value, not {value!r}")
    return str(value)


def _each(values: Mapping[str, Any], name: str, where: str, read: Callable[[object, str], T]) -> tuple[T, ...]:
    return tuple(read(item, f"{where}: {name}[{index}]") for index, item in enumerate(values.get(name, ())))


def _table(found: object, known: Mapping[str, _Kind], where: str) -> dict[str, Any]:
    """A table with nothing but known entries of the right kind."""
    if not isinstance(found, dict):
        raise invalid(f"{where}: a table is needed here")
    for name, value in found.items():
        if name not in known:
            raise invalid(f"{where}: {name} is unknown; known are {', '.join(known)}")
        kind = known[name]
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise invalid(f"{where}: {name} must be {_KINDS.get(kind, 'a number') if isinstance(kind, type) else 'a number'}, not {value!r}")
    return dict(found)
