"""The objects of KServe."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from argosy.k8s import kserve
from argosy.k8s.application import Access, Application, Claim, Download, Scaling, Shutdown, Source

PLAIN = Application("words", "words:1", is_kserve=True)


def predictor(application: Application) -> Any:
    """That of the InferenceService."""
    found: Any = kserve.inference_service(application)
    return found["spec"]["predictor"]


def test_the_service_uses_the_runtime() -> None:
    """By its name, with the format that it has."""
    runtime: Any = kserve.runtime(PLAIN)
    model = predictor(PLAIN)["model"]
    assert model["runtime"] == runtime["metadata"]["name"]
    assert runtime["spec"]["supportedModelFormats"] == [model["modelFormat"]]
    assert [one["name"] for one in runtime["spec"]["containers"]] == ["kserve-container"]


@pytest.mark.parametrize(("source", "url"), [
    (None, None), (Claim("store", "a"), "pvc://store/a"), (Download("s3://bucket/words"), "s3://bucket/words")])
def test_models(source: Source, url: str | None) -> None:
    """KServe mounts them where the server looks; nothing for those of the image."""
    wanted = replace(PLAIN, source=source)
    assert predictor(wanted)["model"].get("storageUri") == url
    runtime: Any = kserve.runtime(wanted)
    server = runtime["spec"]["containers"][0]
    stores = [one["value"] for one in server["env"] if one["name"] == "MMS_MODEL_STORE"]
    assert stores == ([] if url is None else ["/mnt/models"])
    assert "models" not in {mount["name"] for mount in server["volumeMounts"]}


def test_shutdown_without_knative() -> None:
    """Pods of a plain deployment, which wait, drain and get their grace period."""
    wanted = replace(PLAIN, shutdown=Shutdown(100, 20))
    found: Any = kserve.inference_service(wanted)
    assert found["metadata"]["annotations"]["serving.kserve.io/deploymentMode"] == "RawDeployment"
    assert found["spec"]["predictor"]["terminationGracePeriodSeconds"] == 140
    runtime: Any = kserve.runtime(wanted)
    assert runtime["spec"]["containers"][0]["lifecycle"]["preStop"]["exec"]["command"] == ["sleep", "20"]


@pytest.mark.parametrize(("scaling", "wanted", "kind"), [
    (Scaling(3, 3), {"minReplicas": 3, "maxReplicas": 3}, "none"),
    (Scaling(1, 4, target=50), {"minReplicas": 1, "maxReplicas": 4, "scaleMetric": "cpu", "scaleTarget": 50}, "hpa"),
])
def test_scaling(scaling: Scaling, wanted: dict[str, object], kind: str) -> None:
    """By processors, or not at all."""
    application = replace(PLAIN, scaling=scaling)
    found: Any = kserve.inference_service(application)
    assert wanted.items() <= found["spec"]["predictor"].items()
    assert ("scaleMetric" in found["spec"]["predictor"]) is ("scaleMetric" in wanted)
    assert found["metadata"]["annotations"]["serving.kserve.io/autoscalerClass"] == kind


def test_security_and_accounts() -> None:
    """What pods may not do, and who they are, is said by the service; the Secret of the registry by the runtime."""
    wanted = replace(PLAIN, service_account="s", pull_secret="p", access=Access(secret="t"))
    found = predictor(wanted)
    assert (found["serviceAccountName"], found["securityContext"]["runAsNonRoot"], found["automountServiceAccountToken"]) == ("s", True, False)
    runtime: Any = kserve.runtime(wanted)
    assert runtime["spec"]["imagePullSecrets"] == [{"name": "p"}]
    assert {volume["name"] for volume in runtime["spec"]["volumes"]} == {"scratch", "tokens"}
    assert runtime["spec"]["containers"][0]["securityContext"]["readOnlyRootFilesystem"] is True
    assert "serviceAccountName" not in predictor(PLAIN)


@pytest.mark.parametrize("is_monitored", [True, False])
def test_metrics(is_monitored: bool) -> None:
    """KServe marks the pods for Prometheus, with our port and path."""
    wanted = replace(PLAIN, is_monitored=is_monitored)
    service: Any = kserve.inference_service(wanted)
    assert service["metadata"]["annotations"]["serving.kserve.io/enable-prometheus-scraping"] == str(is_monitored).lower()
    runtime: Any = kserve.runtime(wanted)
    assert runtime["spec"]["annotations"] == {"prometheus.kserve.io/port": "8080", "prometheus.kserve.io/path": "/metrics"}


def test_pod_labels() -> None:
    """Those of this service only."""
    assert kserve.pod_labels(PLAIN) == {"serving.kserve.io/inferenceservice": "words", "component": "predictor"}
