"""Consent, carried out: given, refused, withdrawn, shown, and proven by receipts."""

from __future__ import annotations

from collections.abc import Sequence

from tiered_memory.active import ActiveSubject
from tiered_memory.consent_records import ConsentGiven, ConsentWriter, Written, receipt_for
from tiered_memory.core import Core
from tiered_memory.endings import Endings
from tiered_memory.errors import ConsentRequiredError, InvalidInputError, NotFoundError, RestrictedError
from tiered_memory.failpoints import reach
from tiered_memory.highwater import CONSENT_ENDED
from tiered_memory.inflight import InFlight
from tiered_memory.metrics import ConsentChanged
from tiered_memory.model import LawfulBasis, Sensitivity
from tiered_memory.notices import NoticeBoard
from tiered_memory.privacy.consent import (
    OPENING,
    ConsentAction,
    ConsentEvent,
    decide_grounds,
    latest_events,
    open_consents,
)
from tiered_memory.privacy.consent_receipt import RECORD, ConsentReceipt
from tiered_memory.privacy.notices import Notice
from tiered_memory.state import commands as c
from tiered_memory.state.consents import EndPurpose
from tiered_memory.subjects import SubjectDirectory

RULES = {
    ConsentAction.WITHDRAWN: "withdrawn",
    ConsentAction.REFUSED: "refused",
    ConsentAction.EXPIRED: "expired",
}


class Consents:
    """Records what people decide, and does what follows from it."""

    def __init__(
        self,
        core: Core,
        directory: SubjectDirectory,
        endings: Endings,
        notices: NoticeBoard,
        inflight: InFlight,
    ) -> None:
        self._core = core
        self._directory = directory
        self._endings = endings
        self._notices = notices
        self._inflight = inflight
        self._writer = ConsentWriter(core)

    async def grant(self, active: ActiveSubject, purpose: str, given: ConsentGiven) -> ConsentEvent:
        """Record consent for a purpose; from now on its interactions may be kept."""
        self._check_asked(purpose)
        self._check(given)
        notice = await self._notice(purpose, given)
        await self._directory.establish(active)
        reach("grant.after_establish")
        active.own_key()
        await self._directory.key_for(active, purpose)
        previous = any(event.purpose == purpose for event in active.consents)
        action = ConsentAction.RENEWED if previous else ConsentAction.GIVEN
        written = self._writer.agreed(active, action, purpose, given, notice)
        await self._inflight.complete(self._record(active, written))
        return written.event

    async def refuse(self, active: ActiveSubject, purpose: str, given: ConsentGiven) -> ConsentEvent:
        """Record that the person refused; after a consent it has the effects of a withdrawal."""
        self._check_asked(purpose)
        self._check(given)
        notice = await self._notice(purpose, given)
        await self._directory.establish(active)
        before = latest_events(active.consents).get(purpose)
        written = self._writer.agreed(active, ConsentAction.REFUSED, purpose, given, notice)
        if before is not None and before.action in OPENING:
            await self._end(active, written, before)
        else:
            await self._inflight.complete(self._record(active, written))
        return written.event

    async def withdraw(self, active: ActiveSubject, purpose: str, reason: str) -> int:
        """Withdraw consent: the purpose's key is destroyed at once, and what rested on it is removed.

        Returns how many memories that were.
        """
        latest = latest_events(active.consents).get(purpose)
        if latest is None or latest.action not in OPENING:
            return 0
        covered = await self._endings.covered(active, purpose)
        written = self._writer.ended(active, ConsentAction.WITHDRAWN, latest, {"reason": reason})
        await self._end(active, written, latest)
        return covered

    def current(self, active: ActiveSubject) -> dict[str, ConsentEvent]:
        """Return the open consents by purpose, now."""
        return open_consents(active.consents, self._core.now_us())

    def history(self, active: ActiveSubject, purpose: str | None) -> list[ConsentEvent]:
        """Return the events in the order of their recording, of one purpose or all."""
        return [event for event in active.consents if purpose in {None, event.purpose}]

    async def receipt(self, active: ActiveSubject, purpose: str) -> ConsentReceipt:
        """Return the receipt of the latest event of a purpose; NotFoundError when there is none."""
        event = latest_events(active.consents).get(purpose)
        if event is None:
            raise NotFoundError("no consent was ever given, refused or withdrawn for this purpose")
        return await receipt_for(self._core, active, event)

    async def _record(self, active: ActiveSubject, written: Written) -> None:
        command = c.PutConsent(written.row, written.leaf)
        await self._core.ballast.spend(lambda: self._core.state.write(command))
        self._noted(active, written.event)

    def _noted(self, active: ActiveSubject, event: ConsentEvent) -> None:
        active.consents.append(event)
        self._core.observer.observe(ConsentChanged(event.action.value))

    async def _end(self, active: ActiveSubject, written: Written, before: ConsentEvent) -> None:
        command = end_of(active, written)
        opened_us = newest_opening_us(active, before.purpose)
        mark = self._endings.mark(active, before.purpose, opened_us, CONSENT_ENDED)
        await self._endings.end(active, command, mark, lambda: self._noted(active, written.event))

    def _check_asked(self, purpose: str) -> None:
        rule = self._core.policy.purposes.get(purpose)
        if rule is None:
            known = ", ".join(sorted(self._core.policy.purposes))
            raise InvalidInputError(f"the policy knows no such purpose; it has: {known}")
        if not rule.keeps:
            raise InvalidInputError(
                "the policy keeps nothing for this purpose: there is nothing to consent to"
            )
        if rule.lawful_basis is not LawfulBasis.CONSENT:
            raise InvalidInputError(f"this purpose rests on {rule.lawful_basis.value}, consent is not asked")

    def _check(self, given: ConsentGiven) -> None:
        if given.expires_us is not None and given.expires_us <= self._core.now_us():
            raise InvalidInputError("the consent's expiry lies in the past")
        if RECORD in (given.details or {}):
            raise InvalidInputError(
                f"details must not use the key '{RECORD}': the consent's record is kept there"
            )

    async def _notice(self, purpose: str, given: ConsentGiven) -> Notice | None:
        found = await self._notices.find(given.notice, given.terms.get("language"))
        if found is None and self._core.policy.consent.require_published_notice:
            raise InvalidInputError(
                "the policy requires a published notice and none is published under this name: publish the "
                "notice first, or name one that is published"
            )
        if found is not None and not found.informs_of(purpose):
            raise InvalidInputError(
                f"this notice does not inform of this purpose; it informs of: {', '.join(found.purposes)}"
            )
        return found


