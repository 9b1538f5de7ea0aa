"""Legal holds, carried out: placed, released, exported; and the events that retention rules count from."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import anyio.to_thread

from tiered_memory.active import ActiveSubject
from tiered_memory.clock import from_us
from tiered_memory.core import Core
from tiered_memory.errors import ConflictError, InvalidInputError, NotFoundError, StorageError
from tiered_memory.failpoints import reach
from tiered_memory.formats.leaf import AuditEvent, AuditLeaf
from tiered_memory.formats.record import decode_fields, memory_of
from tiered_memory.held_vault import RELEASED, Copy, Vault
from tiered_memory.highwater import ErasedEntry
from tiered_memory.hold_keys import ACTIVE, HOLD, STORE
from tiered_memory.hold_model import Hold, HoldScope
from tiered_memory.inflight import InFlight
from tiered_memory.ledger import said
from tiered_memory.model import Memory, Subject
from tiered_memory.privacy.holds import Covered
from tiered_memory.register import CHANGED, Entry, Register
from tiered_memory.state import commands as c
from tiered_memory.state import holds as h
from tiered_memory.state.register import EntriesOfKind, EntryRow
from tiered_memory.subjects import SubjectDirectory
from tiered_memory.sweep import Sweeper

logger = logging.getLogger("tiered_memory")

TRIGGER, RECORDED = "trigger", "recorded"
NONE_SUCH = "no hold of this name is in force"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """A hold as it is asked for. `review_us` is when somebody has to look at it again."""

    name: str
    scope: HoldScope
    owner: str
    reason: str
    ground: str
    review_us: int


class Holds:
    """Places and releases holds. The book in RAM is what writers look into; the register is what lasts."""

    def __init__(
        self, core: Core, directory: SubjectDirectory, sweeper: Sweeper, inflight: InFlight, vault: Vault
    ) -> None:
        self._core = core
        self._directory = directory
        self._sweeper = sweeper
        self._inflight = inflight
        self._vault = vault
        self._register = Register(core)

    async def load(self) -> None:
        """Take up the holds in force, and the events that happened; before anything is erased or forgotten."""
        for entry in await self._register.common(STORE, HOLD):
            if entry.status == ACTIVE:
                self._core.holds.enter(entry.id, self._covered(_scope(entry.fields)))
        for row in await self._core.state.read(EntriesOfKind(TRIGGER, RECORDED)):
            self._core.terms.happened(row.owner, row.entry_id, row.at_us)

    async def place(self, wish: Wish) -> Hold:
        """Put a hold in force: what it covers is not deleted from now on, what comes later neither.

        Raises:
            ConflictError: a hold of this name is in force.
        """
        return await self._inflight.complete(self._placed(wish))

    async def _placed(self, wish: Wish) -> Hold:
        async with self._core.holding:
            return await self._place(wish)

    async def _place(self, wish: Wish) -> Hold:
        known, now_us = await self._entry(wish.name), self._core.now_us()
        if known is not None and known.status == ACTIVE:
            raise ConflictError("a hold of this name is in force already; nothing was changed")
        entry = Entry(
            id=wish.name,
            kind=HOLD,
            status=ACTIVE,
            at_us=now_us,
            due_us=wish.review_us,
            fields=_fields(wish),
            version=0 if known is None else known.version,
        )
        covered = self._covered(wish.scope)
        tenant = self._vault.keys.tenant_of(entry.fields)
        key = await self._vault.keys.row(wish.name, tenant, now_us)
        rows = (self._register.common_row(STORE, entry), key)
        leaf = self._leaf(AuditEvent.HOLD_PLACED, wish.name, wish.reason, now_us)
        # Writers look into the book: whoever draws up a row from here on marks it as held.
        self._core.holds.enter(wish.name, covered)
        try:
            found = await self._core.state.write(h.PlaceHold(rows, _rows_of(covered), leaf))
        except BaseException:
            self._core.holds.strike(wish.name)
            raise
        if found is None:
            self._core.holds.strike(wish.name)
            raise ConflictError(CHANGED)
        reach("hold.after_place")
        self._mark_residents()
        return replace(_hold(entry), memories=found)

    async def release(self, name: str, reason: str, *, at_once: bool = True) -> Hold:
        """End a hold: its key and what it alone kept are destroyed, what is overdue goes at once, or with the next cycle.

        Raises:
            NotFoundError: no hold of this name is in force.
        """
        return await self._inflight.complete(self._released(name, reason, at_once=at_once))

    async def _released(self, name: str, reason: str, *, at_once: bool) -> Hold:
        async with self._core.holding:
            ended = await self._release(name, reason)
        # Outside: whom the cycle asks before it forgets may want to erase somebody.
        if at_once:
            await self._run_overdue()
        return ended

    async def _release(self, name: str, reason: str) -> Hold:
        entry = await self._entry(name)
        if entry is None or entry.status != ACTIVE:
            raise NotFoundError(NONE_SUCH)
        core, now_us, owner = self._core, self._core.now_us(), self._vault.owner(name)
        kept = await self._vault.ids(name)
        # A store that is restored from before must not bring back what is removed here.
        await core.ballast.spend(
            lambda: core.marks.add([ErasedEntry(owner.hex(), 0, now_us, one) for one in kept])
        )
        reach("hold.after_list")
        fields = {**entry.fields, "released_us": now_us, "released_because": reason}
        ended = replace(entry, status=RELEASED, due_us=None, fields=fields)
        covered = self._covered(_scope(entry.fields))
        core.holds.strike(name)
        remaining = tuple(row for one in core.holds.scopes() for row in _rows_of(one))
        command = h.ReleaseHold(
            self._register.common_row(STORE, ended),
            owner,
            _rows_of(covered),
            remaining,
            self._leaf(AuditEvent.HOLD_RELEASED, name, reason, now_us),
        )
        try:
            freed = await core.ballast.spend(lambda: core.state.write(command))
        except BaseException:
            core.holds.enter(name, covered)
            raise
        if freed is None:
            core.holds.enter(name, covered)
            raise ConflictError(CHANGED)
        reach("hold.after_release")
        self._mark_residents()
        return replace(_hold(ended), memories=freed)

    async def _run_overdue(self) -> None:
        """The release is in force whatever fails here; the next cycle, or the next opening, goes on."""
        try:
            await self._core.state.checkpoint()
            await self._sweeper.settle_deadlines()
            await self._sweeper.cycle()
        except StorageError as error:
            logger.warning("the hold is released; what is overdue goes at the next cycle: %s", error)

    async def all(self) -> list[Hold]:
        """Return every hold that was ever placed, as it stands, oldest first; those released as well."""
        found = await self._register.common(STORE, HOLD)
        return [replace(_hold(one), kept=len(await self._vault.ids(one.id))) for one in found]

    async def due_for_review(self) -> list[Hold]:
        """Return the holds in force here whose review is due now."""
        now = from_us(self._core.now_us())
        return [one for one in await self.all() if one.status == ACTIVE and one.review_at <= now]

    async def names(self) -> set[str]:
        """Return the names of the holds in force."""
        return {one.id for one in await self._register.common(STORE, HOLD) if one.status == ACTIVE}

    async def binds(self, tenant: str, *, whole: bool) -> bool:
        """Tell whether a hold in force forbids that a tenant is erased, even where it covers nothing yet.

        One on the tenant, or on a user of it, does. With `whole` the tenant is all there is in this runtime: then every
        hold does that keeps copies here.
        """
        for entry in await self._register.common(STORE, HOLD):
            if entry.status == ACTIVE:
                scope = _scope(entry.fields)
                named = "default" if scope.tenant is None and scope.user is not None else scope.tenant
                if named == tenant or (whole and await self._vault.ids(entry.id)):
                    return True
        return False

    async def lines(self, name: str) -> list[str]:
        """Return what a hold keeps of persons whose keys are gone, a JSON object each."""
        return [_line(copy) for copy in await self._vault.copies(name)]

    async def exported(self, name: str, records: int) -> None:
        """Note in the ledger that the hold's owner was given what it keeps."""
        leaf = self._leaf(AuditEvent.EXPORTED, name, "hold", self._core.now_us(), {"records": records})
        await self._core.state.write(c.AppendLeaves((leaf,)))

    async def event(self, active: ActiveSubject, name: str, at_us: int) -> None:
        """Record when something happened to a person that retention rules count from; its latest entry counts."""
        known = await self._register.get(active, TRIGGER, name)
        entry = Entry(
            id=name,
            kind=TRIGGER,
            status=RECORDED,
            at_us=at_us,
            fields={"entered_us": self._core.now_us()},
            version=0 if known is None else known.version,
        )
        row = self._register.row(active, entry)
        await self._inflight.complete(self._enter(row))

    async def _enter(self, row: EntryRow) -> None:
        if not await self._core.state.write(h.EnterEvent(row)):
            raise ConflictError(CHANGED)
        self._core.terms.happened(row.owner, row.entry_id, row.at_us)
        reach("event.after_entry")
        await self._sweeper.settle_deadlines()

    async def _entry(self, name: str) -> Entry | None:
        return next((one for one in await self._register.common(STORE, HOLD) if one.id == name), None)

    def _covered(self, scope: HoldScope) -> Covered:
        names = self._core.names
        tenant = "default" if scope.tenant is None and scope.user is not None else scope.tenant
        subject = None if scope.user is None else names.subject(Subject(tenant or "", scope.user))
        return Covered(
            tenant=None if tenant is None else names.tenant(tenant),
            subject=subject,
            memory_ids=scope.memory_ids,
            purpose=scope.purpose,
        )

    def _mark_residents(self) -> None:
        for active in self._directory.residents():
            active.mark_held(self._core.holds)

    def _leaf(
        self,
        event: AuditEvent,
        name: str,
        reason: str,
        now_us: int,
        detail: Mapping[str, int | str] | None = None,
    ) -> AuditLeaf:
        """A hold's name and reason may tell of persons: they are committed to."""
        key = self._core.names.register_key
        about = key.fingerprint(b"ledger/object/" + name.encode()).hex()
        return AuditLeaf(
            event, now_us, "", "", 0, object=about, detail={**said(key, reason), **(detail or {})}
        )


