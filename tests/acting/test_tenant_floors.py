"""A tenant's ceiling below what the policy keeps at least is refused, like two rules of one policy: nothing goes before its floor."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
from support import contents, opened

from tiered_memory import TieredMemory
from tiered_memory.errors import InvalidInputError, TenantUnknownError
from tiered_memory.testing import ManualClock

pytestmark = pytest.mark.anyio
POLICY = """
schema = 1
name = "floors"
default_purpose = "service"
[purposes.service]
lawful_basis = "contract"
documentation = "the order form"
[retention.confidential]
floor_days = 40
ceiling_days = 180
[[retention_rules]]
name = "letters"
record_class = "internal"
basis = "trade law"
min_keep_days = 60
"""


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def memory(tmp_path: Path, clock: ManualClock) -> AsyncIterator[TieredMemory]:
    policy = tmp_path / "floors.toml"
    policy.write_text(POLICY)
    async with opened(tmp_path / "data", settings={"policy": str(policy)}, clock=clock) as memory:
        yield memory


@pytest.mark.parametrize(("days", "named"), [(30, "letters"), (59, "letters")])
async def test_it_is_refused_with_both_names_and_nothing_is_registered(
    memory: TieredMemory, days: int, named: str
) -> None:
    with pytest.raises(InvalidInputError, match=f"'{named}' keeps at least .*'tenant ceiling' keeps at most"):
        await memory.tenants.register("acme", retention_days=days)
    with pytest.raises(TenantUnknownError):
        await memory.tenants.get("acme")


async def test_a_later_change_is_refused_too_and_leaves_it_as_it_was(memory: TieredMemory) -> None:
    await memory.tenants.register("acme", retention_days=60)
    with pytest.raises(InvalidInputError, match="letters"):
        await memory.tenants.change("acme", retention_days=59)
    assert (await memory.tenants.get("acme")).rules.retention_days == 60
    changed = await memory.tenants.change("acme", retention_days=None, quota_mib=4)
    assert (changed.rules.retention_days, changed.rules.quota_mib) == (None, 4)


async def test_a_ceiling_at_the_floor_keeps_exactly_so_long(memory: TieredMemory, clock: ManualClock) -> None:
    await memory.tenants.register("acme", retention_days=60)
    user = memory.user("alice", tenant="acme")
    await user.add("the letter of the ninth", importance=0.3)
    clock.set(clock.now() + timedelta(days=60, microseconds=-1))
    await memory.forget(confirmed=True)
    assert await contents(user) == ["the letter of the ninth"]
    clock.set(clock.now() + timedelta(microseconds=1))
    await memory.forget(confirmed=True)
    assert await contents(user) == []


async def test_a_floor_of_a_level_counts_as_well(tmp_path: Path) -> None:
    policy = tmp_path / "levels.toml"
    policy.write_text(POLICY.split("[[", maxsplit=1)[0])
    async with opened(tmp_path / "data", settings={"policy": str(policy)}) as memory:
        with pytest.raises(InvalidInputError, match=r"'retention\.confidential' keeps at least 40 days"):
            await memory.tenants.register("acme", retention_days=39)
        await memory.tenants.register("acme", retention_days=40)