def end_of(active: ActiveSubject, written: Written, latest: str | None = None) -> EndPurpose:
    """Return the change that ends a purpose with a consent event; `latest` as in `EndPurpose`."""
    return EndPurpose(
        subject=active.ref.pseudonym,
        generation=active.ref.generation,
        purpose=written.event.purpose,
        rule=RULES[written.event.action],
        now_us=written.event.at_us,
        leaf=written.leaf,
        event=written.row,
        latest=latest,
    )


def newest_opening_us(active: ActiveSubject, purpose: str) -> int:
    """Return when the newest of a purpose's consents was given: an older backup knows none newer."""
    given = (event for event in active.consents if event.purpose == purpose and event.action in OPENING)
    return max((event.at_us for event in given), default=0)


def check_takes_part(
    core: Core, person: ActiveSubject | None, purpose: str, levels: Sequence[Sensitivity]
) -> None:
    """Refuse whoever takes part in what is shared for a purpose without grounds of their own.

    For an agent (None) its operator answers.

    Raises:
        ConsentRequiredError: nothing of the person's of one of the `levels` may be kept for the purpose.
        RestrictedError: the processing of the person's data is restricted.
    """
    if person is None:
        return
    if person.restricted:
        raise RestrictedError
    now_us, barred = core.now_us(), person.objections
    consents = open_consents(person.consents, now_us)
    for level in levels:
        grounds = decide_grounds(core.policy, consents, purpose, level, now_us, objections=barred)
        if not grounds.durable:
            raise ConsentRequiredError(f"{grounds.reason}: this user takes no part in what is shared for it")
