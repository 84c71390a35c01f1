"""Makes what the listeners speak: the dialects of both APIs, and the custom endpoints that are switched on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass

from argosy.config import Config
from argosy.control.manager import Manager
from argosy.dataplane.registry import Registry
from argosy.protocols.custom import Endpoint, Surroundings, WithEndpoints
from argosy.protocols.endpoint import Dialect
from argosy.protocols.management import Access, ManagementDialect, SharedDialect
from argosy.protocols.mms import InferenceDialect
from argosy.protocols.observability import Observability
from argosy.protocols.openapi import INFERENCE, MANAGEMENT, Added
from argosy.protocols.status import Detail
from argosy.server.endpoints import installed_endpoints, load_endpoints


@dataclass(frozen=True, slots=True)
class Dialects:
    """What each listener speaks. On a shared address both are the same object."""

    inference: Dialect
    management: Dialect


def chosen_endpoints(config: Config) -> list[Endpoint]:
    """The custom endpoints that are switched on. Raises `ArgosyError` INVALID_CONFIG, see `load_endpoints`."""
    return load_endpoints(config.endpoints, installed_endpoints()) if config.endpoints else []


def make_dialects(
    config: Config,
    registry: Registry,
    manager: Manager,
    observability: Observability,
    endpoints: Sequence[Endpoint],
    threads: Executor,
    resident_bytes: Callable[[int | None], int],
) -> Dialects:
    """`resident_bytes` tells the memory of a process; endpoints run in `threads`."""
    around = Surroundings(config, registry, threads, resident_bytes)
    token = None if config.uses_tokens else config.management_token  # among other tokens it is the gate that asks for it
    access = Access(token, config.cors_allowed_origin, config.management_address.is_loopback)
    of = {name: [endpoint for endpoint in endpoints if endpoint.listener == name] for name in (INFERENCE, MANAGEMENT)}
    inference = InferenceDialect(registry, observability, error_detail=Detail(config.error_detail), added=_described(of[INFERENCE]))
    management = ManagementDialect(manager, observability, access, resident_bytes, _described(of[MANAGEMENT]))

    def extended(dialect: Dialect, ours: Sequence[Endpoint]) -> Dialect:
        return WithEndpoints(dialect, ours, around, access.refusal) if ours else dialect

    if config.is_one_listener:
        # where both want a pattern that of inference has it
        both = extended(SharedDialect(inference, management, _described([*of[MANAGEMENT], *of[INFERENCE]])), endpoints)
        return Dialects(both, both)
    return Dialects(extended(inference, of[INFERENCE]), extended(management, of[MANAGEMENT]))


def _described(endpoints: Sequence[Endpoint]) -> list[Added]:
    return [Added(endpoint.pattern, endpoint.description, tuple(endpoint.methods)) for endpoint in endpoints]
