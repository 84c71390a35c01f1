"""What somebody wants deployed: values only, checked when they are made."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from argosy.errors import ArgosyError, ErrorCode

_NAME = re.compile(r"[A-Za-z0-9](-?[A-Za-z0-9]){0,49}")
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_REPOSITORY = re.compile(r"(?=.{2,256}$)[a-z0-9]+(?:[._/-][a-z0-9]+)*")
_ROLE = re.compile(r"arn:aws[a-z-]*:iam::\d{12}:role/.+")
_VARIABLE = re.compile(r"[A-Za-z_]\w{0,1023}")
_SERVERLESS_MB = (1024, 2048, 3072, 4096, 5120, 6144)


def refuse(message: str) -> ArgosyError:
    """A wish that cannot be met, to be raised."""
    return ArgosyError(ErrorCode.INVALID_REQUEST, message)


def _check(is_right: bool, message: str) -> None:
    if not is_right:
        raise refuse(message)


@dataclass(frozen=True, slots=True)
class Serverless:
    """Capacity that is billed by the request: memory in MB (1024 to 6144 in steps of 1024), and requests at once (1 to 200)."""

    memory_mb: int = 2048
    max_concurrency: int = 5

    def __post_init__(self) -> None:
        _check(self.memory_mb in _SERVERLESS_MB, f"Serverless memory is {self.memory_mb} MB; SageMaker has {', '.join(map(str, _SERVERLESS_MB))}.")
        _check(1 <= self.max_concurrency <= 200, f"Serverless concurrency is {self.max_concurrency}; it goes from 1 to 200.")


@dataclass(frozen=True, slots=True)
class Variant:
    """A group of equal instances, or serverless capacity, that gets `weight` shares of the requests."""

    name: str = "main"
    instance_type: str = "ml.m5.large"
    instance_count: int = 1
    weight: float = 1.0
    serverless: Serverless | None = None

    def __post_init__(self) -> None:
        _check(_NAME.fullmatch(self.name) is not None, f"{self.name!r} is no name for a variant: use letters, digits and hyphens.")
        _check(self.instance_type.startswith("ml."), f"{self.instance_type!r} is no instance type of SageMaker: they begin with ml., as ml.m5.large.")
        _check(self.instance_count >= 1, f"Variant {self.name} has {self.instance_count} instances; give 1 or more.")
        _check(0 <= self.weight < math.inf, f"Variant {self.name} has the weight {self.weight}; give 0 or more.")


@dataclass(frozen=True, slots=True)
class Asynchronous:
    """Requests wait in a queue, and answers go to S3: `output` (None: the deployment's own bucket), at most `max_concurrency` an instance."""

    output: str | None = None
    max_concurrency: int | None = None


@dataclass(frozen=True, slots=True)
class Capture:
    """Requests and answers are kept in S3: that many per cent of them, at `destination` (None: the deployment's own bucket)."""

    percent: int = 100
    destination: str | None = None

    def __post_init__(self) -> None:
        _check(0 < self.percent <= 100, f"Data capture of {self.percent} % cannot be: it goes from 1 to 100.")


@dataclass(frozen=True, slots=True)
class Scaling:
    """Instances come and go so that each has about `invocations` requests a minute; the pauses are in seconds."""

    minimum: int = 1
    maximum: int = 2
    invocations: float = 100.0
    scale_in_pause_s: int = 300
    scale_out_pause_s: int = 60

    def __post_init__(self) -> None:
        given = f"Scaling goes from {self.minimum} to {self.maximum} instances"
        _check(1 <= self.minimum <= self.maximum, f"{given}; give a minimum of 1 or more, and no less as maximum.")
        _check(self.invocations > 0, "Scaling needs a target above 0 invocations a minute.")


@dataclass(frozen=True, slots=True)
class Rollout:
    """How an update moves requests to the new instances, and which CloudWatch alarms make it go back.

    `kind` is all-at-once, canary (`percent` first, the rest after `wait_s`) or linear (`percent` more each `wait_s`).
    """

    kind: str = "all-at-once"
    percent: int = 10
    wait_s: int = 60
    alarms: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _check(self.kind in ("all-at-once", "canary", "linear"), f"{self.kind!r} is no way to move traffic: give all-at-once, canary or linear.")
        _check(1 <= self.percent <= 50 or self.kind == "all-at-once", f"A step of {self.percent} % cannot be: SageMaker takes 1 to 50.")
        _check(0 <= self.wait_s <= 3600, f"A pause of {self.wait_s} s cannot be: SageMaker takes 0 to 3600.")
        _check(len(self.alarms) <= 10, "SageMaker watches at most 10 alarms.")


@dataclass(frozen=True, slots=True)
class Spec:
    """A deployment. Its name becomes the name of the endpoint; what is None gets a name that follows from it.

    `model` is an archive (.tar.gz, .mar, a packed folder) or an s3:// URL, `image` a local image or the URI of one in ECR. An image with a
    transport (`oci:`, `docker-archive:` …) is read by skopeo. Times are in seconds. Raises `ArgosyError` INVALID_REQUEST for what SageMaker
    would refuse.
    """

    name: str
    model: str = ""
    image: str = ""
    bucket: str | None = None
    repository: str | None = None
    role: str | None = None
    """The ARN of an existing role."""
    kms_key: str | None = None
    immutable_tags: bool = False
    variants: tuple[Variant, ...] = (Variant(),)
    asynchronous: Asynchronous | None = None
    capture: Capture | None = None
    scaling: Scaling | None = None
    rollout: Rollout = Rollout()
    environment: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    startup_timeout_s: int | None = None
    download_timeout_s: int | None = None

    def __post_init__(self) -> None:
        _check(_NAME.fullmatch(self.name) is not None, f"{self.name!r} is no name for a deployment: use up to 50 letters, digits and single hyphens.")
        _check(self.bucket is None or _BUCKET.fullmatch(self.bucket) is not None, f"{self.bucket!r} is no name for a bucket.")
        repository = self.repository
        _check(repository is None or _REPOSITORY.fullmatch(repository) is not None, f"{repository!r} is no name for an ECR repository.")
        _check(self.role is None or _ROLE.fullmatch(self.role) is not None, f"{self.role!r} is not the ARN of a role.")
        for name in self.environment:
            _check(_VARIABLE.fullmatch(name) is not None, f"{name!r} is no name for an environment variable.")
        for timeout_s in (self.startup_timeout_s, self.download_timeout_s):
            _check(timeout_s is None or 60 <= timeout_s <= 3600, f"A timeout of {timeout_s} s cannot be: SageMaker takes 60 to 3600.")
        self._check_variants()

    @property
    def is_guarded(self) -> bool:
        """Whether SageMaker can watch over an update: one variant serves, with instances."""
        return len(self.variants) == 1 and self.variants[0].serverless is None

    def _check_variants(self) -> None:
        names = [variant.name for variant in self.variants]
        _check(bool(names), "An endpoint needs a variant.")
        _check(len(set(names)) == len(names), f"Two variants have the same name: {', '.join(names)}.")
        is_plain = self.rollout.kind == "all-at-once" and not self.rollout.alarms
        _check(is_plain or self.is_guarded, "SageMaker moves requests in steps, and back on an alarm, only where one variant with instances serves.")
        if any(variant.serverless for variant in self.variants):
            _check(len(names) == 1, "A serverless endpoint has one variant.")
            others = (self.asynchronous, self.capture, self.scaling)
            _check(all(other is None for other in others), "A serverless endpoint has no queue, capture or scaling.")
