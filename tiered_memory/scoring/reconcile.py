"""What a new memory does to those that are held: which it closes, which it repeats, which it stands against. Pure.

The judge tells relations from what is said; here they meet the rules of keeping: nothing is closed or merged across
levels of sensitivity downwards, and a repetition that asks for something of its own stays a memory of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from tiered_memory.model import Kind, Sensitivity
from tiered_memory.scoring.supersession import (
    UNRELATED,
    Judgement,
    Relation,
    Statement,
    judge,
    judge_all,
)

PROFILE_KEY = "key"
SAME_KEY = Judgement(Relation.UPDATES, 1.0, "same profile key", None)
SAME_VALUE = Judgement(Relation.DUPLICATE, 1.0, "same profile key and value", None)
_LEVELS = {level: rank for rank, level in enumerate(Sensitivity)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A memory as it is compared. `order` (unique per user) breaks ties of time.

    `mergeable` tells of a new one whether it may strengthen another in place of standing beside it; `trust` is 0..1.
    """

    id: str
    order: int
    statement: Statement
    kind: Kind = Kind.EPISODIC
    sensitivity: Sensitivity = Sensitivity.INTERNAL
    agent: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    mergeable: bool = False
    trust: float = 1.0

    @property
    def profile_key(self) -> str | None:
        """Return the key of a profile memory: there is one current memory of each."""
        return profile_key(self.kind, self.metadata)


@dataclass(frozen=True, slots=True)
class Rival:
    """A held claim, how near its vector is (cosine, -1..1), and what a model said of the pair, if one was asked."""

    claim: Claim
    similarity: float
    told: Judgement | None = None


@dataclass(frozen=True, slots=True)
class Close:
    """`by` takes the place of `old_id`, from `at_us` on."""

    old_id: str
    by: str
    at_us: int
    reason: str


@dataclass(frozen=True, slots=True)
class Merge:
    """The new one says what `into_id` says: it strengthens it and is no second memory."""

    into_id: str
    new_id: str


@dataclass(frozen=True, slots=True)
class Conflict:
    """Both stay, and both are shown with the other's id."""

    old_id: str
    new_id: str


Finding: TypeAlias = Close | Merge | Conflict


def profile_key(kind: Kind, metadata: Mapping[str, Any]) -> str | None:
    """Return the key that a profile memory's metadata names; None when it is no profile memory, or names none."""
    key = metadata.get(PROFILE_KEY) if kind is Kind.PROFILE else None
    return key if isinstance(key, str) else None


def reconcile(new: Claim, rivals: Sequence[Rival], full_trust: float = 0.0) -> list[Finding]:
    """Return what follows for `new` and the current memories among which it comes.

    A merge comes alone. A memory that arrives late, after a later one that brings it up to date, is closed itself;
    of several such the earliest closes it. What is trusted less than `full_trust` (0..1) takes the place of nothing
    that is trusted more than itself: it stands against it.
    """
    related = list(zip(rivals, _relations(new, rivals), strict=True))
    same = [
        rival
        for rival, found in related
        if found.relation is Relation.DUPLICATE and _merges(new, rival.claim)
    ]
    if same:
        nearest = max(same, key=lambda rival: (rival.similarity, -rival.claim.order))
        return [Merge(nearest.claim.id, new.id)]
    updates = [(rival, found) for rival, found in related if found.relation is Relation.UPDATES]
    refused = [rival for rival, _ in updates if _is_refused(new, rival.claim, full_trust)]
    closing = [_closing(new, rival.claim, found) for rival, found in updates if rival not in refused]
    late = [one for one in closing if one is not None and one.old_id == new.id]
    closed = [one for one in closing if one is not None and one.old_id != new.id]
    against = [rival for rival, found in related if found.relation is Relation.CONFLICTS]
    contested = [Conflict(rival.claim.id, new.id) for rival in (*against, *refused)]
    return [*closed, *sorted(late, key=lambda one: one.at_us)[:1], *contested]


def _relations(new: Claim, rivals: Sequence[Rival]) -> list[Judgement]:
    """Return what `new` is to each rival; for one that came later, what that is to `new`."""
    found = [_without_reading(new, rival) for rival in rivals]
    read = [rival for rival, known in zip(rivals, found, strict=True) if known is None]
    before = [rival for rival in read if _moment(rival.claim) <= _moment(new)]
    told = judge_all(new.statement, [(one.claim.statement, one.similarity) for one in before])
    by_id = {rival.claim.id: one for rival, one in zip(before, told, strict=True)}
    for rival in read:
        if rival.claim.id not in by_id:
            by_id[rival.claim.id] = judge(rival.claim.statement, new.statement, rival.similarity)
    return [
        by_id[rival.claim.id] if known is None else known for rival, known in zip(rivals, found, strict=True)
    ]


def _without_reading(new: Claim, rival: Rival) -> Judgement | None:
    if new.profile_key is not None or rival.claim.profile_key is not None:
        return _relation_of_keys(new, rival)
    return rival.told


def _relation_of_keys(new: Claim, rival: Rival) -> Judgement:
    """A profile key is asked, not read: its memories are compared with each other and with nothing else."""
    if new.profile_key != rival.claim.profile_key:
        return UNRELATED
    same = new.statement.content == rival.claim.statement.content
    return SAME_VALUE if same and _merges(new, rival.claim) else SAME_KEY


def _closing(new: Claim, held: Claim, found: Judgement) -> Close | None:
    later, earlier = (new, held) if _moment(new) >= _moment(held) else (held, new)
    if _LEVELS[later.sensitivity] < _LEVELS[earlier.sensitivity]:
        return None
    return Close(earlier.id, later.id, later.statement.occurred_at_us, found.reason)


def _is_refused(new: Claim, held: Claim, full_trust: float) -> bool:
    """Tell whether the later of both is not trusted enough to take the other's place."""
    later, earlier = (new, held) if _moment(new) >= _moment(held) else (held, new)
    return later.trust < full_trust and later.trust < earlier.trust


def _merges(new: Claim, held: Claim) -> bool:
    return (
        new.mergeable
        and new.kind == held.kind
        and new.agent == held.agent
        and dict(new.metadata) == dict(held.metadata)
        and new.statement.role == held.statement.role
        and new.statement.author == held.statement.author
        and _LEVELS[new.sensitivity] <= _LEVELS[held.sensitivity]
    )


def _moment(claim: Claim) -> tuple[int, int]:
    return claim.statement.occurred_at_us, claim.order
