"""Every setting of the server, declared once: the command line, the files, the checks and the reference page all come from here."""
# ruff: noqa: RUF009 - `setting` and `ours` make dataclass fields

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from argosy.config.address import Address, PortRange
from argosy.config.confinement import Confinement, ModelLimits, User
from argosy.config.declare import Setting, ours, setting

_GIB = 1024**3
MOST_CONCURRENT = 1024
"""Largest `worker_concurrency`."""


@dataclass(frozen=True, slots=True)
class Target:
    """A model to serve from the start: an archive, folder, handler file or URL, under a name of its own or the one it brings."""

    name: str | None
    url_or_path: str
    handler: str | None = None
    """The handler, where the target itself does not name one."""

    def __str__(self) -> str:
        return self.url_or_path if self.name is None else f"{self.name}={self.url_or_path}"


@dataclass(frozen=True, slots=True)
class Config:
    """All settings, checked. Made by `load_config`; `Config()` has the defaults and is what tests use. Frozen: nobody changes it."""

    # listeners
    inference_address: Address = setting(
        Address("http", "127.0.0.1", 8080), "address", "Where predictions are served. Without a port: 80, or 443 with https.",
        forms=(("SAGEMAKER_BIND_TO_PORT", "port"),))
    management_address: Address = setting(
        Address("http", "127.0.0.1", 8081), "management_address",
        "Where models are managed. Without a port: 8081, or 8444 with https. The same address as `inference_address`: one listener with both.")
    max_request_size: int = setting(
        6553500, "integer", "Largest request body, on both listeners.", unit="bytes", low=0,
        forms=(("SAGEMAKER_MAX_PAYLOAD_IN_MB", "mebibytes"),))
    max_response_size: int = setting(6553500, "integer", "Largest answer of a worker.", unit="bytes", low=0)
    cors_allowed_origin: str | None = setting(None, "text", "Origin that browsers may call from, `*` for any. Unset: no CORS headers.")
    cors_allowed_methods: str | None = setting(None, "text", "Methods that a preflight request is told.")
    cors_allowed_headers: str | None = setting(None, "text", "Request headers that a preflight request is told.")
    max_connections: int = ours(
        0, "integer", "Most open client connections. 0: what the limit on open files leaves after a reserve for workers and archives.",
        name="max_connections", low=0, unset="from the limit on open files")
    header_timeout_s: float = ours(
        20.0, "number", "How long a client may take to send a request's head.", name="header_timeout_s", unit="seconds", low=0.1)
    body_timeout_s: float = ours(
        30.0, "number", "How long a client may pause while it sends a body.", name="body_timeout_s", unit="seconds", low=0.1)
    idle_timeout_s: float = ours(
        75.0, "number", "How long a connection may wait for its next request.", name="idle_timeout_s", unit="seconds", low=0.1)
    request_memory_bytes: int = ours(
        256 * 1024 * 1024, "integer",
        "Memory for request bodies that are being received or wait for a worker. 0: a quarter of the memory that we may use.",
        name="request_memory_bytes", unit="bytes", low=0, unset="a quarter of the memory")
    unread_memory_bytes: int = ours(
        256 * 1024 * 1024, "integer",
        "Memory for answers that clients have not read yet. Beyond it, the clients that have most left to read are cut off.",
        name="unread_memory_bytes", unit="bytes", low=1)
    answer_memory_bytes: int = ours(
        64 * 1024 * 1024, "integer",
        "Shared memory of each worker for answers of 64 KiB and more, until their clients have them. It is taken when it is first needed, and "
        "then kept. Answers that find no room take a slower way. 0: none.",
        name="answer_memory_bytes", unit="bytes", low=0)
    arena_threshold_bytes: int = ours(
        16384, "integer", "Bodies from this size on reach workers through shared memory.", name="arena_threshold_bytes", unit="bytes", low=0)

    # TLS
    keystore: Path | None = setting(None, "path", "Key store with the server's key and certificates (PKCS12).")
    keystore_pass: str = setting("changeit", "text", "Its password.", secret=True)
    keystore_type: str = setting("PKCS12", "text", "Its type.")
    private_key_file: Path | None = setting(None, "path", "PEM file with the server's private key.")
    certificate_file: Path | None = setting(None, "path", "PEM file with the server's certificate chain.")

    client_ca_file: Path | None = ours(
        None, "path", "PEM file with the authorities whose client certificates are believed, on every https listener. Unset: none is asked for.",
        name="client_ca_file")
    client_certificates: str = ours(
        "required", "word", "Whether a client without a certificate is refused (`required`) or served (`optional`), once `client_ca_file` is set.",
        name="client_certificates", words=("required", "optional"))

    # models and workers
    model_store: Path | None = setting(None, "path", "Folder in which model names and relative paths are looked up.", flag="--model-store")
    load_models: str | None = setting(
        None, "text", "Models to load at start: `[name=]path-or-url` separated by commas, or `ALL` for the whole model store.", flag="--models")
    default_workers_per_model: int = setting(
        0, "integer", "Workers of each model loaded at start, and of later registrations that do not say.", low=0, high=10000, flag="--workers",
        env=("SAGEMAKER_MODEL_SERVER_WORKERS",), unset="0: at start one per GPU, else one per processor; later registrations none")
    NUM_WORKERS: int = setting(
        0, "integer", "Workers of each model loaded at start when `default_workers_per_model` is 0.", low=0, high=10000, mms_env=False)
    default_service_handler: str | None = setting(None, "text", "Handler of models whose manifest names none.")
    decode_input_request: bool = setting(True, "boolean", "Whether JSON and text bodies are decoded for the handler.")
    preload_model: bool = setting(False, "choice", "Load a model once, then fork its workers, which share the memory.")
    job_queue_size: int = setting(100, "integer", "Requests that may wait per model; the next one is refused with 503.", low=1)
    default_response_timeout_seconds: int = setting(
        -1, "integer", "How long a worker may take for one batch. Negative: `default_response_timeout` counts.", unit="seconds", low=-1,
        env=("SAGEMAKER_MODEL_SERVER_TIMEOUT_SECONDS",))
    default_response_timeout: int = setting(
        120, "integer", "The same in minutes, as Multi Model Server really read it. 0: no limit.", unit="minutes", low=0,
        env=("SAGEMAKER_MODEL_SERVER_TIMEOUT",))
    unregister_model_timeout: int = setting(
        120, "integer", "How long unregistering a model waits for its workers.", unit="seconds", low=0)
    number_of_gpu: int | None = setting(
        None, "integer", "Use at most so many GPUs of those that NVML counts or, without it, `nvidia-smi` lists. 0: ask neither.", low=0,
        unset="all that are found")
    blacklist_env_vars: re.Pattern[str] | None = setting(
        None, "regex", "Environment variables whose whole name matches this regular expression are hidden from workers.")
    debug: bool = setting(False, "boolean", "One worker per model and no response timeout, for work with a debugger.")
    startup_timeout_s: float = ours(
        600.0, "number", "How long a worker may take to load its model.", name="startup_timeout_s", unit="seconds", low=0.1)
    max_workers_per_model: int = ours(
        1024, "integer", "Most workers that a model can be given through the management API.", name="max_workers_per_model", low=1, high=100000)
    drain_timeout_s: float = ours(
        30.0, "number", "How long a stopping server or model may take to answer what it has accepted.", name="drain_timeout_s", unit="seconds", low=0)
    max_coalesced_jobs: int = ours(64, "integer", "Most jobs in one message to a worker.", name="max_coalesced_jobs", low=1, high=4096)
    worker_concurrency: int = ours(
        64, "integer", "Requests that a worker takes at once if its handler is asynchronous.", name="worker_concurrency", low=1, high=MOST_CONCURRENT)
    target_message_us: int = ours(
        500, "integer", "A message to a worker carries as many jobs as are worth this much of the model's measured time.",
        name="target_message_us", unit="microseconds", low=0)

    # what workers may use
    worker_user: User | None = ours(
        None, "user", "User that workers run as when the server is root; it must be able to read the models and the interpreter.",
        name="worker_user", unset="the server's own user")
    worker_memory_bytes: int | None = ours(
        None, "integer", "Most memory of its own that a worker may have (RLIMIT_DATA); a handler that needs more gets a MemoryError.",
        name="worker_memory_bytes", unit="bytes", low=16 * 1024 * 1024)
    worker_cpu_s: int | None = ours(
        None, "integer", "Most processor time that a worker may use in its life (RLIMIT_CPU); then it is killed and replaced.",
        name="worker_cpu_s", unit="seconds", low=1)
    worker_processes: int | None = ours(
        None, "integer", "Most processes and threads that the user of the workers may have, all its workers together (RLIMIT_NPROC). "
        "Without effect for root, hence refused there unless `worker_user` is set.", name="worker_processes", low=1)
    worker_open_files: int | None = ours(
        None, "integer", "Most files that a worker may have open (RLIMIT_NOFILE).", name="worker_open_files", low=16)
    worker_file_bytes: int | None = ours(
        None, "integer", "Largest file that a worker may write (RLIMIT_FSIZE).", name="worker_file_bytes", unit="bytes", low=0)
    worker_core_bytes: int | None = ours(
        None, "integer", "Largest core file of a worker (RLIMIT_CORE).", name="worker_core_bytes", unit="bytes", low=0)
    worker_new_privileges: bool = ours(
        True, "choice", "Whether programs that a worker starts may gain privileges, as sudo does. Never with `worker_user`.",
        name="worker_new_privileges")
    model_limits: ModelLimits = ours(
        ModelLimits(), "model_limits", "Limits of single models, which count instead of the `worker_` settings: a JSON object, "
        '`{"NAME": {"memory_bytes": …, "cpu_s": …, "processes": …, "open_files": …, "file_bytes": …, "core_bytes": …, "user": …}}`.',
        name="model_limits", unset="not set")

    # archives and safety
    max_archive_bytes: int = ours(
        64 * _GIB, "integer", "Largest download, and largest unpacked size, of an archive.", name="max_archive_bytes", unit="bytes", low=1)
    allowed_urls: tuple[re.Pattern[str], ...] = ours(
        (), "regexes", "Regular expressions separated by commas; a model URL in a request must match one as a whole, on each redirect. "
        "Unset: any URL that is not link-local while the management listener is on loopback, a unix socket or needs a token, else none.",
        name="allowed_urls")
    tokens_file: Path | None = ours(
        None, "path", "File with bearer tokens, a line for each as `argosy token` prints it; read again when it changes.", name="tokens_file")
    tokens: str | None = ours(
        None, "text", "The same lines, separated by semicolons, for where a file is inconvenient.", name="tokens", secret=True)
    token_scopes: tuple[str, ...] = ours(
        ("inference", "management", "scrape"), "scopes", "What a token is needed for once `tokens_file` or `tokens` is set: of `inference`, "
        "`management`, `scrape` (metrics) and `health` (`/ping`, `/livez`, `/readyz`).", name="token_scopes",
        words=("inference", "management", "scrape", "health"))
    management_token: str | None = ours(
        None, "text", "One bearer token, in plain, that management requests must carry. Better: `tokens_file`.", name="management_token", secret=True)
    error_detail: str = ours(
        "none", "word", "What clients see of a handler's exception.", name="error_detail", words=("none", "message", "traceback"))
    ping_policy: str = ours(
        "argosy", "word", "`argosy`: /ping answers 503 while no model can serve; `mms`: always 200.", name="ping_policy", words=("argosy", "mms"))
    endpoints: tuple[str, ...] = ours(
        (), "names", "Custom endpoints to switch on, by the names of their entry points, or `ALL` installed ones.", name="endpoints")
    temp_dir: Path = ours(
        Path("/tmp"), "path", "Folder of unpacked archives and sockets.", name="temp_dir",  # noqa: S108 - replaced by what the system says
        env=("TEMP",), unset="the system's temporary folder")

    # logs and metrics
    log_location: Path | None = ours(
        Path("logs"), "path_or_none", "Folder of the log files; `none`: no files.", name="log_location", env=("LOG_LOCATION",))
    metrics_location: Path | None = ours(
        Path("logs"), "path_or_none", "Folder of the metrics files; `none`: no files.", name="metrics_location", env=("METRICS_LOCATION",))
    log_config: Path | None = ours(
        None, "path", "Logging configuration: Python's (JSON, TOML or ini), or log4j2 XML, whose levels count.",
        name="log_config", flag="--log-config")
    log_format: str = ours("text", "word", "How log lines are written.", name="log_format", words=("text", "json"))
    log_console: str = ours(
        "all", "word", "What is also printed: `all`, everything but metrics and debug lines (`events`), or nothing (`none`).",
        name="log_console", words=("all", "events", "none"))
    access_log: bool = ours(True, "boolean", "Write a line per request.", name="access_log")
    metric_time_interval: int = setting(60, "integer", "Pause between reports of the system metrics.", unit="seconds", low=1, mms_env=False)

    # containers of Amazon SageMaker
    multi_model: bool = ours(
        False, "choice", "A multi-model container: predictions and management share one address, a registration that names no number of workers "
        "starts one, and one whose model does not fit into memory is refused with 507.", name="multi_model", env=("SAGEMAKER_MULTI_MODEL",))
    safe_port_range: PortRange | None = ours(
        None, "ports", "Ports that a listener other than that of predictions may have; management moves into it.", name="safe_port_range",
        env=("SAGEMAKER_SAFE_PORT_RANGE",))
    load_memory_factor: float = ours(
        1.0, "number", "What a worker of a multi-model container is expected to take, as a multiple of the files of its model; a model for which "
        "there is less memory is refused. 0: load it and see.", name="load_memory_factor", low=0, high=100)
    batch_transform: bool = ours(
        False, "choice", "The container runs for batch transform: `/execution-parameters` is answered.", name="batch_transform",
        env=("SAGEMAKER_BATCH",))
    batch_strategy: str = ours(
        "multi_record", "word", "What `/execution-parameters` asks for: requests of as many records as fit, or of one.", name="batch_strategy",
        words=("multi_record", "single_record"), forms=(("SAGEMAKER_BATCH_STRATEGY", "strategy"),))
    max_concurrent_transforms: int = ours(
        0, "integer", "Requests at once that `/execution-parameters` asks for.", name="max_concurrent_transforms", low=0, high=100000,
        env=("SAGEMAKER_MAX_CONCURRENT_TRANSFORMS",), unset="0: what the loaded workers take at once")
    default_accept: str | None = ours(
        None, "text", "The `Accept` that handlers see in requests with none, or with `*/*`.", name="default_accept",
        env=("SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT",))

    # how the configuration itself is read
    enable_envvars_config: bool = setting(
        False, "boolean", "Let environment variables `MMS_<NAME>` override everything else, the command line included.", mms_env=False)

    # of the Java server; accepted, without effect
    number_of_netty_threads: str | None = setting(None, "any", "I/O threads of the Java server.", needless=True)
    netty_client_threads: str | None = setting(None, "any", "Threads of the Java server that talk to workers.", needless=True)
    async_logging: str | None = setting(None, "any", "Log lines are always written aside of the request.", needless=True)
    prefer_direct_buffer: str | None = setting(None, "any", "Memory of the Java server.", needless=True)
    use_native_io: str | None = setting(None, "any", "Sockets of the Java server; the native ones are always used.", needless=True, mms_env=False)
    io_ratio: str | None = setting(None, "any", "Sockets of the Java server.", needless=True, mms_env=False)
    vmargs: str | None = setting(
        None, "any", "Options of the Java machine.", needless=True, mms_env=False, env=("SAGEMAKER_MODEL_SERVER_VMARGS",))
    plugins_path: str | None = setting(
        None, "any", "Jars of the Java server; endpoints are added by Python entry points and the setting `endpoints`.", needless=True, mms_env=False)
    model_server_home: str | None = setting(None, "any", "Installation folder of the Java server.", needless=True, mms_env=False)

    @property
    def response_timeout_s(self) -> float:
        """How long a worker may take for one batch, in seconds; 0.0 means no limit."""
        if self.debug:
            return 0.0
        seconds = self.default_response_timeout_seconds
        return float(seconds) if seconds >= 0 else self.default_response_timeout * 60.0

    @property
    def unregister_timeout_s(self) -> float:
        """How long unregistering waits, in seconds."""
        return float(self.unregister_model_timeout)

    def confinement(self, model: str) -> Confinement:
        """What the operator allows the workers of a model."""
        general = Confinement(
            self.worker_memory_bytes, self.worker_cpu_s, self.worker_processes, self.worker_open_files, self.worker_file_bytes,
            self.worker_core_bytes, self.worker_user)  # fmt: skip
        found = general.replaced(self.model_limits.of(model))
        if found.user is None:
            return dataclasses.replace(found, new_privileges=self.worker_new_privileges)
        groups = tuple(dict.fromkeys((*found.user.groups, self.worker_group or found.user.gid)))
        return dataclasses.replace(found, new_privileges=False, user=dataclasses.replace(found.user, groups=groups))

    @property
    def worker_group(self) -> int | None:
        """The group that may read unpacked archives: every worker with a user of its own is in it. None without such workers."""
        return next((user.gid for user in self.worker_users), None)

    @property
    def worker_users(self) -> tuple[User, ...]:
        """Every user that workers may run as, besides the server's own."""
        named = (self.worker_user, *(own.user for own in self.model_limits.entries))
        return tuple(dict.fromkeys(user for user in named if user is not None))

    @property
    def uses_tokens(self) -> bool:
        """Whether there are tokens with scopes; `management_token` alone is none."""
        return self.tokens_file is not None or self.tokens is not None

    @property
    def management_needs_token(self) -> bool:
        """Whether nobody can manage the server without a token."""
        return "management" in self.token_scopes if self.uses_tokens else self.management_token is not None

    @property
    def is_one_listener(self) -> bool:
        """Whether inference and management share one listener: the same address, unless the system chooses the ports."""
        return self.inference_address == self.management_address and (self.inference_address.scheme == "unix" or self.inference_address.port != 0)

    @property
    def uses_tls(self) -> bool:
        """Whether any listener speaks https."""
        return "https" in (self.inference_address.scheme, self.management_address.scheme)

    @property
    def loads_all(self) -> bool:
        """Whether everything in the model store is loaded at start."""
        return self.load_models is not None and self.load_models.strip().upper() == "ALL"

    @property
    def start_targets(self) -> tuple[Target, ...]:
        """The models that `load_models` lists; none with `ALL`."""
        if self.load_models is None or self.loads_all:
            return ()
        return tuple(parse_target(item.strip()) for item in self.load_models.split(",") if item.strip())


def parse_target(text: str) -> Target:
    """Read `[name=]path-or-url`. A `=` after a slash, question mark or colon belongs to the url."""
    name, equals, rest = text.partition("=")
    if not equals or re.search(r"[/?:]", name):
        return Target(None, text)
    return Target(name.strip() or None, rest.strip())


def declarations() -> Mapping[str, tuple[Setting, object]]:
    """Every setting by name, in the order of `Config`: its declaration and its default."""
    return {field.name: (field.metadata["setting"], field.default) for field in dataclasses.fields(Config)}
