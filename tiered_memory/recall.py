"""The read path: search, context, and looking at single memories."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from tiered_memory.active import ActiveSubject
from tiered_memory.bulk import in_bulk
from tiered_memory.clock import stopwatch
from tiered_memory.core import Core
from tiered_memory.corroboration import standings
from tiered_memory.embedding.related_terms import related_terms
from tiered_memory.explaining import explained, explained_volatile, gone, life_of
from tiered_memory.forget_model import Life
from tiered_memory.formats.record import decode_fields, memory_of
from tiered_memory.heirs import Wanted
from tiered_memory.held import HeldMemory, state_of
from tiered_memory.held_records import is_current
from tiered_memory.holdings import Opened
from tiered_memory.masking import Masker
from tiered_memory.matching import matching_ids
from tiered_memory.metrics import ContextPacked, Embedded
from tiered_memory.model import (
    Context,
    Explanation,
    Filter,
    HistoryEntry,
    Hit,
    Memory,
    SourceKind,
)
from tiered_memory.paging import FILTERED, NOMINATED, Pager
from tiered_memory.past_versions import entries_of
from tiered_memory.promotion import Promoter
from tiered_memory.scoring.packing import BufferedTurn, Piece, Sections, pack
from tiered_memory.scoring.ranking import Scored, apply_standing, apply_strength
from tiered_memory.scoring.recall_index import PER_ARM, Query, RecallIndex
from tiered_memory.scoring.succession import current_first
from tiered_memory.sessions import Sessions
from tiered_memory.sight import Sight
from tiered_memory.state import commands as c
from tiered_memory.state.base import MemoryRow, MemoryState
from tiered_memory.state.paging import MemoryRows
from tiered_memory.subjects import SubjectDirectory

OVERSAMPLE = 2
RECALL_LIMIT = 30
FORERUNNERS = 100
PAGE = 200
SOURCE_LABELS = {
    SourceKind.TOOL: "a tool",
    SourceKind.DOCUMENT: "a document",
    SourceKind.IMPORT: "an import",
}
"""What a prompt says of a recalled text that neither the user nor the agent said: it is data, not a turn."""


@dataclass(frozen=True, slots=True)
class ContextOptions:
    """What a caller asks of a context. `recall_limit` bounds how many memories compete for the budget.

    It `counts` as a use of what gets in, unless it is only looked at.
    """

    session: str | None
    token_budget: int
    where: Filter | None = None
    recall_limit: int = RECALL_LIMIT
    sight: Sight | None = None
    counts: bool = True


class Recall:
    """Reads for active subjects."""

    def __init__(
        self, core: Core, directory: SubjectDirectory, sessions: Sessions, pager: Pager, promoter: Promoter
    ) -> None:
        self._core = core
        self._masker = Masker(core)
        self._promoter = promoter
        self._directory = directory
        self._sessions = sessions
        self._pager = pager

    async def search(
        self,
        active: ActiveSubject,
        question: str,
        limit: int,
        where: Filter | None = None,
        sight: Sight | None = None,
    ) -> list[Hit]:
        """Return the memories that answer `question` best, each with the terms of its score; None sees all."""
        question = await self._masker.question(active, question)
        begun = stopwatch()
        vector = (await self._core.embedder.embed([question], "query"))[0]
        self._core.observer.observe(Embedded(1, stopwatch() - begun))
        active.check_alive()
        now_us = self._core.now_us()
        query = Query.of(question, vector, now_us, related_terms(question))
        nominated = max(NOMINATED, limit) * (1 if where is None and sight is None else FILTERED)
        await self._pager.bring_for(active, [query], nominated)
        wanted = _wanted(active, where, sight)
        index = active.index if sight is None else sight.index(active, self._core.embedder)
        scored = _found(index, query, wanted, limit)
        strengths = {one.id: self._strength(active, one.id, now_us) for one in scored}
        weighed = apply_strength(scored, strengths, self._core.limits.strength_weight)
        weighed = apply_standing(weighed, standings(active, scored, self._core.policy.guard))
        chosen = current_first(weighed, wanted.successions(active, weighed, query))[:limit]
        self._retrieved(active, chosen)
        hits = [_hit(active, one, self._strength(active, one.id, now_us)) for one in chosen]
        return hits if sight is None else sight.hits(active, hits)

    async def context(self, active: ActiveSubject, question: str, options: ContextOptions) -> Context:
        """Return the session's turns and what is recalled for `question`, fitted to the token budget.

        What gets in counts as used: it was put before a model.
        """
        turns: tuple[BufferedTurn, ...] = ()
        if options.session is not None:
            await self._sessions.ready(active, options.session)
            turns = self._core.warm.turns(active.ref, options.session)
        if options.sight is not None:
            turns = options.sight.turns(active, turns)
        hits = await self.search(active, question, options.recall_limit, options.where, options.sight)
        sections = Sections(
            recalled=[_piece(hit.memory) for hit in hits],
            recent=[replace(turn, memory_id=turn.memory_id or turn.id) for turn in turns],
        )
        packed = pack(sections, options.token_budget, self._core.count_tokens)
        recalled = [item.memory_id for item in packed.items if item.section == "recalled" and item.memory_id]
        if options.counts:
            await self.used(active, recalled)
        self._core.observer.observe(ContextPacked(packed.tokens))
        return packed

    def get(self, active: ActiveSubject, memory_id: str) -> Memory:
        """Return a memory; raises NotFoundError for one that is not held or was forgotten."""
        held = active.held.get(memory_id)
        if held is None:
            raise active.missing(memory_id)
        return held.memory()

    async def page(
        self,
        active: ActiveSubject,
        where: Filter | None,
        limit: int,
        before: int | None,
        sight: Sight | None = None,
    ) -> list[Memory]:
        """Return memories newest first; `before` is the `order` of the last one of the page before."""
        if active.paged:
            found = await self._page_of_large(active, where, limit, before, sight)
            return found if sight is None else sight.memories(active, found)
        ids = active.held.keys() - active.superseded if where is None else matching_ids(active, where)
        if sight is not None:
            ids &= sight.ids(active)
        chosen = [active.held[one] if one in active.held else active.quarantined[one] for one in ids]
        if before is not None:
            chosen = [held for held in chosen if held.order < before]
        chosen.sort(key=lambda held: held.order, reverse=True)
        found = [held.memory() for held in chosen[:limit]]
        return found if sight is None else sight.memories(active, found)

    async def _page_of_large(
        self,
        active: ActiveSubject,
        where: Filter | None,
        limit: int,
        before: int | None,
        sight: Sight | None,
    ) -> list[Memory]:
        """Like `page`, for a subject of which RAM holds a part: read on until enough is found that matches."""
        chosen: list[HeldMemory] = []
        while len(chosen) < limit:
            page = await self._pager.page(active, max(limit, PAGE), before)
            lowest = page[-1].order if page else 0
            volatile = (one for one in active.held.values() if one.volatile)
            known = [active.known(one.memory_id) for one in page]
            passing_by = where is not None and where.include_quarantined
            here = [one for one in known if one is not None and (passing_by or not one.quarantined)]
            here += [
                one for one in volatile if lowest <= one.order and (before is None or one.order < before)
            ]
            passing = (
                {one.id for one in here} - active.superseded if where is None else matching_ids(active, where)
            )
            if sight is not None:
                passing &= sight.ids(active)
            chosen += sorted((o for o in here if o.id in passing), key=lambda one: one.order, reverse=True)
            if not page:
                break
            before = lowest
        return [held.memory() for held in chosen[:limit]]

    async def history(self, active: ActiveSubject, memory_id: str) -> list[HistoryEntry]:
        """Return the held memories of the chain of supersession that goes through one, oldest first.

        A link to one that was removed meanwhile stays as an id that leads nowhere.
        """
        self.get(active, memory_id)
        await self._bring_chain(active, memory_id)
        linked = dict[str, set[str]]()
        for one in active.superseded:
            linked.setdefault(one, set()).add(str(active.held[one].superseded_by))
            linked.setdefault(str(active.held[one].superseded_by), set()).add(one)
        found, ahead = set[str](), [memory_id]
        while ahead:
            one = ahead.pop()
            if one not in found:
                found.add(one)
                ahead += linked.get(one, ())
        held = [active.held[one] for one in found if one in active.held]
        ordered = sorted(held, key=lambda one: (one.occurred_us, one.order))
        return [entry for one in ordered for entry in entries_of(one)]

    async def _bring_chain(self, active: ActiveSubject, memory_id: str) -> None:
        known, ahead = set[str](), [memory_id]
        while active.paged and ahead:
            known.update(ahead)
            await self._pager.bring(active, ahead)
            memories = [active.held[one].memory() for one in ahead if one in active.held]
            linked = {str(one.superseded_by) for one in memories}.union(*(one.supersedes for one in memories))
            ahead = sorted(linked - known - {"None"})

    async def forgotten(self, active: ActiveSubject) -> list[Memory]:
        """Return the memories that were forgotten and can still be restored, newest first."""
        rows = await self._core.state.read(c.Memories(active.ref.pseudonym))
        rows = [row for row in rows if not active.bars(row.purpose)]
        ids = {row.memory_id for row in rows if row.state == MemoryState.FORGOTTEN}
        found = [] if not ids else await self.from_cold(active, ids)
        shown = (memory for memory in found if not memory.quarantined)
        return sorted(shown, key=lambda memory: memory.order, reverse=True)

    async def from_cold(self, active: ActiveSubject, ids: Iterable[str]) -> list[Memory]:
        """Return memories read and verified from cold, for those that are not in RAM."""
        return [
            memory_of(decode_fields(plain), record_id=r.id, order=r.order, version=r.version)
            for r, plain in await self.read(active, ids)
        ]

    async def read(self, active: ActiveSubject, ids: Iterable[str]) -> list[Opened]:
        """Return records read and verified from cold; what is not there, or does not verify, is counted."""
        wanted = set(ids)
        records = [record for record in await self._directory.holdings.records(active) if record.id in wanted]
        opened = self._directory.holdings.open_all(active, records)
        active.check_alive()
        lost = wanted - {record.id for record, _ in opened} - active.damaged
        if lost:
            lost &= {row.memory_id for row in await self._kept(active)}
            self._directory.holdings.report_damage(len(lost))
            active.damaged |= lost
        return opened

    async def damaged(self, active: ActiveSubject, sight: Sight | None = None) -> list[str]:
        """Read everything stored of the subject and return the ids of the memories that are not there, or not whole."""
        before = [row for row in await self._kept(active) if sight is None or row.sensitivity in sight.levels]
        stored = {record.id: record for record in await self._directory.holdings.records(active)}
        found = [stored[row.memory_id] for row in before if is_current(row, stored)]
        opened = await in_bulk(len(found), self._directory.holdings.open_all, active, found)
        lost = {row.memory_id for row in before} - {record.id for record, _ in opened}
        return [row.memory_id for row in await self._kept(active) if row.memory_id in lost] if lost else []

    async def _kept(self, active: ActiveSubject) -> list[MemoryRow]:
        """Return the rows of what is held and not on its way out."""
        rows = await self._core.state.read(c.Memories(active.ref.pseudonym))
        return [row for row in rows if row.state != MemoryState.REMOVING]

    async def explain(self, active: ActiveSubject, memory_id: str) -> Explanation:
        """Return why a memory is kept, how strong it is, and when it will be forgotten."""
        tracked = active.tracked.get(memory_id)
        if tracked is not None and memory_id in active.held:
            return explained(self._core, active.held[memory_id].memory(), tracked.row, tracked.state)
        if memory_id in active.held:
            return explained_volatile(self._core, active, active.held[memory_id])
        rows = await self._core.state.read(c.Memories(active.ref.pseudonym))
        readable = (row for row in rows if not active.bars(row.purpose))
        row = next((row for row in readable if row.memory_id == memory_id), None)
        memories = [] if row is None else await self.from_cold(active, [memory_id])
        if row is None or row.state == MemoryState.REMOVING:
            raise gone(row)
        if not memories:
            raise active.missing(memory_id)
        return explained(self._core, memories[0], row, state_of(row))

    async def life(self, active: ActiveSubject, memory_id: str, points: int) -> Life:
        """Return what `explain` does, with the course of the memory's strength."""
        found = await self.explain(active, memory_id)
        tracked = active.tracked.get(memory_id)
        if tracked is not None:
            return life_of(self._core, found, tracked.row, tracked.state, points)
        rows = await self._core.state.read(MemoryRows(active.ref.pseudonym, (memory_id,)))
        row = rows[0] if rows else None
        return life_of(self._core, found, row, None if row is None else state_of(row), points)

    async def used(self, active: ActiveSubject, memory_ids: Sequence[str]) -> int:
        """Strengthen memories that were used, and keep those that hot alone has; return how many became stronger."""
        strengthened = self.use(active, memory_ids)
        await self._promoter.promote(active, memory_ids)
        return strengthened

    def use(self, active: ActiveSubject, memory_ids: Sequence[str], weight: float = 1.0) -> int:
        """Strengthen memories that were used; written behind. Return how many became stronger."""
        now_us, strengthened = self._core.now_us(), 0
        for memory_id in memory_ids:
            tracked = active.tracked.get(memory_id)
            if tracked is None:
                continue
            state = self._core.curve.use(tracked.state, now_us, weight)
            if state != tracked.state:
                tracked.state = state
                active.used.add(memory_id)
                strengthened += 1
        return strengthened

    def _retrieved(self, active: ActiveSubject, scored: Sequence[Scored]) -> None:
        """Being returned is weak evidence of use: by default it counts for nothing."""
        weight = self._core.policy.decay.retrieved_boost
        if weight > 0:
            self.use(active, [one.id for one in scored], weight)

    def _strength(self, active: ActiveSubject, memory_id: str, now_us: int) -> float:
        tracked = active.tracked.get(memory_id)
        return 1.0 if tracked is None else self._core.curve.strength(tracked.state, now_us)


