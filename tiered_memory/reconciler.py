"""What new memories do to those that are held, worked out before a write is put down.

Judged purely by `scoring/reconcile.py`; a hook may judge in the rules' place. Nothing is changed here: the outcome
is drafts with their links, and the next versions of held memories, which the write commits together or not at all.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, assert_never

import anyio
import numpy as np

from tiered_memory.active import ActiveSubject, HeldMemory
from tiered_memory.core import Core
from tiered_memory.drafts import Amendment, Draft
from tiered_memory.forgetting.routing import MERGED, UPDATING
from tiered_memory.formats.record import closed, decode_fields, repeated
from tiered_memory.model import Kind, Repeat, Role, Sensitivity
from tiered_memory.scoring.recall_index import Query
from tiered_memory.scoring.reconcile import Claim, Close, Conflict, Finding, Merge, Rival, reconcile
from tiered_memory.scoring.supersession import SAME_VECTOR, Judgement, Statement, worth_comparing

logger = logging.getLogger("tiered_memory")

RIVALS = 20
HOOK_SECONDS = 2.0


@dataclass(slots=True)
class Settled:
    """A write's drafts with their links, and the next versions of held memories by id."""

    drafts: list[Draft]
    amendments: dict[str, Amendment] = field(default_factory=dict)


class Reconciler:
    """Finds, for new memories, what they bring up to date, repeat, or contradict."""

    def __init__(self, core: Core) -> None:
        self._core = core

    async def settle(
        self, active: ActiveSubject, drafts: Sequence[Draft], besides: Collection[str] = ()
    ) -> Settled:
        """Return the write as it is to be put down; memories `besides` are left as they are."""
        now_us = self._core.now_us()
        work = _Work(active, self._core, frozenset(besides), now_us)
        for draft in drafts:
            rivals: list[Rival] = []
            if _comparable(draft):
                rivals = await self._judged(draft, work.rivals(draft))
            work.take(draft, rivals)
        return Settled(work.drafts, work.amendments)

    async def _judged(self, draft: Draft, rivals: list[Rival]) -> list[Rival]:
        """Let the hook judge; the rules stand in for one that is late, fails, or answers something else."""
        hook = self._core.supersession
        if hook is None or not rivals:
            return rivals
        told: Sequence[Any] = ()
        with anyio.move_on_after(HOOK_SECONDS):
            try:
                told = await hook(_statement(draft), [rival.claim.statement for rival in rivals])
            except Exception as error:  # noqa: BLE001 - what a foreign model raises is not ours to list
                logger.warning("the supersession hook failed (%s); the rules judge", type(error).__name__)
        if len(told) != len(rivals) or not all(isinstance(one, Judgement) for one in told):
            return rivals
        return [replace(rival, told=one) for rival, one in zip(rivals, told, strict=True)]


class _Work:
    """One write being settled: what was decided so far."""

    def __init__(self, active: ActiveSubject, core: Core, besides: frozenset[str], now_us: int) -> None:
        self._active = active
        self._core = core
        self._besides = besides
        self._now_us = now_us
        self._earlier = _Earlier()
        self.drafts: list[Draft] = []
        self.amendments: dict[str, Amendment] = {}

    def rivals(self, draft: Draft) -> list[Rival]:
        """Return the current memories, and the drafts before this one, that are nearest to it.

        One that can change nothing may still repeat: then only what is as good as the same is a rival.
        """
        least = SAME_VECTOR
        if self._core.supersession or draft.memory.kind is Kind.PROFILE or worth_comparing(_statement(draft)):
            least = -1.0
        elif not draft.mergeable:
            return []
        found = self._held_rivals(draft, least)
        for at, near in self._earlier.nearest(draft):
            one = self.drafts[at]
            if near >= least and one.placement.cold and one.memory.superseded_by is None:
                found.append(Rival(claim_of(one), near))
        return found

    def take(self, draft: Draft, rivals: Sequence[Rival]) -> None:
        """Add a draft and carry out what follows from it."""
        place = len(self.drafts)
        self.drafts.append(draft)
        for finding in reconcile(claim_of(draft), rivals) if rivals else ():
            self._carry_out(finding, place)
        self._earlier.add(self.drafts[place], place)

    def _held_rivals(self, draft: Draft, least: float) -> list[Rival]:
        active, query = self._active, Query(draft.turn.terms, draft.turn.vector)
        found = active.index.candidates(query, per_arm=RIVALS)
        cosines, lexical = found.arms[0], found.arms[1]
        nearness = cosines + lexical / max(float(lexical.max(initial=0.0)), 1e-9)
        rows = (row for row in np.argsort(-nearness).tolist() if cosines[row] >= least)
        likely = ((found.ids[row], float(cosines[row])) for row in rows)
        chosen = [pair for pair in likely if self._is_current(pair[0], draft.memory.purpose)][:RIVALS]
        known = {memory_id for memory_id, _ in chosen}
        if draft.memory.kind is Kind.PROFILE:
            profiles = (one.id for one in active.held.values() if one.kind == Kind.PROFILE.value)
            chosen += [
                (one, 0.0)
                for one in profiles
                if one not in known and self._is_current(one, draft.memory.purpose)
            ]
        return [Rival(_claim_of_held(active.held[one]), near) for one, near in chosen]

    def _is_current(self, memory_id: str, purpose: str) -> bool:
        """Tell whether a memory is durable, kept for the same purpose, and nothing has taken its place."""
        tracked = self._active.tracked.get(memory_id)
        amendment = self.amendments.get(memory_id)
        return (
            tracked is not None
            and tracked.row.purpose == purpose
            and memory_id not in self._active.superseded
            and memory_id not in self._besides
            and (amendment is None or amendment.held.superseded_by is None)
        )

    def _carry_out(self, finding: Finding, at: int) -> None:
        match finding:
            case Close():
                self._close(finding, at)
            case Merge(into_id=into_id):
                self._merge(into_id, at)
            case Conflict(old_id=old_id):
                self.drafts[at] = self.drafts[at].contesting(old_id)
            case _:
                assert_never(finding)

    def _close(self, finding: Close, at: int) -> None:
        """What changes the knowledge that is kept is kept itself, however unimportant it sounds."""
        by, at_us, reason = finding.by, finding.at_us, finding.reason
        if finding.old_id == self.drafts[at].memory.id:
            self.drafts[at] = self.drafts[at].superseded(by, at_us, reason)
            return
        new = self.drafts[at] if self.drafts[at].placement.cold else self.drafts[at].kept_for(UPDATING)
        self.drafts[at] = new.superseding(finding.old_id)
        place = self._place_of(finding.old_id)
        if place is not None:
            self.drafts[place] = self.drafts[place].superseded(by, at_us, reason)
        else:
            plaintext = self._as_it_will_be(finding.old_id).plaintext
            self._amend(finding.old_id, closed(plaintext, by, at_us, reason))

    def _merge(self, into_id: str, at: int) -> None:
        memory = self.drafts[at].memory
        repeat = Repeat(memory.id, memory.order, memory.occurred_at, memory.session)
        place = self._place_of(into_id)
        if place is not None:
            self.drafts[place] = self.drafts[place].said_again(repeat)
        else:
            before = self._active.tracked[into_id].state
            self._amend(into_id, repeated(self._as_it_will_be(into_id).plaintext, repeat))
            state = self._core.curve.use(before, self._now_us)
            self.amendments[into_id] = replace(self.amendments[into_id], before=before, state=state)
        self.drafts[at] = replace(self.drafts[at], placement=MERGED, merged_into=into_id)

    def _place_of(self, memory_id: str) -> int | None:
        return next((at for at, one in enumerate(self.drafts) if one.memory.id == memory_id), None)

    def _as_it_will_be(self, memory_id: str) -> HeldMemory:
        amendment = self.amendments.get(memory_id)
        return self._active.held[memory_id] if amendment is None else amendment.held

    def _amend(self, memory_id: str, plaintext: bytes) -> None:
        made = Amendment.of(self._active.held[memory_id], plaintext)
        known = self.amendments.get(memory_id, made)
        self.amendments[memory_id] = replace(made, before=known.before, state=known.state)


