"""What variables and folders of SageMaker's containers mean for our settings."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from argosy.config import Config, Loaded, PortRange, container_defaults, load_config, parse_address
from argosy.config.address import parse_ports
from argosy.config.sagemaker import FORMS, management_address
from argosy.errors import ArgosyError, ErrorCode


@pytest.mark.parametrize("text", ["", "1", "1-", "-1", "0-1", "2-1", "1-65536", "a-b", "1-2-3", "1..2"])
def test_what_is_no_range_of_ports(text: str) -> None:
    """Two ports, the lower one first."""
    with pytest.raises(ArgosyError) as caught:
        parse_ports(text)
    assert caught.value.code is ErrorCode.INVALID_CONFIG


def test_a_range_of_ports() -> None:
    """Both ends belong to it, and it is written as it is read."""
    ports = parse_ports(" 9000 - 9002 ")
    assert (9000 in ports, 9002 in ports, 9003 in ports, 8999 in ports, str(ports)) == (True, True, False, False, "9000-9002")


@pytest.mark.parametrize(("form", "text"), [
    ("port", "0"), ("port", "65536"), ("port", "x"), ("port", "-1"), ("mebibytes", "1025"), ("mebibytes", "1.5"),
    ("strategy", ""), ("strategy", "record"),
])
def test_what_the_platform_cannot_mean(form: str, text: str) -> None:
    """Refused with what it should be."""
    with pytest.raises(ValueError, match=r"^Not "):
        FORMS[form].translate(text)


@pytest.mark.parametrize(("form", "text", "result"), [
    ("port", "8080", "http://0.0.0.0:8080"), ("mebibytes", "6", "6291456"), ("mebibytes", "0", "1073741824"), ("mebibytes", "1024", "1073741824"),
    ("strategy", "MULTI_RECORD", "multi_record"), ("strategy", "SingleRecord", "single_record"),
])
def test_terms_of_the_platform(form: str, text: str, result: str) -> None:
    """A port of all interfaces; megabytes of 2^20, where 0 is the most that there can be."""
    assert FORMS[form].translate(text) == result


OURS, OTHER = "http://0.0.0.0:8080", "http://127.0.0.1:8081"


@pytest.mark.parametrize(("management", "ports", "multi", "bound", "shared", "expected"), [
    (OTHER, None, False, False, False, None),
    (OURS, None, False, True, False, None),
    (OURS, PortRange(9000, 9001), True, True, True, None),
    (OTHER, None, False, True, False, OURS),
    (OTHER, None, True, False, False, OURS),
    ("unix:/m", None, True, False, False, OURS),
    ("unix:/m", None, False, True, False, None),
    (OTHER, None, False, True, True, OURS),
    (OTHER, PortRange(9000, 9001), False, True, True, OURS),
    (OTHER, PortRange(9000, 9001), False, True, False, "http://127.0.0.1:9000"),
    (OTHER, PortRange(8080, 8090), False, True, False, None),
    ("http://0.0.0.0:9001", PortRange(9000, 9001), False, True, False, None),
    ("http://127.0.0.1:7", PortRange(8080, 8090), False, True, False, "http://127.0.0.1:8081"),
    ("http://127.0.0.1:8080", PortRange(8080, 8090), False, True, False, "http://127.0.0.1:8081"),
    (OTHER, PortRange(8080, 8080), False, True, False, OURS),
])
def test_where_management_may_listen(management: str, ports: PortRange | None, multi: bool, bound: bool, shared: bool, expected: str | None) -> None:
    """With predictions for many models, or where there is no other port; else in the range, and on this machine only when we choose."""
    config = Config(
        inference_address=parse_address(OURS), management_address=parse_address(management), safe_port_range=ports, multi_model=multi)
    found = management_address(config, is_bound=bound, was_shared=shared)
    assert (None if found is None else str(found[0])) == expected


def loaded(tmp_path: Path, text: str, environ: Mapping[str, str], flags: Mapping[str, str] | None = None) -> Loaded:
    """What a server reads."""
    (tmp_path / "config.properties").write_text(text)
    return load_config(flags or {}, environ, tmp_path)


def test_the_operator_has_the_last_word_about_management(tmp_path: Path) -> None:
    """The command line is obeyed, and refused where the platform would not have it; many models are managed where they are asked."""
    environ = {"SAGEMAKER_BIND_TO_PORT": "9000"}
    found = loaded(tmp_path, "", environ, {"management_address": "http://127.0.0.1:7000"})
    assert str(found.config.management_address) == "http://127.0.0.1:7000"
    shared = loaded(tmp_path, "", {"SAGEMAKER_MULTI_MODEL": "true"}, {"management_address": "http://127.0.0.1:7000"})
    assert shared.config.is_one_listener
    with pytest.raises(ArgosyError, match="is outside of safe_port_range=9000-9009: give it a port of that range"):
        loaded(tmp_path, "", {**environ, "SAGEMAKER_SAFE_PORT_RANGE": "9000-9009"}, {"management_address": "http://127.0.0.1:7000"})


def test_one_listener_stays_one(tmp_path: Path) -> None:
    """A file with one address for both means one listener, whatever port the platform chooses."""
    both = "inference_address=http://0.0.0.0:8080\nmanagement_address=http://0.0.0.0:8080\n"
    found = loaded(tmp_path, both, {"SAGEMAKER_BIND_TO_PORT": "9000", "SAGEMAKER_SAFE_PORT_RANGE": "9001-9009"})
    assert found.config.is_one_listener
    assert found.origins["management_address"] == "follows from inference_address"


def test_the_own_variable_and_the_command_line_win(tmp_path: Path) -> None:
    """What is meant for us comes before what is meant for everybody."""
    environ = {"SAGEMAKER_MAX_PAYLOAD_IN_MB": "5", "SAGEMAKER_BATCH": "true", "ARGOSY_BATCH_TRANSFORM": "false"}
    found = loaded(tmp_path, "max_request_size=7", environ)
    assert (found.config.max_request_size, found.config.batch_transform) == (5 * 2**20, False)
    assert loaded(tmp_path, "", environ, {"max_request_size": "9"}).config.max_request_size == 9


def test_an_hour_is_allowed(tmp_path: Path) -> None:
    """Asynchronous inference may take so long: by default, and in either unit."""
    assert loaded(tmp_path, "", {}).config.response_timeout_s == 7200.0
    for name, value in (("SAGEMAKER_MODEL_SERVER_TIMEOUT", "60"), ("SAGEMAKER_MODEL_SERVER_TIMEOUT_SECONDS", "3600")):
        assert loaded(tmp_path, "", {name: value}).config.response_timeout_s == 3600.0
    found = loaded(tmp_path, "", {"SAGEMAKER_MODEL_SERVER_TIMEOUT": "60", "SAGEMAKER_MODEL_SERVER_TIMEOUT_SECONDS": "90"})
    assert found.config.response_timeout_s == 90.0
    assert "response timeout of a batch: 90 s (default_response_timeout_seconds=90 was read as seconds)" in found.notes


def test_batch_transform_switches_its_endpoint_on(tmp_path: Path) -> None:
    """Once, beside others."""
    assert loaded(tmp_path, "endpoints=a", {"SAGEMAKER_BATCH": "True"}).config.endpoints == ("a", "execution-parameters")
    assert loaded(tmp_path, "endpoints=execution-parameters", {"SAGEMAKER_BATCH": "1"}).config.endpoints == ("execution-parameters",)
    assert loaded(tmp_path, "", {"SAGEMAKER_BATCH": "false"}).config.endpoints == ()


def test_what_is_no_container(tmp_path: Path) -> None:
    """Without the platform's folder and variables `serve` stays what it is elsewhere."""
    assert container_defaults({"SAGEMAKER_MULTI_MODEL": "false"}) is None
    assert container_defaults({"SAGEMAKER_BIND_TO_PORT": "1"}) is None


def test_defaults_of_a_container(tmp_path: Path) -> None:
    """One model or several from the folder; none at first where they come and go. A configuration file wins over them."""
    single = container_defaults({"SAGEMAKER_BASE_DIR": str(tmp_path)})
    assert single == {
        "model_store": str(tmp_path / "model"), "load_models": "ALL", "inference_address": "http://0.0.0.0:8080",
        "endpoints": "execution-parameters", "drain_timeout_s": "25"}
    multi = container_defaults({"SAGEMAKER_MULTI_MODEL": "true", "SAGEMAKER_HANDLER": "/service.py:handle"})
    assert multi is not None
    assert (multi["model_store"], multi.get("load_models"), multi["default_service_handler"]) == ("/opt/ml/models", None, "/service.py:handle")
    (tmp_path / "config.properties").write_text("drain_timeout_s=3")
    found = load_config({}, {}, tmp_path, defaults=single)
    assert (found.config.drain_timeout_s, found.config.loads_all, found.warnings) == (3.0, True, ())
    assert found.origins["load_models"] == "SageMaker container"
