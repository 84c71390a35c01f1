"""`argosy serve`: targets, addresses, and what the terminal shows."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from argosy.cli import serve as serving
from argosy.cli.banner import banner, curl, failures, hint
from argosy.cli.main import main
from argosy.cli.serve import address_flags, serve
from argosy.config import Address, Target
from argosy.testing.commands import FakeModel, FakeServer, FakeStatus


@pytest.mark.parametrize("argv", [["--port", "70000", "x.py"], ["--workers", "0", "x.py"], ["--set", "novalue"], ["--golden"]])
def test_usage_errors(argv: list[str]) -> None:
    """Status 2."""
    assert CliRunner().invoke(main, ["serve", *argv]).exit_code == 2


def test_a_failed_start_is_one_line(tmp_path: Path) -> None:
    """Status 1; the command line is named as the origin of the value."""
    result = CliRunner().invoke(main, ["serve", "--set", "job_queue_size=x", "x.py"])
    assert result.exit_code == 1
    assert 'For input string: "x": job_queue_size=x (command line)' in result.output


@pytest.mark.parametrize(("asked", "expected"), [
    ((None, None, None), {}),
    (("0.0.0.0", None, None), {"inference_address": "http://0.0.0.0:8080"}),
    ((None, 9000, None), {"inference_address": "http://127.0.0.1:9000", "management_address": "http://127.0.0.1:9001"}),
    ((None, 0, None), {"inference_address": "http://127.0.0.1:0", "management_address": "http://127.0.0.1:0"}),
    (("::1", 65535, None), {"inference_address": "http://[::1]:65535", "management_address": "http://127.0.0.1:0"}),
    (("h", 1, 2), {"inference_address": "http://h:1", "management_address": "http://127.0.0.1:2"}),
])
def test_addresses(asked: tuple[str | None, int | None, int | None], expected: dict[str, str]) -> None:
    """Management stays on this machine."""
    assert address_flags(*asked) == expected


def test_serving(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Targets reach the server, a terminal gets events only, and the banner appears when it is ready."""
    (tmp_path / "hello.py").write_text("")
    (tmp_path / "config.properties").write_text("job_queue_size=7\nvmargs=x\n")
    server = FakeServer(FakeStatus([FakeModel("hello", 2)]), result=5)
    flags = {"default_workers_per_model": "2", "inference_address": "http://0.0.0.0:9"}
    assert serve(["hello.py"], flags, {"TEMP": str(tmp_path)}, tmp_path, config_file=None, server=lambda: server) == 5
    assert server.config is not None
    assert (server.config.log_location, server.config.metrics_location, server.config.log_console) == (None, None, "events")
    assert (server.config.job_queue_size, server.config.inference_address) == (7, Address("http", "0.0.0.0", 9))
    assert server.targets == [Target("hello", "hello")]
    assert server.config.model_store is not None
    assert server.config.model_store.parent == tmp_path
    assert not server.config.model_store.exists()
    shown = capsys.readouterr()
    assert "hello: 2 workers (one per processor: 1 may be used)" in shown.out
    assert str(tmp_path / "config.properties") in shown.out
    assert "no longer needed" in shown.err


def test_all_models_of_the_store(tmp_path: Path) -> None:
    """ALL is no target to look for: the server lists the store."""
    server = FakeServer()
    serve(["all"], {"model_store": str(tmp_path)}, {}, tmp_path, config_file=None, server=lambda: server)
    assert server.config is not None
    assert (server.config.load_models, server.config.model_store, server.targets) == ("ALL", tmp_path, [])


def test_models_of_the_configuration(tmp_path: Path) -> None:
    """Without a target those of `load_models` are served, and log files are written where somebody wants them."""
    (tmp_path / "m").mkdir()
    server = FakeServer()
    environ = {"LOG_LOCATION": str(tmp_path / "l"), "ARGOSY_METRICS_LOCATION": str(tmp_path / "m")}
    serve([], {"load_models": "a=m"}, environ, tmp_path, config_file=None, server=lambda: server)
    assert server.config is not None
    assert server.targets == [Target("a", "m")]
    assert (server.config.log_location, server.config.metrics_location) == (tmp_path / "l", tmp_path / "m")


