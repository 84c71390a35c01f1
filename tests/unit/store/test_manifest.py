"""What a model says about itself."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from argosy.errors import ArgosyError, ErrorCode
from argosy.store.manifest import (
    MAX_BYTES,
    MAX_HANDLER,
    Manifest,
    build_manifest,
    check_handler,
    check_model_name,
    parse_legacy,
    parse_manifest,
    read_manifest,
)

UNREADABLE = "Failed to parse signature.json."
LEGACY = {
    "Engine": {"MXNet": 1.25},
    "Model-Archive-Version": 0.1,
    "Model": {"Model-Name": "old", "Service": "old_service.py", "Symbol": "old-symbol.json", "Parameters": "old-0000.params"},
}


def refusal(data: bytes, **wishes: str) -> str:
    """Why a manifest is refused."""
    with pytest.raises(ArgosyError) as caught:
        parse_manifest(data).resolve(**wishes)
    assert caught.value.code is ErrorCode.INVALID_MODEL
    return caught.value.message


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x00\x01\x02\xff" * 100,
        b'"text"',
        b"[]",
        b"null",
        b'{"model": "a text"}',
        b'{"model": {"modelName": ["m"]}}',
        b'{"model": {"handler": {}}}',
        b'{"model": {"extensions": 1}}',
        b'{"engine": []}',
        b'{"license": {}}',
        b'{"userData": "x"}',
        b'{"publisher": {"author": []}}',
        b'{"model": {"modelName": "m", "handl',
        b'{"a":' * 200_000,
    ],
)
def test_a_hostile_manifest_is_refused_in_the_known_words(data: bytes) -> None:
    """Wrong types, binary, cut and bottomless files are the model's fault, with the reason for the operator."""
    with pytest.raises(ArgosyError) as caught:
        parse_manifest(data)
    assert (caught.value.code, caught.value.message) == (ErrorCode.INVALID_MODEL, UNREADABLE)
    assert "MANIFEST.json" in caught.value.detail


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ({}, "Model name is not defined."),
        ({"model": {"handler": "s:h"}}, "Model name is not defined."),
        ({"model": {"modelName": "", "handler": "s:h"}}, "Model name is not defined."),
        ({"model": {"modelName": "m"}}, "Model handler is not defined."),
        ({"runtime": "ruby", "model": {"modelName": "m", "handler": "s:h"}}, "Runtime is not defined or invalid."),
        ({"runtime": None, "model": {"modelName": "m", "handler": "s:h"}}, "Runtime is not defined or invalid."),
        ({"runtime": "ruby", "model": {}}, "Model name is not defined."),
        ({"engine": {}, "model": {"modelName": "m", "handler": "s:h"}}, "engineName is required in <engine>."),
        ({"model": None}, "Missing Model entry in manifest file."),
    ],
)
def test_what_is_missing_is_named_in_the_known_order(raw: dict[str, Any], message: str) -> None:
    """The first thing that is missing is told, in the words that clients know."""
    assert refusal(json.dumps(raw).encode()) == message


@pytest.mark.parametrize("name", ["../evil", "a/b", "..", "a\nb", "a\0b", "x" * 129, "a b", "-a", ".a", ""])
def test_a_name_that_could_be_a_path_or_a_log_line_is_refused(name: str) -> None:
    """Model names are a short list of characters, checked in one place."""
    with pytest.raises(ArgosyError, match="is not allowed"):
        check_model_name(name)


@pytest.mark.parametrize("handler", ["/etc/evil:run", "../evil:run", "a/../../evil.py", "a\\b", "a\nb", "a\0b"])
def test_a_handler_outside_of_the_model_is_refused(handler: str) -> None:
    """Neither a request nor a manifest can name code elsewhere on the disk."""
    with pytest.raises(ArgosyError, match="not inside the model folder"):
        check_handler(handler)
    assert "not inside" in refusal(b'{"model": {"modelName": "m"}}', handler=handler)


