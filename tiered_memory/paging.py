"""Indexed mode: what of a subject too large for RAM is brought into it when it is asked for.

Such a subject is searched in two steps: the cold tier's own indexes nominate memories, those are brought into the
recall index, and the ranking of every other subject takes it from there. RAM keeps the pages asked for last. What is
confidential or restricted has no entry in those indexes and stays in RAM, and so do profile memories, which are
looked up by their key.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import anyio.lowlevel
import numpy as np

from tiered_memory.active import ActiveSubject
from tiered_memory.core import Core, chunks
from tiered_memory.crypto.keyring import SUBJECT_PURPOSE
from tiered_memory.errors import CorruptionError, SubjectErasedError
from tiered_memory.formats.record import decode_fields, vectors_of
from tiered_memory.held import Tracked, state_of
from tiered_memory.held_records import is_current, lasting
from tiered_memory.model import Kind, Sensitivity
from tiered_memory.scoring import text
from tiered_memory.scoring.recall_index import Query
from tiered_memory.state import commands as c
from tiered_memory.state.base import MemoryRow, MemoryState
from tiered_memory.state.paging import MemoryPage, MemoryRows, Placed, ResidentRows
from tiered_memory.subjects import SubjectDirectory
from tiered_memory.tiers.base import Probe, Revealed, SubjectRef, TierRecord

NOMINATED = 50
"""Memories each of the cold tier's indexes nominates for a search: 100 gave the same recall at 10."""
FILTERED = 4
"""How many times as many where a filter will drop some; it is applied to what was nominated."""
PAGES = 4_000
"""Memories of one large subject that stay in RAM between two calls."""
AT_ONCE = 64
MOST_REPEATS = 10
MEANINGLESS = 1e-6
OPEN_LEVELS = frozenset({Sensitivity.PUBLIC.value, Sensitivity.INTERNAL.value})
NEWEST = 2**63 - 1


class Pager:
    """Brings memories of large subjects into RAM; for every other subject it does nothing."""

    def __init__(self, core: Core, directory: SubjectDirectory) -> None:
        self._core = core
        self._directory = directory

    async def bring(self, active: ActiveSubject, memory_ids: Collection[str]) -> None:
        """Have these memories in RAM, those of them that are active."""
        if active.paged:
            await self._settle_in(active)
            await self._bring(active, memory_ids, {})

    async def bring_for(self, active: ActiveSubject, queries: Sequence[Query], nominated: int) -> None:
        """Have in RAM what the cold tier's indexes find for each query, `nominated` (>= 1) by each index."""
        if not active.paged or self._core.indexed is None:
            return
        await self._settle_in(active)
        for query in queries:
            probe = Probe(query.vector, tokens_of(active, dict(query.terms)), nominated)
            found = {record.id: record for record in await self._core.indexed.probe(active.ref, probe)}
            await self._bring(active, found, found)

    async def page(self, active: ActiveSubject, limit: int, before: int | None) -> list[Placed]:
        """Return up to `limit` memories of an order below `before`, newest first, and have them in RAM."""
        order = NEWEST if before is None else before
        placed = await self._core.state.read(MemoryPage(active.ref.pseudonym, order, limit))
        await self.bring(active, [one.memory_id for one in placed])
        return placed

    async def _settle_in(self, active: ActiveSubject) -> None:
        """Have in RAM what no index of the cold tier will nominate: the concealed, profiles, what is on its way."""
        waiting = self._directory.holdings.on_their_way(active).keys() - active.held.keys()
        await self._bring(active, waiting, {})
        if not active.settled:
            rows = await self._core.state.read(ResidentRows(active.ref.pseudonym))
            await self._bring(active, [row.memory_id for row in rows], {})
            active.settled = True

    async def _bring(
        self, active: ActiveSubject, memory_ids: Collection[str], found: Mapping[str, TierRecord]
    ) -> None:
        self._shrink(active)
        for one in memory_ids:
            if one in active.pages:
                active.pages.move_to_end(one)
        missing = [one for one in memory_ids if active.known(one) is None]
        if not missing:
            return
        active.bringing += 1
        try:
            await self._take_in(active, missing, found)
        finally:
            active.bringing -= 1
            if not active.bringing:
                active.left.clear()

    async def _take_in(
        self, active: ActiveSubject, memory_ids: Sequence[str], found: Mapping[str, TierRecord]
    ) -> None:
        rows = await self._core.state.read(MemoryRows(active.ref.pseudonym, tuple(memory_ids)))
        wanted = [row for row in rows if row.state == MemoryState.ACTIVE and not active.bars(row.purpose)]
        records = await self._records(active, wanted, found)
        for start in range(0, len(wanted), AT_ONCE):
            active.check_alive()
            self._admit(active, wanted[start : start + AT_ONCE], records)
            await anyio.lowlevel.checkpoint()

    async def _records(
        self, active: ActiveSubject, rows: Sequence[MemoryRow], found: Mapping[str, TierRecord]
    ) -> dict[str, TierRecord]:
        """Return the newest versions; the way to cold is looked at first: what leaves it meanwhile is in cold by then."""
        known = dict(found) | self._directory.holdings.on_their_way(active)
        absent = [row.memory_id for row in rows if not is_current(row, known)]
        if absent and self._core.indexed is not None:
            for batch in chunks(absent, AT_ONCE):
                known |= {one.id: one for one in await self._core.indexed.fetch(active.ref, batch)}
        return {one.id: lasting(one) for one in known.values()}

    def _admit(
        self, active: ActiveSubject, rows: Sequence[MemoryRow], records: Mapping[str, TierRecord]
    ) -> None:
        """Nothing is awaited here: what left since the rows were read is known, and stays away."""
        away = active.left | {row.memory_id for row in rows if active.bars(row.purpose)}
        fresh = [r for r in rows if r.memory_id not in away and active.known(r.memory_id) is None]
        there = [records[row.memory_id] for row in fresh if is_current(row, records)]
        opened = self._directory.holdings.open_all(active, there)
        states = {row.memory_id: Tracked(row, state_of(row)) for row in fresh}
        active.tracked.update({record.id: states[record.id] for record, _ in opened})
        self._directory.holdings.admit(active, opened)
        staying = {row.memory_id for row in fresh if _stays(row)}
        active.pages.update(dict.fromkeys(one.id for one, _ in opened if one.id not in staying))
        lost = {row.memory_id for row in fresh if row.purpose in active.keys} - {one.id for one, _ in opened}
        self._directory.holdings.report_damage(len(lost - active.damaged))
        active.damaged |= lost

    def _shrink(self, active: ActiveSubject) -> None:
        """Let go of the pages asked for least lately, unless another call may be looking at them."""
        if active.users > 1 or len(active.pages) <= PAGES:
            return
        waiting = self._directory.holdings.on_their_way(active)
        for memory_id in list(active.pages)[: len(active.pages) - PAGES]:
            if memory_id not in active.used and memory_id not in waiting:
                active.release([memory_id])