def test_what_a_file_says_of_logs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It wins over what the command does by itself; nobody is told that a setting is given twice."""
    (tmp_path / "config.properties").write_text("log_location=l\nmetrics_location=m\nlog_console=none\nload_models=none\n")
    server = FakeServer()
    serve([], {}, {}, tmp_path, config_file=None, server=lambda: server)
    assert server.config is not None
    found = (server.config.log_location, server.config.metrics_location, server.config.log_console)
    assert found == (tmp_path / "l", tmp_path / "m", "none")
    assert "given twice" not in capsys.readouterr().err


@pytest.mark.parametrize("environ", [{"ARGOSY_LOG_CONSOLE": "all", "ARGOSY_LOG_LOCATION": "l"}, {"ARGOSY_LOG_CONSOLE": "all", "LOG_LOCATION": "l"}])
def test_what_the_environment_says_of_logs(tmp_path: Path, environ: dict[str, str]) -> None:
    """It wins as well."""
    server = FakeServer()
    serve([], {"load_models": "none"}, environ, tmp_path, config_file=None, server=lambda: server)
    assert server.config is not None
    assert (server.config.log_location, server.config.metrics_location, server.config.log_console) == (tmp_path / "l", None, "all")


def test_the_banner_is_at_most_ten_lines() -> None:
    """With many models, some of which did not load."""
    models = [FakeModel(f"m{number}", 1, error="boom" if number == 0 else "") for number in range(20)]
    lines = banner(FakeStatus(models), "config.properties")
    assert len(lines) <= 10
    text = "\n".join(lines)
    for words in ("http://127.0.0.1:8080", "http://127.0.0.1:8081", "m0: did not load", "m1: 1 worker (one per processor", "and 17 more"):
        assert words in text
    assert "curl http://127.0.0.1:8080/predictions/m1 " in text


def test_the_banner_without_models() -> None:
    """It says what to do; one shared listener is one line."""
    lines = banner(FakeStatus([], management=["http://127.0.0.1:8080"]))
    assert "none yet" in "\n".join(lines)
    assert not any("try" in line.split()[:1] or "management " in line for line in lines[:2])


@pytest.mark.parametrize(("address", "expected"), [
    ("http://0.0.0.0:1", "curl http://127.0.0.1:1/predictions/m"),
    ("https://h:1", "curl -k https://h:1/predictions/m"),
    ("http://[::]:1", "curl http://[::1]:1/predictions/m"),
    ("unix:/a", "curl --unix-socket /a http://localhost/predictions/m"),
])
def test_a_line_to_try(address: str, expected: str) -> None:
    """It works from this machine, whatever the listener."""
    assert curl(address, "m") == f"{expected} -H 'Content-Type: text/plain' -d 'hello'"


def test_failures_come_with_traceback_and_hint() -> None:
    """For every model that did not load, and only for those."""
    error = "No module named 'torch'"
    detail = f"Traceback (most recent call last):\n  boom\nModuleNotFoundError: {error}"
    text = "\n".join(failures(FakeStatus([FakeModel("bad", 0, error=error, detail=detail), FakeModel("good", 1)])))
    assert text.startswith(f"model bad did not load:\n  {error}\n  Traceback")
    assert "hint: install the missing module" in text
    assert "good" not in text


def test_a_target_that_could_not_be_registered() -> None:
    """It is called by the name that it was to have, not by the place in the store of this run."""
    status = FakeStatus([FakeModel("a=2-a", 0, error="Model a is already registered.")])
    assert "  model       a: did not load, see below" in banner(status)
    assert failures(status)[0] == "model a did not load:"


@pytest.mark.parametrize(("error", "words"), [
    ("FileNotFoundError: x", "model folder"), ("MemoryError", "--workers 1"), ("ValueError", "correct the handler"),
    ("Model handler is not defined.", "FOLDER/FILE.py"), ("Model name is not defined.", "this is no archive"),
    ("Expected only one class in custom service code or a function entry point in m, found none", "FILE.py:FUNCTION"),
])
def test_hints(error: str, words: str) -> None:
    """What to do depends on what happened."""
    assert words in hint(error)


def test_the_command_is_documented() -> None:
    """Every option has a help text, and the reference page names it."""
    page = (Path(__file__).resolve().parents[3] / "docs" / "reference" / "commands.md").read_text()
    for parameter in serving.serve_command.params:
        if isinstance(parameter, click.Option):
            assert parameter.help
            assert re.search(rf"`{parameter.opts[0]}\b", page), parameter.opts
