"""What containers of Amazon SageMaker are told by environment variables and folders, in terms of our settings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from argosy.config.address import Address
from argosy.config.settings import Config

BASE = Path("/opt/ml")
"""Where the platform puts models, unless `SAGEMAKER_BASE_DIR` names another folder, as tests do."""
DRAIN_S = 25
"""The platform kills a container 30 s after it was told to stop."""
_MIB = 1024 * 1024
_MOST_MIB = 1024
"""What asynchronous inference may send; also what 0, no limit, is taken for."""
_NO = frozenset({"", "no", "false", "n", "0"})


@dataclass(frozen=True, slots=True)
class Form:
    """Terms that a variable of the platform is in."""

    noun: str
    """What its text is."""
    translate: Callable[[str], str]
    """The text of the setting. Raises ValueError whose text says what is wrong."""


def _address(text: str) -> str:
    if not text.strip().isdecimal() or not 1 <= int(text) <= 65535:
        raise ValueError("Not a port from 1 to 65535")
    return f"http://0.0.0.0:{int(text)}"


def _bytes(text: str) -> str:
    if not text.strip().isdecimal() or int(text) > _MOST_MIB:
        raise ValueError(f"Not a whole number of MB from 0 to {_MOST_MIB}")
    return str((int(text) or _MOST_MIB) * _MIB)


def _strategy(text: str) -> str:
    # the variable has MULTI_RECORD, the platform's own API MultiRecord
    word = {"multirecord": "multi_record", "singlerecord": "single_record"}.get(text.strip().lower().replace("_", ""))
    if word is None:
        raise ValueError("Not MULTI_RECORD or SINGLE_RECORD")
    return word


FORMS: Mapping[str, Form] = {
    "port": Form("a port of all interfaces", _address), "mebibytes": Form("whole MB", _bytes),
    "strategy": Form("MULTI_RECORD or SINGLE_RECORD", _strategy),
}


def container_defaults(environ: Mapping[str, str]) -> dict[str, str] | None:
    """The defaults of a server that is started in such a container with nothing but the word `serve`; None if this is no such container.

    It is one if the platform's folder of models is there, or `SAGEMAKER_BASE_DIR` or `SAGEMAKER_MULTI_MODEL` is set.
    """
    base = Path(environ.get("SAGEMAKER_BASE_DIR") or BASE)
    is_multi = environ.get("SAGEMAKER_MULTI_MODEL", "").strip().lower() not in _NO
    if not is_multi and not environ.get("SAGEMAKER_BASE_DIR") and not (base / "model").is_dir():
        return None
    models = {"model_store": str(base / "models")} if is_multi else {"model_store": str(base / "model"), "load_models": "ALL"}
    handler = environ.get("SAGEMAKER_HANDLER")
    return {
        **models, **({"default_service_handler": handler} if handler else {}),
        "inference_address": "http://0.0.0.0:8080", "endpoints": "execution-parameters", "drain_timeout_s": str(DRAIN_S),
    }  # fmt: skip


def management_address(config: Config, *, is_bound: bool, was_shared: bool) -> tuple[Address, str] | None:
    """Where management has to listen in such a container, and because of what; None: where it is.

    Nothing may listen outside of the port of predictions and `safe_port_range`. `is_bound` tells whether the platform chose that port,
    `was_shared` whether both addresses were the same before it did.
    """
    ours, management, ports = config.inference_address, config.management_address, config.safe_port_range
    if management == ours or management.scheme == "unix":
        return (ours, "multi_model") if config.multi_model and management != ours else None
    if config.multi_model or was_shared:
        return ours, "multi_model" if config.multi_model else "inference_address"
    if ports is not None:
        free = next((port for port in range(ports.low, ports.high + 1) if port != ours.port), None)
        if management.port in ports and management.port != ours.port:
            return None
        return (ours, "safe_port_range, which has no other port") if free is None else (Address("http", "127.0.0.1", free), "safe_port_range")
    return (ours, "SAGEMAKER_BIND_TO_PORT without SAGEMAKER_SAFE_PORT_RANGE") if is_bound else None
