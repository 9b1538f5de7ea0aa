"""Records opened, embedded by another embedder, and sealed again under the same key at the same place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

import numpy as np

from tiered_memory.active import ActiveSubject
from tiered_memory.bulk import in_bulk
from tiered_memory.core import Core
from tiered_memory.crypto.envelope import Place
from tiered_memory.embedding.base import Vectors
from tiered_memory.errors import ConfigurationError, CorruptionError, KeyUnavailableError
from tiered_memory.formats.record import Features, PassageFeatures, decode_fields, with_features
from tiered_memory.masking import Masker
from tiered_memory.scoring import text
from tiered_memory.scoring.passages import split
from tiered_memory.scoring.signs import signs_of
from tiered_memory.tiers.base import TierRecord

PROBE = "a text to begin with"


class Fate(StrEnum):
    """What becomes of a record."""

    MOVED = "moved"
    SKIPPED = "skipped"
    DAMAGED = "damaged"


@dataclass(slots=True)
class Opened:
    """A record with what its plaintext says; without, when it does not open."""

    record: TierRecord
    fate: Fate
    fields: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Resealed:
    """A record as it is stored from now on, and the bytes of its plaintext."""

    record: TierRecord
    size: int


class Resealer:
    """Gives records the vectors of the runtime's embedder. Identity, order and version stay what they were."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._masker = Masker(core)

    async def check_embedder(self) -> None:
        """Load the embedder, and refuse one that does not give what it promises before anything depends on it."""
        await self._vectors([PROBE])

    async def opened(
        self, active: ActiveSubject, records: Sequence[TierRecord], where: Place
    ) -> list[Opened]:
        """Open records of one kind of store; what does not open says why."""
        return await in_bulk(len(records), _opened_each, active, records, where)

    async def anew(self, active: ActiveSubject, opened: Sequence[Opened], where: Place) -> list[Resealed]:
        """Return the records that opened, embedded and sealed again; the others are left out.

        Raises:
            ConfigurationError: the embedder does not give the vectors it promises.
        """
        found = [one for one in opened if one.fate is Fate.MOVED]
        contents = await self._masker.indexable(active, [one.fields["content"] for one in found])
        parted = [split(content) for content in contents]
        vectors = await self._vectors(contents)
        parts = iter(await self._vectors([part for one in parted for part in one]))
        passages = [[(text.analyze(part).terms, next(parts)) for part in one] for one in parted]
        features = [
            _features(one.fields, self._core.embedder.name, vector, some)
            for one, vector, some in zip(found, vectors, passages, strict=True)
        ]
        return await in_bulk(len(found), self._sealed_each, active, found, features, where)

    async def _vectors(self, contents: Sequence[str]) -> Vectors:
        embedder = self._core.embedder
        expected = (len(contents), embedder.dimensions)
        if not contents:
            return np.zeros(expected, dtype=np.float32)
        vectors = np.asarray(await embedder.embed(contents, "document"), dtype=np.float32)
        if vectors.shape != expected or not np.isfinite(vectors).all():
            raise ConfigurationError(
                f"the embedder {embedder.name!r} must give {expected[1]} finite numbers for each text"
            )
        return vectors

    def _sealed_each(
        self, active: ActiveSubject, found: Sequence[Opened], features: Sequence[Features], where: Place
    ) -> list[Resealed]:
        return [self._sealed(active, one, its, where) for one, its in zip(found, features, strict=True)]

    def _sealed(self, active: ActiveSubject, one: Opened, features: Features, where: Place) -> Resealed:
        core, record = self._core, one.record
        plaintext = with_features(one.fields, features)
        sealer = active.sealer_for(record.payload)
        context = sealer.context(where, record.id, order=record.order, version=record.version)
        payload = sealer.key.seal(plaintext, context, core.keyring.nonce())
        return Resealed(replace(record, payload=payload), len(plaintext))


def _opened_each(active: ActiveSubject, records: Sequence[TierRecord], where: Place) -> list[Opened]:
    return [_opened_one(active, record, where) for record in records]


def _opened_one(active: ActiveSubject, record: TierRecord, where: Place) -> Opened:
    try:
        plaintext = active.sealer_for(record.payload).open(where, record)
        return Opened(record, Fate.MOVED, decode_fields(plaintext))
    except KeyUnavailableError:
        return Opened(record, Fate.SKIPPED)
    except CorruptionError:
        return Opened(record, Fate.DAMAGED)


def _features(
    fields: Mapping[str, Any], embedder: str, vector: Vectors, passages: Sequence[PassageFeatures]
) -> Features:
    """Return a record's features; terms and signs of another analyzer are made anew."""
    fresh, content = fields["analyzer"] == text.ANALYZER, fields["content"]
    terms = fields["terms"] if fresh else text.analyze(content).terms
    signs = fields.get("signs", ()) if fresh else signs_of(content)
    return Features(text.ANALYZER, terms, embedder, vector, signs, passages)
