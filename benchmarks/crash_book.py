"""What a reopened store must hold, by what its writer told before it died, and the comparison with what it holds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from benchmarks.crash_lanes import TENANT, in_the_end, text_of, turns_of
from benchmarks.store import NOTICE, PAGE, PURPOSE
from tiered_memory import TieredMemory, User

Found = Mapping[str, Sequence[str]]
"""The ids found of each mark."""


@dataclass(slots=True)
class Faults:
    """What a store got wrong, in memories or calls.

    `half` counts calls of which a part happened, and removals acknowledged of which something is back.
    """

    lost: int = 0
    duplicated: int = 0
    half: int = 0
    named: list[str] = field(default_factory=list)

    def add(self, sort: str, what: str) -> None:
        """Count one fault of a sort (`lost`, `duplicated`, `half`)."""
        setattr(self, sort, getattr(self, sort) + 1)
        self.named.append(f"{sort}: {what}")

    def take(self, other: Faults) -> None:
        """Count another's faults too."""
        self.lost += other.lost
        self.duplicated += other.duplicated
        self.half += other.half
        self.named += other.named

    @property
    def total(self) -> int:
        """All of them."""
        return self.lost + self.duplicated + self.half


@dataclass(slots=True)
class Account:
    """One user: `held` must be there, `gone` must not (ids by mark); what was under way may be either, but whole."""

    held: dict[str, str] = field(default_factory=dict)
    gone: dict[str, str] = field(default_factory=dict)
    adding: dict[str, dict[str, Any]] = field(default_factory=dict)
    deleting: dict[str, str] = field(default_factory=dict)
    clearing: str | None = None

    def begun(self, line: Mapping[str, Any]) -> None:
        """Note a call that was begun."""
        match line["call"]:
            case "add":
                self.adding[line["operation"]] = dict(line)
            case "delete":
                self.deleting.update(zip(line["marks"], line["ids"], strict=True))
                for mark in line["marks"]:
                    self.held.pop(mark, None)
            case call:
                self.clearing = call

    def done(self, line: Mapping[str, Any]) -> None:
        """Note a call that was acknowledged."""
        match line["call"]:
            case "add":
                self.adding.pop(line["operation"], None)
                self.held.update(zip(line["marks"], line["ids"], strict=True))
            case "delete":
                self.gone.update({mark: self.deleting.pop(mark) for mark in line["marks"]})
            case _:
                self.clear()

    def clear(self) -> None:
        """Everything went."""
        self.gone |= self.held
        self.held.clear()
        self.clearing = None

    def compare(self, user: str, found: Found) -> Faults:
        """Return what `found` gets wrong."""
        faults = Faults()
        there = [mark for mark in self.held if mark in found]
        if self.clearing is not None:
            if there and len(there) != len(self.held):
                faults.add("half", f"{self.clearing} of {user}: {len(there)} of {len(self.held)} are left")
        else:
            for mark in self.held.keys() - found.keys():
                faults.add("lost", f"{mark} of {user}")
        for mark, ids in found.items():
            if len(ids) > 1 or self.held.get(mark, ids[0]) != ids[0]:
                faults.add("duplicated", f"{mark} of {user}: {len(ids)}")
            if mark in self.gone:
                faults.add("half", f"{mark} of {user} is back")
        for operation, line in self.adding.items():
            if sum(mark in found for mark in line["marks"]) not in {0, len(line["marks"])}:
                faults.add("half", f"group {operation} of {user}")
        return faults


@dataclass(slots=True)
class Book:
    """Every user's account, kept by what writers told."""

    accounts: dict[str, Account] = field(default_factory=dict)
    acked: int = 0

    def take(self, line: Mapping[str, Any]) -> None:
        """Enter one line of a writer."""
        if line["what"] not in {"begin", "done"}:
            return
        account = self.accounts.setdefault(line["user"], Account())
        if line["what"] == "begin":
            account.begun(line)
        else:
            account.done(line)
            self.acked += len(line["marks"]) if line["call"] == "add" else 0

    def some_mark(self) -> tuple[str, str] | None:
        """Return a user and one of its marks that a search must find, or None while there is none."""
        for user, account in self.accounts.items():
            if account.held and account.clearing is None:
                return user, next(reversed(account.held))
        return None

    async def check(self, memory: TieredMemory) -> Faults:
        """Return what the memory gets wrong."""
        faults = Faults()
        for user, account in self.accounts.items():
            faults.take(account.compare(user, await marks_of(memory.user(user, tenant=TENANT))))
        return faults

    async def settle(self, memory: TieredMemory) -> Faults:
        """Finish what was under way by asking again, let the erased begin anew, and check once more."""
        for user, account in self.accounts.items():
            await _settle(memory.user(user, tenant=TENANT), user, account)
        return await self.check(memory)


async def marks_of(face: User) -> dict[str, list[str]]:
    """Return the ids of every memory a user has, by the mark in it; other contents stand for themselves."""
    found: dict[str, list[str]] = {}
    before = None
    while page := await face.list(limit=PAGE, before=before):
        for one in page:
            words = one.content.split()
            mark = words[2] if len(words) > 2 and one.content == text_of(words[2]) else one.content
            found.setdefault(mark, []).append(one.id)
        before = page[-1].order
    return found


def repeats(ids: Sequence[str]) -> int:
    """Return how many of `ids` are there more than once."""
    return sum(count > 1 for count in Counter(ids).values())


async def _settle(face: User, user: str, account: Account) -> None:
    if account.clearing is not None:
        erasing = account.clearing == "erase"
        await in_the_end(lambda: face.erase(reason="again") if erasing else face.consent.withdraw(PURPOSE))
        account.clear()
    for mark, memory_id in list(account.deleting.items()):
        await in_the_end(partial(face.delete, memory_id))
        account.done({"call": "delete", "marks": [mark]})
    if (account.adding or account.gone) and not await face.consent.current():
        await face.consent.grant(PURPOSE, notice=NOTICE)
    for operation, line in list(account.adding.items()):
        await _again(face, operation, line, account)
    if account.gone and not account.held:
        await _again(
            face, f"anew {user}", {"marks": [f"anew-{user.replace(' ', '-')}"], "session": "anew"}, account
        )


async def _again(face: User, operation: str, line: Mapping[str, Any], account: Account) -> None:
    turns = turns_of(line["marks"], line["session"])
    receipts = await face.add_many(turns, operation_id=operation)
    done = {
        "call": "add",
        "operation": operation,
        "marks": line["marks"],
        "ids": [one.id for one in receipts],
    }
    account.done(done)
