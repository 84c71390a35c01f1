"""Finds where somebody speaks: a WAV file (16 kHz, 16 bit, mono) in, the spans of speech in seconds out. TorchScript, whole batches at once."""

from __future__ import annotations

import io
import os
import wave
from typing import Any

import numpy as np
import torch

RATE = 16_000
WINDOW = 512  # samples for one probability
THRESHOLD = 0.5
PAUSE = 4  # windows; a shorter silence does not end a span


def read_wav(body: Any) -> Any:
    """The samples of a recording, from -1 to 1. Raises ValueError for what this model cannot hear."""
    if not isinstance(body, (bytes, bytearray)):
        raise ValueError("Send a WAV file with the content type audio/wav.")
    try:
        with wave.open(io.BytesIO(body)) as recording:
            kind = recording.getframerate(), recording.getsampwidth(), recording.getnchannels()
            samples = recording.readframes(recording.getnframes())
    except (wave.Error, EOFError) as error:
        raise ValueError(f"This is no WAV file: {error or 'it ends too early'}.") from error
    if kind != (RATE, 2, 1):
        raise ValueError("Send 16000 samples a second of 16 bit in one channel, not {} of {} bytes in {}.".format(*kind))
    return np.frombuffer(samples, "<i2").astype(np.float32) / 32768


def spans(odds: list[float]) -> list[dict[str, float]]:
    """Runs of windows with speech, in seconds; short pauses are bridged."""
    found: list[list[int]] = []
    for index in (index for index, each in enumerate(odds) if each >= THRESHOLD):
        if found and index - found[-1][1] <= PAUSE:
            found[-1][1] = index + 1
        else:
            found.append([index, index + 1])
    return [{"from": round(start * WINDOW / RATE, 3), "to": round(end * WINDOW / RATE, 3)} for start, end in found]


class VoiceService:
    """One network in each worker."""

    def initialize(self, context: Any) -> None:
        """Read the network onto the GPU that the server chose for this worker, or onto the processor."""
        properties = context.system_properties
        self.device = torch.device("cpu" if properties.get("gpu_id") is None else f"cuda:{properties['gpu_id']}")
        self.model = torch.jit.load(os.path.join(properties["model_dir"], "model.pt"), map_location=self.device).eval()

    def handle(self, data: list[dict[str, Any]], context: Any) -> list[dict[str, Any]]:
        """Recordings of one batch are filled up with silence to the longest, heard together, and cut again."""
        recordings: dict[int, Any] = {}
        answers: list[dict[str, Any]] = [{} for _ in data]
        for index, row in enumerate(data):
            context.set_response_content_type(index, "application/json")
            try:
                recordings[index] = read_wav(row.get("audio", row.get("body")))
            except ValueError as error:
                context.set_response_status(400, "Bad Request", index)
                answers[index] = {"message": str(error)}
        for index, odds in zip(recordings, self._listen(list(recordings.values())), strict=True):
            answers[index] = {"seconds": round(len(recordings[index]) / RATE, 3), "speech": spans(odds)}
        return answers

    def _listen(self, recordings: list[Any]) -> list[list[float]]:
        windows = [-(-len(each) // WINDOW) for each in recordings]
        if not any(windows):
            return [[] for _ in windows]
        table = np.zeros((len(recordings), max(windows) * WINDOW), np.float32)
        for row, each in zip(table, recordings, strict=True):
            row[: len(each)] = each
        with torch.inference_mode():
            self.model.reset_states()
            odds = self.model.audio_forward(torch.from_numpy(table).to(self.device), RATE).cpu()
        return [row[:count].tolist() for row, count in zip(odds, windows, strict=True)]
