"""After a restore: ends again what had ended for a purpose when the backup did not know of it yet.

The erased list names purposes by keyed names only; each restored subject's own purposes are compared with them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tiered_memory.active import ActiveSubject
from tiered_memory.consent_records import ConsentWriter
from tiered_memory.consents import end_of
from tiered_memory.core import Core
from tiered_memory.errors import SubjectErasedError
from tiered_memory.formats.leaf import AuditEvent
from tiered_memory.held_vault import Vault
from tiered_memory.highwater import CONSENT_ENDED, OBJECTED, OBJECTION_LIFTED, ErasedEntry
from tiered_memory.ledger import leaf_for
from tiered_memory.objecting import objected
from tiered_memory.privacy.consent import OPENING, ConsentAction, ConsentEvent, latest_events
from tiered_memory.privacy.objections import OBJECTION, ObjectionStatus
from tiered_memory.register import Entry, Register
from tiered_memory.state import commands as c
from tiered_memory.state.consents import EndedConsents
from tiered_memory.subjects import SubjectDirectory

AGAIN = "applied again"


class EndedPurposes:
    """Applies the erased list's lines about purposes."""

    def __init__(self, core: Core, directory: SubjectDirectory) -> None:
        self._core = core
        self._directory = directory
        self._register = Register(core)
        self._vault = Vault(core, directory.epochs)
        self._writer = ConsentWriter(core)

    async def apply_list(self) -> int:
        """End again what the list names and an older state brought back; return how many purposes."""
        if self._core.marks.list_was_cut:
            await self._complete_list()
        if not self._core.marks.must_apply:
            return 0
        again = 0
        entries = [one for one in await self._core.marks.erased() if one.purpose]
        for subject in dict.fromkeys(one.subject for one in entries):
            try:
                again += await self._apply(
                    bytes.fromhex(subject), [o for o in entries if o.subject == subject]
                )
            except SubjectErasedError:
                continue
        return again

    async def _apply(self, pseudonym: bytes, entries: Sequence[ErasedEntry]) -> int:
        row = await self._core.state.read(c.GetSubject(pseudonym))
        if row is None:
            return 0
        active = await self._directory.peek(row)
        await self._directory.load_consents(active)
        latest, again = latest_events(active.consents), 0
        for purpose in {*latest, *self._core.policy.purposes, *active.keys, *active.damaged_keys}:
            named = self._core.names.purpose(pseudonym, purpose).hex()
            said = [one for one in entries if one.purpose == named and one.generation == row.generation]
            again += await self._end_consent(active, latest.get(purpose), _ended_us(said))
            again += await self._object(active, purpose, _objection(said))
        return again

    async def _end_consent(self, active: ActiveSubject, latest: ConsentEvent | None, ended_us: int) -> bool:
        if latest is None or latest.action not in OPENING or latest.at_us > ended_us:
            return False
        written = self._writer.ended(active, ConsentAction.WITHDRAWN, latest, {"reason": AGAIN})
        return await self._vault.write(active, end_of(active, written)) > 0

    async def _object(self, active: ActiveSubject, purpose: str, said: ErasedEntry | None) -> bool:
        """An objection that stands and that the restored store does not know, or knows an older state of."""
        if said is None or said.cause == OBJECTION_LIFTED or active.ended:
            # Who is of an ended key epoch is unreadable; a guard that comes back has the list applied again.
            return False
        held = await self._register.get(active, OBJECTION, purpose)
        if held is not None and held.at_us >= said.at_us:
            return False
        status = ObjectionStatus.OBJECTED if said.cause == OBJECTED else ObjectionStatus.RESTRICTED
        entry = Entry(
            id=purpose,
            kind=OBJECTION,
            status=status,
            at_us=said.at_us,
            fields={"reason": AGAIN},
            version=0 if held is None else held.version,
        )
        now_us, key = self._core.now_us(), active.ledger_key
        leaf = leaf_for(active, key, AuditEvent.OBJECTED, now_us, about=purpose, reason=AGAIN)
        if status is ObjectionStatus.RESTRICTED:
            await self._register.put(active, entry, leaf)
            return True
        return await self._vault.write(active, objected(active, self._register.row(active, entry), leaf)) > 0

    async def _complete_list(self) -> None:
        """Enter what the state store knows of and the list has lost."""
        known = [
            ErasedEntry(
                one.subject.hex(),
                one.generation,
                one.opened_us,
                purpose=self._core.names.purpose(one.subject, one.purpose).hex(),
                cause=CONSENT_ENDED,
            )
            for one in await self._core.state.read(EndedConsents())
        ]
        listed = set(await self._core.marks.erased())
        await self._core.marks.add([one for one in known if one not in listed])


def _ended_us(said: Iterable[ErasedEntry]) -> int:
    return max((one.at_us for one in said if one.cause == CONSENT_ENDED), default=-1)


def _objection(said: Iterable[ErasedEntry]) -> ErasedEntry | None:
    """The last line counts: the list is in the order of what happened."""
    found = [one for one in said if one.cause != CONSENT_ENDED]
    return found[-1] if found else None
