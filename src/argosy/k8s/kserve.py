"""The objects of KServe: a ServingRuntime, which is our image, and the InferenceService that uses it."""

from __future__ import annotations

from argosy.k8s.application import Application
from argosy.k8s.emitter import Node
from argosy.k8s.pod import PORT, container, mounts, pod_security, volumes
from argosy.k8s.workload import Manifest, head

FORMAT = "argosy"
STORE = "/mnt/models"
"""Where KServe puts what `storageUri` names."""
_CONTAINER = "kserve-container"


def runtime(application: Application) -> Manifest:
    """How this namespace serves models of the format `argosy`."""
    server = container(application, _CONTAINER, None if application.source is None else STORE)
    pulling: Manifest = {} if application.pull_secret is None else {"imagePullSecrets": [{"name": application.pull_secret}]}
    return {
        **head(application, "serving.kserve.io/v1alpha1", "ServingRuntime"),
        "spec": {
            "annotations": {"prometheus.kserve.io/port": str(PORT), "prometheus.kserve.io/path": "/metrics"},
            "supportedModelFormats": [{"name": FORMAT, "version": "1"}],
            "multiModel": False,
            **pulling,
            "containers": [{**server, "volumeMounts": mounts(application)}],
            "volumes": volumes(application),
        },
    }


def inference_service(application: Application) -> Manifest:
    """The model, how many pods serve it, and how they end. Without Knative, whose pods know neither preStop nor our grace period."""
    scaling = application.scaling
    annotations: dict[str, Node] = {
        "serving.kserve.io/deploymentMode": "RawDeployment",
        "serving.kserve.io/autoscalerClass": "none" if scaling.is_fixed else "hpa",
        "serving.kserve.io/enable-prometheus-scraping": "true" if application.is_monitored else "false",
    }
    return {
        **head(application, "serving.kserve.io/v1beta1", "InferenceService", annotations=annotations),
        "spec": {"predictor": {**_replicas(application), **_pod(application), "model": _model(application)}},
    }


def _replicas(application: Application) -> Manifest:
    scaling = application.scaling
    bounds: Manifest = {"minReplicas": scaling.low, "maxReplicas": scaling.high}
    return bounds if scaling.is_fixed else {**bounds, "scaleMetric": scaling.metric, "scaleTarget": scaling.target}


def _pod(application: Application) -> Manifest:
    account: Manifest = {} if application.service_account is None else {"serviceAccountName": application.service_account}
    return {
        **account,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": pod_security(),
        "terminationGracePeriodSeconds": application.shutdown.grace_s,
    }


def _model(application: Application) -> Manifest:
    place: Manifest = {} if application.source is None else {"storageUri": application.source.url}
    return {"modelFormat": {"name": FORMAT, "version": "1"}, "runtime": application.name, **place}


def pod_labels(application: Application) -> dict[str, Node]:
    """The labels that KServe gives to the pods."""
    return {"serving.kserve.io/inferenceservice": application.name, "component": "predictor"}