def _found(index: RecallIndex, query: Query, wanted: Wanted, limit: int) -> list[Scored]:
    """Return the best rows; forerunners of the same heirs take nobody else's place, so more are nominated if need be."""
    per_arm, forerunners, scored = max(PER_ARM, limit), len(wanted.heirs), list[Scored]()
    for more in dict.fromkeys((min(forerunners, FORERUNNERS), forerunners)):
        found = index.candidates(query, eligible=wanted.ranked, per_arm=per_arm + more)
        scored = wanted.best(found, limit * OVERSAMPLE)
        if wanted.shown(scored) >= limit * OVERSAMPLE:
            break
    return scored


def _hit(active: ActiveSubject, scored: Scored, strength: float) -> Hit:
    return Hit(
        memory=active.held[scored.id].memory(),
        score=scored.score,
        terms=scored.terms,
        strength=strength,
        tier=active.tier_of(scored.id),
        conflicts_with=active.rivals(scored.id),
    )


def _wanted(active: ActiveSubject, where: Filter | None, sight: Sight | None = None) -> Wanted:
    current = where is None or (where.as_of is None and not where.include_superseded)
    found = None if where is None else matching_ids(active, where) & active.held.keys()
    if sight is None:
        return Wanted.by(active, found, current=current)
    seen = sight.ids(active)
    matching = active.held.keys() - active.superseded if found is None else found
    return Wanted.by(active, matching & seen, current=current).among(seen)


def _piece(memory: Memory) -> Piece:
    return Piece(
        content=memory.content,
        role=memory.role,
        occurred_at=memory.occurred_at,
        author=memory.author,
        memory_id=memory.id,
        source=SOURCE_LABELS.get(memory.provenance.source),
    )
