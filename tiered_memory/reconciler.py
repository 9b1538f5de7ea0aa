"""What new memories do to those that are held, worked out before a write is put down.

Judged purely by `scoring/reconcile.py`; a hook may judge in the rules' place. Nothing is changed here: the outcome
is drafts with their links, and the next versions of held memories, which the write commits together or not at all.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Collection, Hashable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any, assert_never

import anyio
import anyio.lowlevel
import numpy as np

from tiered_memory.active import ActiveSubject, wording_of
from tiered_memory.core import Core
from tiered_memory.drafts import Amendment, Draft, promoted
from tiered_memory.forgetting.routing import MERGED, UPDATING
from tiered_memory.formats.record import closed, decode_fields, repeated, vectors_of
from tiered_memory.held import HeldMemory
from tiered_memory.model import Kind, Repeat, Sensitivity
from tiered_memory.paging import Pager
from tiered_memory.scoring.recall_index import Query
from tiered_memory.scoring.reconcile import (
    Claim,
    Close,
    Conflict,
    Finding,
    Merge,
    Rival,
    profile_key,
    reconcile,
)
from tiered_memory.scoring.supersession import Judgement, worth_comparing
from tiered_memory.sight import Sight

logger = logging.getLogger("tiered_memory")

RIVALS = 5
"""How many held memories a new one is compared with: more close hardly more stale ones, and more that are not."""
AT_ONCE = 16
"""Drafts judged before others get their turn on the event loop."""
COMPARED = object()
"""The name of the turn of what is compared with everything held."""
TINY = 1e-12
HOOK_SECONDS = 2.0


@dataclass(slots=True)
class Settled:
    """A write's drafts with their links, the next versions of held memories, and volatile ones that it promotes."""

    drafts: list[Draft]
    amendments: dict[str, Amendment] = field(default_factory=dict)
    promoted: dict[str, Draft] = field(default_factory=dict)
    since: int = 0
    sight: Sight | None = None

    @property
    def entries(self) -> int:
        """How many of them go to cold."""
        return sum(one.placement.cold for one in self.drafts) + len(self.amendments) + len(self.promoted)


class Reconciler:
    """Finds, for new memories, what they bring up to date, repeat, or contradict."""

    def __init__(self, core: Core, pager: Pager) -> None:
        self._core = core
        self.pager = pager

    async def settle(
        self,
        active: ActiveSubject,
        drafts: Sequence[Draft],
        besides: Collection[str] = (),
        sight: Sight | None = None,
    ) -> Settled:
        """Return the write as it is to be put down; memories `besides`, and those beyond `sight`, are left as they are."""
        now_us, since = self._core.now_us(), active.turns.ended
        purpose = drafts[0].memory.purpose if drafts else ""
        work = _Work(active, self._core, _Scope(purpose, frozenset(besides), now_us, sight))
        for number, draft in enumerate(drafts, 1):
            rivals: list[Rival] = []
            if number % AT_ONCE == 0:
                await anyio.lowlevel.checkpoint()
            if _comparable(draft):
                await self.pager.bring_for(active, [Query(draft.turn.terms, draft.turn.vector)], RIVALS)
                rivals = work.remaining(await self._judged(draft, work.rivals(draft)))
            work.take(draft, rivals, last=number == len(drafts))
        return Settled(work.drafts, work.amendments, work.promoted, since, sight)

    @asynccontextmanager
    async def turn(
        self, active: ActiveSubject, drafts: Sequence[Draft], settled: Settled
    ) -> AsyncIterator[Settled]:
        """Let one at a time commit and publish of those that could repeat or change each other.

        Yields the write as it is to be put down now: settled again when another was published since.
        """
        names = {name for draft in drafts if _comparable(draft) for name in self._names(draft)}
        async with active.turns.held(names):
            if names and active.turns.ended != settled.since:
                settled = await self.settle(active, drafts, sight=settled.sight)
            yield settled

    def _names(self, draft: Draft) -> Iterator[Hashable]:
        if draft.mergeable:
            yield wording_of(draft.turn.terms)
        key = _key_of(draft)
        if key is not None:
            yield key
        elif _is_compared(self._core, draft):
            yield COMPARED

    async def _judged(self, draft: Draft, rivals: list[Rival]) -> list[Rival]:
        """Let the hook judge; the rules stand in for one that is late, fails, or answers something else."""
        hook = self._core.supersession
        if hook is None or not rivals:
            return rivals
        told: Sequence[Any] = ()
        with anyio.move_on_after(HOOK_SECONDS):
            try:
                told = await hook(draft.statement, [rival.claim.statement for rival in rivals])
            except Exception as error:  # noqa: BLE001 - what a foreign model raises is not ours to list
                logger.warning("the supersession hook failed (%s); the rules judge", type(error).__name__)
        if len(told) != len(rivals) or not all(isinstance(one, Judgement) for one in told):
            return rivals
        return [replace(rival, told=one) for rival, one in zip(rivals, told, strict=True)]


