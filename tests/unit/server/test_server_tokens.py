"""Tokens from file and configuration: refused at the start when they cannot be read, read again when the file changes."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest

from argosy.config import Config
from argosy.errors import ArgosyError, ErrorCode
from argosy.protocols.endpoint import Scope
from argosy.protocols.tokens import new_token
from argosy.server.tokens import Tokens, make_tokens
from argosy.testing.loop import FakeLoop


def nothing() -> None:
    """For tests that do not ask."""


def write(file: Path, *lines: str) -> None:
    """Replace a file as an editor does."""
    new = file.with_suffix(".new")
    new.write_text("".join(f"{line}\n" for line in lines))
    new.chmod(0o640)
    new.replace(file)


def status(tokens: Tokens, secret: str, scope: Scope = Scope.INFERENCE) -> int:
    problem = tokens.gate.problem([b"Authorization", b"Bearer " + secret.encode()], scope)
    return 200 if problem is None else problem[0]


def test_files_that_cannot_be_used(tmp_path: Path) -> None:
    """The server does not start without its tokens; the message names the file and what is wrong."""
    file = tmp_path / "tokens"
    broken = {b"alice": "line 1: a token is written", b"\xff": "no text in UTF-8", b"#" * 1048577: "larger"}
    for content, says in ((None, "cannot be read: No such file"), *broken.items()):
        if content is not None:
            file.write_bytes(content)
        with pytest.raises(ArgosyError, match=says) as caught:
            Tokens(Config(tokens_file=file), nothing)
        assert caught.value.code is ErrorCode.INVALID_CONFIG
        assert str(file) in caught.value.message
    file.write_bytes(b"")
    file.chmod(0o666)
    with pytest.raises(ArgosyError, match="can be written by everybody; chmod o-w"):
        Tokens(Config(tokens_file=file), nothing)
    with pytest.raises(ArgosyError, match="tokens: line 1"):
        Tokens(Config(tokens="alice"), nothing)


def test_without_tokens_nothing_is_made() -> None:
    """A server that needs none has no gate at all; the old single token is no reason for one."""
    assert make_tokens(Config(), nothing) is None
    assert make_tokens(Config(management_token="x"), nothing) is None


def test_tokens_of_file_and_configuration(tmp_path: Path) -> None:
    """They add up; the old single token is one more, for management alone."""
    (one, first), (two, second) = new_token("one", [Scope.INFERENCE]), new_token("two", [Scope.SCRAPE])
    file = tmp_path / "tokens"
    write(file, str(first))
    tokens = make_tokens(Config(tokens_file=file, tokens=f"{second};", management_token="plain"), nothing)
    assert tokens is not None
    assert [status(tokens, secret) for secret in (one, two, "plain", "none")] == [200, 403, 403, 401]
    assert status(tokens, "plain", Scope.MANAGEMENT) == 200
    assert status(tokens, two, Scope.SCRAPE) == 200


def test_a_changed_file_counts(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A token that was added is right, one that was removed is not, and whoever keeps something derived from them is told."""
    (old, before), (new, after) = new_token("a", [Scope.INFERENCE]), new_token("a", [Scope.INFERENCE])
    file, told = tmp_path / "tokens", []
    write(file, str(before))
    tokens = Tokens(Config(tokens_file=file), lambda: told.append(1))
    assert [status(tokens, secret) for secret in (old, new)] == [200, 401]
    tokens.refresh()
    assert told == []
    with caplog.at_level(logging.INFO, "argosy.server"):
        write(file, str(after))
        tokens.refresh()
    assert [status(tokens, secret) for secret in (old, new)] == [401, 200]
    assert told == [1]
    assert caplog.messages == ["The tokens were read again: 1."]


def test_a_broken_file_changes_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Half a file, or none, is logged once and locks nobody out; the next whole one counts."""
    secret, token = new_token("a", [Scope.INFERENCE])
    file = tmp_path / "tokens"
    write(file, str(token))
    tokens = Tokens(Config(tokens_file=file), nothing)
    write(file, "a inference")
    tokens.refresh()
    tokens.refresh()
    assert len(caplog.messages) == 1
    assert "The tokens stay as they were" in caplog.messages[0]
    file.unlink()
    tokens.refresh()
    assert "No such file" in caplog.messages[1]
    assert status(tokens, secret) == 200
    write(file)
    tokens.refresh()
    assert status(tokens, secret) == 401


def test_a_file_behind_links_that_are_moved(tmp_path: Path) -> None:
    """Mounted secrets change by a link to another folder."""
    secrets = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        secret, token = new_token("a", [Scope.INFERENCE])
        write(tmp_path / name / "tokens", str(token))
        secrets.append(secret)
    (tmp_path / "now").symlink_to("one")
    tokens = Tokens(Config(tokens_file=tmp_path / "now" / "tokens"), nothing)
    (tmp_path / "next").symlink_to("two")
    os.replace(tmp_path / "next", tmp_path / "now")
    tokens.refresh()
    assert [status(tokens, secret) for secret in secrets] == [401, 200]


def test_the_file_is_looked_at_until_the_server_stops(tmp_path: Path) -> None:
    """Once a second; without a file there is nothing to look at."""
    (old, before), (new, after) = new_token("a", [Scope.INFERENCE]), new_token("b", [Scope.INFERENCE])
    file, loop = tmp_path / "tokens", FakeLoop()
    write(file, str(before))
    tokens = Tokens(Config(tokens_file=file), nothing)
    tokens.watch(loop)
    for secret, line in ((new, after), (old, before)):
        write(file, str(line))
        loop.advance(1.0)
        assert status(tokens, secret) == 200
    tokens.stop()
    write(file, str(after))
    loop.advance(5.0)
    assert (status(tokens, old), status(tokens, new)) == (200, 401)
    fixed = Tokens(Config(tokens=str(before)), nothing)
    fixed.watch(loop)
    loop.advance(5.0)
    fixed.stop()
    assert loop.failures == []


def test_what_needs_a_token() -> None:
    """Management counts as guarded only when its scope is; the old token counts while there are no others."""
    assert not Config().management_needs_token
    assert Config(management_token="x").management_needs_token
    assert Config(tokens="").management_needs_token
    assert not Config(tokens="", token_scopes=("inference",), management_token="x").management_needs_token
