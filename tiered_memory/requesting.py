"""People's requests to exercise their rights: kept with their deadlines, extended, answered, and found when due."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta, timezone
from typing import Any

from tiered_memory.active import ActiveSubject
from tiered_memory.announcing import Announcer
from tiered_memory.clock import from_us, to_us
from tiered_memory.core import Core
from tiered_memory.errors import NotFoundError, StorageError, SubjectErasedError
from tiered_memory.formats.leaf import AuditEvent, AuditLeaf
from tiered_memory.formats.record import offset_minutes
from tiered_memory.ledger import leaf_for
from tiered_memory.metrics import DsarDone
from tiered_memory.model import Certificate, Subject
from tiered_memory.privacy.deadlines import MONTHS, due_at
from tiered_memory.privacy.requests import Outcome, Request, Right, extension
from tiered_memory.register import Entry, Register
from tiered_memory.state import commands as c
from tiered_memory.state.register import EntriesDue, EntryRow
from tiered_memory.subjects import SubjectDirectory

logger = logging.getLogger("tiered_memory")

KIND, ERASURES = "request", "erasure"
OPEN, CLOSED = "open", "closed"
UNKNOWN = "no such request is kept of this user"
STORE = b""
DUE_LIMIT = 1000
DAY_US = 86_400_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class DueRequest:
    """An open request with whose it is; `subject` is None when their identity cannot be opened."""

    subject: Subject | None
    request: Request
    overdue: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ErasureRecord:
    """That somebody was erased: enough to show it to who has the certificate, and nothing of the person.

    `subject_commitment` and `certificate` are those of the certificate; only its receiver can tell whose they are.
    `received_at` and `due_at` are those of the earliest request for it, None when none was kept.
    """

    certificate: str
    subject_commitment: str
    finished_at: datetime
    received_at: datetime | None = None
    due_at: datetime | None = None


class Requests:
    """Keeps requests, sealed under the person's own key; what shows that an erasure was done outlives the person's."""

    def __init__(self, core: Core, directory: SubjectDirectory, announcer: Announcer) -> None:
        self._core = core
        self._directory = directory
        self._announcer = announcer
        self._register = Register(core)

    async def open(self, active: ActiveSubject, request: Request, holidays: Collection[date]) -> Request:
        """Keep a request; its deadline follows from its receipt."""
        await self._directory.establish(active)
        due = due_at(request.received_at, MONTHS, holidays)
        entry = Entry(
            id=self._core.new_id(),
            kind=KIND,
            status=OPEN,
            at_us=to_us(request.received_at),
            due_us=to_us(due),
            fields={
                "right": request.right.value,
                "offset": offset_minutes(request.received_at),
                "due": to_us(due),
                "months": MONTHS,
                "channel": request.channel,
                "note": request.note,
            },
        )
        return await self._put(active, entry, AuditEvent.REQUEST_OPENED, request.right.value)

    async def extend(self, active: ActiveSubject, request_id: str, months: int, reason: str) -> Request:
        """Give a request more months; raises like `privacy.requests.extension`."""
        entry = await self._entry(active, request_id)
        request = _request(entry)
        due_us = to_us(extension(request, months, self._core.clock.now()))
        fields = {**entry.fields, "due": due_us, "months": request.months + months, "because": reason}
        changed = replace(entry, due_us=due_us, fields=fields)
        return await self._put(active, changed, AuditEvent.REQUEST_OPENED, "extended")

    async def close(
        self, active: ActiveSubject, request_id: str, outcome: Outcome, given: Mapping[str, str | None]
    ) -> Request:
        """Note what became of a request, with its `reason` and `evidence`; a closed one stays as it is."""
        entry = await self._entry(active, request_id)
        if entry.status == CLOSED:
            return _request(entry)
        fields = {**entry.fields, **given, "outcome": outcome.value, "closed": self._core.now_us()}
        changed = replace(entry, status=CLOSED, due_us=None, fields=fields)
        answered = await self._put(active, changed, AuditEvent.REQUEST_CLOSED, outcome.value)
        self._observe_answer(answered.received_at)
        return answered

    async def all(self, active: ActiveSubject) -> list[Request]:
        """Return a user's requests, oldest first."""
        return [_request(one) for one in await self._register.of(active, KIND)] if active.durable else []

    async def due(self, within_days: float) -> list[DueRequest]:
        """Return every user's open requests that fall due within days, the longest overdue first, at most 1000."""
        now = self._core.clock.now()
        until_us = to_us(now) + round(within_days * DAY_US)
        rows = await self._core.state.read(EntriesDue(KIND, until_us, DUE_LIMIT))
        found = [await self._due(row, now) for row in rows]
        return [one for one in found if one is not None]

    async def _due(self, row: EntryRow, now: datetime) -> DueRequest | None:
        stored = await self._core.state.read(c.GetSubject(row.owner))
        if stored is None:
            return None
        try:
            active = await self._directory.peek(stored)
        except SubjectErasedError:
            return None
        entry = await self._register.get(active, KIND, row.entry_id)
        if entry is None or entry.status != OPEN:
            return None
        request, subject = _request(entry), self._announcer.subject_of(active, stored)
        return DueRequest(subject=subject, request=request, overdue=request.overdue(now))

    async def asking_for_erasure(self, subject: Subject) -> list[Request]:
        """Return a user's open requests for erasure, which go with everything else; none when it is under way."""
        stored = await self._core.state.read(c.GetSubject(self._core.names.subject(subject)))
        if stored is None:
            return []
        try:
            active = await self._directory.peek(stored)
        except SubjectErasedError:
            return []
        return [one for one in await self.all(active) if one.open and one.right is Right.ERASURE]

    async def erased(self, certificate: Certificate, asked: Sequence[Request]) -> None:
        """Keep that an erasure was done; where that fails, the ledger and the certificate say it all the same."""
        for one in asked:
            self._observe_answer(one.received_at)
        if not certificate.ledger_leaf:
            return  # nothing was held durably
        entry = Entry(
            id=certificate.id,
            kind=ERASURES,
            status=Outcome.FULFILLED.value,
            at_us=to_us(certificate.finished_at),
            fields={
                "commitment": certificate.subject_commitment,
                "received": min((to_us(one.received_at) for one in asked), default=None),
                "due": min((to_us(one.due_at) for one in asked), default=None),
            },
        )
        leaves = [_closing_leaf(to_us(certificate.finished_at), len(asked))] if asked else []
        try:
            await self._core.ballast.spend(lambda: self._register.put_common(STORE, entry, *leaves))
            await (
                self._core.state.checkpoint()
            )  # the log of an erased user stays as short as the erasure left it
        except StorageError as error:
            logger.warning("that an erasure was done could not be noted: %s", error)

    async def erasures(self) -> list[ErasureRecord]:
        """Return what is kept of erasures, oldest first."""
        return [_erasure(one) for one in await self._register.common(STORE, ERASURES)]

    async def _put(self, active: ActiveSubject, entry: Entry, event: AuditEvent, word: str) -> Request:
        now_us = self._core.now_us()
        leaf = leaf_for(active, active.own_key(), event, now_us, about=entry.id, reason=word)
        return _request(await self._register.put(active, entry, leaf))

    def _observe_answer(self, received_at: datetime) -> None:
        seconds = (self._core.clock.now() - received_at).total_seconds()
        self._core.observer.observe(DsarDone("request", max(0.0, seconds)))

    async def _entry(self, active: ActiveSubject, request_id: str) -> Entry:
        entry = await self._register.get(active, KIND, request_id) if active.durable else None
        if entry is None:
            raise NotFoundError(UNKNOWN)
        return entry


