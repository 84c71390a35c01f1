"""`argosy token`: the secret for its owner, the line for the server."""

from __future__ import annotations

import hashlib

import pytest
from click.testing import CliRunner

from argosy.cli.main import main
from argosy.protocols.tokens import parse_tokens


def test_secret_and_line_go_different_ways() -> None:
    """Standard output can be appended to the server's file: it has the hash of what standard error shows."""
    result = CliRunner().invoke(main, ["token", "alice", "--scope", "scrape", "--scope", "inference"])
    assert result.exit_code == 0
    secret = result.stderr.rpartition(" ")[2].strip()
    (token,) = parse_tokens(result.stdout)
    assert result.stdout.startswith("alice inference,scrape sha256:")
    assert token.digest == hashlib.sha256(secret.encode()).digest()
    assert secret not in result.stdout


def test_inference_is_the_default() -> None:
    """A token that is not said to be for anything manages nothing."""
    assert CliRunner().invoke(main, ["token", "bob"]).stdout.startswith("bob inference sha256:")


@pytest.mark.parametrize("arguments", [["token"], ["token", "a b"], ["token", "a", "--scope", "all"], ["token", "-"]])
def test_what_is_no_name_or_scope(arguments: list[str]) -> None:
    """Refused with the usage, and no token is made."""
    result = CliRunner().invoke(main, arguments)
    assert (result.exit_code, result.stdout) == (2, "")
