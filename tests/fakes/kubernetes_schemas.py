"""Schemas of the objects that are no part of Kubernetes itself, of exactly the fields that are written: anything else is an error."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

TEXT: Mapping[str, Any] = {"type": "string", "minLength": 1}
NUMBER: Mapping[str, Any] = {"type": "integer", "minimum": 1}
TEXTS: Mapping[str, Any] = {"type": "object", "additionalProperties": {"type": "string"}}
# objects of Kubernetes within them are checked as parts of a Pod
ANY: Mapping[str, Any] = {}


def fields(required: Mapping[str, Any], optional: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """An object with these fields and no other."""
    return {"type": "object", "properties": {**required, **(optional or {})}, "required": list(required), "additionalProperties": False}


def _object(version: str, kind: str, spec: Mapping[str, Any]) -> dict[str, Any]:
    metadata = fields({"name": TEXT}, {"namespace": TEXT, "labels": TEXTS, "annotations": TEXTS})
    return fields({"apiVersion": {"const": version}, "kind": {"const": kind}, "metadata": metadata, "spec": spec})


_FORMAT = fields({"name": TEXT, "version": TEXT})
_MODEL = fields({"modelFormat": _FORMAT}, {"runtime": TEXT, "storageUri": TEXT})
_SCALING = {"minReplicas": {"type": "integer", "minimum": 0}, "maxReplicas": NUMBER, "scaleTarget": NUMBER,
            "scaleMetric": {"enum": ["cpu", "memory", "concurrency", "rps"]}}  # fmt: skip
_POD = {"serviceAccountName": TEXT, "automountServiceAccountToken": {"type": "boolean"}, "enableServiceLinks": {"type": "boolean"},
        "securityContext": ANY, "terminationGracePeriodSeconds": NUMBER}  # fmt: skip
_AUTHORIZATION = fields({"type": TEXT, "credentials": fields({"name": TEXT, "key": TEXT})})
_ENDPOINT = fields({"port": TEXT, "path": TEXT, "interval": {"pattern": "^[0-9]+s$"}}, {"authorization": _AUTHORIZATION})

SCHEMAS: Mapping[str, Mapping[str, Any]] = {
    "ServingRuntime": _object("serving.kserve.io/v1alpha1", "ServingRuntime", fields(
        {"containers": {"type": "array", "minItems": 1}, "supportedModelFormats": {"type": "array", "items": _FORMAT}},
        {"annotations": TEXTS, "multiModel": {"type": "boolean"}, "imagePullSecrets": ANY, "volumes": ANY},
    )),
    "InferenceService": _object(
        "serving.kserve.io/v1beta1", "InferenceService", fields({"predictor": fields({"model": _MODEL}, {**_SCALING, **_POD})})),
    "ServiceMonitor": _object("monitoring.coreos.com/v1", "ServiceMonitor", fields(
        {"selector": fields({"matchLabels": TEXTS}), "endpoints": {"type": "array", "items": _ENDPOINT, "minItems": 1}})),
}  # fmt: skip
"""By kind."""
