"""Writes a WAV file in which an artificial voice says vowels between two silences: `python speak.py FILE`. Something to try the detector with."""

from __future__ import annotations

import math
import sys
import wave
from array import array
from pathlib import Path

RATE = 16_000
SILENCE_S, VOWEL_S, GAP_S = 0.5, 0.15, 0.04
# resonances of the mouth, in Hz, and how wide they are
VOWELS = {
    "a": ((730, 90), (1090, 110), (2440, 170), (3400, 250)),
    "i": ((270, 60), (2290, 100), (3010, 170), (3500, 250)),
    "u": ((300, 60), (870, 100), (2240, 170), (3400, 250)),
}


def vowel(name: str, pitch_hz: float) -> list[float]:
    """One vowel: pulses as the vocal cords make them, through the resonances one after another."""
    count, phase, last, samples = int(RATE * VOWEL_S), 0.0, 0, []
    for index in range(count):
        phase += pitch_hz * (1 + 0.05 * math.sin(2 * math.pi * 3 * index / RATE)) / RATE
        samples.append(float(int(phase) - last))
        last = int(phase)
    for centre_hz, width_hz in VOWELS[name]:
        samples = resonate(samples, centre_hz, width_hz)
    loudest = max(map(abs, samples))
    return [0.5 * each / loudest * min(1.0, min(index, count - index) / (0.02 * RATE)) for index, each in enumerate(samples)]


def resonate(samples: list[float], centre_hz: float, width_hz: float) -> list[float]:
    """A filter that rings at one frequency."""
    shrink = math.exp(-math.pi * width_hz / RATE)
    first, second = 2 * shrink * math.cos(2 * math.pi * centre_hz / RATE), -shrink * shrink
    one = two = 0.0
    out = []
    for each in samples:
        one, two = (1 - first - second) * each + first * one + second * two, one
        out.append(one)
    return out


def speech(text: str = "aiuaiu") -> array[int]:
    """The samples, 16 bit: silence, the vowels of `text` with falling pitch, silence."""
    silence = [0.0] * int(RATE * SILENCE_S)
    said = [each for index, name in enumerate(text) for each in (*vowel(name, 130 - 6 * index), *[0.0] * int(RATE * GAP_S))]
    return array("h", [round(32767 * each) for each in (*silence, *said, *silence)])


def write(path: Path, samples: array[int]) -> None:
    """A WAV file of 16 kHz, 16 bit, mono."""
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, RATE, 0, "NONE", ""))
        file.writeframes(samples.tobytes())


if __name__ == "__main__":
    write(Path(sys.argv[1]), speech())
