"""Counts what is in a text: the smallest useful thing to serve."""

from __future__ import annotations

WORDS_PER_MINUTE = 230


def predict(text: str) -> dict:
    """How many words and letters the text has, and how many seconds a person needs to read it."""
    words = text.split()
    return {
        "words": len(words),
        "letters": sum(map(str.isalpha, text)),
        "reading_time_s": round(60 * len(words) / WORDS_PER_MINUTE, 1),
    }
