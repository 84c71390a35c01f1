"""Where models come from, and which wishes contradict each other."""

from __future__ import annotations

from dataclasses import replace

import pytest

from argosy.errors import ArgosyError, ErrorCode
from argosy.k8s.application import FETCHER, Access, Application, Claim, Download, Exposure, Scaling, Shutdown, check, parse_source
from argosy.server.run import _STOP_MARGIN_S

PLAIN = Application("words", "words:1")


def refused(application: Application) -> str:
    """The message of the refusal."""
    with pytest.raises(ArgosyError) as caught:
        check(application)
    assert caught.value.code is ErrorCode.INVALID_REQUEST
    return caught.value.message


@pytest.mark.parametrize("text", ["", "models", "/models", "ftp://a/b", "s3:/a", "s3://", "s3:///", "S3://a", "://a", "pvc:/a"])
def test_no_place(text: str) -> None:
    """All that is known is listed."""
    with pytest.raises(ArgosyError, match=r"is not a place for models: write pvc://CLAIM/FOLDER or one of s3://…, gs://…"):
        parse_source(text)


@pytest.mark.parametrize(("text", "message"), [
    ("pvc://", "--model: claim '' is not a name"), ("pvc://A/b", "--model: claim 'A' is not a name"), ("pvc://a/../b", "no '..'"),
    ("pvc://a/b c", "has a folder that cannot be"), ("s3://a\nb", "characters that no manifest takes"),
    ("https://u:p@host/m", "has a password in it"),
])
def test_bad_places(text: str, message: str) -> None:
    """Nothing that leaves the volume, nothing that gives a secret away."""
    with pytest.raises(ArgosyError) as caught:
        parse_source(text)
    assert message in caught.value.message
    assert ":p@" not in caught.value.message


def test_places() -> None:
    """A claim, a folder of it, a download, or the image."""
    assert parse_source(None) is None
    assert parse_source("pvc://store") == Claim("store")
    assert parse_source("pvc://store/a//b/") == Claim("store", "a/b")
    assert parse_source("s3://bucket/words", secret="keys") == Download("s3://bucket/words", FETCHER, "keys")
    assert [Claim("store").url, Claim("store", "a/b").url] == ["pvc://store", "pvc://store/a/b"]


@pytest.mark.parametrize("scaling", [Scaling(0, 2), Scaling(3, 2), Scaling(-1, -1)])
def test_numbers_of_pods(scaling: Scaling) -> None:
    """None is not enough, and the least is not above the most."""
    assert "write MIN:MAX with 1 <= MIN <= MAX" in refused(replace(PLAIN, scaling=scaling))


@pytest.mark.parametrize(("name", "advice"), [
    ("ARGOSY_DRAIN_TIMEOUT_S", "--drain"), ("MMS_INFERENCE_ADDRESS", "port 8080"), ("SAGEMAKER_MODEL_SERVER_WORKERS", "--workers")])
def test_variables_that_the_manifest_sets(name: str, advice: str) -> None:
    """They would make probes or grace period wrong."""
    assert advice in refused(replace(PLAIN, environment={"OTHER": "1", name: "1"}))


def test_probes_have_no_token() -> None:
    """Health that needs one would make every pod fail."""
    assert "leave health out" in refused(replace(PLAIN, environment={"ARGOSY_TOKEN_SCOPES": "inference,health"}))
    assert check(replace(PLAIN, environment={"ARGOSY_TOKEN_SCOPES": "inference"}))


def test_two_places_of_models() -> None:
    """Only the image's own may be named by a variable."""
    wishes = {"MMS_LOAD_MODELS": "a"}
    assert "--env MMS_LOAD_MODELS contradicts --model" in refused(replace(PLAIN, source=Claim("a"), environment=wishes))
    assert check(replace(PLAIN, environment=wishes)).environment == wishes


@pytest.mark.parametrize(("access", "message"), [
    (Access("a", "b", "c"), "both say which tokens count"), (Access("a"), "name the Secret with Prometheus' token"),
    (Access(secret="a"), "or leave the monitor out"), (Access(scrape_secret="a"), "is for servers with tokens"),
])
def test_tokens(access: Access, message: str) -> None:
    """A monitor that gets nothing but 401 is noticed now."""
    assert message in refused(replace(PLAIN, access=access))


@pytest.mark.parametrize("access", [Access(), Access("a", None, "c"), Access(None, "b", "c")])
def test_tokens_that_fit(access: Access) -> None:
    """None, or some with one for Prometheus."""
    assert check(replace(PLAIN, access=access)).access == access


def test_tokens_without_monitor() -> None:
    """Nobody scrapes, so nobody needs a token for it."""
    assert check(replace(PLAIN, access=Access("a"), is_monitored=False))


@pytest.mark.parametrize(("wrong", "message"), [
    (replace(PLAIN, exposure=Exposure("a.b")), "--ingress is not for --kserve"),
    (replace(PLAIN, scaling=Scaling(1, 2, "argosy_queue_jobs")), "which scales by cpu here"),
    (replace(PLAIN, source=Download("s3://a", secret="s")), "give the credentials to --service-account"),
    (replace(PLAIN, source=Download("s3://a", image="mine:1")), "--fetch-image and --fetch-secret are not for --kserve"),
    (replace(PLAIN, name="w" * 54), "53 characters are left"),
])
def test_kserve(wrong: Application, message: str) -> None:
    """What KServe does itself cannot be asked of us; without it each is possible."""
    assert message in refused(replace(wrong, is_kserve=True))
    assert check(wrong) is wrong


def test_the_grace_period_covers_the_server() -> None:
    """Waiting, draining, what the server adds when something does not end, and taking everything apart."""
    for shutdown in (Shutdown(), Shutdown(0, 0), Shutdown(300, 30)):
        longest_s = shutdown.settle_s + shutdown.drain_s + 2 * _STOP_MARGIN_S
        assert shutdown.grace_s >= longest_s
