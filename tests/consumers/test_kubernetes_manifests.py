"""What `argosy k8s` writes, read by those who know Kubernetes: its schemas, KServe's, and kubectl. No cluster is needed."""

from __future__ import annotations

import copy
import itertools
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from argosy.k8s import bundle
from argosy.k8s.application import Access, Application, Claim, Download, Exposure, Resources, Scaling, Shutdown, check
from fakes.kubernetes_schemas import SCHEMAS

kubernetes_validate = pytest.importorskip("kubernetes_validate", reason="kubernetes-validate is not installed")
VERSIONS = ("1.30", "1.34", "1.37")
"""The oldest in support somewhere, one between, the newest that is known."""
CRDS = os.environ.get("ARGOSY_KSERVE_CRDS")
KUBECTL = shutil.which("kubectl")
LINE = "shop inference sha256:" + "0a" * 32 + "\n"
SOURCES = (None, Claim("store"), Claim("store", "a/b"), Download("s3://bucket/words"), Download("hf://org/words", "mine:1", "keys"))
SCALINGS = (Scaling(), Scaling(2, 8), Scaling(1, 4, "argosy_queue_jobs", 5))
ACCESSES = (Access(), Access(LINE, None, "prometheus"), Access(None, "tokens", "prometheus"))
EXPOSURES = (None, Exposure("words.example"), Exposure("words.example", "nginx", "certificate"))
PLAIN = Application("words", "registry.example/words:1")
WISHES = replace(
    PLAIN, namespace="shop", resources=Resources("1500m", "3Gi", 2, "10Gi", 3), shutdown=Shutdown(300, 20), startup_timeout_s=1800,
    environment={"A": "x: y", "B": ""}, service_account="account", pull_secret="registry")


def applications() -> Iterator[Application]:
    """Every combination of kinds of wishes."""
    every = itertools.product((PLAIN, WISHES), SOURCES, SCALINGS, ACCESSES, EXPOSURES, (True, False))
    for base, source, scaling, access, exposure, monitored in every:
        yield check(replace(base, source=source, scaling=scaling, access=access, exposure=exposure, is_monitored=monitored))


def kserve_applications() -> Iterator[Application]:
    """The same for KServe, which has fewer."""
    for base, source, scaling, access in itertools.product((PLAIN, WISHES), SOURCES[:4], SCALINGS[:2], ACCESSES):
        yield check(replace(base, source=source, scaling=scaling, access=access, is_kserve=True))


def documents(application: Application) -> list[dict[str, Any]]:
    """What a YAML library finds in the stream."""
    return list(yaml.load_all(bundle.stream(application), getattr(yaml, "CSafeLoader", yaml.SafeLoader)))


def distinct(found: Iterator[Application]) -> list[dict[str, Any]]:
    """Every object that differs from all others."""
    return list({repr(document): document for application in found for document in documents(application)}.values())


def pod_of(application: Application) -> dict[str, Any]:
    """The Pod that KServe makes of the two objects, as far as it is ours."""
    runtime, service = (next(one for one in documents(application) if one["kind"] == kind) for kind in ("ServingRuntime", "InferenceService"))
    own = {key: runtime["spec"][key] for key in ("containers", "volumes", "imagePullSecrets") if key in runtime["spec"]}
    predictor = {key: value for key, value in service["spec"]["predictor"].items() if key != "model" and not key.startswith(("min", "max", "scale"))}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "words"}, "spec": {**own, **predictor}}


@pytest.mark.parametrize("version", VERSIONS)
def test_a_mistake_is_found(version: str) -> None:
    """Neither a wrong type nor an unknown field passes."""
    deployment = next(one for one in documents(PLAIN) if one["kind"] == "Deployment")
    for key, value in (("replicas", "two"), ("replica", 2)):
        wrong = copy.deepcopy(deployment)
        wrong["spec"][key] = value
        with pytest.raises(kubernetes_validate.ValidationError):
            kubernetes_validate.validate(wrong, version, strict=True)


@pytest.fixture(scope="module")
def plain() -> list[dict[str, Any]]:
    """All objects of all combinations without KServe."""
    return distinct(applications())


@pytest.mark.parametrize("version", VERSIONS)
def test_every_combination_fits_the_schemas_of_kubernetes(plain: list[dict[str, Any]], version: str) -> None:
    """No object of any combination has a field or a value that Kubernetes does not know."""
    found = [document for document in plain if document["kind"] not in SCHEMAS]
    assert {document["kind"] for document in found} == {
        "Deployment", "Service", "PodDisruptionBudget", "HorizontalPodAutoscaler", "Ingress", "Secret"}
    for document in found:
        kubernetes_validate.validate(document, version, strict=True)


