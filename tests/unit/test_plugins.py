"""What authors of custom endpoints see of a request and of the server."""

from __future__ import annotations

import dataclasses
import json

import pytest

from argosy.plugins import Context, Model, Request, Response, Worker

REQUEST = Request("GET", "/mine/a b", {"k": ["1", "2"], "empty": [], "blank": [""]}, {"content-type": "text/plain; charset=utf-8"}, b"", "id")


def test_a_parameter_is_its_first_value() -> None:
    """One that was not given is the default, and one that was given without a value is empty."""
    assert (REQUEST.parameter("k"), REQUEST.parameter("blank", "x")) == ("1", "")
    assert (REQUEST.parameter("none"), REQUEST.parameter("none", "x"), REQUEST.parameter("empty", "x")) == (None, "x", "x")


def test_the_content_type_has_its_parameters() -> None:
    """And is empty where there is none."""
    assert REQUEST.content_type == "text/plain; charset=utf-8"
    assert dataclasses.replace(REQUEST, headers={}).content_type == ""


def test_a_value_becomes_a_response_of_json() -> None:
    """With a status of one's choice."""
    made = Response.json({"é": [1]}, 418)
    assert isinstance(made.body, str)
    assert (json.loads(made.body), made.status, made.content_type) == ({"é": [1]}, 418, "application/json")
    assert Response() == Response(b"", 200, None, None, ())


def test_what_is_no_json_is_the_author_s_mistake() -> None:
    """It is raised where it is made, and not when it is sent."""
    with pytest.raises(TypeError, match="not JSON serializable"):
        Response.json({1, 2})


def test_memory_is_measured_when_it_is_asked_for() -> None:
    """By the process that runs at that moment; workers are equal by what they are, not by how they are measured."""
    asked: list[int | None] = []

    def measure(pid: int | None) -> int:
        asked.append(pid)
        return 7 if pid else 0

    worker, gone = Worker(12, True, measure), Worker(None, False, measure)
    assert asked == []
    assert (worker.memory_bytes, gone.memory_bytes, asked) == (7, 0, [12, None])
    assert worker == Worker(12, True, lambda pid: 0)
    assert "measure" not in repr(worker)


def test_nothing_that_an_endpoint_is_given_can_be_changed_by_it() -> None:
    """The server's own state is not in it."""
    context = Context({"x": "1"}, {"m": Model("m", "u", "h", 1, [])})
    for thing, name in ((context, "models"), (context.models["m"], "batch_size"), (REQUEST, "body"), (Worker(1, True, lambda pid: 0), "pid")):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(thing, name, None)
