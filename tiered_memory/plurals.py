"""Numbers with their nouns, for what people read. Pure."""

from __future__ import annotations


def counted(count: int, one: str, several: str = "") -> str:
    """Return a number with its noun: "1 user", "2,000 users"; `several` is for nouns that take no s."""
    return f"{count:,} {one if count == 1 else several or one + 's'}"


def in_days(days: float) -> str:
    """Return a span in days: "1 day", "0.5 days"."""
    return "1 day" if days == 1 else f"{days:g} days"
