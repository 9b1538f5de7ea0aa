"""Sentences of a demo."""

from __future__ import annotations

from rich.text import Text

from tiered_memory.cli.output import harmless


def say(sentence: str) -> Text:
    """Return a sentence for a person."""
    return Text(harmless(sentence), style="italic")
