"""What is held about one person, since when, why and until when; and what the ledger recorded about that person.

Told from the state store and the ledger alone: no content is read. The ledger knows a person by a commitment under a
key of theirs, so that only while the key is held can it be asked, and only about them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from tiered_memory.active import ActiveSubject
from tiered_memory.clock import from_us
from tiered_memory.core import Core
from tiered_memory.formats.leaf import AuditEvent
from tiered_memory.ledger import subject_commitment
from tiered_memory.privacy.decisions import DecisionRecord
from tiered_memory.privacy.disclosure import (
    NoticeSeen,
    ObjectionShown,
    RetentionShown,
    RightOffered,
    SharedIn,
)
from tiered_memory.privacy.requests import Request
from tiered_memory.privacy.restriction import Restriction
from tiered_memory.state import commands as c
from tiered_memory.state.base import MemoryRow


@dataclass(frozen=True, slots=True)
class HeldClass:
    """Memories that are held alike: what they are, on which grounds, how many, since when and until when.

    `until` is the day by which the last of them will have gone at the latest; None when one of them has no such day
    (`rules` says why). `rules` are the rules that set the days.
    """

    kind: str
    sensitivity: str
    purpose: str
    lawful_basis: str
    state: str
    count: int
    since: datetime
    until: datetime | None
    rules: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Recorded:
    """What the ledger recorded of one sort: how often, first and last, by whom. `calls` counts reads."""

    event: str
    count: int
    first: datetime
    last: datetime
    actors: tuple[str, ...]
    calls: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Dossier:
    """Everything together; `subject` is the person's name in the ledger (hex).

    `restriction` is the one in force; `next_leaving` is when the next memory leaves by itself, None while it is
    restricted. `quarantined` and `on_hold` count memories: kept apart, or kept from deletion by a legal hold.
    """

    subject: str
    held: tuple[HeldClass, ...]
    recorded: tuple[Recorded, ...]
    notices: tuple[NoticeSeen, ...] = ()
    rights: tuple[RightOffered, ...] = ()
    retention: tuple[RetentionShown, ...] = ()
    requests: tuple[Request, ...] = ()
    decisions: tuple[DecisionRecord, ...] = ()
    restriction: Restriction | None = None
    objections: tuple[ObjectionShown, ...] = ()
    next_leaving: datetime | None = None
    quarantined: int = 0
    on_hold: int = 0
    shared: tuple[SharedIn, ...] = ()


async def dossier(core: Core, active: ActiveSubject) -> Dossier:
    """Return what is held of a subject and what the ledger recorded about it."""
    rows = await core.state.read(c.Memories(active.ref.pseudonym))
    name = subject_commitment(active.ledger_key, active.ref.pseudonym)
    leaves: list[dict[str, Any]] = []
    async for chunk in core.notary.rows():
        leaves += [json.loads(leaf) for _, leaf, _ in chunk if name.encode() in leaf]
    active.check_alive()
    return Dossier(name, held_classes(rows), recorded([leaf for leaf in leaves if leaf["subject"] == name]))


def held_classes(rows: Iterable[MemoryRow]) -> tuple[HeldClass, ...]:
    """Return memories grouped by what they are and why they are held, the oldest group first."""
    groups: dict[tuple[str, ...], list[MemoryRow]] = {}
    for row in rows:
        key = (str(row.kind), str(row.sensitivity), row.purpose, str(row.basis), str(row.state))
        groups.setdefault(key, []).append(row)
    found = [_held_class(key, alike) for key, alike in groups.items()]
    return tuple(sorted(found, key=lambda one: (one.since, one.kind, one.purpose)))


def _held_class(key: tuple[str, ...], alike: list[MemoryRow]) -> HeldClass:
    kind, sensitivity, purpose, basis, state = key
    days = [row.deadline_us for row in alike]
    known = [day for day in days if day is not None]
    return HeldClass(
        kind=kind,
        sensitivity=sensitivity,
        purpose=purpose,
        lawful_basis=basis,
        state=state,
        count=len(alike),
        since=from_us(min(row.ingested_us for row in alike)),
        until=from_us(max(known)) if len(known) == len(days) else None,
        rules=tuple(sorted({row.deadline_rule for row in alike if row.deadline_rule})),
    )


def recorded(leaves: Iterable[Mapping[str, Any]]) -> tuple[Recorded, ...]:
    """Return decoded leaves of one subject grouped by event, in the order in which each first happened."""
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for leaf in leaves:
        groups.setdefault(leaf["event"], []).append(leaf)
    found = [_recorded(event, alike) for event, alike in groups.items()]
    return tuple(sorted(found, key=lambda one: (one.first, one.event)))


def _recorded(event: str, alike: list[Mapping[str, Any]]) -> Recorded:
    calls: dict[str, int] = {}
    for leaf in alike if event == AuditEvent.ACCESSED else ():
        detail = leaf["detail"]
        calls[detail["call"]] = calls.get(detail["call"], 0) + detail["calls"]
    firsts = [leaf["detail"].get("first_us", leaf["at_us"]) for leaf in alike]
    return Recorded(
        event=event,
        count=len(alike),
        first=from_us(min(firsts)),
        last=from_us(max(leaf["at_us"] for leaf in alike)),
        actors=tuple(sorted({leaf["actor"] for leaf in alike})),
        calls=calls,
    )