@dataclass(frozen=True, slots=True)
class _Scope:
    """The purpose of a write, the memories it is to leave alone, its moment, and what its caller may see."""

    purpose: str
    besides: frozenset[str]
    now_us: int
    sight: Sight | None


class _Work:
    """One write being settled: what was decided so far."""

    def __init__(self, active: ActiveSubject, core: Core, scope: _Scope) -> None:
        self._active = active
        self._core = core
        self._purpose, self._besides, self._now_us = scope.purpose, scope.besides, scope.now_us
        self._sight = scope.sight
        self._full_trust = core.policy.guard.full_trust
        self._earlier = _Earlier()
        self._places: dict[str, int] = {}
        self._bases: dict[str, HeldMemory] = {}
        self.drafts: list[Draft] = []
        self.amendments: dict[str, Amendment] = {}
        self.promoted: dict[str, Draft] = {}

    def rivals(self, draft: Draft) -> list[Rival]:
        """Return the current memories, and the drafts before this one, that are nearest to it.

        One that can change nothing may still repeat: then only what has the same words is a rival.
        """
        same = self._same_words(draft) if draft.mergeable else []
        if not _is_compared(self._core, draft):
            return same
        known = {one.claim.id for one in same}
        found = same + [one for one in self._held_rivals(draft) if one.claim.id not in known]
        key = _key_of(draft)
        nearest = self._earlier.nearest(draft) if key is None else self._earlier.keyed(key)
        for at, near in nearest:
            one = self.drafts[at]
            if one.memory.id not in known and _stands(one):
                found.append(Rival(one.claim or claim_of(one), near))
        return found

    def _same_words(self, draft: Draft) -> list[Rival]:
        active, purpose = self._active, draft.memory.purpose
        alike = active.worded.get(wording_of(draft.turn.terms), ())
        held = [active.held[one] for one in alike if self._is_current(one, purpose) or self._may_be_kept(one)]
        found = [Rival(active.claim(one.id), _nearness(draft, one)) for one in held]
        found += [
            Rival(claim_of(one), _cosine(draft.turn.vector, one.turn.vector))
            for one in map(self.drafts.__getitem__, self._earlier.worded(draft))
            if _stands(one)
        ]
        return found

    def remaining(self, rivals: Sequence[Rival]) -> list[Rival]:
        """Return those that did not leave while a hook was judging them."""
        held, drafted = self._active.held, self._places
        return [rival for rival in rivals if rival.claim.id in held or rival.claim.id in drafted]

    def take(self, draft: Draft, rivals: Sequence[Rival], *, last: bool) -> None:
        """Add a draft and carry out what follows from it; those after it, if any, may follow up on it."""
        place, claim = len(self.drafts), claim_of(draft) if rivals else None
        self.drafts.append(replace(draft, claim=claim))
        self._places[draft.memory.id] = place
        for finding in () if claim is None else reconcile(claim, rivals, self._full_trust):
            self._carry_out(finding, place)
        if not last:
            self._earlier.add(self.drafts[place], place)

    def _held_rivals(self, draft: Draft) -> list[Rival]:
        """A profile key is asked for; what has none is compared with the current ones that are nearest to it."""
        active, purpose, key = self._active, draft.memory.purpose, _key_of(draft)
        if key is not None:
            keyed = (one for one in active.profiles.get(key, ()) if self._is_current(one, purpose))
            return [Rival(active.claim(one), 0.0) for one in keyed]
        turn = draft.turn
        near = active.index.alike(turn.terms, turn.vector, RIVALS, lambda one: self._is_current(one, purpose))
        return [Rival(active.claim(one), cosine) for one, cosine in near]

    def _is_current(self, memory_id: str, purpose: str) -> bool:
        """Tell whether a memory is durable, kept for the same purpose, and nothing has taken its place."""
        tracked = self._active.tracked.get(memory_id)
        amendment = self.amendments.get(memory_id)
        return (
            tracked is not None
            and tracked.row.purpose == purpose
            and self._is_seen(tracked.row.sensitivity)
            and memory_id not in self._active.superseded
            and memory_id not in self._besides
            and (amendment is None or amendment.held.superseded_by is None)
        )

    def _is_seen(self, level: str) -> bool:
        return self._sight is None or Sensitivity(level) in self._sight.levels

    def _may_be_kept(self, memory_id: str) -> bool:
        """Tell whether a volatile memory, said again, goes to cold."""
        held = self._active.held.get(memory_id)
        if held is None or memory_id in self._besides or not self._is_seen(held.sensitivity):
            return False
        draft = promoted(self._core, self._active, held, self._now_us)
        return draft is not None and draft.memory.purpose == self._purpose

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
        if any(one in self._active.held and self._active.held[one].volatile for one in (finding.old_id, by)):
            return  # what hot alone has ends by itself
        if finding.old_id == self.drafts[at].memory.id:
            self.drafts[at] = self.drafts[at].superseded(by, at_us, reason)
            return
        new = self.drafts[at] if self.drafts[at].placement.cold else self.drafts[at].kept_for(UPDATING)
        self.drafts[at] = new.superseding(finding.old_id)
        place = self._places.get(finding.old_id)
        if place is not None:
            self.drafts[place] = self.drafts[place].superseded(by, at_us, reason)
        else:
            plaintext = self._as_it_will_be(finding.old_id).plaintext
            self._amend(finding.old_id, closed(plaintext, by, at_us, reason))

    def _merge(self, into_id: str, at: int) -> None:
        memory = self.drafts[at].memory
        repeat = Repeat(memory.id, memory.order, memory.occurred_at, memory.session)
        place, held = self._places.get(into_id), self._active.held.get(into_id)
        if place is not None:
            self.drafts[place] = self.drafts[place].said_again(repeat)
        elif held is not None and held.volatile:
            kept = self.promoted.get(into_id) or promoted(self._core, self._active, held, self._now_us)
            if kept is None:
                return
            self.promoted[into_id] = kept.said_again(repeat)
        else:
            before = self._active.tracked[into_id].state
            self._amend(into_id, repeated(self._as_it_will_be(into_id).plaintext, repeat))
            state = self._core.curve.use(before, self._now_us)
            self.amendments[into_id] = replace(self.amendments[into_id], before=before, state=state)
        self.drafts[at] = replace(self.drafts[at], placement=MERGED, merged_into=into_id)

    def _as_it_will_be(self, memory_id: str) -> HeldMemory:
        amendment = self.amendments.get(memory_id)
        return self._active.held[memory_id] if amendment is None else amendment.held

    def _amend(self, memory_id: str, plaintext: bytes) -> None:
        """Its base stays the version first seen: what another write makes of it meanwhile must not get lost."""
        base = self._bases.setdefault(memory_id, self._active.held[memory_id])
        made = Amendment.of(base, plaintext)
        known = self.amendments.get(memory_id, made)
        self.amendments[memory_id] = replace(made, before=known.before, state=known.state)


