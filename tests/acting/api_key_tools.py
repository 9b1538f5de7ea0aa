"""What the tests of API keys share."""

from __future__ import annotations

from typing import Any

import pytest
from support import parts_of

from tiered_memory import TieredMemory
from tiered_memory.errors import UnauthenticatedError
from tiered_memory.state import commands as c


def refused(memory: TieredMemory, presented: Any) -> str:
    """Return what a refused key's bearer is told; fails when it is accepted."""
    with pytest.raises(UnauthenticatedError) as told:
        memory.api_keys.verify(presented)
    return str(told.value)


async def leaves(memory: TieredMemory) -> bytes:
    """Return what the ledger says."""
    rows = await parts_of(memory).core.state.read(c.Leaves())
    return b"\n".join(leaf for _, leaf, _ in rows)


async def lived(memory: TieredMemory, user: str = "alice", tenant: str = "acme") -> None:
    """Have somebody of whom something is kept."""
    face = memory.user(user, tenant=tenant)
    await face.consent.grant("personalization", notice="n1", explicit=True)
    await face.add("we decided on the green option", importance=0.9)