@pytest.mark.parametrize("default", [False, True], ids=["request", "default_service_handler"])
def test_a_handler_that_no_system_could_open_is_refused(default: bool) -> None:
    """Whoever names it: with its length and its beginning, not with all of it."""
    long = "h" * (MAX_HANDLER + 1)
    with pytest.raises(ArgosyError) as caught:
        Manifest(model_name="m").resolve(handler=None if default else long, default_handler=long)
    assert caught.value.code is ErrorCode.INVALID_MODEL
    assert caught.value.message == f"Handler '{'h' * 60}…' is 1025 characters long; write module[:function], at most 1024 characters."
    assert Manifest(model_name="m").resolve(handler=long[1:]).handler == long[1:]


def test_the_operators_default_handler_may_be_anywhere() -> None:
    """Only what comes with models and requests is confined."""
    assert Manifest(model_name="m").resolve(default_handler="/opt/service.py:handle").handler == "/opt/service.py:handle"


def test_wishes_beat_the_manifest_and_the_manifest_beats_defaults() -> None:
    """One order of precedence for everything that a registration can say."""
    manifest = parse_manifest(b'{"runtime": "python3", "model": {"modelName": "m", "handler": "s:h", "modelVersion": 2}}')
    plain = manifest.resolve(default_name="d", default_handler="d:d")
    assert (plain.model_name, plain.handler, plain.runtime, plain.model_version) == ("m", "s:h", "python3", "2")
    wished = manifest.resolve(name="w", handler="", runtime="python")
    assert (wished.model_name, wished.handler, wished.runtime) == ("w", "", "python")
    assert Manifest().resolve(default_name="d", default_handler="x:y").model_name == "d"
    assert manifest.resolve(name="").model_name == "m"


def test_a_manifest_is_shown_to_the_handler_as_it_was_written() -> None:
    """Unknown keys and nested values survive."""
    raw = {"anything": [1, {"x": None}], "model": {"modelName": "m", "handler": "s", "extensions": {"a": 1}}}
    assert parse_manifest(json.dumps(raw).encode()).raw == raw
    assert parse_manifest(b"\xef\xbb\xbf{}").raw == {}


def test_a_folder_without_manifest_is_a_model_that_says_nothing(tmp_path: Path) -> None:
    """The request or the configuration then has to say it."""
    assert read_manifest(tmp_path) == Manifest()
    assert Manifest().raw is None


def test_a_manifest_of_the_old_format_is_translated(tmp_path: Path) -> None:
    """Models of the 0.x generation keep their names; the handler is the service file; the file is found in any letter case."""
    (tmp_path / "Manifest.JSON").write_text(json.dumps(LEGACY))
    found = read_manifest(tmp_path)
    assert found == Manifest("old", "old_service.py", "snapshot", "python", "MXNet", True, LEGACY, legacy=True)
    assert found.resolve().handler == "old_service.py"


@pytest.mark.parametrize("model", [{}, {"Model": None}, {"Model": {"Model-Name": "x"}}])
def test_an_old_model_needs_a_service(model: dict[str, Any]) -> None:
    """The one entry without which nothing can be run is asked for."""
    with pytest.raises(ArgosyError, match=r"Missing Service entry in MANIFEST\.json"):
        parse_legacy(json.dumps(model).encode())


def test_an_old_engine_counts_only_with_a_number() -> None:
    """No MXNet version, no engine."""
    assert parse_legacy(b'{"Engine": {}, "Model": {"Model-Name": "o", "Service": "s"}}').has_engine is False


def test_a_huge_manifest_is_not_read(tmp_path: Path) -> None:
    """A manifest is small; a larger file is not taken into memory."""
    (tmp_path / "MAR-INF").mkdir()
    (tmp_path / "MAR-INF" / "MANIFEST.json").write_bytes(b" " * (MAX_BYTES + 1))
    with pytest.raises(ArgosyError) as caught:
        read_manifest(tmp_path)
    assert "larger than" in caught.value.detail


def test_the_archivers_manifest_has_the_known_layout() -> None:
    """Two blanks of indent, this order, no final newline: tools compare it as text."""
    text = build_manifest("m", "service:handle", "python2")
    assert text.startswith('{\n  "runtime": "python2",\n  "model": {\n    "modelName": "m",\n    "handler": "service:handle"\n  },\n')
    assert text.endswith('"specificationVersion": "1.0"\n}')
    assert parse_manifest(text.encode()).resolve().model_name == "m"