class _Earlier:
    """The drafts of the same call by their vectors and terms: they are not in the index yet."""

    def __init__(self) -> None:
        self._places: list[int] = []
        self._terms: list[frozenset[str]] = []
        self._vectors = np.zeros((0, 0), np.float32)

    def add(self, draft: Draft, place: int) -> None:
        """Take in a draft that later ones may bring up to date or repeat."""
        if not (draft.placement.cold and _comparable(draft)):
            return
        count = len(self._places)
        if count == len(self._vectors):
            grown = np.zeros((2 * count + 16, draft.turn.vector.size), np.float32)
            grown[:count] = self._vectors[:count] if count else 0
            self._vectors = grown
        self._vectors[count] = draft.turn.vector / max(float(np.linalg.norm(draft.turn.vector)), 1e-12)
        self._places.append(place)
        self._terms.append(frozenset(draft.turn.terms))

    def nearest(self, draft: Draft) -> list[tuple[int, float]]:
        """Return the places of at most `RIVALS` drafts, each with its cosine, the nearest first."""
        if not self._places:
            return []
        vector, terms = draft.turn.vector, draft.turn.terms.keys()
        cosines = self._vectors[: len(self._places)] @ vector / max(float(np.linalg.norm(vector)), 1e-12)
        shared = [len(terms & known) for known in self._terms]
        nearness = cosines + np.array(shared) / max(1, len(terms))
        best = np.argsort(-nearness, kind="stable")[:RIVALS].tolist()
        return [(self._places[at], float(cosines[at])) for at in best]


def claim_of(draft: Draft) -> Claim:
    """Return a draft as it is compared."""
    memory = draft.memory
    return Claim(
        id=memory.id,
        order=memory.order,
        statement=_statement(draft),
        kind=memory.kind,
        sensitivity=memory.sensitivity,
        agent=memory.agent,
        metadata=memory.metadata,
        mergeable=draft.mergeable,
    )


def _claim_of_held(held: HeldMemory) -> Claim:
    fields = decode_fields(held.plaintext)
    role, author = Role(fields["role"]), fields.get("author")
    return Claim(
        id=held.id,
        order=held.order,
        statement=Statement(fields["content"], role, author, held.occurred_us, fields["terms"]),
        kind=Kind(held.kind),
        sensitivity=Sensitivity(fields["sensitivity"]),
        agent=held.agent,
        metadata=fields.get("metadata", {}),
    )


def _statement(draft: Draft) -> Statement:
    memory, turn = draft.memory, draft.turn
    return Statement(memory.content, memory.role, memory.author, turn.occurred_at_us, turn.terms)


def _comparable(draft: Draft) -> bool:
    """What may not be kept, or only with its session, changes nothing that is."""
    return draft.placement.durable and draft.placement.searchable and bool(draft.turn.terms)
