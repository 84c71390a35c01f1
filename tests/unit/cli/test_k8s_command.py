"""`argosy k8s`: what the options make, and what they say when they make nothing."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from argosy.cli.main import main

LINE = "shop inference sha256:" + "0a" * 32 + "\n"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with tokens in it."""
    monkeypatch.chdir(tmp_path)
    Path("tokens").write_text(LINE)
    Path("secret").write_text("argosy_plain\n")
    Path("empty").write_text("# nobody\n")
    Path("binary").write_bytes(b"\xff\xfe")
    return tmp_path


def run(*argv: str) -> Result:
    """What the command does for the image words:1."""
    return CliRunner().invoke(main, ["k8s", "words", "--image", "words:1", *argv])


def objects(*argv: str) -> dict[str, Any]:
    """The objects by kind."""
    result = run(*argv)
    assert result.exit_code == 0, result.output
    return {found["kind"]: found for found in yaml.safe_load_all(result.output)}


def server(*argv: str) -> Any:
    """The container of the deployment."""
    return objects(*argv)["Deployment"]["spec"]["template"]["spec"]["containers"][0]


@pytest.mark.parametrize(("argv", "text"), [
    (["--namespace", "A"], "--namespace 'A' is not a name"),
    (["--image", "A B"], "--image 'A B' is not an image"),
    (["--cpu", "lots"], "--cpu 'lots' is not a quantity"),
    (["--memory", "0"], "--memory '0' cannot be"),
    (["--memory", "100m"], "it has to be a multiple of 1, as 2Gi"),
    (["--scratch", "x"], "--scratch 'x' is not a quantity"),
    (["--model", "words"], "is not a place for models"),
    (["--fetch-image", "a:1"], "are for models that are fetched"),
    (["--model", "pvc://a", "--fetch-secret", "s"], "are for models that are fetched"),
    (["--replicas", "2", "--scale", "2:3"], "--replicas and --scale both say"),
    (["--scale", "2"], "is not MIN:MAX, as 2:8"),
    (["--scale", "a:b"], "is not MIN:MAX, as 2:8"),
    (["--scale", "3:2"], "with 1 <= MIN < MAX"),
    (["--scale", "0:2"], "with 1 <= MIN < MAX"),
    (["--scale", "2:2"], "or --replicas for a fixed number"),
    (["--scale-on", "cpu"], "--scale-on says by what to scale: add --scale"),
    (["--scale-target", "5"], "--scale-target says by what to scale: add --scale"),
    (["--scale", "2:3", "--scale-on", "a b"], "is not a metric"),
    (["--ingress-class", "nginx"], "are for --ingress HOST"),
    (["--ingress", "http://a"], "--ingress 'http://a' is not a name"),
    (["--env", "A"], "--env 'A' is not NAME=VALUE"),
    (["--env", "A-B=1"], "is not the name of a variable"),
    (["--env", "A=1", "--env", "A=2"], "--env A is given twice"),
    (["--env", "A=1\n2"], "leave line breaks and control characters out"),
    (["--env", "ARGOSY_DRAIN_TIMEOUT_S=1"], "for this there is --drain"),
    (["--tokens", "none"], "--tokens none cannot be read: No such file"),
    (["--tokens", "empty"], "it has no token"),
    (["--tokens", "binary"], "it is no text in UTF-8"),
    (["--tokens", "/dev/zero"], "--tokens /dev/zero: it is larger than a megabyte"),
    (["--tokens", "tokens"], "name the Secret with Prometheus' token"),
    (["--kserve", "--ingress", "a.b"], "--ingress is not for --kserve"),
    (["--force"], "--force is for --output"),
])
def test_refusals(argv: list[str], text: str) -> None:
    """One line, status 1, and no manifest."""
    result = run(*argv)
    assert result.exit_code == 1
    assert text in result.output
    assert result.output.startswith("argosy: ")
    assert result.stdout == ""


def test_a_secret_is_not_shown() -> None:
    """A file with the secret instead of its hash is refused without a word of it."""
    result = run("--tokens", "secret", "--scrape-secret", "s")
    assert result.exit_code == 1
    assert "argosy_plain" not in result.output
    assert "`argosy token` makes such lines" in result.output


@pytest.mark.parametrize("argv", [["--replicas", "0"], ["--drain", "-1"], ["--startup-timeout", "1"], ["--gpu", "x"], ["--golden"]])
def test_wrong_command_lines(argv: list[str]) -> None:
    """Status 2, as for every command."""
    assert run(*argv).exit_code == 2


def test_names() -> None:
    """That of the application is checked like the rest; without an image there is nothing to run."""
    assert "NAME 'My_Words' is no name for a Service" in CliRunner().invoke(main, ["k8s", "My_Words", "--image", "a"]).output
    assert CliRunner().invoke(main, ["k8s", "words"]).exit_code == 2


