"""The warm tier keeps the contract of every tier, whatever the payloads."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest

from tiered_memory.errors import ClosedError
from tiered_memory.model import Role
from tiered_memory.policy.rules import WarmRules
from tiered_memory.scoring.packing import BufferedTurn
from tiered_memory.testing import ManualClock, TierContract, record_numbered, subject_named
from tiered_memory.tiers.base import Tier, TierRecord
from tiered_memory.tiers.session_tier import SessionTier, encode_turn


def turn_record(order: int, *, session: str = "s1", version: int = 1, content: str = "hello") -> TierRecord:
    record_id = record_numbered(order).id
    turn = BufferedTurn(
        id=record_id,
        order=order,
        role=Role.USER,
        content=content,
        tokens=2,
        importance=0.5,
        occurred_at=datetime(2026, 1, 1, tzinfo=UTC),
    )
    return TierRecord(
        record_id, order, version, encode_turn(turn, session), expires_at_us=1_800_000_000_000_001
    )


class TestSessionTier(TierContract):
    @pytest.fixture
    async def tier(self) -> AsyncIterator[SessionTier]:
        tier = SessionTier(WarmRules(), ManualClock())
        assert isinstance(tier, Tier)
        yield tier
        await tier.close()

    async def test_turns_of_several_sessions_come_back_as_they_were_put(self, tier: SessionTier) -> None:
        alice = subject_named("turns")
        records = [turn_record(order, session=f"s{order % 2}") for order in range(4)]
        await tier.put(alice, [*records, record_numbered(9)])
        assert await tier.scan(alice) == [record_numbered(9), *records[::-1]]
        assert sorted(tier.sessions(alice)) == ["s0", "s1"]

    async def test_a_corrected_turn_is_in_one_session_only(self, tier: SessionTier) -> None:
        alice = subject_named("correct")
        await tier.put(alice, [turn_record(1, session="old")])
        corrected = turn_record(1, session="new", version=2, content="corrected")
        await tier.put(alice, [corrected, turn_record(1, session="old")])
        assert await tier.scan(alice) == [corrected]
        assert tier.sessions(alice) == ("new",)

    async def test_a_closed_tier_says_so(self, tier: SessionTier) -> None:
        await tier.close()
        with pytest.raises(ClosedError):
            await tier.put(subject_named("closed"), [record_numbered(1)])
        with pytest.raises(ClosedError):
            await tier.scan(subject_named("closed"))
