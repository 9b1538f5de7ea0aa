"""The gate by a user's top share: what one user says counts for that user only, and is known again after a restart."""

from __future__ import annotations

from pathlib import Path

import pytest
from support import consenting, contents, opened, parts_of

from tiered_memory.model import Durability, Interaction, Role
from tiered_memory.testing import ManualClock

pytestmark = pytest.mark.anyio

TOP_HALF = 'schema = 1\nname = "top half"\n\n[routing]\ngate = "quantile"\ncold_quantile = 0.5\n'
LOCAL = {"redis_url": "local"}


@pytest.fixture
def settings(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "half.toml").write_text(TOP_HALF)
    return {"policy": str(tmp_path / "half.toml"), **LOCAL}


def said(*importances: float) -> list[Interaction]:
    return [Interaction(content=f"thing {n}", importance=one) for n, one in enumerate(importances)]


RISING = [number / 20 for number in range(20)]


async def test_the_top_share_of_a_user_is_kept(
    data: Path, clock: ManualClock, settings: dict[str, str]
) -> None:
    async with opened(data, clock=clock, settings=settings) as memory:
        alice, bob = await consenting(memory), await consenting(memory, "bob")
        await alice.add_many(said(*RISING))
        low, high = await alice.add_many(said(0.4, 0.6))
        assert (low.durability, high.durability) == (Durability.EPHEMERAL, Durability.JOURNALED)
        assert "not among this user's top 50%" in low.routing
        assert "among this user's top 50%" in high.routing
        (other,) = await bob.add_many(said(0.4))
        assert other.durability is Durability.JOURNALED
        assert (await memory.stats()).routing["cold"]["above_quantile"] > 10


async def test_the_share_is_known_again_in_another_process(
    data: Path, clock: ManualClock, settings: dict[str, str]
) -> None:
    """What stayed below the gate is gone, but that it was said is not."""
    async with opened(data, clock=clock, settings=settings) as memory:
        alice = await consenting(memory)
        await alice.add_many(said(*[0.5] * 12, *[0.1] * 30, 0.9))
        kept = len([one for one in await alice.list(limit=100) if one.importance > 0.2])
        assert kept == 13
    async with opened(data, clock=clock, settings=settings) as memory:
        alice = memory.user("alice", tenant="acme")
        assert len(await contents(alice)) < 43
        spread = parts_of(memory).directory.residents()[0].spread
        assert spread.total == 43
        (again,) = await alice.add_many(said(0.5))
        assert again.durability is Durability.JOURNALED
        (low,) = await alice.add_many(said(0.05))
        assert low.durability is Durability.EPHEMERAL


async def test_system_prompts_are_not_among_what_is_compared(
    data: Path, clock: ManualClock, settings: dict[str, str]
) -> None:
    async with opened(data, clock=clock, settings=settings) as memory:
        alice = await consenting(memory)
        await alice.add("Be kind.", role=Role.SYSTEM, session="s1", importance=1.0)
        assert parts_of(memory).directory.residents()[0].spread.total == 0


async def test_the_default_gate_asks_for_a_threshold_alone(data: Path, clock: ManualClock) -> None:
    async with opened(data, clock=clock, settings=LOCAL) as memory:
        alice = await consenting(memory)
        receipts = await alice.add_many(said(*[0.9] * 30, 0.21, 0.2))
        assert [one.durability for one in receipts[-2:]] == [Durability.JOURNALED, Durability.EPHEMERAL]
