"""Tokens: what is written, what is read, and who may pass."""

from __future__ import annotations

import hashlib

import pytest

from argosy.protocols.endpoint import Scope
from argosy.protocols.tokens import Gate, Token, digest_of, new_token, parse_scopes, parse_tokens

HASH = "sha256:" + "ab" * 32
ALL = (Scope.INFERENCE, Scope.MANAGEMENT, Scope.SCRAPE)


def bearer(secret: str, name: bytes = b"Authorization") -> list[bytes]:
    """The fields of a request with that token."""
    return [b"Host", b"a", name, b"Bearer " + secret.encode()]


def status(problem: tuple[int, str, str] | None) -> int:
    return 200 if problem is None else problem[0]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("alice inference", "line 1: a token is written NAME SCOPES sha256:HASH"),
        (f"a inference {HASH}\n\nb inference {HASH} more", "line 3: a token is written"),
        (f"alice everything {HASH}", "line 1: scopes are inference, management, scrape"),
        (f"alice inference,,scrape {HASH}", "scopes are"), (f"alice health {HASH}", "scopes are"), (f"alice any {HASH}", "scopes are"),
        (f"al/ice inference {HASH}", "line 1: the name of a token"), (f"{'a' * 65} inference {HASH}", "the name of a token"),
        (f"alice inference {HASH.upper()}", "the third word must be sha256:"), (f"alice inference {HASH[:-1]}", "the third word"),
        (f"a inference {HASH}; a scrape {HASH}", "line 2: the name a is there twice"),
    ],
)  # fmt: skip
def test_lines_that_are_no_token(text: str, says: str) -> None:
    """The line is named, and what it should be."""
    with pytest.raises(ValueError, match=says):
        parse_tokens(text)


def test_a_secret_in_the_place_of_a_hash_is_not_repeated() -> None:
    """Whoever writes the token itself into the file does not find it in the log as well."""
    secret, _ = new_token("alice", ALL)
    with pytest.raises(ValueError, match="the third word") as caught:
        parse_tokens(f"alice inference {secret}")
    assert secret not in str(caught.value)


def test_lines_blanks_and_comments() -> None:
    """Lines or semicolons, any blanks, comments; nothing at all is no token."""
    text = f"# people\n alice \t inference,scrape  {HASH} # since May\n\n;bob management {HASH};"
    assert parse_tokens(text) == (
        Token("alice", frozenset({Scope.INFERENCE, Scope.SCRAPE}), b"\xab" * 32), Token("bob", frozenset({Scope.MANAGEMENT}), b"\xab" * 32))
    assert parse_tokens(" # nobody\n") == ()


def test_a_new_token_is_what_the_server_reads() -> None:
    """The line holds the hash of the secret and not the secret; two tokens are never equal."""
    secret, token = new_token("alice", ALL)
    assert parse_tokens(str(token)) == (token,)
    assert str(token) == f"alice inference,management,scrape sha256:{hashlib.sha256(secret.encode()).hexdigest()}"
    assert secret not in str(token)
    assert len(secret) == len("argosy_") + 43
    assert new_token("alice", ALL)[0] != secret
    with pytest.raises(ValueError, match="the name of a token"):
        new_token("a b", ALL)


def test_scopes() -> None:
    """One or several, in any order."""
    assert parse_scopes("scrape,inference") == {Scope.INFERENCE, Scope.SCRAPE}
    with pytest.raises(ValueError, match="scopes are"):
        parse_scopes("")


@pytest.fixture
def people() -> tuple[Gate, str, str]:
    """A gate for everything but health, and the secrets of one who may predict and one who may manage."""
    one, first = new_token("one", [Scope.INFERENCE])
    two, second = new_token("two", [Scope.MANAGEMENT])
    return Gate([first, second], ALL), one, two


def test_who_may_what(people: tuple[Gate, str, str]) -> None:
    """200, or 401 for nobody in particular, or 403 for somebody who may something else."""
    gate, one, two = people
    asked = {scope: tuple(status(gate.problem(fields, scope)) for fields in (bearer(one), bearer(two), [b"Host", b"a"])) for scope in Scope}
    assert asked == {
        Scope.INFERENCE: (200, 403, 401), Scope.MANAGEMENT: (403, 200, 401), Scope.SCRAPE: (403, 403, 401), Scope.HEALTH: (200, 200, 200),
        Scope.ANY: (200, 200, 401),
    }  # fmt: skip


