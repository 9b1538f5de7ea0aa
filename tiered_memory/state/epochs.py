"""What is asked of the state store when key epochs begin and end."""

from __future__ import annotations

from dataclasses import dataclass

from tiered_memory.crypto.keyring import EpochRecord, KeyRecord
from tiered_memory.formats.leaf import AuditLeaf
from tiered_memory.state.base import Read, Write
from tiered_memory.state.register import EntryRow


@dataclass(frozen=True, slots=True)
class BeginEpoch(Write[bool]):
    """Enter a tenant's next wrapping key and the leaf of it; False, and nothing changed, when it is there already."""

    record: EpochRecord
    leaf: AuditLeaf


@dataclass(frozen=True, slots=True)
class RewrapKeys(Write[int]):
    """Put records in the place of those of the same keys that are wrapped under `was`; answer how many there were.

    What was erased, withdrawn or wrapped again meanwhile stays as it is.
    """

    was: int
    records: tuple[KeyRecord, ...]


@dataclass(frozen=True, slots=True)
class EndEpoch(Write[bool]):
    """Remove a wrapping key's record, and enter what must be done yet, unless a data key is still wrapped under it.

    Those in `discard` are removed first: keys that do not open.
    """

    tenant: bytes
    epoch: int
    entry: EntryRow
    leaf: AuditLeaf
    discard: tuple[KeyRecord, ...] = ()


@dataclass(frozen=True, slots=True)
class RewrapRoot(Write[None]):
    """Put in place what another root key wraps: the master key, and the wrapping keys that are still there."""

    master: bytes
    records: tuple[EpochRecord, ...]
    leaf: AuditLeaf


@dataclass(frozen=True, slots=True)
class EveryEpoch(Read[list[EpochRecord]]):
    """All tenants' wrapping keys, by tenant, oldest first."""


@dataclass(frozen=True, slots=True)
class KeysUnder(Read[list[KeyRecord]]):
    """A tenant's data keys that are wrapped under an epoch, after one subject and purpose, at most `limit`."""

    tenant: bytes
    epoch: int
    after: tuple[bytes, str]
    limit: int


@dataclass(frozen=True, slots=True)
class EpochUse(Read[tuple[int, int]]):
    """How many subjects, and how many data keys of theirs, are wrapped under a tenant's epoch."""

    tenant: bytes
    epoch: int