class _Earlier:
    """The drafts of the same call by their words: they are not in the index yet."""

    def __init__(self) -> None:
        self._vectors = np.zeros((0, 0), np.float32)
        self._places: list[int] = []
        self._by_term: dict[str, list[int]] = {}
        self._by_wording: dict[int, list[int]] = {}
        self._by_key: dict[str, list[int]] = {}

    def add(self, draft: Draft, place: int) -> None:
        """Take in a draft that later ones may bring up to date or repeat."""
        if not (draft.placement.cold and _comparable(draft)):
            return
        row = len(self._places)
        if row == len(self._vectors):
            grown = np.zeros((2 * row + 16, draft.turn.vector.size), np.float32)
            grown[:row] = self._vectors if row else 0.0
            self._vectors = grown
        self._vectors[row] = draft.turn.vector / max(float(np.linalg.norm(draft.turn.vector)), TINY)
        self._places.append(place)
        self._by_wording.setdefault(wording_of(draft.turn.terms), []).append(place)
        key = _key_of(draft)
        if key is not None:
            self._by_key.setdefault(key, []).append(place)
        for term in draft.turn.terms:
            self._by_term.setdefault(term, []).append(row)

    def worded(self, draft: Draft) -> Sequence[int]:
        """Return the places of the drafts of the same words."""
        return self._by_wording.get(wording_of(draft.turn.terms), ())

    def keyed(self, key: str) -> list[tuple[int, float]]:
        """Return the places of the drafts with a profile key, as `nearest` does."""
        return [(place, 0.0) for place in self._by_key.get(key, ())]

    def nearest(self, draft: Draft) -> list[tuple[int, float]]:
        """Return the places of at most `RIVALS` drafts, each with its cosine, the nearest first."""
        if not self._places:
            return []
        vector, terms = draft.turn.vector, draft.turn.terms
        cosines = self._vectors[: len(self._places)] @ vector / max(float(np.linalg.norm(vector)), TINY)
        nearness = cosines.astype(np.float64)
        for row in (row for term in terms for row in self._by_term.get(term, ())[-RIVALS:]):
            nearness[row] += 1.0 / len(terms)
        best = np.argsort(-nearness, kind="stable")[:RIVALS].tolist()
        return [(self._places[row], float(cosines[row])) for row in best]


