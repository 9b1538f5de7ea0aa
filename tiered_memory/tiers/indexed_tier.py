"""The cold tier of indexed mode: beside each sealed row its vector in clear and its terms blinded, both indexed.

It is for subjects whose recall index would not fit in RAM. What it reveals to whoever reads the disk: a vector of a
static embedder gives its text's words back, and equal terms of one subject have equal tokens, so their frequencies
show. Everything else stays sealed.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tiered_memory.errors import ColdTierError
from tiered_memory.tiers.base import Probe, Reveal, Revealed, SubjectRef, TierRecord
from tiered_memory.tiers.lance_rows import COLUMNS, any_of, records_of, sealed_rows, sealed_schema
from tiered_memory.tiers.lance_tier import LanceTier, TableHandle, merge

VECTOR, TOKENS = "vector", "tokens"
FLAT_LIMIT = 10_000
"""Rows up to which comparing a question with every vector is faster than an index of them."""
REVEALED_AT_ONCE = 2_000
"""Rows that get their columns in one step when a table was written without."""
NEARBY = (-1, 1)
"""Orders at which a turn's neighbours in its session are looked for; two on each side found no more evidence."""


class IndexedTier(LanceTier):
    """A `LanceTier` that can also be asked for candidates. Scores are left to whoever ranks them."""

    def __init__(
        self,
        directory: Path,
        table_name: Callable[[SubjectRef], str],
        *,
        embedder: str,
        dimensions: int,
    ) -> None:
        super().__init__(directory, table_name, embedder=embedder)
        self.reveal: Reveal = _nobody
        """Set by whoever has the keys, before the first record is written."""
        self._dimensions = dimensions

    async def probe(self, subject: SubjectRef, probe: Probe) -> list[TierRecord]:
        """Return the rows that either index nominates, and the rows next to them by order; in no order."""
        async with self._locked(subject) as name, self._scans:
            handle = await self._handle(name)
            if handle is None:
                return []
            await self._prepare(subject, name, handle)
            found = await self._nominated(handle.table, probe)
            orders = {record.order + step for record in found.values() for step in NEARBY}
            orders -= {record.order for record in found.values()}
            return [*found.values(), *await self._where(handle.table, _any_order(orders))]

    async def fetch(self, subject: SubjectRef, ids: Sequence[str]) -> list[TierRecord]:
        """Return the rows of these ids, those that there are."""
        if not ids:
            return []
        async with self._locked(subject) as name, self._scans:
            handle = await self._handle(name)
            return [] if handle is None else await self._where(handle.table, any_of(ids))

    async def _nominated(self, table: Any, probe: Probe) -> dict[str, TierRecord]:
        nearest = table.query().nearest_to(probe.vector).distance_type("cosine").column(VECTOR)
        arms = [nearest.limit(probe.limit).select([*COLUMNS, "_distance"])]
        if probe.tokens:
            matching = table.query().nearest_to_text(" ".join(sorted(probe.tokens)), columns=[TOKENS])
            arms.append(matching.limit(probe.limit).select([*COLUMNS, "_score"]))
        found: dict[str, TierRecord] = {}
        for arm in arms:
            found.update({record.id: record for record in records_of(await arm.to_arrow())})
        return found

    async def _prepare(self, subject: SubjectRef, name: str, handle: TableHandle) -> None:
        """Give a table written without it the columns and the terms' index; a kill leaves the rest for next time."""
        if handle.prepared:
            return
        table = handle.table
        missing = [field for field in self._revealing() if field.name not in (await table.schema()).names]
        if missing:
            await table.add_columns(missing)
        while hidden := await self._where(table, f"{TOKENS} IS NULL", limit=REVEALED_AT_ONCE):
            await merge(table, await self._rows(subject, hidden))
        if not any(TOKENS in index.columns for index in await table.list_indices()):
            await table.create_index(TOKENS, config=_whole_tokens())
        await self._sync(name, handle)
        handle.prepared = True

    async def _rewrite(self, name: str, handle: TableHandle) -> None:
        """An index may keep the words of rows that are gone: it goes with them and is made anew of what is left."""
        handle.prepared = False
        for index in await handle.table.list_indices():
            await handle.table.drop_index(index.name)
        await super()._rewrite(name, handle)

    async def _improve(self, handle: TableHandle) -> None:
        """Index the vectors once there are too many to compare with each."""
        table = handle.table
        known = any(VECTOR in index.columns for index in await table.list_indices())
        if not known and await table.count_rows() > FLAT_LIMIT:
            await table.create_index(VECTOR, config=_flat_lists())

    async def _where(self, table: Any, predicate: str, limit: int | None = None) -> list[TierRecord]:
        if not predicate:
            return []
        query = table.query().where(predicate).select(COLUMNS)
        return records_of(await (query if limit is None else query.limit(limit)).to_arrow())

    def _schema(self) -> Any:
        import pyarrow as pa

        sealed = sealed_schema(self._embedder)
        return pa.schema([*sealed, *self._revealing()], metadata=sealed.metadata)

    def _revealing(self) -> list[Any]:
        import pyarrow as pa

        return [pa.field(VECTOR, pa.list_(pa.float32(), self._dimensions)), pa.field(TOKENS, pa.string())]

    async def _rows(self, subject: SubjectRef, records: Sequence[TierRecord]) -> Any:
        import pyarrow as pa

        revealed = await self.reveal(subject, records)
        rows = sealed_rows(records)
        flat = pa.array(np.concatenate([one.vector for one in revealed]).astype(np.float32, copy=False))
        vectors = pa.FixedSizeListArray.from_arrays(flat, self._dimensions)
        tokens = pa.array([" ".join(one.tokens) for one in revealed], pa.string())
        return rows.append_column(VECTOR, vectors).append_column(TOKENS, tokens)


async def _nobody(subject: SubjectRef, records: Sequence[TierRecord]) -> Sequence[Revealed]:
    del subject, records
    raise ColdTierError("indexed mode has nobody who may open records")


def _any_order(orders: Collection[int]) -> str:
    return f"`order` IN ({', '.join(map(str, sorted(orders)))})" if orders else ""


def _whole_tokens() -> Any:
    """Keep tokens as they are: the defaults would stem them and drop long ones in silence."""
    from lancedb.index import FTS

    return FTS(
        with_position=False,
        base_tokenizer="whitespace",
        max_token_length=None,
        lower_case=False,
        stem=False,
        remove_stop_words=False,
        ascii_folding=False,
    )


def _flat_lists() -> Any:
    from lancedb.index import IvfFlat

    return IvfFlat(distance_type="cosine")