def _rows_of(covered: Covered) -> tuple[h.HoldScope, ...]:
    tenant, subject = covered.tenant or b"", covered.subject or b""
    ids = sorted(covered.memory_ids) or [""]
    return tuple(h.HoldScope(tenant, subject, one, covered.purpose or "") for one in ids)


def _fields(wish: Wish) -> dict[str, Any]:
    scope = wish.scope
    return {
        "tenant": scope.tenant,
        "user": scope.user,
        "memory_ids": sorted(scope.memory_ids),
        "purpose": scope.purpose,
        "owner": wish.owner,
        "reason": wish.reason,
        "ground": wish.ground,
        "review_us": wish.review_us,
    }


def _scope(fields: Mapping[str, Any]) -> HoldScope:
    return HoldScope(
        tenant=fields["tenant"],
        user=fields["user"],
        memory_ids=frozenset(fields["memory_ids"]),
        purpose=fields["purpose"],
    )


def _hold(entry: Entry) -> Hold:
    fields = entry.fields
    released: int | None = fields.get("released_us")
    return Hold(
        name=entry.id,
        scope=_scope(fields),
        owner=fields["owner"],
        reason=fields["reason"],
        ground=fields["ground"],
        placed_at=from_us(entry.at_us),
        review_at=from_us(fields["review_us"]),
        status=entry.status,
        released_at=None if released is None else from_us(released),
        released_because=fields.get("released_because"),
    )


