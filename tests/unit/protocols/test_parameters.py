"""What a registration asks for, and what the log says of words that mean nothing."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from typing import Any

import pytest

from argosy.config import OWN_LIMITS
from argosy.control.registration import RegisterRequest
from argosy.errors import ArgosyError, ErrorCode
from argosy.protocols import openapi
from argosy.protocols.endpoint import HttpRequest
from argosy.protocols.parameters import Parameters, read_registration

JSON = {"content-type": "Application/JSON; charset=utf-8"}
Told = Callable[[str], list[str]]


def by_query(query: str) -> RegisterRequest:
    """What a query asks for."""
    return read_registration(HttpRequest("POST", "/models", query, {}, b"", "id"))


def by_json(body: bytes) -> RegisterRequest:
    """What a JSON body asks for, beside a query that does not count."""
    return read_registration(HttpRequest("POST", "/models", "url=q&handler=q&batch_size=x", JSON, body, "id"))


@pytest.fixture
def told(caplog: pytest.LogCaptureFixture) -> Told:
    """The warnings that a query leads to."""
    caplog.set_level(logging.WARNING, "argosy.protocols")

    def told(query: str) -> list[str]:
        caplog.clear()
        by_query(query)
        return caplog.messages

    return told


@pytest.mark.parametrize(("query", "warning"), [
    ("batch_size=abc", "batch_size=abc is no integer of 32 bits; 1 is used"),
    ("batch_size=", "batch_size= is no integer of 32 bits; 1 is used"),
    ("batch_size=2147483648", "batch_size=2147483648 is no integer of 32 bits; 1 is used"),
    ("batch_size=-4", "batch_size=-4 is less than 1; 1 is used"),
    ("max_batch_delay=-1", "max_batch_delay=-1 is less than 0; 0 is used"),
    ("max_batch_delay=0.5", "max_batch_delay=0.5 is no integer of 32 bits; 100 is used"),
    ("initial_workers=auto", "initial_workers=auto is no integer of 32 bits; default_workers_per_model is used"),
    ("response_timeout=30s", "response_timeout=30s is no integer of 32 bits; default_response_timeout is used"),
    ("synchronous=maybe", "synchronous=maybe is neither true nor false; false is used"),
    ("synchronous=yes", "synchronous=yes is neither true nor false; false is used"),
    ("initial_worker=1", "initial_worker=1 is unknown and ignored; did you mean initial_workers?"),
    ("zzz=1", "zzz=1 is unknown and ignored"),
])  # fmt: skip
def test_a_word_that_means_nothing_is_named(told: Told, query: str, warning: str) -> None:
    """It is accepted, as ever, and the log says which model, parameter and value it was, and what was used instead."""
    assert told(f"url=m.mar&{query}") == [f"registration of m.mar: parameter {warning}"]


@pytest.mark.parametrize("query", [
    "", "batch_size=8&max_batch_delay=0&initial_workers=-1&response_timeout=-1", "synchronous=TRUE", "synchronous=false", "synchronous=No",
    "synchronous=0", "worker_cpu_s=7&concurrency=3&preload_model=y&model_name=&handler=h&runtime=python",
])  # fmt: skip
def test_what_means_something_is_not_named(told: Told, query: str) -> None:
    """No warning that nobody needs."""
    assert told(f"url=m.mar&{query}") == []


def test_the_log_is_not_flooded(told: Told) -> None:
    """A line is short, and unknown names are counted, however much a request brings."""
    lines = told(f"url={'u' * 9999}&batch_size={'9' * 9999}&" + "&".join(f"{'x' * 500}{number}=" + "y" * 500 for number in range(100)))
    assert len(lines) == 6
    assert max(map(len, lines)) < 400


def test_wrong_numbers_in_json_are_refused(caplog: pytest.LogCaptureFixture) -> None:
    """There they always were an error; wrong words of `synchronous` and small batches were not."""
    for name in ("batch_size", "max_batch_delay", "initial_workers", "response_timeout"):
        with pytest.raises(ArgosyError, match=f"^Parameter {name} must be an integer, not abc.$") as caught:
            by_json(json.dumps({"url": "m", name: "abc"}).encode())
        assert caught.value.code is ErrorCode.INVALID_REQUEST
    with caplog.at_level(logging.WARNING, "argosy.protocols"):
        assert by_json(b'{"url":"m","synchronous":"maybe","batch_size":0}').synchronous is False
    assert [line.partition("=")[0] for line in caplog.messages] == [
        "registration of m: parameter batch_size", "registration of m: parameter synchronous"]  # fmt: skip


def test_what_is_used_instead() -> None:
    """The log speaks the truth."""
    asked = by_query("url=m&batch_size=x&max_batch_delay=x&initial_workers=x&response_timeout=x&synchronous=x")
    assert (asked.batch_size, asked.max_batch_delay_ms, asked.initial_workers, asked.response_timeout_s) == (1, 100, None, None)
    assert not asked.synchronous


def test_query_parameters() -> None:
    """All parameters of a query; the first of several counts; the timeout is in minutes."""
    asked = by_query(
        "url=okay&url=x&model_name=&handler=&batch_size=8&max_batch_delay=0&initial_workers=2&response_timeout=5&synchronous=no&preload_model=Y&concurrency=8"
    )
    assert (asked.url, asked.name, asked.handler, asked.batch_size, asked.max_batch_delay_ms) == ("okay", None, "", 8, 0)
    assert (asked.initial_workers, asked.response_timeout_s, asked.synchronous, asked.preload, asked.concurrency) == (2, 300.0, False, True, 8)


def test_json_parameters() -> None:
    """All parameters of a JSON body, read leniently; the query does not count and the timeout is in seconds."""
    body = b"{'url':okay, model_name: 7, batch_size: '4', initial_workers: 2, synchronous: TRUE, response_timeout: 77, x: {a: [1]}, "
    asked = by_json(body + b"preload_model:no, concurrency: 1024}")
    assert (asked.url, asked.name, asked.handler, asked.batch_size, asked.initial_workers) == ("okay", "7", None, 4, 2)
    assert (asked.synchronous, asked.response_timeout_s, asked.preload, asked.concurrency) == (True, 77.0, False, 1024)


def test_a_word_alone() -> None:
    """Only the word true means yes, in any letter case; what was not said is the default."""
    for word, expected in (("true", True), ("TRUE", True), ("false", False), ("1", False), ("", False)):
        assert Parameters({"synchronous": word}, "a test").is_true("synchronous", default=True) is expected
    assert Parameters({}, "a test").is_true("synchronous", default=True)
    assert not Parameters({}, "a test").is_true("synchronous", default=False)


REFUSED = "must be"
REGISTRATION = {
    # what is read from -1, 0 and 7 in JSON
    "batch_size": (-1, 0, 7),
    "max_batch_delay": (-1, 0, 7),
    "initial_workers": (-1, 0, 7),
    "response_timeout": (None, 0.0, 7.0),
    "concurrency": (REFUSED, REFUSED, 7),
    "worker_memory_bytes": (REFUSED, REFUSED, REFUSED),
    "worker_cpu_s": (REFUSED, REFUSED, 7),
    "worker_open_files": (REFUSED, REFUSED, REFUSED),
    "worker_file_bytes": (REFUSED, 0, 7),
    "worker_core_bytes": (REFUSED, 0, 7),
}


@pytest.mark.parametrize("name", REGISTRATION)
def test_every_number_of_a_registration_at_the_edge_of_its_range(name: str) -> None:
    """Those of Multi Model Server are accepted, as ever, and mean one request, no delay, no workers, the configured timeout; ours are refused."""
    for number, expected in zip((-1, 0, 7), REGISTRATION[name], strict=True):
        body = json.dumps({"url": "m", name: number}).encode()
        if isinstance(expected, str):
            with pytest.raises(ArgosyError, match=f"^Parameter {name} {expected}") as caught:
                by_json(body)
            assert caught.value.code is ErrorCode.INVALID_REQUEST
        else:
            asked = by_json(body)
            read = {
                "batch_size": asked.batch_size, "max_batch_delay": asked.max_batch_delay_ms, "initial_workers": asked.initial_workers,
                "response_timeout": asked.response_timeout_s, "concurrency": asked.concurrency,
                **{f"worker_{limit}": value for limit, value in asked.limits.items()},
            }  # fmt: skip
            assert read[name] == expected


def test_no_number_of_a_registration_is_left_out() -> None:
    """The table above has every parameter that the API description calls an integer, and every limit of workers."""
    described = {parameter["name"] for parameter in _parameters_of_registration() if parameter["schema"]["type"] == "integer"}
    assert described | {f"worker_{name}" for name in OWN_LIMITS} <= set(REGISTRATION)


def _parameters_of_registration() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = openapi.strict_description([openapi.MANAGEMENT])["paths"]["/models"]["post"]["parameters"]
    return found
