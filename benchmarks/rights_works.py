"""What meets in a seeded interleaving of people's rights: corrections, restrictions, holds, keys, shared memories.

Every call that takes something out of sight notes from when on it must not be seen; every call that may have taken
something away notes that it tried, so that whatever nobody touched has to be there in the end.
"""

from __future__ import annotations

import itertools
import random
import zipfile
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from benchmarks.schedule_works import PURPOSE, SESSION, WHO, Read, Said, Stage, Work, Works
from tiered_memory.errors import TieredMemoryError
from tiered_memory.hold_model import HoldScope
from tiered_memory.model import Durability, Interaction
from tiered_memory.privacy.sharing import Member
from tiered_memory.shared_face import SharedMemory

SECURITY = "security"
POLICY = f"""
schema = 1
name = "rights"
default_purpose = "{PURPOSE}"

[purposes.{PURPOSE}]
lawful_basis = "consent"
max_sensitivity = "restricted"

[purposes.{SECURITY}]
lawful_basis = "legitimate_interests"
documentation = "the balancing test"
max_sensitivity = "restricted"
"""
OTHER, SPACE, HOLD = "other", "plan", "case"
REVIEW = datetime(2199, 1, 1, tzinfo=UTC)
KEEPS_PAST = frozenset({"export", "decision", "shared"})
"""Reads that show what was corrected, kept apart or frozen as well, or belong to somebody else."""


@dataclass(slots=True)
class Span:
    """When a call began, and when it was answered, if it was."""

    began: int
    ended: int | None = None

    def may_overlap(self, moment: int) -> bool:
        """Whether it may have come into force after a moment."""
        return self.ended is None or self.ended > moment


@dataclass(frozen=True, slots=True)
class Hidden:
    """What must not be seen from a moment on: by which call, and whether exports may show it all the same."""

    by: str
    words: frozenset[str]
    span: Span
    past: bool = False
    memory_id: str = ""


@dataclass(slots=True)
class Rights:
    """Everything that was ordered, on the record's line of time."""

    hidden: list[Hidden] = field(default_factory=list)
    shown_again: dict[str, list[Span]] = field(default_factory=dict)
    removals: list[tuple[Span, frozenset[str]]] = field(default_factory=list)
    endings: list[Span] = field(default_factory=list)
    """Of a purpose's, a session's or a person's everything: whatever is said before they end may go."""
    restricted: list[Span] = field(default_factory=list)
    freed: list[Span] = field(default_factory=list)
    holds: list[Span] = field(default_factory=list)
    unheld: list[Span] = field(default_factory=list)
    corrected: set[str] = field(default_factory=set)


def until(order: Span, enders: Iterable[Span]) -> int | None:
    """Return until when something holds that was ordered: None for ever; its own end when it may not hold at all."""
    since = order.began if order.ended is None else order.ended
    ends = [max(since, one.began) for one in enders if one.may_overlap(order.began)]
    return min(ends, default=None)


