"""What outlives its keys under a hold: copies sealed under the hold's own key, made in the commit that ends the others.

An erasure, or a withdrawn consent, destroys keys. What a hold covers is sealed again under the hold's key first, and
belongs to the hold from then on: no call of the person's, or about the person, reads it. The copies and the end of the
keys are one commit, so that there is no moment at which a held record exists nowhere, and none at which it exists twice.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgpack

from tiered_memory.active import ActiveSubject
from tiered_memory.clock import from_us
from tiered_memory.core import Core
from tiered_memory.crypto.envelope import Place, SealContext, SealingKey, key_id_of
from tiered_memory.crypto.keyring import SUBJECT_PURPOSE
from tiered_memory.epochs import EpochKeys
from tiered_memory.errors import CorruptionError, StateStoreError
from tiered_memory.held_records import lasting
from tiered_memory.hold_keys import HOLD, STORE, HoldKeys
from tiered_memory.plurals import counted
from tiered_memory.privacy.holds import EVIDENCE, stays
from tiered_memory.register import Entry, Register
from tiered_memory.state import commands as c
from tiered_memory.state.base import MemoryRow, MemoryState, Stale
from tiered_memory.state.consents import EndPurpose
from tiered_memory.state.holds import KeepThen
from tiered_memory.state.register import HELD_RECORD, UNFENCED, Entries, EntriesOfKind, EntryRow
from tiered_memory.tiers.base import TierRecord

logger = logging.getLogger("tiered_memory")

RELEASED = "released"
ATTEMPTS = 8
MOVING = "this person's memories kept changing while what a hold covers was put aside; nothing was changed. Repeat the call"


@dataclass(frozen=True, slots=True)
class Copy:
    """A held record as its hold keeps it: whose it was, its row's dates, and its plaintext."""

    id: str
    fields: dict[str, Any]


