"""The tokens of a server: read from file and environment at the start, and read again when the file changes."""

from __future__ import annotations

import asyncio
import logging
import os
import stat
from collections.abc import Callable
from pathlib import Path

from argosy.config import Config
from argosy.errors import ArgosyError, ErrorCode
from argosy.protocols.endpoint import Scope
from argosy.protocols.tokens import Gate, Token, digest_of, parse_tokens

_log = logging.getLogger("argosy.server")
_LOOK_S = 1.0
_LARGEST = 1 << 20

_Mark = tuple[int, int, int, int]


class Tokens:
    """The tokens that count now, and the gate that lets them pass. `watch`, then `stop`."""

    def __init__(self, config: Config, changed: Callable[[], None]) -> None:
        """Reads them; `changed` is called when others count. Raises `ArgosyError` INVALID_CONFIG when they cannot be read."""
        self._file = config.tokens_file
        self._fixed = _fixed(config)
        self._changed = changed
        self._timer: asyncio.TimerHandle | None = None
        self._mark = None if self._file is None else _mark(self._file)
        self.gate = Gate(self._read(), [Scope(word) for word in config.token_scopes])

    def __repr__(self) -> str:
        return f"<Tokens of {self._file} {self.gate!r}>"

    def watch(self, loop: asyncio.AbstractEventLoop) -> None:
        """Look at the file once a second: nothing tells of a change on every file system, nor through the links of a mounted secret."""
        if self._file is not None:
            self._timer = loop.call_later(_LOOK_S, self._look, loop)

    def stop(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        self.refresh()
        self.watch(loop)

    def refresh(self) -> None:
        """Read the file again if it has changed. One that cannot be used is logged, and the tokens stay as they were."""
        assert self._file is not None
        mark = _mark(self._file)
        if mark == self._mark:
            return
        self._mark = mark
        try:
            tokens = self._read()
        except ArgosyError as error:
            _log.error("The tokens stay as they were: %s", error.message)
            return
        self.gate.replace(tokens)
        self._changed()
        _log.info("The tokens were read again: %d.", len(tokens))

    def _read(self) -> tuple[Token, ...]:
        return self._fixed if self._file is None else (*self._fixed, *_of_file(self._file))


def make_tokens(config: Config, changed: Callable[[], None]) -> Tokens | None:
    """None if the configuration asks for none. Raises `ArgosyError` INVALID_CONFIG."""
    return Tokens(config, changed) if config.uses_tokens else None


def _fixed(config: Config) -> tuple[Token, ...]:
    """The tokens of the configuration itself. The one of `management_token` is for management only, as ever."""
    try:
        given = parse_tokens(config.tokens or "")
    except ValueError as error:
        raise ArgosyError(ErrorCode.INVALID_CONFIG, f"tokens: {error}") from None
    if config.management_token is None:
        return given
    return (*given, Token("management_token", frozenset({Scope.MANAGEMENT}), digest_of(config.management_token.encode())))


def _of_file(file: Path) -> tuple[Token, ...]:
    try:
        with open(file, "rb") as stream:
            if stat.S_IMODE(os.fstat(stream.fileno()).st_mode) & 0o002:
                raise ArgosyError(ErrorCode.INVALID_CONFIG, f"tokens_file {file} can be written by everybody; chmod o-w {file}")
            data = stream.read(_LARGEST + 1)
        if len(data) > _LARGEST:
            raise ValueError("it is larger than a megabyte")
        return parse_tokens(data.decode("utf-8"))
    except OSError as error:
        raise ArgosyError(ErrorCode.INVALID_CONFIG, f"tokens_file {file} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError:
        raise ArgosyError(ErrorCode.INVALID_CONFIG, f"tokens_file {file} cannot be read: it is no text in UTF-8") from None
    except ValueError as error:
        raise ArgosyError(ErrorCode.INVALID_CONFIG, f"tokens_file {file}: {error}") from None


def _mark(file: Path) -> _Mark | None:
    """What changes when the file does; None if it is not there."""
    try:
        found = os.stat(file)
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_mtime_ns, found.st_size