def test_monitors_and_kserve_have_known_fields_only(plain: list[dict[str, Any]]) -> None:
    """Against the fields that are written."""
    found = [one for one in (*plain, *distinct(kserve_applications())) if one["kind"] in SCHEMAS]
    assert {one["kind"] for one in found} == set(SCHEMAS)
    for document in found:
        jsonschema.validate(document, SCHEMAS[document["kind"]])


@pytest.mark.parametrize(("kind", "path", "value"), [
    ("InferenceService", ["spec", "predictor", "maxReplicas"], "four"), ("InferenceService", ["spec", "predictor", "scaleMetric"], "queue"),
    ("ServingRuntime", ["spec", "container"], []), ("InferenceService", ["spec", "predictor", "model", "storage_uri"], "s3://a"),
])
def test_mistakes_in_objects_of_kserve_are_found(kind: str, path: list[str], value: object) -> None:
    """By our schemas, and by those of KServe where they are there."""
    wrong = next(one for one in documents(replace(PLAIN, is_kserve=True)) if one["kind"] == kind)
    place = wrong
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(wrong, SCHEMAS[kind])


@pytest.mark.parametrize("version", VERSIONS)
def test_pods_of_kserve_fit_the_schema_of_kubernetes(version: str) -> None:
    """Containers, volumes and security are those of a Pod."""
    for pod in {repr(pod): pod for pod in map(pod_of, kserve_applications())}.values():
        kubernetes_validate.validate(pod, version, strict=True)


@pytest.mark.skipif(CRDS is None, reason="ARGOSY_KSERVE_CRDS does not name a folder with KServe's inferenceservices.yaml and servingruntimes.yaml")
def test_objects_of_kserve_fit_its_own_definitions() -> None:
    """The full CustomResourceDefinitions, unknown fields refused."""
    schemas = dict(_definitions(Path(str(CRDS))))
    for document in distinct(kserve_applications()):
        if document["apiVersion"].startswith("serving.kserve.io"):
            schemas[document["kind"], document["apiVersion"].rpartition("/")[2]].validate(document)


def _definitions(folder: Path) -> Iterator[tuple[tuple[str, str], jsonschema.Draft202012Validator]]:
    for name in ("inferenceservices", "servingruntimes"):
        file = next(folder.glob(f"*{name}.yaml"))
        found = yaml.load(file.read_text(), getattr(yaml, "CSafeLoader", yaml.SafeLoader))["spec"]
        for version in found["versions"]:
            schema = version["schema"]["openAPIV3Schema"]
            _close(schema)
            schema["properties"]["metadata"] = {"type": "object"}
            yield (found["names"]["kind"], version["name"]), jsonschema.Draft202012Validator(schema)


def _close(schema: Any) -> None:
    """As a cluster does with unknown fields: none are allowed but where the schema says so."""
    if isinstance(schema, dict):
        is_open = schema.get("x-kubernetes-preserve-unknown-fields") or "additionalProperties" in schema
        if schema.get("type") == "object" and "properties" in schema and not is_open:
            schema["additionalProperties"] = False
        for value in schema.values():
            _close(value)
    elif isinstance(schema, list):
        for value in schema:
            _close(value)


@pytest.mark.skipif(KUBECTL is None, reason="kubectl is not installed")
def test_kubectl_reads_the_folder(tmp_path: Path) -> None:
    """`kubectl kustomize` gives the objects back as they were."""
    wanted = check(replace(WISHES, source=SOURCES[4], scaling=SCALINGS[2], access=ACCESSES[1], exposure=EXPOSURES[2]))
    bundle.write(tmp_path, bundle.files(wanted), force=False)
    built = kubectl("kustomize", str(tmp_path))
    found = {one["kind"]: one for one in yaml.safe_load_all(built)}
    assert found == {one["kind"]: one for one in documents(wanted)}


@pytest.mark.skipif(KUBECTL is None, reason="kubectl is not installed")
def test_kubectl_reads_quantities_and_words(tmp_path: Path) -> None:
    """A list of what it understood has the same texts, also those that look like something else."""
    odd = replace(PLAIN, environment={"A": "yes", "B": "1e3", "C": "0x10", "D": "ü😀", "E": "a: #b", "F": "null"})
    bundle.write(tmp_path, bundle.files(odd), force=False)
    deployment = next(one for one in yaml.safe_load_all(kubectl("kustomize", str(tmp_path))) if one["kind"] == "Deployment")
    values = {one["name"]: one.get("value") for one in deployment["spec"]["template"]["spec"]["containers"][0]["env"]}
    assert odd.environment.items() <= values.items()


def kubectl(*argv: str) -> str:
    """What kubectl prints. It has no configuration, hence no cluster."""
    assert KUBECTL is not None
    environment = {"PATH": os.environ["PATH"], "KUBECONFIG": os.devnull}
    done = subprocess.run([KUBECTL, *argv], capture_output=True, text=True, timeout=60, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout
