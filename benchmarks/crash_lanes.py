"""What a writer does until it is killed: lanes of calls, each told before it begins and after it was acknowledged."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from benchmarks.store import NOTICE, PURPOSE
from tiered_memory import TieredMemory, User
from tiered_memory.clock import SystemClock
from tiered_memory.errors import ErasureIncompleteError, HotTierError, NotFoundError
from tiered_memory.model import Durability, Interaction

TENANT = "crash"
IMPORTANCE = 0.9
GROUP = 3
ATTEMPTS, PAUSE_S = 100, 0.2
ADD, GROUPED, DELETE, RECALL = 0.6, 0.8, 0.88, 0.95
"""A keeper's next call by a draw from 0..1: one add, a group, a deletion, a recall, else a repeated add."""


def tell(line: dict[str, Any]) -> None:
    """Write one line in one system call: it is whole in the pipe, or not there."""
    os.write(1, json.dumps(line).encode() + b"\n")


def text_of(mark: str) -> str:
    """Return the content that carries a mark."""
    return f"Remember that {mark} was settled at the meeting."


def turns_of(marks: Sequence[str], session: str) -> list[Interaction]:
    """Return the interactions of one call."""
    return [Interaction(content=text_of(mark), session=session, importance=IMPORTANCE) for mark in marks]


async def in_the_end(call: Callable[[], Awaitable[object]]) -> None:
    """Call until it is done: on a busy machine Redis may be late, and then the answer is to call again."""
    for _ in range(ATTEMPTS):
        try:
            await call()
        except NotFoundError:
            return
        except (ErasureIncompleteError, HotTierError):
            await SystemClock().sleep(PAUSE_S)
        else:
            return
    raise AssertionError("Redis did not come back")


@dataclass(slots=True)
class Lane:
    """One caller: its calls follow one another, other lanes' calls run beside them."""

    memory: TieredMemory
    run: int
    number: int
    seed: int
    held: list[tuple[str, str]] = field(default_factory=list)
    _serial: int = 0
    _draw: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self._draw = random.Random(f"{self.seed}/{self.run}/{self.number}")

    async def keep(self, user: str, rounds: int) -> None:
        """Write for a user who stays, with deletions, recalls and repeats between."""
        face = self.memory.user(user, tenant=TENANT)
        for _ in range(rounds):
            drawn = self._draw.random()
            if drawn < GROUPED or not self.held:
                await self.add(face, user, 1 if drawn < ADD else GROUP)
            elif drawn < DELETE:
                await self.delete(face, user)
            elif drawn < RECALL:
                await face.context(text_of(self.held[-1][0]), token_budget=200)
            else:
                await self.add(face, user, 1, times=2)

    async def leave(self, rounds: int) -> None:
        """Have users who are erased and begin anew."""
        for number in range(rounds):
            name = f"leaver-{self.run}-{number}"
            face = await self._begin(name)
            await face.context("what was settled at the meeting?", token_budget=200)
            await self._clear(name, "erase", partial(face.erase, reason="asked for it"))
            await face.consent.grant(PURPOSE, notice=NOTICE)
            await self.add(face, name, 1)

    async def withdraw(self, rounds: int) -> None:
        """Have users who withdraw their consent and give it again."""
        for number in range(rounds):
            name = f"withdrawer-{self.run}-{number}"
            face = await self._begin(name)
            await self._clear(name, "withdraw", partial(face.consent.withdraw, PURPOSE))
            await face.consent.grant(PURPOSE, notice=NOTICE)
            await self.add(face, name, 1)

    async def add(self, face: User, user: str, count: int, times: int = 1) -> None:
        """Add a group of `count` under one operation id, `times` over; tell what was acknowledged."""
        marks = [self._mark() for _ in range(count)]
        said = {"call": "add", "user": user, "operation": f"op {marks[0]}", "marks": marks}
        said["session"] = session = f"session {self.number}"
        tell({"what": "begin", **said})
        for _ in range(times):
            receipts = await face.add_many(turns_of(marks, session), operation_id=f"op {marks[0]}")
        if any(one.durability is not Durability.JOURNALED for one in receipts):
            raise AssertionError("a write that had to be durable was not")
        ids = [one.id for one in receipts]
        tell({"what": "done", **said, "ids": ids})
        self.held += zip(marks, ids, strict=True)

    async def delete(self, face: User, user: str) -> None:
        """Delete one of this lane's memories."""
        mark, memory_id = self.held.pop(self._draw.randrange(len(self.held)))
        said = {"call": "delete", "user": user, "marks": [mark], "ids": [memory_id]}
        tell({"what": "begin", **said})
        await in_the_end(lambda: face.delete(memory_id))
        tell({"what": "done", **said})

    async def _begin(self, user: str) -> User:
        face = self.memory.user(user, tenant=TENANT)
        await face.consent.grant(PURPOSE, notice=NOTICE)
        await self.add(face, user, 1)
        await self.add(face, user, GROUP)
        return face

    async def _clear(self, user: str, call: str, clearing: Callable[[], Awaitable[object]]) -> None:
        self.held.clear()
        tell({"what": "begin", "call": call, "user": user})
        await in_the_end(clearing)
        tell({"what": "done", "call": call, "user": user})

    def _mark(self) -> str:
        self._serial += 1
        return f"mark{self.run:04}x{self.number}x{self._serial:05}"
