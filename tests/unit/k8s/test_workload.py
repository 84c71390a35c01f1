"""The objects of plain Kubernetes, and how they refer to each other."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from argosy.k8s import workload
from argosy.k8s.application import Access, Application, Claim, Download, Exposure, Scaling, Shutdown

PLAIN = Application("words", "words:1", "shop")


def pod(application: Application) -> Any:
    """The pod's part of the deployment."""
    found: Any = workload.deployment(application)
    return found["spec"]["template"]["spec"]


def test_every_selector_finds_the_pods() -> None:
    """Deployment, Service, budget and spread ask for labels that the pods have."""
    found: Any = workload.deployment(PLAIN)
    labels = found["spec"]["template"]["metadata"]["labels"]
    service: Any = workload.service(PLAIN)
    budget: Any = workload.disruption_budget(PLAIN, workload.selector(PLAIN))
    spread = pod(PLAIN)["topologySpreadConstraints"][0]["labelSelector"]
    wanted = [found["spec"]["selector"]["matchLabels"], service["spec"]["selector"], budget["spec"]["selector"]["matchLabels"], spread["matchLabels"]]
    for one in wanted:
        assert one.items() <= labels.items()
        assert one["app.kubernetes.io/instance"] == "words"


def test_the_monitor_finds_the_service() -> None:
    """By its labels and by the name of a port that it has."""
    service: Any = workload.service(PLAIN)
    monitor: Any = workload.monitor(PLAIN)
    assert monitor["spec"]["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    assert monitor["spec"]["endpoints"][0]["port"] == service["spec"]["ports"][0]["name"]
    assert service["spec"]["ports"][0]["targetPort"] == pod(PLAIN)["containers"][0]["ports"][0]["name"]


def test_the_monitor_brings_a_token() -> None:
    """Only where one is needed, and never in plain."""
    secured: Any = workload.monitor(replace(PLAIN, access=Access(secret="a", scrape_secret="b")))
    assert secured["spec"]["endpoints"][0]["authorization"] == {"type": "Bearer", "credentials": {"name": "b", "key": "token"}}
    plain: Any = workload.monitor(PLAIN)
    assert "authorization" not in plain["spec"]["endpoints"][0]


@pytest.mark.parametrize(("namespace", "place"), [(None, {}), ("shop", {"namespace": "shop"})])
def test_namespaces(namespace: str | None, place: dict[str, str]) -> None:
    """Said only if it was given."""
    found: Any = workload.service(replace(PLAIN, namespace=namespace))
    assert {key: value for key, value in found["metadata"].items() if key == "namespace"} == place


def test_an_autoscaler_alone_says_how_many() -> None:
    """Applying the manifest again does not take pods away in the middle of the day."""
    fixed: Any = workload.deployment(replace(PLAIN, scaling=Scaling(3, 3)))
    scaled: Any = workload.deployment(replace(PLAIN, scaling=Scaling(2, 5)))
    assert fixed["spec"]["replicas"] == 3
    assert "replicas" not in scaled["spec"]


@pytest.mark.parametrize(("scaling", "metric"), [
    (Scaling(2, 5, target=55), {"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 55}}}),
    (Scaling(2, 5, "argosy_queue_jobs", 4), {
        "type": "Pods", "pods": {"metric": {"name": "argosy_queue_jobs"}, "target": {"type": "AverageValue", "averageValue": "4"}}}),
])  # fmt: skip
def test_scaling(scaling: Scaling, metric: dict[str, object]) -> None:
    """By processors, or by a figure of the pods; of this deployment."""
    found: Any = workload.autoscaler(replace(PLAIN, scaling=scaling))
    assert found["spec"]["metrics"] == [metric]
    assert (found["spec"]["minReplicas"], found["spec"]["maxReplicas"]) == (2, 5)
    assert found["spec"]["scaleTargetRef"] == {"apiVersion": "apps/v1", "kind": "Deployment", "name": "words"}


def test_a_rollout_keeps_what_serves() -> None:
    """No old pod goes before a new one is ready; it gives up only after all the time that loading may take."""
    found: Any = workload.deployment(replace(PLAIN, startup_timeout_s=900))
    assert found["spec"]["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}
    assert found["spec"]["progressDeadlineSeconds"] > 900


def test_pods() -> None:
    """No credentials of the cluster, no variables of Services, and the grace period of the shutdown."""
    found = pod(replace(PLAIN, shutdown=Shutdown(100, 20)))
    assert (found["automountServiceAccountToken"], found["enableServiceLinks"]) == (False, False)
    assert found["terminationGracePeriodSeconds"] == 140
    assert not {"serviceAccountName", "imagePullSecrets", "initContainers"} & found.keys()


def test_wishes_of_pods() -> None:
    """Account and Secret of the registry by name; every mount has its volume."""
    found = pod(replace(PLAIN, service_account="s", pull_secret="p", source=Download("s3://b/m"), access=Access("a")))
    assert (found["serviceAccountName"], found["imagePullSecrets"]) == ("s", [{"name": "p"}])
    mounted = {mount["name"] for one in (*found["containers"], *found["initContainers"]) for mount in one["volumeMounts"]}
    assert mounted == {volume["name"] for volume in found["volumes"]} == {"scratch", "tokens", "models"}


def test_claims_need_no_download() -> None:
    """The volume is mounted as it is."""
    found = pod(replace(PLAIN, source=Claim("store", "a")))
    assert "initContainers" not in found
    assert {"name": "MMS_LOAD_MODELS", "value": "ALL"} in found["containers"][0]["env"]


def test_ingress() -> None:
    """Predictions and health only, for one host, with a class and a certificate if there are."""
    found: Any = workload.ingress(PLAIN, Exposure("a.example", "nginx", "cert"))
    paths = found["spec"]["rules"][0]["http"]["paths"]
    assert [path["path"] for path in paths] == ["/predictions", "/invocations", "/ping"]
    assert {path["backend"]["service"]["name"] for path in paths} == {"words"}
    assert found["spec"]["ingressClassName"] == "nginx"
    assert found["spec"]["tls"] == [{"hosts": ["a.example"], "secretName": "cert"}]
    plain: Any = workload.ingress(PLAIN, Exposure("a.example"))
    assert list(plain["spec"]) == ["rules"]


def test_tokens() -> None:
    """Under the name and the key that the pods mount."""
    wanted = replace(PLAIN, access=Access("shop inference sha256:00\n"))
    found: Any = workload.tokens(wanted, "shop inference sha256:00\n")
    mounted = next(volume["secret"] for volume in pod(wanted)["volumes"] if volume["name"] == "tokens")
    assert mounted["secretName"] == found["metadata"]["name"]
    assert [item["key"] for item in mounted["items"]] == list(found["stringData"])
    assert found["stringData"]["tokens"] == "shop inference sha256:00\n"
