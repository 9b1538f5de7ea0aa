"""What is asked of the state store about tenants, named by their pseudonyms."""

from __future__ import annotations

from dataclasses import dataclass

from tiered_memory.formats.leaf import AuditLeaf
from tiered_memory.state.base import Read, SubjectRow, Write


@dataclass(frozen=True, slots=True, kw_only=True)
class TenantFigures:
    """What a tenant holds; bytes before sealing, times in microseconds since 1970.

    `written` counts memories taken in since the moment asked about.
    """

    users: int
    memories: int
    bytes: int
    forgotten: int
    sessions: int
    written: int
    last_written_us: int | None
    last_used_us: int | None


@dataclass(frozen=True, slots=True)
class Fenced:
    """What a fence did: how many living subjects it found, and how many keys are gone."""

    subjects: int
    keys: int


@dataclass(frozen=True, slots=True)
class TenantBytes(Read[int]):
    """Bytes of the active memories of a tenant's subjects."""

    tenant: bytes


@dataclass(frozen=True, slots=True)
class TenantKeys(Read[int]):
    """How many keys of a tenant and its subjects are held."""

    tenant: bytes


@dataclass(frozen=True, slots=True)
class HeldMemories(Read[int]):
    """How many of a tenant's memories are under a hold."""

    tenant: bytes


@dataclass(frozen=True, slots=True)
class FiguresOf(Read[TenantFigures]):
    """What a tenant holds and did since a moment."""

    tenant: bytes
    since_us: int


@dataclass(frozen=True, slots=True)
class SubjectsOfTenant(Read[list[SubjectRow]]):
    """A tenant's subjects in a state."""

    tenant: bytes
    state: str


@dataclass(frozen=True, slots=True)
class ErasedSince(Read[list[bytes]]):
    """A tenant's subjects whose erasure finished at a moment or later."""

    tenant: bytes
    since_us: int


@dataclass(frozen=True, slots=True)
class StaleDeadlines(Write[int]):
    """Have the deadlines of a tenant's memories computed anew; answer how many they are."""

    tenant: bytes


@dataclass(frozen=True, slots=True)
class FenceTenant(Write[Fenced]):
    """Begin erasing all of a tenant's subjects: every key of theirs and the tenant's own go with this commit."""

    tenant: bytes
    leaf: AuditLeaf
