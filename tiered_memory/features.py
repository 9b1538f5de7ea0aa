"""What is computed from contents when they are written: vectors, index terms, signs, and passages of long ones."""

from __future__ import annotations

from collections.abc import Sequence

from tiered_memory.clock import stopwatch
from tiered_memory.core import Core
from tiered_memory.embedding.base import Vectors
from tiered_memory.formats.record import Features, PassageFeatures
from tiered_memory.metrics import Embedded
from tiered_memory.scoring import text
from tiered_memory.scoring.passages import split
from tiered_memory.scoring.signs import signs_of


async def features_of(core: Core, contents: Sequence[str]) -> list[Features]:
    """Return the features of each content, in order."""
    vectors = await _embedded(core, contents)
    passages = await _passages(core, contents)
    return [
        Features(text.ANALYZER, text.analyze(one).terms, core.embedder.name, vector, signs_of(one), parts)
        for one, vector, parts in zip(contents, vectors, passages, strict=True)
    ]


async def _passages(core: Core, contents: Sequence[str]) -> list[list[PassageFeatures]]:
    """Return the passages of each content; only long ones have some."""
    parted = [split(content) for content in contents]
    parts = [part for one in parted for part in one]
    vectors = iter(await _embedded(core, parts) if parts else ())
    return [[(text.analyze(part).terms, next(vectors)) for part in one] for one in parted]


async def _embedded(core: Core, texts: Sequence[str]) -> Vectors:
    begun = stopwatch()
    vectors = await core.embedder.embed(texts, "document")
    core.observer.observe(Embedded(len(texts), stopwatch() - begun))
    return vectors
