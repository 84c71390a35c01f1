"""What is to run on a cluster: an image, where its models come from, how much of the cluster it gets, and how it stops."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias
from urllib.parse import urlsplit

from argosy.k8s.grammar import check_name, check_text, refuse

FETCHER = "kserve/storage-initializer:v0.20.0"
"""Downloads models before the server starts: `IMAGE URL FOLDER`."""
SCHEMES = ("s3", "gs", "hf", "hdfs", "webhdfs", "http", "https")
MARGIN_S = 20
"""How long a server may take beyond its drain time before it is gone: what cuts workers short, and what takes everything apart."""
CPU = "cpu"
_LONGEST_KSERVE = 53
_PART = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")


@dataclass(frozen=True, slots=True)
class Claim:
    """Models on a volume that exists: a PersistentVolumeClaim, or a folder of it."""

    name: str
    path: str = ""

    @property
    def url(self) -> str:
        """As KServe writes it."""
        return f"pvc://{self.name}/{self.path}".rstrip("/")


@dataclass(frozen=True, slots=True)
class Download:
    """Models that are fetched each time a pod starts."""

    url: str
    image: str = FETCHER
    secret: str | None = None
    """The Secret whose entries are environment variables of the download."""


Source: TypeAlias = Claim | Download | None
"""Where models come from; None: the image has them."""


@dataclass(frozen=True, slots=True)
class Shutdown:
    """How a pod ends: it waits until nobody sends it anything more, then the server drains, then it is gone."""

    drain_s: int = 30
    """How long the server may take to answer what it has accepted (`drain_timeout_s`)."""
    settle_s: int = 10
    """How long proxies and balancers may take to learn that the pod is going."""

    @property
    def grace_s(self) -> int:
        """When the cluster kills what is left, counted from the beginning of the end."""
        return self.settle_s + self.drain_s + MARGIN_S


@dataclass(frozen=True, slots=True)
class Scaling:
    """Between how many pods, and by what."""

    low: int = 2
    high: int = 2
    metric: str = CPU
    """`cpu`, or the name of a metric that each pod has."""
    target: int = 70
    """Per cent of the requested processors, or the value of the metric that a pod should have."""

    @property
    def is_fixed(self) -> bool:
        """Whether there is nothing to scale."""
        return self.low == self.high


@dataclass(frozen=True, slots=True)
class Resources:
    """What each pod gets: as much as it asks for and no more, so that it does not depend on its neighbours."""

    cpu: str = "1"
    memory: str = "2Gi"
    gpus: int = 0
    scratch: str = "4Gi"
    """Room for unpacked archives and temporary files."""
    workers: int | None = None
    """Workers of each model; None: one per processor of the limit, with GPUs one per GPU."""


@dataclass(frozen=True, slots=True)
class Exposure:
    """An Ingress: predictions from outside of the cluster."""

    host: str
    ingress_class: str | None = None
    tls_secret: str | None = None


@dataclass(frozen=True, slots=True)
class Access:
    """Who may ask: tokens as lines of `argosy token`, or the Secret that has them under `tokens`."""

    lines: str | None = None
    secret: str | None = None
    scrape_secret: str | None = None
    """The Secret with Prometheus' own token, under `token`."""

    @property
    def is_open(self) -> bool:
        """Whether nobody needs a token."""
        return self.lines is None and self.secret is None


@dataclass(frozen=True, slots=True)
class Application:
    """Everything about what is to run. `check` says whether its parts fit together."""

    name: str
    image: str
    namespace: str | None = None
    source: Source = None
    resources: Resources = Resources()
    scaling: Scaling = Scaling()
    shutdown: Shutdown = Shutdown()
    startup_timeout_s: int = 600
    exposure: Exposure | None = None
    access: Access = Access()
    environment: Mapping[str, str] = field(default_factory=dict)
    service_account: str | None = None
    pull_secret: str | None = None
    is_monitored: bool = True
    is_kserve: bool = False


