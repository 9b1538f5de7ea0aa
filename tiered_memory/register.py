"""The register: what rights and duties leave behind besides memories, sealed, with a status and a due date.

A person's entries are sealed under the person's own key and go with it; those of a tenant, or of the store itself,
under a key of the store.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgpack

from tiered_memory.active import ActiveSubject
from tiered_memory.core import Core, Sealer
from tiered_memory.crypto.envelope import Place, SealContext, SealingKey
from tiered_memory.crypto.keyring import SUBJECT_PURPOSE
from tiered_memory.errors import ConflictError, CorruptionError
from tiered_memory.formats.leaf import AuditLeaf
from tiered_memory.metrics import CorruptionDetected
from tiered_memory.state.archive import EntriesOf
from tiered_memory.state.register import UNFENCED, DropEntries, Entries, EntriesOfKind, EntryRow, PutEntries

CHANGED = "this entry was changed by somebody else meanwhile; read it again and repeat the call"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One entry, opened. `version` is 0 for what was never entered; times are microseconds since 1970."""

    id: str
    kind: str
    status: str
    at_us: int
    fields: Mapping[str, Any]
    due_us: int | None = None
    version: int = 0


class Register:
    """Enters and reads entries. An entry that does not open is counted and left out."""

    def __init__(self, core: Core) -> None:
        self._core = core

    async def put(self, active: ActiveSubject, entry: Entry, *leaves: AuditLeaf) -> Entry:
        """Enter the next version of a person's entry, and the leaves, in one commit; return it.

        The subject must be held durably (`SubjectDirectory.establish`).

        Raises:
            ConflictError: `entry.version` is not the newest; nothing was changed.
            SubjectErasedError: the person was erased meanwhile.
        """
        return await self._put(entry, self.row(active, entry), leaves)

    def row(self, active: ActiveSubject, entry: Entry) -> EntryRow:
        """Return the next version of a person's entry, sealed, for a commit that does more than `put`."""
        active.own_key()
        sealer = active.sealer(SUBJECT_PURPOSE)
        context = sealer.context(Place.REGISTER, _name(entry.kind, entry.id), version=entry.version + 1)
        sealed = sealer.key.seal(_packed(entry), context, self._core.keyring.nonce())
        return _row(entry, active.ref.pseudonym, active.ref.generation, sealed)

    async def of(self, active: ActiveSubject, kind: str) -> list[Entry]:
        """Return a person's entries of a kind, oldest first."""
        rows = await self._core.state.read(Entries(active.ref.pseudonym, kind))
        return self._opened_of(active, rows)

    async def every(self, active: ActiveSubject) -> list[Entry]:
        """Return a person's entries of every kind, by kind, oldest first."""
        rows = await self._core.state.read(EntriesOf(active.ref.pseudonym))
        return self._opened_of(active, rows)

    async def get(self, active: ActiveSubject, kind: str, entry_id: str) -> Entry | None:
        """Return one of a person's entries, if there is one."""
        return next((one for one in await self.of(active, kind) if one.id == entry_id), None)

    async def put_common(self, owner: bytes, entry: Entry, *leaves: AuditLeaf) -> Entry:
        """Enter the next version of what belongs to a tenant (its pseudonym), or to the store (empty); see `put`."""
        return await self._put(entry, self.common_row(owner, entry), leaves)

    def common_row(self, owner: bytes, entry: Entry) -> EntryRow:
        """Return what `put_common` would write, for commands that write it together with something else."""
        context = _common_context(owner, entry.kind, entry.id, entry.version + 1)
        sealed = self._core.names.register_key.seal(_packed(entry), context, self._core.keyring.nonce())
        return _row(entry, owner, UNFENCED, sealed)

    async def common(self, owner: bytes, kind: str) -> list[Entry]:
        """Return a tenant's or the store's entries of a kind, oldest first."""
        rows = await self._core.state.read(Entries(owner, kind))
        contexts = [(row, _common_context(owner, kind, row.entry_id, row.version)) for row in rows]
        return self._opened(contexts, self._core.names.register_key)

    async def everywhere(self, kind: str, status: str) -> list[tuple[bytes, Entry | None]]:
        """Return all tenants' entries of a kind in a status with their owners; None for one that does not open."""
        found = []
        for row in await self._core.state.read(EntriesOfKind(kind, status)):
            context = _common_context(row.owner, kind, row.entry_id, row.version)
            opened = self._opened([(row, context)], self._core.names.register_key)
            found.append((row.owner, opened[0] if opened else None))
        return found

    async def drop(self, owner: bytes, kind: str, ids: Sequence[str], *leaves: AuditLeaf) -> int:
        """Remove entries; return how many there were."""
        return await self._core.state.write(DropEntries(owner, kind, tuple(ids), leaves))

    async def _put(self, entry: Entry, row: EntryRow, leaves: tuple[AuditLeaf, ...]) -> Entry:
        if not await self._core.state.write(PutEntries((row,), leaves)):
            raise ConflictError(CHANGED)
        return replace(entry, version=row.version)

    def _opened_of(self, active: ActiveSubject, rows: Sequence[EntryRow]) -> list[Entry]:
        """What an erasure has closed meanwhile, or a next generation entered, is not damaged."""
        own = [row for row in rows if row.generation == active.ref.generation]
        if not own:
            return []
        if SUBJECT_PURPOSE not in active.keys:
            active.check_alive()
        sealer = active.sealer(SUBJECT_PURPOSE)
        return self._opened([(row, _context_of(sealer, row)) for row in own], sealer.key)

    def _opened(self, rows: Sequence[tuple[EntryRow, SealContext]], key: SealingKey) -> list[Entry]:
        found = []
        for row, context in rows:
            try:
                fields = msgpack.unpackb(key.open(row.sealed, context))
            except CorruptionError:
                self._core.observer.observe(CorruptionDetected("state"))
                continue
            found.append(_entry(row, fields))
        return found


def _row(entry: Entry, owner: bytes, generation: int, sealed: bytes) -> EntryRow:
    return EntryRow(
        owner=owner,
        kind=entry.kind,
        entry_id=entry.id,
        version=entry.version + 1,
        generation=generation,
        status=entry.status,
        at_us=entry.at_us,
        due_us=entry.due_us,
        sealed=sealed,
    )


def _packed(entry: Entry) -> bytes:
    packed: bytes = msgpack.packb(dict(entry.fields))
    return packed


def _name(kind: str, entry_id: str) -> str:
    return f"{kind}/{entry_id}"


def _context_of(sealer: Sealer, row: EntryRow) -> SealContext:
    return sealer.context(Place.REGISTER, _name(row.kind, row.entry_id), version=row.version)


def _common_context(owner: bytes, kind: str, entry_id: str, version: int) -> SealContext:
    return SealContext(b"", owner, Place.REGISTER, _name(kind, entry_id), "", version=version)


def _entry(row: EntryRow, fields: Mapping[str, Any]) -> Entry:
    return Entry(
        id=row.entry_id,
        kind=row.kind,
        status=row.status,
        at_us=row.at_us,
        fields=fields,
        due_us=row.due_us,
        version=row.version,
    )