class RightsWorks(Works):
    """The calls of people's rights, and those of an operator's duties, beside the plain ones."""

    def __init__(self, stage: Stage, chance: random.Random) -> None:
        super().__init__(stage, chance)
        self.rights = Rights()
        self.own: dict[str, Said] = {}
        self.shared_said: list[Said] = []
        self.of_purpose: dict[str, str] = {}
        self._files = itertools.count()

    # --- what is said --------------------------------------------------------------------------------------------

    async def _say(self, prefix: str, count: int) -> None:
        purpose = self._chance.choice([PURPOSE, PURPOSE, PURPOSE, SECURITY])
        said = [self._said(prefix, purpose) for _ in range(count)]
        session = self._chance.choice([None, SESSION])
        importance = self._chance.choice([0.0, 0.9, 0.9])
        given = [
            Interaction(content=f"{one.word} word", session=session, importance=importance) for one in said
        ]
        receipts = await self._stage.user().add_many(given, purpose=purpose)
        for one, receipt in zip(said, receipts, strict=True):
            one.id, one.ended = receipt.id, next(self.ticks)
            one.durable = receipt.durability is Durability.JOURNALED

    def _said(self, prefix: str, purpose: str = PURPOSE) -> Said:
        one = Said(f"{prefix}{next(self._words)}", next(self.ticks))
        self.of_purpose[one.word] = purpose
        self.record.said.append(one)
        return one

    def say_now(self, word: str, *, durable: bool) -> Said:
        """Note something that is about to be said."""
        one = Said(word, next(self.ticks), durable=durable)
        self.record.said.append(one)
        return one

    async def update(self) -> None:
        """Correct something that was said."""
        chosen = self._some_id()
        known = [one for one in self.record.said if one.id == chosen]
        purpose = self.of_purpose.get(known[0].word, PURPOSE) if known else PURPOSE
        new, began = self._said("corrected", purpose), next(self.ticks)
        before = [one for one in known if one.ended is not None and one.ended < began]
        new.id = chosen
        self.rights.corrected |= {one.word for one in known if one is not new}
        rivals = [one for one in known if one.ended is None]
        await self._stage.user().update(chosen, f"{new.word} word", reason="it is wrong")
        new.ended = next(self.ticks)
        new.durable = any(one.durable for one in before)
        if rivals or any(one.id == chosen and one.began > new.began for one in self.record.said):
            self.rights.corrected.add(new.word)
        self._hide("update", (one.word for one in before), past=True)

    # --- what takes away -----------------------------------------------------------------------------------------

    async def delete(self) -> None:
        """Delete something that was said."""
        chosen = self._some_id()
        words = frozenset(one.word for one in self.record.said if one.id == chosen)
        span = self._removing(words)
        await self._stage.user().delete(chosen)
        span.ended = self._hide("delete", words)

    async def withdraw(self) -> None:
        """Withdraw the consent."""
        await self._ending("withdraw", PURPOSE, lambda: self._stage.user().consent.withdraw(PURPOSE))

    async def consent_for_a_day(self) -> None:
        """Consent (again), for a while only."""
        self._ends_all()
        tomorrow = self._stage.clock.now() + timedelta(days=1)
        await self._stage.user().consent.grant(PURPOSE, notice="n", explicit=True, expires_at=tomorrow)

    async def refuse(self) -> None:
        """Refuse, after all."""
        await self._ending("refuse", PURPOSE, lambda: self._stage.user().consent.refuse(PURPOSE, notice="n"))

    async def object_to(self) -> None:
        """Object to what nobody asked for."""
        await self._ending("object", SECURITY, lambda: self._stage.user().object_to(SECURITY, reason="no"))

    async def lift_objection(self) -> None:
        """Object no more."""
        await self._stage.user().lift_objection(SECURITY)

    async def roll_back(self) -> None:
        """Take back what came from the session."""
        span = self._ends_all()
        began, apart = span.began, self._chance.random() < 0.5
        report = await self._stage.user().roll_back(reason="poisoned", quarantine=apart, session=SESSION)
        ids = {*report.matched, *report.derived}
        words = frozenset(one.word for one in self.record.said if one.id in ids and one.ended is not None)
        span.ended = next(self.ticks)
        if apart:
            for one in ids:
                held = [said.word for said in self.record.said if said.id == one and said.ended is not None]
                self._hide("roll back", held, past=True, memory_id=one, began=began)
        else:
            self._hide("roll back", words)

    async def erase(self) -> None:
        """Erase the user."""
        spans = [self._ends_all(), self._frees()]
        before = [*self.shared_said]
        began = next(self.ticks)
        certificate = await self._stage.user().erase(reason="request")
        assert certificate.verified
        ended = next(self.ticks)
        self.record.erasures.append((began, ended))
        for span in spans:
            span.ended = ended
        words = [one.word for one in before if one.ended is not None and one.ended < began]
        self._hide("the author's erasure", words)

    async def erase_tenant(self) -> None:
        """Erase the tenant."""
        spans = [self._ends_all(), self._frees()]
        began = next(self.ticks)
        await self._stage.memory.tenants.erase(WHO.tenant, "the contract ended")
        ended = next(self.ticks)
        self.record.erasures.append((began, ended))
        for span in spans:
            span.ended = ended
        words = [one.word for one in self.shared_said if one.ended is not None and one.ended < began]
        self._hide("the tenant's erasure", words)

    async def _ending(self, by: str, purpose: str, call: Callable[[], Awaitable[object]]) -> None:
        span, began = self._ends_all(), next(self.ticks)
        self.record.withdrawn = True
        gone = [
            one.word
            for one in (*self.record.said, *self.shared_said)
            if one.ended is not None
            and one.ended < began
            and self.of_purpose.get(one.word, PURPOSE) == purpose
        ]
        await call()
        span.ended = self._hide(by, gone)

    # --- what freezes and keeps ----------------------------------------------------------------------------------

    async def quarantine(self) -> None:
        """Keep something apart."""
        chosen, began = self._some_id(), next(self.ticks)
        words = [one.word for one in self.record.said if one.id == chosen and one.ended is not None]
        await self._stage.user().quarantine.put(chosen, reason="odd")
        self._hide("quarantine", words, past=True, memory_id=chosen, began=began)

    async def release_quarantined(self) -> None:
        """Take something back that was kept apart."""
        apart = [one.memory_id for one in self.rights.hidden if one.memory_id]
        chosen = self._chance.choice(apart) if apart else self._some_id()
        span = Span(next(self.ticks))
        self.rights.shown_again.setdefault(chosen, []).append(span)
        await self._stage.user().quarantine.release(chosen, reason="fine")
        span.ended = next(self.ticks)

    async def restrict(self) -> None:
        """Freeze everything."""
        began = next(self.ticks)
        await self._stage.user().rights.restrict(reason="contested")
        self.rights.restricted.append(Span(began, next(self.ticks)))

    async def lift_restriction(self) -> None:
        """Free everything."""
        span = self._frees()
        await self._stage.user().rights.lift_restriction(reason="settled")
        span.ended = next(self.ticks)

    async def hold(self) -> None:
        """Place a hold on the user."""
        scope, began = HoldScope(tenant=WHO.tenant, user=WHO.user), next(self.ticks)
        await self._stage.memory.holds.place(
            HOLD, scope=scope, owner="counsel", reason="claim", review_at=REVIEW
        )
        self.rights.holds.append(Span(began, next(self.ticks)))

    async def release_hold(self) -> None:
        """Release the hold."""
        span = Span(next(self.ticks))
        self.rights.unheld.append(span)
        await self._stage.memory.holds.release(HOLD, "settled")
        span.ended = next(self.ticks)

    async def rotate(self) -> None:
        """End the tenant's key epoch."""
        await self._stage.memory.keys.rotate(self._chance.choice([None, WHO.tenant]))

    # --- what tells ----------------------------------------------------------------------------------------------

    async def export(self) -> None:
        """Hand the user an archive."""
        path = self._stage.directory.parent / f"archive{next(self._files)}.zip"
        began = next(self.ticks)
        await self._stage.user().export(path)
        with zipfile.ZipFile(path) as archive:
            text = " ".join(archive.read(name).decode() for name in archive.namelist()).replace('"', " ")
        told = set(text.split())
        words = frozenset(one.word for one in (*self.record.said, *self.shared_said) if one.word in told)
        self.record.reads.append(Read("export", began, next(self.ticks), words))

    async def decide(self) -> None:
        """Record a decision, and explain it."""
        chosen = self._some_id()
        began = next(self.ticks)
        record = await self._stage.user().decisions.record("shown", memory_ids=[chosen], logic="a rule")
        told = await self._stage.user().decisions.explain(record.id)
        self._read("decision", began, [one.content for one in told.used if one.content])

    async def request(self) -> None:
        """Ask for access."""
        await self._stage.user().requests.open("access", note="by post")

    async def about(self) -> None:
        """Ask what is held."""
        await self._stage.user().about()

    async def quarantined(self) -> None:
        """Look at what is kept apart."""
        began = next(self.ticks)
        found = await self._stage.user().quarantine.list()
        self._read("quarantined", began, [one.content for one in found])

    # --- shared memories -----------------------------------------------------------------------------------------

    def space(self, user: str) -> SharedMemory:
        """Return the shared memory as somebody sees it."""
        return self._stage.memory.shared(SPACE, tenant=WHO.tenant, user=user)

    async def share(self) -> None:
        """Make a shared memory: another's, in which the user may write."""
        other = self._stage.memory.user(OTHER, tenant=WHO.tenant)
        await other.consent.grant(PURPOSE, notice="n", explicit=True)
        await self.space(OTHER).create(notice="n", explicit=True)
        await self.space(OTHER).grant_access(Member(WHO.user), {"read", "write"})

    async def contribute(self) -> None:
        """Say something in the shared memory."""
        one = Said(f"ours{next(self._words)}", next(self.ticks))
        self.of_purpose[one.word] = PURPOSE
        self.shared_said.append(one)
        receipt = await self.space(WHO.user).add(f"{one.word} word", importance=0.9)
        one.id, one.ended, one.durable = receipt.id, next(self.ticks), True

    async def look_at_shared(self) -> None:
        """Let the other look into the shared memory."""
        began = next(self.ticks)
        self._read("shared", began, [one.content for one in await self.space(OTHER).list(limit=1000)])

    async def forget(self) -> None:
        """Run a forgetting cycle some days later: nothing of importance is due by then."""
        self._stage.clock.advance(timedelta(days=self._chance.choice([0, 1, 3])))
        await self._stage.memory.forget(confirmed=True)

    def all(self) -> list[Work]:
        """Return what may meet; adds weigh more."""
        return [*super().all(), self.contribute, self.contribute, *self.of_rights()]

    def of_rights(self) -> Sequence[Work]:
        """Return the calls that are no plain ones."""
        return [
            *(self.update, self.update, self.delete, self.withdraw, self.refuse, self.object_to),
            *(self.lift_objection, self.roll_back, self.erase, self.erase_tenant, self.quarantine),
            *(self.release_quarantined, self.restrict, self.lift_restriction, self.hold, self.release_hold),
            *(self.rotate, self.export, self.decide, self.request, self.about, self.quarantined),
            *(self.contribute, self.look_at_shared, self.consent_for_a_day),
        ]

    # --- the record ----------------------------------------------------------------------------------------------

    def _hide(
        self,
        by: str,
        words: Iterable[str],
        *,
        past: bool = False,
        memory_id: str = "",
        began: int | None = None,
    ) -> int:
        now = next(self.ticks)
        span = Span(now if began is None else began, now)
        self.rights.hidden.append(Hidden(by, frozenset(words), span, past, memory_id))
        return now

    def _removing(self, words: frozenset[str]) -> Span:
        span = Span(next(self.ticks))
        self.rights.removals.append((span, words))
        return span

    def _ends_all(self) -> Span:
        span = Span(next(self.ticks))
        self.rights.endings.append(span)
        return span

    def _frees(self) -> Span:
        span = Span(next(self.ticks))
        self.rights.freed.append(span)
        return span

    async def quietly(self, *works: Work) -> None:
        """Do what can be done, one after another."""
        for work in works:
            try:
                await work()
            except TieredMemoryError:
                continue