def _stays(row: MemoryRow) -> bool:
    return row.sensitivity not in OPEN_LEVELS or row.kind == Kind.PROFILE.value


class Revealer:
    """Says what the cold tier may store of a subject's records in clear."""

    def __init__(self, core: Core, directory: SubjectDirectory) -> None:
        self._core = core
        self._directory = directory

    async def reveal(self, ref: SubjectRef, records: Sequence[TierRecord]) -> list[Revealed]:
        """Return the vector and the blind terms of each record; nothing of one that may not be shown."""
        row = await self._core.state.read(c.GetSubject(ref.pseudonym))
        if row is None or row.generation != ref.generation:
            raise SubjectErasedError
        active = await self._directory.peek(row)
        return [self._revealed(active, record) for record in records]

    def _revealed(self, active: ActiveSubject, record: TierRecord) -> Revealed:
        embedder = self._core.embedder
        concealed = Revealed(np.full(embedder.dimensions, MEANINGLESS, np.float32), ())
        try:
            opened = self._directory.holdings.open_all(active, [record])
            fields = [decode_fields(plaintext) for _, plaintext in opened]
        except CorruptionError:
            return concealed
        if not fields or fields[0]["sensitivity"] not in OPEN_LEVELS or fields[0].get("quarantined"):
            return concealed
        terms = dict(text.analyze(fields[0]["content"]).terms)
        for name in text.analyze(fields[0].get("author") or "").terms:
            terms[name] = terms.get(name, 0) + 1
        vector = vectors_of(fields, embedder.dimensions, embedder.name)[0]
        return Revealed(vector if vector.any() else concealed.vector, tokens_of(active, terms))


def tokens_of(active: ActiveSubject, terms: Mapping[str, int]) -> tuple[str, ...]:
    """Return the blind tokens of index terms, 16 hex digits each, keyed by the subject's own key."""
    key = active.keys.get(SUBJECT_PURPOSE, active.ram_key)
    return tuple(
        token
        for term, count in terms.items()
        for token in [key.fingerprint(b"term/" + term.encode())[:8].hex()] * min(count, MOST_REPEATS)
    )
