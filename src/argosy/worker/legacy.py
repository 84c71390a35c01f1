"""Services of the 0.x generation: classes that are made with the model's name, folder and manifest, and read a signature file."""

from __future__ import annotations


class ModelService:
    """The root of the old service classes."""
