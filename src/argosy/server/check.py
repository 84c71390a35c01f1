"""Whether a server would start with the files that its configuration names."""

from __future__ import annotations

from argosy.config import Config
from argosy.server.dialects import chosen_endpoints
from argosy.server.tls import tls_context
from argosy.server.tokens import make_tokens


def check_files(config: Config) -> None:
    """Read tokens, key, certificates and the endpoints of plug-ins as a server does. Raises `ArgosyError` INVALID_CONFIG with the first problem."""
    make_tokens(config, lambda: None)
    if config.uses_tls:
        tls_context(config)
    chosen_endpoints(config)
