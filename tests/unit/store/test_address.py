"""Which addresses models may come from."""

from __future__ import annotations

import pytest

from argosy.errors import ArgosyError, ErrorCode
from argosy.store.address import AddressPolicy, is_remote

ANY = AddressPolicy()


def refusal(policy: AddressPolicy, url: str, *, trusted: bool = False) -> ArgosyError:
    """Why an address is refused."""
    with pytest.raises(ArgosyError) as caught:
        policy.check(url, trusted=trusted)
    return caught.value


@pytest.mark.parametrize(
    "url",
    [
        "http://",
        "http:///x.mar",
        "http://127.0.0.1:aaaa/x.mar",
        "http://127.0.0.1:99999/x.mar",
        "http://127.0.0.1:0/x.mar",
        "http://[::1/x.mar",
        "http://127.0.0.1/a b",
        "http://127.0.0.1/a\r\nX: y",
        "http://127.0.0.1/\0",
        "http://127.0.0.1\\@evil/x",
        "http://exämple/x",
    ],
)
def test_a_malformed_url_is_refused_in_the_known_words(url: str) -> None:
    """No part of it is guessed."""
    error = refusal(ANY, url)
    assert (error.code, error.message) == (ErrorCode.MODEL_NOT_FOUND, f"Invalid model url: {url}")


def test_user_information_is_refused_and_not_repeated() -> None:
    """It could disguise the host, and it is a secret."""
    error = refusal(ANY, "http://allowed.example:pass@127.0.0.1/x.mar", trusted=True)
    assert error.code is ErrorCode.FORBIDDEN
    assert "pass" not in error.message


@pytest.mark.parametrize("path", ["/a/../b", "/%2e%2e/b", "/a/..", "/..%2fb", "/..%5cb"])
def test_relative_paths_are_refused(path: str) -> None:
    """An expression for a folder of a server means that folder."""
    assert refusal(ANY, f"http://127.0.0.1{path}").message.startswith("Relative path is not allowed in url: ")


@pytest.mark.parametrize(
    ("pattern", "url"),
    [
        (r"http://127\.0\.0\.1/models/.*", "http://127.0.0.1/other/x"),
        (r"http://127\.0\.0\.1", "http://127.0.0.1/x"),
        (r"http://127\.0\.0\.1/.*", "http://127.0.0.1:81/x"),
        (r"https://127\.0\.0\.1/.*", "http://127.0.0.1/x"),
        (r".*good.*x", "http://127.0.0.1/x#good x".replace(" ", "")),
    ],
)
def test_an_address_outside_of_the_list_is_forbidden(pattern: str, url: str) -> None:
    """An expression must match the whole url, port and scheme included; what is not sent does not count."""
    assert refusal(AddressPolicy([pattern]), url).code is ErrorCode.FORBIDDEN
    assert AddressPolicy([pattern]).check(url, trusted=True).host == "127.0.0.1"


def test_an_empty_list_forbids_everything() -> None:
    """None is no list, an empty one is a list."""
    assert refusal(AddressPolicy([]), "http://127.0.0.1/x").code is ErrorCode.FORBIDDEN


@pytest.mark.parametrize(
    "host", [
        "169.254.169.254", "[fe80::1]", "[::ffff:169.254.1.1]", "[fd00:ec2::254]", "100.100.100.200", "2852039166", "0xa9fea9fe",
        "0251.0376.0251.0376", "169.254.43518", "0xa9.254.0251.254", "[::ffff:a9fe:a9fe]", "[::169.254.169.254]", "[64:ff9b::a9fe:a9fe]",
        "[2002:a9fe:a9fe::]", "[::ffff:0:a9fe:a9fe]", "[2001:0:a9fe:a9fe::1]", "[fd20:ce::254]", "168.63.129.16", "[0:0:0:0:0:FFFF:A9FE:A9FE]",
        "[fe80::1%lo]",
    ],
)  # fmt: skip
def test_link_local_and_metadata_addresses_are_refused_in_every_spelling(host: str) -> None:
    """Neither an expression for everything nor the operator's word opens them."""
    for policy in (ANY, AddressPolicy([".*"])):
        assert "link-local or metadata" in refusal(policy, f"http://{host}/latest", trusted=True).message


