"""`argosy config`: settings are shown with their origin, and a file is checked."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from argosy.cli.main import main


@pytest.fixture
def runner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CliRunner:
    """Runs commands in an empty folder, without variables that count."""
    monkeypatch.chdir(tmp_path)
    return CliRunner(env=dict.fromkeys(("MMS_CONFIG_FILE", "LOG_LOCATION", "METRICS_LOCATION", "TEMP")))


def run(runner: CliRunner, *argv: str) -> Result:
    """The result of a command."""
    return runner.invoke(main, list(argv))


def test_config_check_tells_every_problem(runner: CliRunner) -> None:
    """Once each; status 1."""
    Path("my.properties").write_text("job_queue_size=x\nmax_request_size=y\n")
    result = run(runner, "config", "check", "my.properties")
    assert result.exit_code == 1
    assert result.output.count("my.properties:1") == result.output.count("my.properties:2") == 1
    assert run(runner, "config", "check", "no.properties").exit_code == 2


def test_config_check_of_a_good_file(runner: CliRunner) -> None:
    """Warnings and notes, then a count; status 0. The variable that names another file does not count."""
    Path("my.properties").write_text("job_queue_size=7\njob_queue=1\nvmargs=x\n")
    result = runner.invoke(main, ["config", "check", "my.properties"], env={"MMS_CONFIG_FILE": "/no/such"})
    assert result.exit_code == 0
    lines = result.output.splitlines()
    assert lines[0].startswith("warning: unknown setting job_queue")
    assert any("no longer needed" in line for line in lines)
    assert lines[-1] == "my.properties: 2 settings, no error"


def test_config_check_reads_the_files_that_are_named(runner: CliRunner) -> None:
    """A tokens file that a server could not read is a problem of the configuration."""
    Path("my.properties").write_text("tokens_file=tokens\n")
    result = run(runner, "config", "check", "my.properties")
    assert (result.exit_code, "tokens_file" in result.output, "cannot be read" in result.output) == (1, True, True)
    Path("tokens").write_text("no token at all\n")
    assert run(runner, "config", "check", "my.properties").exit_code == 1
    Path("tokens").write_text(run(runner, "token", "alice").stdout)
    assert run(runner, "config", "check", "my.properties").exit_code == 0


def test_config_show_knows_what_the_command_does_with_logs(runner: CliRunner) -> None:
    """It shows what `argosy serve` would do here; a file wins."""
    Path("config.properties").write_text("metrics_location=m\n")
    lines = run(runner, "config", "show", "--origin").stdout.splitlines()
    assert "log_location=  # default of the command" in lines
    assert "log_console=events  # default of the command" in lines
    assert any(line.startswith(f"metrics_location={Path.cwd() / 'm'}  # ") for line in lines)


def test_config_show(runner: CliRunner) -> None:
    """Values as they are written in a file, their origin, no secret, nothing without effect."""
    Path("config.properties").write_text("job_queue_size=7\nkeystore_pass=hush\nvmargs=x\njob_queue=1\n")
    result = run(runner, "config", "show", "--origin", "--set", "error_detail=message")
    assert result.exit_code == 0
    lines = dict(line.split("=", 1) for line in result.output.splitlines() if "=" in line)
    assert lines["job_queue_size"].startswith("7  # ")
    assert lines["job_queue_size"].endswith("config.properties:1")
    assert lines["error_detail"] == "message  # command line"
    assert lines["max_request_size"] == "6553500  # default"
    assert lines["request_memory_bytes"].endswith("# a quarter of the memory")
    assert lines["keystore_pass"].startswith("***")
    assert "vmargs" not in lines
    assert "unknown setting job_queue" in result.output
    assert "# " not in run(runner, "config", "show").stdout


def test_config_show_as_json(runner: CliRunner) -> None:
    """For programs, with and without the origin."""
    assert json.loads(run(runner, "config", "show", "-o", "json").stdout)["job_queue_size"] == "100"
    shown = json.loads(run(runner, "config", "show", "--origin", "-o", "json").stdout)
    assert shown["job_queue_size"] == {"value": "100", "origin": "default"}


def test_config_show_of_a_bad_configuration(runner: CliRunner) -> None:
    """Status 1."""
    assert run(runner, "config", "show", "--set", "job_queue_size=x").exit_code == 1


HOSTILE = "\x1b[2J\x07"


@pytest.mark.parametrize("line", [
    "job_queue_size=1{}", "inference_address=http://{}", "error_detail={}", "blacklist_env_vars=({}", "model_limits={}", "job_queue_size{}=1",
    "$$HOME$$=$${}$$", "max_request_size=1\nmax_request_size{}=1\nmodel_store=a\\nb{}", "tokens_file={}", "worker_user={}", "safe_port_range={}",
    "\\uzz{}=1", "cors_allowed_origin=a\\nb{}",
])  # fmt: skip
def test_no_command_of_configuration_lets_a_file_command_the_terminal(runner: CliRunner, line: str) -> None:
    """Control characters of names and values are shown escaped, whether the file is refused, warned of, or fine; a value never makes a line."""
    Path("my.properties").write_text(line.replace("{}", HOSTILE) + "\n")
    for command in (["check", "my.properties"], ["show", "--origin", "--config", "my.properties"]):
        output = run(runner, "config", *command).output
        assert output
        assert all(text.isprintable() for text in output.split("\n"))
        assert not re.search(r"^b\\x1b", output, re.MULTILINE)


def test_a_file_whose_name_commands_a_terminal(runner: CliRunner) -> None:
    """Its name is escaped too."""
    name = f"my{HOSTILE}.properties"
    Path(name).write_text("job_queue_size=7\n")
    assert run(runner, "config", "check", name).output.splitlines()[-1] == "my\\x1b[2J\\x07.properties: 1 settings, no error"
