"""Which models there are. `control.manager` is the only writer."""

from __future__ import annotations

from collections.abc import Iterator

from argosy.dataplane.model import Model
from argosy.errors import ArgosyError, ErrorCode


class Registry:
    """Models by name. `generation` changes with every write, so that what was derived from it can be kept until then."""

    def __init__(self) -> None:
        self._models: dict[str, Model] = {}
        self.generation = 0

    def __repr__(self) -> str:
        return f"<Registry {len(self._models)} models>"

    def __contains__(self, name: str) -> bool:
        return name in self._models

    def __iter__(self) -> Iterator[Model]:
        """The models, sorted by name."""
        return iter([self._models[name] for name in sorted(self._models)])

    def __len__(self) -> int:
        return len(self._models)

    def get(self, name: str) -> Model:
        """The model of that name. Raises `ArgosyError` MODEL_NOT_FOUND."""
        model = self._models.get(name)
        if model is None:
            raise ArgosyError(ErrorCode.MODEL_NOT_FOUND, f"Model not found: {name}")
        return model

    def add(self, model: Model) -> None:
        """Make a model known. Raises `ArgosyError` CONFLICT when the name is taken."""
        name = model.spec.name
        if name in self._models:
            raise ArgosyError(ErrorCode.CONFLICT, f"Model {name} is already registered.")
        self._models[name] = model
        self.generation += 1

    def remove(self, name: str) -> Model:
        """Forget a model and return it. Raises `ArgosyError` MODEL_NOT_FOUND."""
        model = self.get(name)
        del self._models[name]
        self.generation += 1
        return model

    def renew(self) -> None:
        """What was derived from it counts no more."""
        self.generation += 1

    @property
    def sole_startup_model(self) -> Model | None:
        """The model loaded at start, if there is exactly one of them."""
        found = [model for model in self._models.values() if model.spec.loaded_at_startup]
        return found[0] if len(found) == 1 else None
