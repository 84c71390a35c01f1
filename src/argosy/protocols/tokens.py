"""Bearer tokens: what each may do, how one is made and written down, and whether a request carries one that suffices."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from argosy.protocols.endpoint import Scope

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}")
_HASH = re.compile(r"sha256:([0-9a-f]{64})")
_PREFIX = "argosy_"
_BYTES = 32
_KNOWN = 1024
_LONGEST = 1024
SCOPES = (Scope.INFERENCE, Scope.MANAGEMENT, Scope.SCRAPE)
"""What a token can be for."""


@dataclass(frozen=True, slots=True)
class Token:
    """Somebody's right to ask, known by the hash of the secret only."""

    name: str
    scopes: frozenset[Scope]
    digest: bytes

    def __str__(self) -> str:
        scopes = ",".join(scope.value for scope in SCOPES if scope in self.scopes)
        return f"{self.name} {scopes} sha256:{self.digest.hex()}"


def new_token(name: str, scopes: Iterable[Scope]) -> tuple[str, Token]:
    """A fresh secret of 256 random bits, and what the server keeps of it. Raises ValueError for an unusable name."""
    _checked_name(name)
    secret = _PREFIX + base64.urlsafe_b64encode(secrets.token_bytes(_BYTES)).rstrip(b"=").decode()
    return secret, Token(name, frozenset(scopes), digest_of(secret.encode()))


def digest_of(secret: bytes) -> bytes:
    """What is kept of a secret.

    A plain SHA-256: a slow hash protects secrets that can be guessed, and nobody guesses 256 random bits, while each new connection would pay for it.
    """
    return hashlib.sha256(secret).digest()


def parse_tokens(text: str) -> tuple[Token, ...]:
    """Read tokens, one a line or separated by semicolons: name, scopes separated by commas, `sha256:` and the hash; `#` begins a comment.

    Raises ValueError that names the line, never what is in the place of a hash: it may be a secret put there by mistake.
    """
    found: dict[str, Token] = {}
    for number, line in enumerate(re.split(r"[\n;]", text), 1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        try:
            token = _token(words)
            if token.name in found:
                raise ValueError(f"the name {token.name} is there twice")
        except ValueError as error:
            raise ValueError(f"line {number}: {error}") from None
        found[token.name] = token
    return tuple(found.values())


def _token(words: Sequence[str]) -> Token:
    if len(words) != 3:
        raise ValueError("a token is written NAME SCOPES sha256:HASH, as argosy token prints it")
    name, scopes, written = words
    found = _HASH.fullmatch(written)
    if found is None:
        raise ValueError("the third word must be sha256: and 64 hexadecimal digits, as argosy token prints it")
    return Token(_checked_name(name), parse_scopes(scopes), bytes.fromhex(found[1]))


def _checked_name(name: str) -> str:
    if _NAME.fullmatch(name) is None:
        raise ValueError("the name of a token has at most 64 letters, digits, '_', '.', '-'")
    return name


def parse_scopes(text: str) -> frozenset[Scope]:
    """Scopes separated by commas. Raises ValueError."""
    known = {scope.value: scope for scope in SCOPES}
    found = [known.get(word) for word in text.split(",")]
    if None in found:
        raise ValueError(f"scopes are {', '.join(known)}, separated by commas without blanks")
    return frozenset(scope for scope in found if scope is not None)


class Gate:
    """Lets requests pass that carry a token for what they ask. The server's own; the tokens are replaced while it runs."""

    def __init__(self, tokens: Iterable[Token], guarded: Iterable[Scope]) -> None:
        """`guarded` are the scopes for which a token is needed."""
        self._guarded = frozenset(guarded)
        self._tokens = tuple(tokens)
        self._verified: dict[bytes, frozenset[Scope]] = {}
        """Header values that were found to be right, so that not each request is hashed. Written by `_scopes`."""

    def __repr__(self) -> str:
        return f"<Gate {len(self._tokens)} tokens for {', '.join(sorted(scope.value for scope in self._guarded))}>"

    def replace(self, tokens: Iterable[Token]) -> None:
        """From now on these tokens count."""
        self._tokens = tuple(tokens)
        self._verified.clear()

    def problem(self, fields: Sequence[bytes], scope: Scope) -> tuple[int, str, str] | None:
        """Why a request for something of that scope is refused, as status, type and message; None if it may pass.

        `fields` are name, value, name, value … of its head.
        """
        if scope not in self._guarded and scope is not Scope.ANY:
            return None
        values = [fields[at + 1] for at in range(0, len(fields), 2) if fields[at].lower() == b"authorization"]
        allowed = self._scopes(values[0]) if len(values) == 1 else None
        if allowed is None:
            wanted = "" if scope is Scope.ANY else f" for {scope.value}"
            what = "The token is not valid." if values else "A token is needed."
            return 401, "UnauthorizedException", f"{what} Send one{wanted} in the header Authorization: Bearer TOKEN."
        if scope in (Scope.ANY, Scope.HEALTH) or scope in allowed:
            return None
        return 403, "ForbiddenException", f"This token is not for {scope.value}."

    def _scopes(self, value: bytes) -> frozenset[Scope] | None:
        """What the token in a header is for; None if it is nobody's.

        The time that it takes tells nothing: hashes are compared in constant time and all of them are, and of a value that was right before
        the dictionary compares a keyed hash first.
        """
        known = self._verified.get(value)
        if known is not None:
            return known
        scheme, _, secret = value.strip().partition(b" ")
        if scheme.lower() != b"bearer" or len(value) > _LONGEST:
            return None
        digest = digest_of(secret.strip())
        found = [token for token in self._tokens if hmac.compare_digest(token.digest, digest)]
        if not found:
            return None
        scopes = frozenset[Scope]().union(*(token.scopes for token in found))
        if len(self._verified) >= _KNOWN:
            self._verified.clear()
        self._verified[value] = scopes
        return scopes
