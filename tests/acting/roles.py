"""Somebody who said something of every level, and callers of several roles, as the tests of access begin."""

from __future__ import annotations

import json
from typing import Any

from support import consenting, parts_of

from tiered_memory import TieredMemory, User
from tiered_memory.caller import Caller
from tiered_memory.model import Filter, Sensitivity
from tiered_memory.state import commands as c

SUPPORT, ADMIN, AUDITOR = Caller(role="support"), Caller(role="admin"), Caller(role="auditor")
WORDS = [
    "beans",
    "peas",
    "leeks",
    "kale",
    "chard",
    "mint",
    "dill",
    "sage",
    "thyme",
    "corn",
    "okra",
    "rocket",
    "cress",
    "sorrel",
    "fennel",
    "onions",
    "garlic",
    "beets",
    "radish",
    "turnip",
    "carrots",
    "celery",
    "lettuce",
    "spinach",
]
EVERYTHING = Filter(include_superseded=True)


async def leaves(memory: TieredMemory, event: str) -> list[dict[str, Any]]:
    rows = await parts_of(memory).core.state.read(c.Leaves())
    return [one for one in (json.loads(leaf) for _, leaf, _ in rows) if one["event"] == event]


async def told(memory: TieredMemory) -> User:
    """Alice, who said something of every level in one session: the confidential stands between two others."""
    alice = await consenting(memory, "alice")
    for content, level in (
        ("I take the tram number 12 to work every morning", Sensitivity.INTERNAL),
        ("My therapist Dr Quill treats me for panic attacks", Sensitivity.RESTRICTED),
        ("We could meet on Thursday afternoon", Sensitivity.PUBLIC),
        ("My salary at the foundry is 4100 euros", Sensitivity.CONFIDENTIAL),
    ):
        await alice.add(content, sensitivity=level, session="s1", importance=0.9)
    return alice


def seen_by(memory: TieredMemory, caller: Caller, user: str = "alice") -> User:
    return memory.user(user, tenant="acme", caller=caller)


async def by_level(alice: User) -> dict[Sensitivity, str]:
    return {one.sensitivity: one.id for one in await alice.list(where=EVERYTHING)}


OPEN = {Sensitivity.PUBLIC, Sensitivity.INTERNAL}
