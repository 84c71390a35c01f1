"""Tells what kind of file a body is: any bytes in, label, media type and score out. The shortest form of a handler: one typed function."""

from __future__ import annotations

from pathlib import Path

from magika import Magika

from argosy.handler import InvalidInput

_magika = Magika(model_dir=Path(__file__).parent / "model")


def predict(file: bytes) -> dict:
    """What Magika makes of the file."""
    if not file:
        raise InvalidInput("The file is empty.")
    found = _magika.identify_bytes(file)
    return {"label": found.output.label, "media_type": found.output.mime_type, "description": found.output.description, "score": found.score}