def _closing_leaf(now_us: int, requests: int) -> AuditLeaf:
    return AuditLeaf(
        AuditEvent.REQUEST_CLOSED,
        now_us,
        "",
        "",
        0,
        reason=Outcome.FULFILLED.value,
        detail={"requests": requests},
    )


def _request(entry: Entry) -> Request:
    fields = entry.fields
    zone = timezone(timedelta(minutes=fields["offset"]))
    outcome, closed_us = fields.get("outcome"), fields.get("closed")
    return Request(
        id=entry.id,
        right=Right(fields["right"]),
        received_at=from_us(entry.at_us).astimezone(zone),
        due_at=from_us(fields["due"]).astimezone(zone),
        months=fields["months"],
        channel=fields["channel"],
        note=fields["note"],
        extended_because=fields.get("because"),
        outcome=None if outcome is None else Outcome(outcome),
        closed_at=None if closed_us is None else from_us(closed_us),
        reason=fields.get("reason"),
        evidence=fields.get("evidence"),
    )


def _erasure(entry: Entry) -> ErasureRecord:
    fields: Mapping[str, Any] = entry.fields
    received, due = fields["received"], fields["due"]
    return ErasureRecord(
        certificate=entry.id,
        subject_commitment=fields["commitment"],
        finished_at=from_us(entry.at_us),
        received_at=None if received is None else from_us(received),
        due_at=None if due is None else from_us(due),
    )
