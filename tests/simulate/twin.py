"""A running memory and its oracle, driven together: every call goes to both, every answer is compared.

An engine that fails raises through; what the oracle takes for done then follows from what the operation promises.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
from crowding import Crowding
from expected import (
    COLD_ABOVE,
    CONSENTED,
    IDEMPOTENT_US,
    IDLE_US,
    LAW,
    TTL_US,
    Consent,
    Item,
    Operation,
    Person,
    Session,
    Turn,
    apply,
    everybody,
    plan,
    promised,
)
from lapsing import end_lapsed, lapse
from sayings import Saying, interaction

from tiered_memory import TieredMemory, User
from tiered_memory.clock import from_us, to_us
from tiered_memory.errors import (
    ConflictError,
    ErasureIncompleteError,
    InvalidInputError,
    NotFoundError,
    QuotaExceededError,
    StorageError,
    SubjectErasedError,
)
from tiered_memory.model import Durability, Interaction, Receipt, Role
from tiered_memory.testing import ManualClock

ENOUGH_TOKENS = 4000
Opening = Callable[[], Awaitable[TieredMemory]]


@dataclass(slots=True)
class Twin:
    """Both sides. `hot_kept`: hot outlives the process; `exact`: nothing fails, so what is volatile is known too."""

    clock: ManualClock
    opening: Opening
    hot_kept: bool = False
    exact: bool = True
    people: dict[str, Person] = field(default_factory=dict)
    words: Iterator[int] = field(default_factory=itertools.count)
    crowding: Crowding = field(default_factory=Crowding)
    memory: TieredMemory = field(init=False)

    async def open(self) -> None:
        """Begin a process."""
        self.memory = await self.opening()

    @property
    def now_us(self) -> int:
        """The moment, as both sides know it."""
        return to_us(self.clock.now())

    def user(self, name: str) -> User:
        """One user's face; the tenant is part of the name."""
        tenant, _, user = name.partition("/")
        return self.memory.user(user, tenant=tenant)

    def touch(self, name: str) -> Person:
        """One user's oracle, as a call finds it."""
        person = self.people[name]
        person.expire(self.now_us)
        lapse(person, self.now_us)
        return person

    # --- writing ---------------------------------------------------------------------------------------------

    async def add(self, name: str, saying: Saying) -> list[str]:
        """Say something new."""
        contents = [f"{name} w{next(self.words)} says hello" for _ in range(saying.count)]
        given = [interaction(content, saying) for content in contents]
        displaced = self._displaced(name, saying)
        if displaced is None:
            with pytest.raises(QuotaExceededError):
                await self._give(name, given, saying)
            self.crowding.refuse(self.touch(name), saying.session, self.now_us)
            return []
        receipts = await self._give(name, given, saying)
        person = self.touch(name)
        self.crowding.displace(person, displaced, self.now_us)
        durable = person.grounds(saying.purpose, saying.sensitivity, self.now_us)
        kept = promised(saying.importance, saying.session, saying.role, durable=durable)
        assert {one.durability for one in receipts} == {kept}
        for content, receipt in zip(contents, receipts, strict=True):
            self._keep(person, content, receipt, saying, durable=durable)
        if saying.operation is not None:
            until = self.now_us + IDEMPOTENT_US if durable else None
            said_then = (tuple(contents), saying)
            ids = tuple(receipt.id for receipt in receipts)
            person.operations[saying.operation] = Operation(said_then, ids, saying.purpose, until)
        return [receipt.id for receipt in receipts]

    def _displaced(self, name: str, saying: Saying) -> list[Item] | None:
        person, now_us = self.touch(name), self.now_us
        kept = saying.importance > COLD_ABOVE and saying.role is not Role.SYSTEM
        kept = kept and person.grounds(saying.purpose, saying.sensitivity, now_us)
        return person.displaced(saying.count, now_us) if kept else []

    async def repeat(self, name: str, operation: str, *, altered: bool) -> None:
        """Give a known operation id again, with the same words or with others."""
        known = self.touch(name).operations[operation]
        contents, saying = known.said
        assert isinstance(contents, tuple)
        assert isinstance(saying, Saying)
        if altered:
            with pytest.raises(ConflictError):
                await self._give(name, [interaction(f"{one}!", saying) for one in contents], saying)
            return
        receipts = await self._give(name, [interaction(one, saying) for one in contents], saying)
        assert tuple(receipt.id for receipt in receipts) == known.ids
        assert all(receipt.repeated for receipt in receipts)

    async def _give(self, name: str, given: Sequence[Interaction], saying: Saying) -> list[Receipt]:
        options = {"purpose": saying.purpose, "operation_id": saying.operation}
        return await self.user(name).add_many(given, **options)  # type: ignore[arg-type]

    def _keep(self, person: Person, content: str, receipt: Receipt, saying: Saying, *, durable: bool) -> None:
        cold = receipt.durability is Durability.JOURNALED
        person.established = person.established or durable
        now_us = self.now_us
        if saying.session is not None:
            session = person.sessions.setdefault(saying.session, Session())
            session.load(now_us)
            session.turns.append(Turn(receipt.id, content, saying.role, saying.purpose, durable))
            session.written_us = max(session.written_us, now_us)
            session.tail_until_us = max(session.tail_until_us, now_us + IDLE_US if durable else 0)
        if saying.role is Role.SYSTEM:
            return
        item = Item(receipt.id, content, saying.purpose, saying.sensitivity, now_us, keyed=durable)
        item.importance = saying.importance
        if cold:
            item.state = item.written = LAW.curve.start(saying.importance, now_us, LAW.policy.version)
        else:
            item.expires_us = now_us + TTL_US
        person.items[receipt.id] = item

    async def grant(self, name: str, purpose: str, *, explicit: bool, days: float | None) -> None:
        """Consent to a purpose, perhaps for a while only."""
        person = self.touch(name)
        expires_at = None if days is None else self.clock.now() + timedelta(days=days)
        options: dict[str, Any] = {"notice": "notice 1", "explicit": explicit, "expires_at": expires_at}
        if purpose not in CONSENTED:
            with pytest.raises(InvalidInputError):
                await self.user(name).consent.grant(purpose, **options)
            return
        await self.user(name).consent.grant(purpose, **options)
        person.established = True
        until = None if expires_at is None else to_us(expires_at)
        person.consents[purpose] = Consent(open=True, explicit=explicit, expires_us=until)

    async def withdraw(self, name: str, purpose: str) -> None:
        """Withdraw a consent, or try to."""
        count = await self.user(name).consent.withdraw(purpose)
        assert count == (self.touch(name).withdraw(purpose) or 0)

    async def delete(self, name: str, memory_id: str) -> None:
        """Delete a memory, or find that there is none."""
        person = self.touch(name)
        if memory_id not in person.items:
            await self._delete_spoken(name, memory_id)
            return
        doubtful = () if self._is_certain(person.items[memory_id]) else (NotFoundError,)
        with contextlib.suppress(*doubtful):
            await self.user(name).delete(memory_id)
        person.remove([memory_id])

    async def _delete_spoken(self, name: str, memory_id: str) -> None:
        """Delete a turn that is no memory (any more): it is found as long as a session may show it."""
        person = self.touch(name)
        shown = [turn.id for one in person.sessions.values() for turn in (*one.turns, *one.perhaps)]
        if memory_id not in shown:
            with pytest.raises(NotFoundError):
                await self.user(name).delete(memory_id)
            return
        with contextlib.suppress(NotFoundError):
            await self.user(name).delete(memory_id)
        person.remove([memory_id])

    async def restore(self, name: str, memory_id: str) -> None:
        """Bring a memory back, or find that it cannot be."""
        person = self.touch(name)
        item = person.items.get(memory_id)
        if item is None or item.state is None:
            with pytest.raises(NotFoundError):
                await self.user(name).restore(memory_id)
            return
        displaced = [] if item.purge_us is None else person.displaced(1, self.now_us)
        if displaced is None:
            with pytest.raises(QuotaExceededError):
                await self.user(name).restore(memory_id)
            self.crowding.refuse(person, None, self.now_us)
            return
        assert (await self.user(name).restore(memory_id)).content == item.content
        self.crowding.displace(person, displaced, self.now_us)
        if item.purge_us is not None:
            item.restore(self.now_us)

    async def pin(self, name: str, memory_id: str, *, pinned: bool) -> None:
        """Pin a memory, or let it fade again."""
        person = self.touch(name)
        item = person.items.get(memory_id)
        call = self.user(name).pin if pinned else self.user(name).unpin
        if item is None or item.state is None or item.purge_us is not None:
            with pytest.raises(NotFoundError):
                await call(memory_id)
            return
        await call(memory_id)
        item.pinned = pinned
        person.write()

    async def used(self, name: str, ids: Sequence[str]) -> None:
        """Confirm uses."""
        strengthened = await self.user(name).used(ids)
        person = self.touch(name)
        assert strengthened == sum(person.items[one].use(self.now_us) for one in ids if one in person.items)
        await self._promote(name, ids)

    async def _promote(self, name: str, ids: Sequence[str]) -> None:
        """What was used is kept; where engines fail, whether it was is seen."""
        person = self.people[name]
        volatile = [one.id for one in person.promotable(dict.fromkeys(ids), self.now_us)]
        seen = {one: "active" if self.exact else await self._seen(name, one) for one in volatile}
        self.crowding.promote(person, {one: s for one, s in seen.items() if s}, self.now_us)

    async def _seen(self, name: str, memory_id: str) -> str:
        with contextlib.suppress(NotFoundError):
            return (await self.user(name).explain(memory_id)).state
        return ""

    async def erase(self, name: str) -> None:
        """Erase a user; when an engine fails the user stays closed until it is tried again."""
        person = self.touch(name)
        try:
            certificate = await self.user(name).erase(reason="request")
        except ErasureIncompleteError:
            established = person.established
            self.people[name] = Person(established=established, erasing=established)
            raise
        assert certificate.verified
        self.people[name] = Person()

    # --- time, forgetting, processes -------------------------------------------------------------------------

    async def forget(self, name: str | None, *, dry_run: bool, confirmed: bool) -> None:
        """Run a cycle over one user or all, and compare its report with the oracle's plan."""
        chosen = [name] if name is not None else [one for one, _ in everybody(self.people)]
        now_us = self.now_us
        if name is not None:
            self.people[name].expire(now_us)
        lapsed = [id_ for one in chosen for id_ in end_lapsed(self.people[one], now_us, dry_run=dry_run)]
        plans = {one: plan(self.people[one], now_us, confirmed=confirmed, without=lapsed) for one in chosen}
        run = self.memory.forget if name is None else self.user(name).forget
        try:
            report = await run(dry_run=dry_run, confirmed=confirmed)
        except StorageError:
            self._forgotten(plans, now_us, dry_run=dry_run)
            raise
        assert sorted(report.forgotten) == sorted(item.id for one in plans.values() for item in one.forget)
        planned = [item.id for one in plans.values() for item in one.remove]
        assert sorted(report.removed) == sorted([*planned, *lapsed])
        assert report.stopped == any(one.stopped for one in plans.values())
        self._forgotten(plans, now_us, dry_run=dry_run)
        if not dry_run:
            for person in self.people.values():
                person.end_operations(now_us)

    def _forgotten(self, plans: dict[str, Any], now_us: int, *, dry_run: bool) -> None:
        for person in self.people.values():
            person.write()
        for name, made in plans.items():
            if not dry_run:
                apply(self.people[name], made, now_us)

    async def drain(self) -> None:
        """Carry everything to cold."""
        for person in self.people.values():
            person.write()
        await self.memory.drain()

    async def end_idle(self) -> None:
        """End the sessions nobody has touched for an hour."""
        await self.memory._parts().sessions.end_idle()
        for person in self.people.values():
            for session in person.sessions.values():
                if session.written_us <= self.now_us - IDLE_US:
                    session.doubt(session.turns)

    async def reopen(self, *, killed: bool = False) -> None:
        """End the process, in good order or not, and begin another."""
        if killed:
            await self.memory.abandon()  # type: ignore[attr-defined]
        else:
            await self.memory.close()
        for person in self.people.values():
            person.crash() if killed else person.write()
            person.resume(self.now_us, hot_kept=self.hot_kept)
        await self.open()

    # --- reading and comparing -------------------------------------------------------------------------------

    async def search(self, name: str, question: str) -> None:
        """Look for something; what is asked for word by word is found if it can be retrieved."""
        hits = await self.user(name).search(question, limit=10)
        listed = {item.id: item for item in self.touch(name).listed()}
        now_us = self.now_us
        for hit in hits:
            assert hit.memory.content == listed[hit.memory.id].content
            assert hit.strength == pytest.approx(listed[hit.memory.id].strength(now_us), abs=1e-12)
        sought = [item.id for item in listed.values() if item.content == question and self._is_certain(item)]
        assert set(sought) <= {hit.memory.id for hit in hits}

    async def context(self, name: str, session: str, token_budget: int) -> None:
        """Ask for a prompt's context: within the budget, of nothing that is gone, with what it must hold."""
        person = self.touch(name)
        found = person.sessions.get(session, Session())
        found.load(self.now_us)
        packed = await self.user(name).context(
            f"{name} says hello", session=session, token_budget=token_budget
        )
        assert packed.tokens <= token_budget
        assert sum(item.tokens for item in packed.items) == packed.tokens
        whole = [item.content for item in packed.items]
        known = [turn.content for turn in (*found.turns, *found.perhaps)] + [
            i.content for i in person.listed()
        ]
        assert all(any(full.startswith(content) for full in known) for content in whole)
        if token_budget >= ENOUGH_TOKENS and self.exact:
            assert {turn.content for turn in found.musts()} <= set(whole)
        recalled = [item.memory_id for item in packed.items if item.section == "recalled" and item.memory_id]
        for memory_id in recalled:
            person.items[memory_id].use(self.now_us)
        await self._promote(name, recalled)

    async def check(self, name: str) -> None:
        """Compare everything one user can see."""
        listed = await self.user(name).list(limit=10_000)
        person = self.touch(name)
        expected = [item for item in person.listed() if self._is_certain(item)]
        certain = {item.id for item in expected}
        assert [(m.id, m.content) for m in listed if self.exact or m.id in certain] == [
            (item.id, item.content) for item in expected
        ]
        volatile = {item.id for item in person.listed()} - certain
        assert {memory.id for memory in listed} <= certain | volatile
        assert all(memory.content.startswith(f"{name} ") for memory in listed)
        for item in expected:
            await self._check_explained(name, item)

    async def check_forgotten(self, name: str) -> None:
        """Compare what can be restored."""
        forgotten = [memory.id for memory in await self.user(name).forgotten()]
        assert forgotten == [item.id for item in self.touch(name).forgotten()]

    async def check_closed(self, name: str) -> None:
        """A user whose erasure is not finished is not served."""
        with pytest.raises(SubjectErasedError):
            await self.user(name).list()

    async def _check_explained(self, name: str, item: Item) -> None:
        told = await self.user(name).explain(item.id)
        assert told.strength == pytest.approx(item.strength(self.now_us), abs=1e-12)
        if item.state is None:
            assert (told.state, told.deadline) == ("volatile", from_us(item.expires_us))
            return
        due = item.due()
        assert (told.state, told.deadline_rule, told.spaced_uses) == ("active", due.rule, item.state.n_spaced)
        assert told.deadline == (None if due.at_us is None else from_us(due.at_us))

    def _is_certain(self, item: Item) -> bool:
        return self.exact or item.state is not None
