"""All manifests of an application, as one stream or as a folder for kustomize."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from argosy.errors import ArgosyError, ErrorCode
from argosy.k8s import kserve, workload
from argosy.k8s.application import Application
from argosy.k8s.emitter import emit
from argosy.k8s.workload import Manifest

KUSTOMIZATION = "kustomization.yaml"


def manifests(application: Application) -> tuple[Manifest, ...]:
    """Every object of a checked application, in the order in which a cluster should get them."""
    return tuple(_all(application))


def _all(application: Application) -> Iterator[Manifest]:
    if application.access.lines is not None:
        yield workload.tokens(application, application.access.lines)
    if application.is_kserve:
        yield kserve.runtime(application)
        yield kserve.inference_service(application)
        yield workload.disruption_budget(application, kserve.pod_labels(application))
        return
    yield workload.deployment(application)
    yield workload.service(application)
    yield workload.disruption_budget(application, workload.selector(application))
    if not application.scaling.is_fixed:
        yield workload.autoscaler(application)
    if application.exposure is not None:
        yield workload.ingress(application, application.exposure)
    if application.is_monitored:
        yield workload.monitor(application)


def stream(application: Application) -> str:
    """The text for `kubectl apply -f -`. The same application gives the same bytes."""
    return emit(manifests(application))


def files(application: Application) -> dict[str, str]:
    """The same as files by name, one object in each, and the list of them that `kubectl apply -k` reads."""
    found = {f"{str(manifest['kind']).lower()}.yaml": emit([manifest]) for manifest in manifests(application)}
    listed: Manifest = {"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization", "resources": list(found)}
    return {**found, KUSTOMIZATION: emit([listed])}


def write(folder: Path, texts: Mapping[str, str], *, force: bool) -> None:
    """Put the files into the folder, each as a whole.

    Raises `ArgosyError` CONFLICT, before anything is written, if one is there and not `force`, or a folder is in the place of one.
    """
    existing = next((folder / name for name in texts if (folder / name).exists()), None)
    if existing is not None and not force:
        raise ArgosyError(ErrorCode.CONFLICT, f"{existing} exists already: name another folder with --output, or replace it with --force")
    in_place = next((folder / name for name in texts if (folder / name).is_dir()), None)
    if in_place is not None:
        raise ArgosyError(ErrorCode.CONFLICT, f"{in_place} is a folder, where a file shall be: remove it, or name another folder with --output")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".argosy-", dir=folder) as scratch:
            for name, text in texts.items():
                Path(scratch, name).write_text(text, "ascii")
            for name in texts:
                os.replace(Path(scratch, name), folder / name)
    except OSError as error:
        raise ArgosyError(ErrorCode.STORAGE_FULL, f"cannot write {folder}: {error.strerror}") from None
