"""`argosy serve`: targets, addresses, and what the terminal shows."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from argosy.cli import serve as serving
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


def test_the_command_is_documented() -> None:
    """Every option has a help text, and the reference page names it."""
    page = (Path(__file__).resolve().parents[3] / "docs" / "reference" / "commands.md").read_text()
    for parameter in serving.serve_command.params:
        if isinstance(parameter, click.Option):
            assert parameter.help
            assert re.search(rf"`{parameter.opts[0]}\b", page), parameter.opts
