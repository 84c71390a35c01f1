"""Puts an endpoint together from its settings: folders, models, logs, and how its containers are started."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from argosy.sagemaker.local.container import Container
from argosy.sagemaker.local.endpoint import Endpoint
from argosy.sagemaker.local.engine import TARGETS_FOLDER, Engine, Place, Recipe, process_recipe
from argosy.sagemaker.local.failures import Source
from argosy.sagemaker.local.leftovers import Ledger
from argosy.sagemaker.local.models import ModelSource
from argosy.sagemaker.local.output import Output
from argosy.sagemaker.local.pool import Instance, Member, Pool
from argosy.sagemaker.local.settings import ContainerSettings, EndpointSettings, RuntimeSettings, VariantSettings
from argosy.sagemaker.local.targets import Targets

_PRIMARY = "primary"


@dataclass(frozen=True, slots=True)
class Workshop:
    """What all endpoints of a runtime are built with."""

    settings: RuntimeSettings
    source: ModelSource
    engine: Callable[[], Engine]
    """Looked for when an image is to be run. Raises `ArgosyError` when there is none."""
    ledger: Ledger
    """A folder for models and processes, which goes with the runtime, and the list of what was started."""
    logs: Path
    token: str
    """Part of container names, so that those of two runtimes differ."""
    show: Callable[[str], None] | None

    async def endpoint(self, settings: EndpointSettings) -> Endpoint:
        """Bring its models and build it; nothing is started. Raises `ArgosyError` when model data or an engine is missing."""
        pools = [await self._pool(settings.name, variant) for variant in (*settings.variants, *settings.components)]
        return Endpoint(settings, pools, self.settings.limits, time.time)

    async def _pool(self, endpoint: str, variant: VariantSettings) -> Pool:
        folder = self.ledger.folder / "work" / endpoint / variant.name
        folder.mkdir(parents=True)
        models = [await self._model(folder, hostname, one) for hostname, one in zip(variant.hostnames, variant.containers, strict=True)]
        return Pool(variant, [self._instance(endpoint, variant, index, folder, models) for index in range(variant.instances)])

    async def _model(self, folder: Path, hostname: str, settings: ContainerSettings) -> Path | None:
        """The folder of its model, which its instances share; None for target models, and for an image that has its own."""
        if settings.multi_model or not settings.model_data:
            return None
        return await asyncio.to_thread(self.source.bring, settings.model_data, folder / f"{hostname}-model")

    def _instance(self, endpoint: str, variant: VariantSettings, index: int, folder: Path, models: Sequence[Path | None]) -> Instance:
        members = []
        for hostname, settings, model in zip(variant.hostnames, variant.containers, models, strict=True):
            label = f"{endpoint}/{variant.name}/{index}" + (f"/{hostname}" if len(models) > 1 else "")
            own = folder / f"{hostname}-{index}"
            own.mkdir()
            if settings.multi_model:
                model = own / "models"
                model.mkdir(mode=0o755)
            elif model is not None:
                (own / "model").symlink_to(model)
            members.append(self._member(label, hostname if len(models) > 1 else _PRIMARY, hostname, endpoint, variant, settings, own, model))
        return Instance(index, members)

    def _member(
        self, label: str, called: str, hostname: str, endpoint: str, variant: VariantSettings, settings: ContainerSettings, own: Path,
        model: Path | None,
    ) -> Member:
        log = self.logs / f"{label}.log"
        arn = f"arn:aws:logs:{self.settings.region}:{self.settings.account}:log-group:/aws/sagemaker/Endpoints/{endpoint}"
        source = Source(called, arn, str(log))
        show = self.show
        shown = None if show is None else lambda line: show(f"[{label}] {line}")
        watch = self.settings.watch
        recipes = self._recipes(label, settings, own, model)
        container = Container(label, recipes, variant.startup_timeout_s, watch, Output(log, shown), self.ledger.note)
        if not settings.multi_model:
            return Member(hostname, container, source)
        assert model is not None
        prefix = settings.model_data
        inside = TARGETS_FOLDER if settings.image else str(model)
        return Member(hostname, container, source, Targets(container, source, model, inside, lambda t, f: self.source.bring_target(prefix, t, f)))

    def _recipes(self, label: str, settings: ContainerSettings, own: Path, model: Path | None) -> Callable[[int], Recipe]:
        """How to start the container on a port; with a name of its own each time."""
        name = f"argosy-{label.replace('/', '-')}-{self.token}".lower()
        if not settings.image:
            return lambda port: process_recipe(settings, Place(name, port, model, own, self.settings.region))
        engine = self.engine()
        stop_s = self.settings.watch.stop_s
        return lambda port: engine.recipe(settings, Place(f"{name}-{port}", port, model, own, self.settings.region), stop_s)