def parse_source(text: str | None, image: str = FETCHER, secret: str | None = None) -> Source:
    """Read `pvc://CLAIM[/FOLDER]` or the URL of a storage. Raises `ArgosyError` INVALID_REQUEST."""
    if text is None:
        return None
    scheme, separator, rest = check_text(text, "--model").partition("://")
    if separator and scheme == "pvc":
        return _claim(rest)
    if not separator or scheme not in SCHEMES or not rest.strip("/"):
        known = ", ".join(f"{name}://…" for name in SCHEMES)
        raise refuse(f"--model {text[:100]!r} is not a place for models: write pvc://CLAIM/FOLDER or one of {known}, or leave it out")
    if urlsplit(text).password:
        raise refuse("--model has a password in it, which everybody could read: keep it in a Secret and name that with --fetch-secret")
    return Download(text, image, secret)


def _claim(text: str) -> Claim:
    name, _, path = text.partition("/")
    parts = [part for part in path.split("/") if part]
    if not all(_PART.fullmatch(part) for part in parts):
        raise refuse(f"--model pvc://{text[:100]} has a folder that cannot be: use letters, digits, '_', '.' and '-', no '..'")
    return Claim(check_name(name, "--model: claim"), "/".join(parts))


_OWN = {
    "ARGOSY_DRAIN_TIMEOUT_S": "--drain", "ARGOSY_STARTUP_TIMEOUT_S": "--startup-timeout", "ARGOSY_TOKENS_FILE": "--tokens or --tokens-secret",
    "MMS_DEFAULT_WORKERS_PER_MODEL": "--workers", "MMS_INFERENCE_ADDRESS": "no option: probes and Service rely on port 8080",
    "SAGEMAKER_BIND_TO_PORT": "no option: probes and Service rely on port 8080",
    "SAGEMAKER_MODEL_SERVER_WORKERS": "--workers",
}  # fmt: skip


def check(application: Application) -> Application:
    """The same application. Raises `ArgosyError` INVALID_REQUEST when its parts contradict each other."""
    own = next((name for name in application.environment if name in _OWN), None)
    if own is not None:
        raise refuse(f"--env {own} would contradict the rest of the manifest; for this there is {_OWN[own]}")
    if application.source is not None and (twice := {"MMS_MODEL_STORE", "MMS_LOAD_MODELS"} & application.environment.keys()):
        raise refuse(f"--env {min(twice)} contradicts --model, which says where models are: leave one of them out")
    if "health" in application.environment.get("ARGOSY_TOKEN_SCOPES", ""):
        raise refuse("--env ARGOSY_TOKEN_SCOPES with health would ask the probes for a token, and they have none: leave health out")
    scaling, access = application.scaling, application.access
    if not 1 <= scaling.low <= scaling.high:
        raise refuse(f"--scale {scaling.low}:{scaling.high} cannot be: write MIN:MAX with 1 <= MIN <= MAX")
    if access.lines is not None and access.secret is not None:
        raise refuse("--tokens and --tokens-secret both say which tokens count: give one of them")
    if application.is_monitored and not application.is_kserve and access.is_open == (access.scrape_secret is not None):
        raise refuse(
            "--scrape-secret is for servers with tokens: add --tokens or --tokens-secret, or leave it out" if access.is_open else
            "with tokens /metrics needs one too: name the Secret with Prometheus' token by --scrape-secret, or leave the monitor out by --no-monitor")
    if application.is_kserve:
        _check_kserve(application)
    return application


def _check_kserve(application: Application) -> None:
    if application.exposure is not None:
        raise refuse("--ingress is not for --kserve, which makes its own: leave it out")
    if application.scaling.metric != CPU:
        raise refuse(f"--scale-on {application.scaling.metric} is not for --kserve, which scales by cpu here: leave it out, or --kserve")
    if isinstance(application.source, Download) and (application.source.secret or application.source.image != FETCHER):
        raise refuse("--fetch-image and --fetch-secret are not for --kserve, which downloads itself: give the credentials to --service-account")
    if len(application.name) > _LONGEST_KSERVE:
        raise refuse(f"NAME {application.name!r} is too long: KServe adds '-predictor', so that {_LONGEST_KSERVE} characters are left")
