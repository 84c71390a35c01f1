"""The objects of plain Kubernetes: Deployment, Service, autoscaler, disruption budget, and what is made on request."""

from __future__ import annotations

from argosy.k8s.application import CPU, Application, Download, Exposure, Scaling
from argosy.k8s.emitter import Node
from argosy.k8s.pod import (
    PORT_NAME,
    STORE,
    TOKENS_KEY,
    container,
    fetching,
    model_mount,
    model_volume,
    mounts,
    pod_security,
    tokens_secret,
    volumes,
)  # fmt: skip

Manifest = dict[str, Node]
_PATHS = ("/predictions", "/invocations", "/ping")
"""What an Ingress lets in: not /metrics."""
_CONTAINER = "server"


def selector(application: Application) -> dict[str, Node]:
    """The labels that find the pods; they never change, since a Deployment cannot change them."""
    return {"app.kubernetes.io/name": "argosy", "app.kubernetes.io/instance": application.name}


def head(application: Application, version: str, kind: str, name: str | None = None, annotations: dict[str, Node] | None = None) -> Manifest:
    """How every manifest begins. `name` is that of the application unless said."""
    place: Manifest = {} if application.namespace is None else {"namespace": application.namespace}
    noted: Manifest = {} if annotations is None else {"annotations": annotations}
    labels = {**selector(application), "app.kubernetes.io/component": "model-server"}
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name or application.name, **place, "labels": labels, **noted}}


def deployment(application: Application) -> Manifest:
    """The pods. While there is an autoscaler, it alone says how many, and applying the manifest again does not."""
    number: Manifest = {"replicas": application.scaling.low} if application.scaling.is_fixed else {}
    return {
        **head(application, "apps/v1", "Deployment"),
        "spec": {
            **number,
            "selector": {"matchLabels": selector(application)},
            # a new pod serves before an old one goes
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
            "progressDeadlineSeconds": application.startup_timeout_s + 300,
            "template": {"metadata": {"labels": {**selector(application), "app.kubernetes.io/component": "model-server"}}, "spec": _pod(application)},
        },
    }


def _pod(application: Application) -> Manifest:
    source = application.source
    server = container(application, _CONTAINER, None if source is None else STORE)
    fetchers: Manifest = {"initContainers": [fetching(source)]} if isinstance(source, Download) else {}
    account: Manifest = {} if application.service_account is None else {"serviceAccountName": application.service_account}
    pulling: Manifest = {} if application.pull_secret is None else {"imagePullSecrets": [{"name": application.pull_secret}]}
    return {
        **account,
        "automountServiceAccountToken": False,
        # the variables of a Service named argosy would be taken for settings
        "enableServiceLinks": False,
        **pulling,
        "securityContext": pod_security(),
        "terminationGracePeriodSeconds": application.shutdown.grace_s,
        "topologySpreadConstraints": [{
            "maxSkew": 1, "topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "ScheduleAnyway",
            "labelSelector": {"matchLabels": selector(application)},
        }],
        **fetchers,
        "containers": [{**server, "volumeMounts": [*mounts(application), *model_mount(application)]}],
        "volumes": [*volumes(application), *model_volume(application)],
    }  # fmt: skip


def service(application: Application) -> Manifest:
    """Predictions at port 80 inside of the cluster. Management stays inside of the pod."""
    port: Node = {"name": PORT_NAME, "port": 80, "targetPort": PORT_NAME, "protocol": "TCP", "appProtocol": "http"}
    return {**head(application, "v1", "Service"), "spec": {"type": "ClusterIP", "selector": selector(application), "ports": [port]}}


def autoscaler(application: Application) -> Manifest:
    """Between so many pods, by processor time or by a metric of the pods."""
    scaling = application.scaling
    return {
        **head(application, "autoscaling/v2", "HorizontalPodAutoscaler"),
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": application.name},
            "minReplicas": scaling.low,
            "maxReplicas": scaling.high,
            "metrics": [_metric(scaling)],
        },
    }


def _metric(scaling: Scaling) -> Manifest:
    if scaling.metric == CPU:
        return {"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": scaling.target}}}
    target: Node = {"type": "AverageValue", "averageValue": str(scaling.target)}
    return {"type": "Pods", "pods": {"metric": {"name": scaling.metric}, "target": target}}


def disruption_budget(application: Application, labels: dict[str, Node]) -> Manifest:
    """One pod at a time is moved; with `minAvailable` a single pod could never be moved."""
    spec: Manifest = {"maxUnavailable": 1, "unhealthyPodEvictionPolicy": "AlwaysAllow", "selector": {"matchLabels": labels}}
    return {**head(application, "policy/v1", "PodDisruptionBudget"), "spec": spec}


def monitor(application: Application) -> Manifest:
    """What the operator of Prometheus has to scrape, with a token if one is needed."""
    secret = application.access.scrape_secret
    entry: Manifest = {"port": PORT_NAME, "path": "/metrics", "interval": "15s"}
    if secret is not None:
        entry["authorization"] = {"type": "Bearer", "credentials": {"name": secret, "key": "token"}}
    spec: Manifest = {"selector": {"matchLabels": selector(application)}, "endpoints": [entry]}
    return {**head(application, "monitoring.coreos.com/v1", "ServiceMonitor"), "spec": spec}


def ingress(application: Application, exposure: Exposure) -> Manifest:
    """Predictions from outside of the cluster."""
    backend: Node = {"service": {"name": application.name, "port": {"name": PORT_NAME}}}
    paths: list[Node] = [{"path": path, "pathType": "Prefix", "backend": backend} for path in _PATHS]
    named: Manifest = {} if exposure.ingress_class is None else {"ingressClassName": exposure.ingress_class}
    secured: Manifest = {} if exposure.tls_secret is None else {"tls": [{"hosts": [exposure.host], "secretName": exposure.tls_secret}]}
    spec: Manifest = {**named, **secured, "rules": [{"host": exposure.host, "http": {"paths": paths}}]}
    return {**head(application, "networking.k8s.io/v1", "Ingress"), "spec": spec}


def tokens(application: Application, lines: str) -> Manifest:
    """The tokens that count, as hashes."""
    return {**head(application, "v1", "Secret", tokens_secret(application)), "type": "Opaque", "stringData": {TOKENS_KEY: lines}}