def test_messages_tell_what_to_do(people: tuple[Gate, str, str]) -> None:
    """No token, a wrong one, one for something else: each has its words, and none repeats what came."""
    gate, one, _ = people
    none, wrong = gate.problem([], Scope.SCRAPE), gate.problem(bearer(one + "x"), Scope.INFERENCE)
    assert none == (401, "UnauthorizedException", "A token is needed. Send one for scrape in the header Authorization: Bearer TOKEN.")
    assert wrong == (401, "UnauthorizedException", "The token is not valid. Send one for inference in the header Authorization: Bearer TOKEN.")
    assert gate.problem(bearer(one), Scope.MANAGEMENT) == (403, "ForbiddenException", "This token is not for management.")


@pytest.mark.parametrize(
    "value",
    [
        b"", b"Bearer", b"Bearer ", b"Basic {}", b"{}", b"Bearer {} {}", b"Bearer {}\x00", b"Bearer  ", b"Bearer\t{}", b"BearerX {}",
        b"Bearer " + b"x" * 5000,
    ],
)  # fmt: skip
def test_headers_that_are_no_token(people: tuple[Gate, str, str], value: bytes) -> None:
    """Whatever is not exactly the word and the secret is not valid."""
    gate, one, _ = people
    assert status(gate.problem([b"authorization", value.replace(b"{}", one.encode())], Scope.INFERENCE)) == 401


def test_the_scheme_in_any_case(people: tuple[Gate, str, str]) -> None:
    """The word is case-insensitive, as is the name of the field; blanks around the secret do not count."""
    gate, one, _ = people
    assert status(gate.problem([b"AUTHORIZATION", b"bearer   " + one.encode() + b" "], Scope.INFERENCE)) == 200


def test_two_headers_are_none(people: tuple[Gate, str, str]) -> None:
    """Proxies differ in which of two they believe."""
    gate, one, two = people
    assert status(gate.problem(bearer(one) + bearer(two), Scope.INFERENCE)) == 401
    assert status(gate.problem(bearer(one) + bearer(one), Scope.INFERENCE)) == 401


def test_the_hash_itself_is_no_token(people: tuple[Gate, str, str]) -> None:
    """Who reads the server's file cannot ask anything."""
    gate, one, _ = people
    digest = digest_of(one.encode()).hex()
    for said in (digest, "sha256:" + digest):
        assert status(gate.problem(bearer(said), Scope.INFERENCE)) == 401


def test_rotation_counts_at_once(people: tuple[Gate, str, str]) -> None:
    """A token that was right a moment ago is nobody's when it is gone, and a new one is right."""
    gate, one, two = people
    assert status(gate.problem(bearer(one), Scope.INFERENCE)) == 200
    three, third = new_token("three", ALL)
    gate.replace([third])
    assert [status(gate.problem(bearer(secret), Scope.INFERENCE)) for secret in (one, two, three)] == [401, 401, 200]
    gate.replace([])
    assert status(gate.problem(bearer(three), Scope.INFERENCE)) == 401


def test_what_was_verified_is_bounded(people: tuple[Gate, str, str]) -> None:
    """Clients that write one token in ever new ways do not fill the memory, and neither do wrong ones."""
    gate, one, _ = people
    for count in range(3000):
        scheme = (b"Bearer", b"bearer", b"BEARER", b"beareR")[count // 750]
        assert status(gate.problem([b"authorization", scheme + b" " * (1 + count % 750) + one.encode()], Scope.INFERENCE)) == 200
        assert status(gate.problem([b"authorization", b"Bearer %d" % count], Scope.INFERENCE)) == 401
    assert len(gate._verified) <= 1024


def test_scopes_that_need_no_token() -> None:
    """With a token for management alone, everybody predicts and reads metrics; health may be guarded too."""
    gate = Gate([], [Scope.MANAGEMENT, Scope.HEALTH])
    assert {scope: status(gate.problem([], scope)) for scope in Scope} == {
        Scope.INFERENCE: 200, Scope.MANAGEMENT: 401, Scope.SCRAPE: 200, Scope.HEALTH: 401, Scope.ANY: 401}  # fmt: skip


def test_repr_tells_no_secret(people: tuple[Gate, str, str]) -> None:
    """What is logged of a gate is how many and for what."""
    assert repr(people[0]) == "<Gate 2 tokens for inference, management, scrape>"
