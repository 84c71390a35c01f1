"""What runs behind the local runtime: endpoints, their variants and containers, and the times and limits that hold for all."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from argosy.errors import ArgosyError, ErrorCode

MIB = 1024 * 1024
_NAME = re.compile(r"[A-Za-z0-9](?:-*[A-Za-z0-9])*")
_MOST_NAME = 63
_MOST_CONTAINERS = 15
_MOST_INSTANCES = 64
_MOST_CONCURRENCY = 200


def check_name(name: str, what: str) -> None:
    """Raises `ArgosyError` INVALID_CONFIG for a name that SageMaker would not take."""
    if not _NAME.fullmatch(name) or len(name) > _MOST_NAME:
        raise invalid(f"{what} {name!r} is no name: letters, digits and inner hyphens, at most {_MOST_NAME} of them")


def invalid(message: str) -> ArgosyError:
    """The configuration is wrong."""
    return ArgosyError(ErrorCode.INVALID_CONFIG, message)


@dataclass(frozen=True, slots=True)
class ContainerSettings:
    """One container of an instance, or a process in its place."""

    model_data: str = ""
    """An archive or a folder, here or `s3://…`; what the target models are under when `multi_model`. Empty: the image brings its model."""
    image: str = ""
    """Empty: a process on this machine instead of a container."""
    command: tuple[str, ...] = ()
    """What to run: after the image's entry point, `serve` unless said; as a process, Argosy's own server unless said."""
    env: Mapping[str, str] = field(default_factory=dict)
    hostname: str = ""
    """What `TargetContainerHostname` calls it; `container-1` and so on unless said."""
    multi_model: bool = False


@dataclass(frozen=True, slots=True)
class Serverless:
    """A serverless variant: smaller bodies, and no more invocations at once than it may have."""

    max_concurrency: int = 5

    def __post_init__(self) -> None:
        if not 1 <= self.max_concurrency <= _MOST_CONCURRENCY:
            raise invalid(f"serverless: max_concurrency must be 1 to {_MOST_CONCURRENCY}, not {self.max_concurrency}")


@dataclass(frozen=True, slots=True)
class VariantSettings:
    """A production variant, or an inference component: instances that are all alike."""

    name: str = "AllTraffic"
    containers: tuple[ContainerSettings, ...] = (ContainerSettings(),)
    weight: float = 1.0
    instances: int = 1
    direct: bool = False
    """Several containers are called one by one, by host name, and not one after the other."""
    serverless: Serverless | None = None
    startup_timeout_s: float = 240.0
    """How long a container may take until its first `/ping` with 200."""

    def __post_init__(self) -> None:
        check_name(self.name, "the variant")
        if not 0 <= self.weight < math.inf or not 1 <= self.instances <= _MOST_INSTANCES:
            raise invalid(f"variant {self.name}: weight must be at least 0, and instances 1 to {_MOST_INSTANCES}")
        if not 0 < self.startup_timeout_s < math.inf:
            raise invalid(f"variant {self.name}: startup_timeout_s must be more than 0, not {self.startup_timeout_s}")
        if not 1 <= len(self.containers) <= _MOST_CONTAINERS:
            raise invalid(f"variant {self.name}: it needs 1 to {_MOST_CONTAINERS} containers, not {len(self.containers)}")
        if len(self.containers) > 1 and any(container.multi_model for container in self.containers):
            raise invalid(f"variant {self.name}: a multi-model container stands alone")
        for container in self.containers:
            if not (container.model_data or container.image or container.command):
                raise invalid(f"variant {self.name}: a container needs model_data, image or command")
            if container.multi_model and not container.model_data:
                raise invalid(f"variant {self.name}: multi_model needs model_data, what the target models are under")
        _refuse_twins(self.hostnames, f"variant {self.name}: container")

    @property
    def hostnames(self) -> tuple[str, ...]:
        """The host name of each container."""
        return tuple(container.hostname or f"container-{number}" for number, container in enumerate(self.containers, 1))


@dataclass(frozen=True, slots=True)
class AsyncSettings:
    """An endpoint that is asked through storage. Its locations are folders of `s3://…`."""

    output: str
    failure: str = ""
    """Where failures are told; beside the answers unless said."""
    max_concurrent: int = 4
    """Invocations at once for each instance."""

    def __post_init__(self) -> None:
        if not self.output.startswith("s3://") or (self.failure and not self.failure.startswith("s3://")):
            raise invalid("async: output and failure must begin with s3://")
        if not 1 <= self.max_concurrent <= 1000:
            raise invalid(f"async: max_concurrent must be 1 to 1000, not {self.max_concurrent}")


@dataclass(frozen=True, slots=True)
class EndpointSettings:
    """An endpoint: variants that share its traffic, or inference components that are called by name."""

    name: str
    variants: tuple[VariantSettings, ...] = ()
    components: tuple[VariantSettings, ...] = ()
    queue: AsyncSettings | None = None
    """Set when the endpoint answers asynchronously."""

    def __post_init__(self) -> None:
        check_name(self.name, "the endpoint")
        if bool(self.variants) == bool(self.components):
            raise invalid(f"endpoint {self.name}: it needs either variants or components")
        _refuse_twins([pool.name for pool in (*self.variants, *self.components)], f"endpoint {self.name}: variant")
        if self.variants and not any(variant.weight for variant in self.variants):
            raise invalid(f"endpoint {self.name}: all variants have weight 0")


@dataclass(frozen=True, slots=True)
class Limits:
    """What the runtime allows; the values are SageMaker's."""

    body_bytes: int = 6 * MIB
    """A request or a response."""
    serverless_bytes: int = 4 * MIB
    inline_bytes: int = 128_000
    """An asynchronous request without an input location."""
    async_bytes: int = 1024 * MIB
    """What an asynchronous invocation reads from storage, or writes there."""
    invocation_s: float = 60.0
    async_invocation_s: float = 900.0
    async_ttl_s: float = 21_600.0

    def of(self, variant: VariantSettings) -> int:
        """Bytes that a request to this variant may have, and its response."""
        return self.serverless_bytes if variant.serverless else self.body_bytes