def test_plain() -> None:
    """Two pods of the image, in no namespace, and the same bytes each time."""
    found = objects()
    assert found["Deployment"]["spec"]["replicas"] == 2
    assert "namespace" not in found["Deployment"]["metadata"]
    assert server()["image"] == "words:1"
    assert run().output == run().output


def test_numbers() -> None:
    """Each option arrives where it belongs."""
    wanted = server("--cpu", "1500m", "--memory", "3Gi", "--gpu", "1", "--workers", "4", "--env", "A=b=c", "--env", "B=$(C)")
    assert wanted["resources"]["limits"] == {"cpu": "1500m", "memory": "3Gi", "nvidia.com/gpu": "1"}
    values = {one["name"]: one.get("value") for one in wanted["env"]}
    assert (values["MMS_DEFAULT_WORKERS_PER_MODEL"], values["A"], values["B"]) == ("4", "b=c", "$$(C)")


def test_shutdown() -> None:
    """The three numbers are made from two."""
    pod = objects("--drain", "100", "--settle", "15")["Deployment"]["spec"]["template"]["spec"]
    drain = next(one["value"] for one in pod["containers"][0]["env"] if one["name"] == "ARGOSY_DRAIN_TIMEOUT_S")
    settle = pod["containers"][0]["lifecycle"]["preStop"]["exec"]["command"][1]
    assert (drain, settle) == ("100", "15")
    assert pod["terminationGracePeriodSeconds"] > int(drain) + int(settle)


def test_targets_of_scaling() -> None:
    """70 per cent of processors, or ten of anything else, unless said."""
    metrics = [objects("--scale", "1:3", *more)["HorizontalPodAutoscaler"]["spec"]["metrics"][0]
               for more in ([], ["--scale-on", "argosy_queue_jobs"], ["--scale-on", "cpu", "--scale-target", "40"])]  # fmt: skip
    assert metrics[0]["resource"]["target"]["averageUtilization"] == 70
    assert metrics[1]["pods"]["target"]["averageValue"] == "10"
    assert metrics[2]["resource"]["target"]["averageUtilization"] == 40


def test_tokens() -> None:
    """The lines go into a Secret."""
    found = objects("--tokens", "tokens", "--scrape-secret", "prom")
    assert found["Secret"]["stringData"] == {"tokens": LINE}
    assert found["ServiceMonitor"]["spec"]["endpoints"][0]["authorization"]["credentials"]["name"] == "prom"
    assert objects("--tokens-secret", "mine", "--no-monitor").keys() == {"Deployment", "Service", "PodDisruptionBudget"}


def test_models() -> None:
    """A claim or a download with an image of one's own."""
    pod = objects("--model", "s3://b/m", "--fetch-image", "mine:2", "--fetch-secret", "keys")["Deployment"]["spec"]["template"]["spec"]
    assert (pod["initContainers"][0]["image"], pod["initContainers"][0]["args"][0]) == ("mine:2", "s3://b/m")
    assert server("--model", "pvc://store/a")["volumeMounts"][-1]["subPath"] == "a"


def test_ingress_and_accounts() -> None:
    """Names of what exists already."""
    found = objects("--ingress", "a.b", "--ingress-class", "nginx", "--ingress-tls", "c", "--service-account", "s", "--pull-secret", "p",
                    "--namespace", "shop")  # fmt: skip
    assert found["Ingress"]["spec"]["ingressClassName"] == "nginx"
    assert found["Deployment"]["spec"]["template"]["spec"]["serviceAccountName"] == "s"
    assert {one["metadata"]["namespace"] for one in found.values()} == {"shop"}


def test_kserve() -> None:
    """The image as a runtime, the model as a service."""
    found = objects("--kserve", "--model", "s3://b/m", "--scale", "1:3")
    assert found.keys() == {"ServingRuntime", "InferenceService", "PodDisruptionBudget"}
    assert found["InferenceService"]["spec"]["predictor"]["model"]["storageUri"] == "s3://b/m"


def test_folder() -> None:
    """A file for each, what to do next, and nothing replaced unless by force."""
    result = run("--output", "deploy", "--no-monitor")
    assert result.output == "4 files are in deploy; next: kubectl apply -k deploy\n"
    assert sorted(os.listdir("deploy")) == ["deployment.yaml", "kustomization.yaml", "poddisruptionbudget.yaml", "service.yaml"]
    assert "deploy/deployment.yaml exists already" in run("--output", "deploy").output
    assert run("--output", "deploy", "--no-monitor", "--force", "--replicas", "5").exit_code == 0
    assert "replicas: 5" in Path("deploy/deployment.yaml").read_text()