def _line(copy: Copy) -> str:
    fields = copy.fields
    memory = memory_of(
        decode_fields(fields["record"]),
        record_id=fields["id"],
        order=fields["order"],
        version=fields["version"],
    )
    document = {
        "tenant": fields["tenant"],
        "user": fields["user"],
        "purpose": fields["purpose"],
        "ingested_at": from_us(fields["ingested_us"]).isoformat(),
        **_told(memory),
    }
    return json.dumps(document, ensure_ascii=False, sort_keys=True) + "\n"


def _told(memory: Memory) -> dict[str, Any]:
    occurred: datetime = memory.occurred_at
    return {
        "memory_id": memory.id,
        "content": memory.content,
        "role": memory.role.value,
        "kind": memory.kind.value,
        "sensitivity": memory.sensitivity.value,
        "occurred_at": occurred.isoformat(),
        "session": memory.session,
        "author": memory.author,
    }


async def write_lines(path: Path, lines: Sequence[str]) -> None:
    """Write a new file that only its owner may read; InvalidInputError when it exists, or cannot be written."""
    await anyio.to_thread.run_sync(_write_new, path, "".join(lines))


def _write_new(path: Path, text: str) -> None:
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(text)
    except FileExistsError:
        raise InvalidInputError("the file exists already; nothing was written") from None
    except OSError as error:
        raise InvalidInputError(f"the file cannot be written ({type(error).__name__})") from None


def checked_ids(ids: Iterable[str]) -> frozenset[str]:
    """Return ids as a set; one string is no collection of ids."""
    if isinstance(ids, str):
        raise InvalidInputError("memory_ids must be a set of ids, not one string")
    return frozenset(ids)
