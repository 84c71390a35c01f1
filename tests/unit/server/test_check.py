"""What a server would not start with is found without starting one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from argosy.config import Address, Config
from argosy.errors import ArgosyError, ErrorCode
from argosy.protocols.endpoint import Scope
from argosy.protocols.tokens import new_token
from argosy.server.check import check_files


def test_tokens_that_cannot_be_read(tmp_path: Path) -> None:
    """A file that is missing, and a line that is no token; neither the line nor a secret is told."""
    for text in (None, "alice hunter2\n"):
        file = tmp_path / "tokens"
        if text is not None:
            file.write_text(text)
        with pytest.raises(ArgosyError, match="tokens_file") as found:
            check_files(Config(tokens_file=file))
        assert found.value.code is ErrorCode.INVALID_CONFIG
        assert "hunter2" not in found.value.message


def test_keys_that_cannot_be_read(tmp_path: Path) -> None:
    """Only where a listener speaks https."""
    config = Config(certificate_file=tmp_path / "no.pem", private_key_file=tmp_path / "no.key")
    check_files(config)
    with pytest.raises(ArgosyError, match="certificate_file not found"):
        check_files(replace(config, inference_address=Address("https", "127.0.0.1", 0)))


def test_endpoints_that_are_not_there() -> None:
    """Like at the start."""
    with pytest.raises(ArgosyError, match="nobodys"):
        check_files(Config(endpoints=("nobodys",)))


def test_what_a_server_starts_with(tmp_path: Path) -> None:
    """Nothing is said."""
    file = tmp_path / "tokens"
    file.write_text(f"{new_token('alice', frozenset({Scope.INFERENCE}))[1]}\n")
    check_files(Config(tokens_file=file))