def claim_of(draft: Draft) -> Claim:
    """Return a draft as it is compared."""
    memory = draft.memory
    return Claim(
        id=memory.id,
        order=memory.order,
        statement=draft.statement,
        kind=memory.kind,
        sensitivity=memory.sensitivity,
        agent=memory.agent,
        metadata=memory.metadata,
        mergeable=draft.mergeable,
        trust=memory.trust,
    )


def _comparable(draft: Draft) -> bool:
    """What may not be kept, or only with its session, changes nothing that is."""
    return draft.placement.durable and draft.placement.searchable and bool(draft.turn.terms)


def _is_compared(core: Core, draft: Draft) -> bool:
    """Tell whether it may change what has other words."""
    asked = core.supersession is not None or draft.memory.kind is Kind.PROFILE
    return asked or worth_comparing(draft.statement)


def _stands(draft: Draft) -> bool:
    return draft.placement.cold and draft.memory.superseded_by is None


def _key_of(draft: Draft) -> str | None:
    return profile_key(draft.memory.kind, draft.memory.metadata)


def _nearness(draft: Draft, held: HeldMemory) -> float:
    fields = decode_fields(held.plaintext)
    return _cosine(draft.turn.vector, vectors_of([fields], draft.turn.vector.size)[0])


def _cosine(one: Any, other: Any) -> float:
    length = float(np.linalg.norm(one)) * float(np.linalg.norm(other))
    return float(np.dot(one, other)) / length if length else 0.0
