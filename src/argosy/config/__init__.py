"""The server's settings: declared once, read from files, environment and command line, and checked before anything starts."""

from argosy.config.address import Address, PortRange, parse_address
from argosy.config.confinement import OWN_LIMITS, Confinement, ModelLimits, User, check_limit
from argosy.config.declare import Setting
from argosy.config.host import (
    Host,
    check_host,
    default_start_workers,
    free_memory,
    oom_kills,
    open_library,
    read_host,
    run_program,
    usable_gpus,
)
from argosy.config.load import Loaded, load_config
from argosy.config.reference import reference, show
from argosy.config.sagemaker import container_defaults
from argosy.config.settings import MOST_CONCURRENT, Config, Target, declarations, parse_target

__all__ = [
    "MOST_CONCURRENT", "OWN_LIMITS", "Address", "Config", "Confinement", "Host", "Loaded", "ModelLimits", "PortRange", "Setting", "Target", "User",
    "check_host", "check_limit", "container_defaults", "declarations", "default_start_workers", "free_memory", "load_config", "oom_kills",
    "open_library", "parse_address", "parse_target", "read_host", "reference", "run_program", "show", "usable_gpus",
]
