"""A shared memory with members, as the tests of shared memories begin."""

from __future__ import annotations

import json
from typing import Any

from support import consenting, parts_of

from tiered_memory import TieredMemory
from tiered_memory.caller import Caller
from tiered_memory.privacy.sharing import Member
from tiered_memory.shared_face import SharedMemory
from tiered_memory.state import commands as c

BOT = Caller(actor="planner-bot")
PURPOSE = "personalization"


def plan(memory: TieredMemory, user: str | None = None, caller: Caller | None = None) -> SharedMemory:
    return memory.shared("team-plan", tenant="acme", user=user, caller=caller)


async def made(memory: TieredMemory) -> SharedMemory:
    """Alice's shared memory; Bob may read and write in it, Carol may not even know of it."""
    for name in ("alice", "bob", "carol"):
        await consenting(memory, name)
    alice = plan(memory, "alice")
    await alice.create(notice="team-notice-1", explicit=True)
    await alice.grant_access(Member("bob"), {"read", "write"})
    return alice


async def leaves(memory: TieredMemory, event: str) -> list[dict[str, Any]]:
    rows = await parts_of(memory).core.state.read(c.Leaves())
    return [one for one in (json.loads(leaf) for _, leaf, _ in rows) if one["event"] == event]


async def contents(shared: SharedMemory) -> list[str]:
    return [one.content for one in await shared.list()]