class Vault:
    """Keeps and reads copies of held records."""

    def __init__(self, core: Core, epochs: EpochKeys) -> None:
        self._core = core
        self._register = Register(core)
        self.keys = HoldKeys(core, epochs)
        self.owner = self.keys.owner

    async def write(self, active: ActiveSubject, command: c.BeginErasure | EndPurpose) -> int:
        """Carry out a command that destroys keys of a person; what holds cover is put aside in the same commit.

        Raises:
            StateStoreError: the person's memories kept changing meanwhile; nothing was changed.
            CorruptionError: a hold's key cannot be opened; nothing was changed.
            StorageError: what is held could not be read, or not be written; nothing was changed.
        """
        if not self._core.holds.touching(active.tenant, active.ref.pseudonym):
            return await self._core.state.write(command)
        async with self._core.holding:
            return await self._keep_then(active, command)

    async def _keep_then(self, active: ActiveSubject, command: c.BeginErasure | EndPurpose) -> int:
        names = self._core.holds.touching(active.tenant, active.ref.pseudonym)
        keys = {name: await self.keys.sealing(name) for name in names}
        purpose = command.purpose if isinstance(command, EndPurpose) else None
        for _ in range(ATTEMPTS):
            rows = await self._core.state.read(c.Memories(active.ref.pseudonym))
            copies = await self._copies(active, rows, keys, purpose)
            seen = frozenset((row.memory_id, row.version) for row in rows)
            outcome = await self._core.state.write(KeepThen(active.ref.pseudonym, seen, copies, command))
            if not isinstance(outcome, Stale):
                done: int = outcome
                return done
        raise StateStoreError(MOVING)

    async def retained(self, pseudonym: bytes) -> tuple[str, ...]:
        """Return what is kept of a person under holds, as a certificate says it."""
        rows = await self._core.state.read(EntriesOfKind(HELD_RECORD, pseudonym.hex()))
        counts = Counter(row.owner for row in rows)
        if not counts:
            return ()
        holds = {self.owner(one.id): one for one in await self._register.common(STORE, HOLD)}
        return stays((count, *_ground(holds.get(owner))) for owner, count in counts.items())

    async def copies(self, name: str) -> list[Copy]:
        """Return what a hold keeps of persons whose keys are gone, oldest first; CorruptionError when it was damaged.

        In a store restored from before a rotation that is without what was kept then: its key's epoch has ended.
        """
        keys, rows = await self.keys.of(name), await self._rows(self.owner(name))
        ended = [row for row in rows if key_id_of(row.sealed) not in keys]
        if ended:
            many = counted(len(ended), "record")
            logger.warning("%s under a hold cannot be read: the key epoch has ended", many)
        found = [(row, keys[key_id_of(row.sealed)]) for row in rows if row not in ended]
        return [
            Copy(row.entry_id, msgpack.unpackb(key.open(row.sealed, _context(row)))) for row, key in found
        ]

    async def ids(self, name: str) -> list[str]:
        """Return the ids of what a hold keeps."""
        return [row.entry_id for row in await self._rows(self.owner(name))]

    async def _rows(self, owner: bytes) -> list[EntryRow]:
        return await self._core.state.read(Entries(owner, HELD_RECORD))

    async def _copies(
        self,
        active: ActiveSubject,
        rows: Sequence[MemoryRow],
        keys: dict[str, SealingKey],
        purpose: str | None,
    ) -> tuple[EntryRow, ...]:
        """What does not open any more, or is lost, cannot be kept: it is damaged for everybody."""
        covered = [(row, names) for row in rows if (names := self._names(active, row, purpose))]
        if not covered:
            return ()
        whose, records = await self._identity(active), await self._records(active)
        copies = []
        for row, names in covered:
            record = records.get(row.memory_id)
            plaintext = None if record is None else _opened(active, record)
            if record is None or plaintext is None:
                continue
            fields = _fields(row, record, plaintext, whose)
            copies += [self._sealed(name, keys[name], row, fields) for name in names]
        return tuple(copies)

    def _names(self, active: ActiveSubject, row: MemoryRow, purpose: str | None) -> list[str]:
        """A removal that was ordered before the hold goes on."""
        if (purpose is not None and row.purpose != purpose) or (
            row.state == MemoryState.REMOVING and not row.held
        ):
            return []
        return self._core.holds.names_over(active.tenant, row.subject, row.memory_id, row.purpose)

    async def _records(self, active: ActiveSubject) -> dict[str, TierRecord]:
        """The journal first: what leaves it meanwhile is in cold by then."""
        waiting = [
            TierRecord(one.memory_id, one.order, one.version, one.sealed)
            for one in await self._core.state.read(c.Journal())
            if one.subject == active.ref.pseudonym and one.generation == active.ref.generation
        ]
        stored = [lasting(record) for record in await self._core.cold.scan(active.ref)]
        return {r.id: r for r in sorted([*stored, *waiting], key=lambda r: r.version)}

    async def _identity(self, active: ActiveSubject) -> list[str]:
        row = await self._core.state.read(c.GetSubject(active.ref.pseudonym))
        if row is None or row.identity is None:
            return ["", ""]
        sealer = active.sealer(SUBJECT_PURPOSE)
        try:
            whose: list[str] = msgpack.unpackb(
                sealer.key.open(row.identity, sealer.context(Place.SUBJECT, "identity"))
            )
        except CorruptionError:
            return ["", ""]
        return whose

    def _sealed(self, name: str, key: SealingKey, row: MemoryRow, fields: dict[str, Any]) -> EntryRow:
        mark = f"{row.generation}/{row.memory_id}".encode()
        entry_id = self._core.names.register_key.fingerprint(b"held/" + row.subject + mark).hex()[:32]
        entry = EntryRow(
            owner=self.owner(name),
            kind=HELD_RECORD,
            entry_id=entry_id,
            version=1,
            generation=UNFENCED,
            status=row.subject.hex(),
            at_us=self._core.now_us(),
            due_us=None,
            sealed=b"",
        )
        sealed = key.seal(msgpack.packb(fields), _context(entry), self._core.keyring.nonce())
        return replace(entry, sealed=sealed)


def _context(row: EntryRow) -> SealContext:
    return SealContext(b"", row.owner, Place.HOLD, row.entry_id, "", version=row.version)


def _opened(active: ActiveSubject, record: TierRecord) -> bytes | None:
    try:
        return active.sealer_for(record.payload).open(Place.MEMORY, record)
    except CorruptionError:
        return None


def _fields(row: MemoryRow, record: TierRecord, plaintext: bytes, whose: Sequence[str]) -> dict[str, Any]:
    tenant, user = whose
    return {
        "tenant": tenant,
        "user": user,
        "id": record.id,
        "order": record.order,
        "version": record.version,
        "purpose": row.purpose,
        "ingested_us": row.ingested_us,
        "record": plaintext,
    }


def _ground(hold: Entry | None) -> tuple[str, str]:
    """Return a hold's ground and the day of its review."""
    if hold is None or hold.due_us is None:
        return EVIDENCE, "no day"
    return hold.fields["ground"], from_us(hold.due_us).date().isoformat()