@dataclass(frozen=True, slots=True)
class Watch:
    """How containers are looked after. Seconds."""

    ping_every_s: float = 5.0
    ping_timeout_s: float = 2.0
    ping_failures: int = 3
    """Failed pings in a row after which a container is started again."""
    start_ping_every_s: float = 0.1
    stop_s: float = 30.0
    """How long a container may take to end after SIGTERM."""
    backoff_s: tuple[float, ...] = (0.5, 1.0, 2.0, 5.0, 15.0, 30.0)
    """Pauses before a container is started again, by failures in a row."""


@dataclass(frozen=True, slots=True)
class RuntimeSettings:
    """Everything behind one address."""

    endpoints: tuple[EndpointSettings, ...]
    host: str = "127.0.0.1"
    port: int = 0
    """0 for a free one."""
    engine: str = ""
    """The command that runs containers, with its global options; podman or docker, whichever is there, unless said."""
    network: str = ""
    """`host` or `publish`; see `engine.Engine`."""
    region: str = "us-east-1"
    account: str = "000000000000"
    allow_unsigned: bool = False
    storage: str = ""
    """A folder that stands for S3: buckets are its folders. Empty: S3, through boto3 and its configuration."""
    logs: str = ""
    """Folder for the containers' output; a temporary one unless said."""
    show_logs: bool = False
    limits: Limits = Limits()
    watch: Watch = Watch()

    def __post_init__(self) -> None:
        if not self.endpoints:
            raise invalid("there is no endpoint to run")
        _refuse_twins([endpoint.name for endpoint in self.endpoints], "endpoint")
        if self.network not in ("", "host", "publish"):
            raise invalid(f"network must be host or publish, not {self.network!r}")
        if not 0 <= self.port <= 65535:
            raise invalid(f"port must be 0 to 65535, not {self.port}")


def _refuse_twins(names: Sequence[str], what: str) -> None:
    twin = next((name for index, name in enumerate(names) if name in names[:index]), None)
    if twin is not None:
        raise invalid(f"{what} {twin} is there twice")