def test_a_link_local_address_can_be_listed_by_name() -> None:
    """Whoever needs it spells it out."""
    assert AddressPolicy([r"http://169\.254\.1\.1/.*"]).check("http://169.254.1.1/x").port == 80


def test_an_unknown_host_is_a_failed_download() -> None:
    """As a connection that fails."""
    error = refusal(ANY, "http://nowhere.invalid/x.mar")
    assert (error.code, error.message) == (ErrorCode.DOWNLOAD_FAILED, "Failed to download model from: http://nowhere.invalid/x.mar")


def test_a_wrong_expression_is_a_wrong_configuration() -> None:
    """Told at start, not at the first registration."""
    with pytest.raises(ArgosyError, match="is not a regular expression") as caught:
        AddressPolicy(["("])
    assert caught.value.code is ErrorCode.INVALID_CONFIG


def test_the_decision_is_about_what_is_opened() -> None:
    """The url in normal form, the path as it is sent, the numeric addresses."""
    target = AddressPolicy([r"http://127\.0\.0\.1:8080/a/x\.mar\?sig=%2F"]).check("HTTP://127.0.0.1:8080/a/x.mar?sig=%2F#part")
    assert (target.url, target.path) == ("http://127.0.0.1:8080/a/x.mar?sig=%2F", "/a/x.mar?sig=%2F")
    assert [address for _, address in target.addresses] == ["127.0.0.1"]
    assert ANY.check("https://[::1]:443").url == "https://[::1]/"


@pytest.mark.parametrize("host", ["[64:ff9b::7f00:1]", "[2002:7f00:1::]", "[::ffff:127.0.0.1]", "127.0.0.1", "[::1]"])
def test_other_addresses_are_not_taken_for_sensitive_ones(host: str) -> None:
    """Forms that hold an address of IPv4 are judged by it."""
    assert ANY.check(f"http://{host}/x").port == 80


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1.evil.example/models/x", "http://evil.example/http://127.0.0.1/models/x", "http://127.0.0.1:80@evil.example/models/x",
        "http://127.0.0.1%2f@evil.example/models/x", "http://127.0.0.1#@evil.example/models/x", "http://127.0.0.1?@evil.example/models/x",
        "http://evil.example#http://127.0.0.1/models/x", "http://127.0.0.1./models/x", "http://2130706433/models/x", "http://0177.0.0.1/models/x",
        "https://127.0.0.1/models/x", "http://[::ffff:127.0.0.1]/models/x", "http://127.0.0.1/models/../x", "http://127.0.0.1/models/%2e%2e/x",
        "http://127.0.0.1/models/..%2fx", "http://127.0.0.1/models\\..\\x", "http://127.0.0.1/mod\tels/x", "http:/127.0.0.1/models/x",
        "http://127.0.0.1 /models/x", "http://127.0.0.1\r\nHost: x/models/x",
    ],
)  # fmt: skip
def test_an_expression_for_a_folder_is_not_talked_around(url: str) -> None:
    """No spelling of another host, port, scheme or folder passes for the one that is listed."""
    policy = AddressPolicy([r"http://127\.0\.0\.1/models/.*"])
    assert policy.check("http://127.0.0.1/models/x").path == "/models/x"
    assert refusal(policy, url).code in (ErrorCode.FORBIDDEN, ErrorCode.MODEL_NOT_FOUND)


def test_only_two_schemes_are_remote() -> None:
    """Everything else is a name in the store."""
    assert is_remote("http://a")
    assert is_remote("HTTPS://a")
    assert not any(is_remote(url) for url in ("ftp://a", "file:///a", "s3://a", "a/http://b"))
