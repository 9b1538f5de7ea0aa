"""What holds and retention events ask of the state store: marking, releasing, keeping copies in the commit that ends keys."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tiered_memory.formats.leaf import AuditLeaf
from tiered_memory.state.base import Write
from tiered_memory.state.register import EntryRow


@dataclass(frozen=True, slots=True)
class HoldScope:
    """Memories of a tenant, of a person, of one id, for a purpose; an empty part leaves it open."""

    tenant: bytes = b""
    subject: bytes = b""
    memory_id: str = ""
    purpose: str = ""


@dataclass(frozen=True, slots=True)
class PlaceHold(Write[int | None]):
    """Enter a hold and mark what it covers, in one commit; answer how many memories, None when an entry is not new."""

    entries: tuple[EntryRow, ...]
    scopes: tuple[HoldScope, ...]
    leaf: AuditLeaf


@dataclass(frozen=True, slots=True)
class MarkHeld(Write[int]):
    """Mark memories that holds cover and that are not marked; answer how many there were."""

    scopes: tuple[HoldScope, ...]


@dataclass(frozen=True, slots=True)
class ReleaseHold(Write[int | None]):
    """End a hold in one commit: its key and its copies go, its marks where no other hold remains.

    `entry` says so in the register, `vault` owns the key and the copies, `remaining` are the scopes of the holds that
    stay in force. The deadlines of what is marked no more have to be computed anew. Answers like `PlaceHold`.
    """

    entry: EntryRow
    vault: bytes
    scopes: tuple[HoldScope, ...]
    remaining: tuple[HoldScope, ...]
    leaf: AuditLeaf


@dataclass(frozen=True, slots=True)
class KeepThen(Write[Any]):
    """Put copies of held records aside and carry out `then` in the same commit.

    `seen` are the ids and versions of all memories of the person as they were copied from: when they are others by
    now, nothing is changed and the answer is `Stale`. Else the answer is that of `then`.
    """

    subject: bytes
    seen: frozenset[tuple[str, int]]
    copies: tuple[EntryRow, ...]
    then: Write[Any]


@dataclass(frozen=True, slots=True)
class UnsettleTenant(Write[int]):
    """Have the deadlines of all memories of a tenant computed anew; answer how many."""

    tenant: bytes


@dataclass(frozen=True, slots=True)
class EnterEvent(Write[bool]):
    """Enter what happened to a person; deadlines of all memories of theirs have to be computed anew."""

    entry: EntryRow
    leaves: tuple[AuditLeaf, ...] = ()
