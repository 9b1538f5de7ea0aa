"""A purpose is kept on its own ground and under its own key; withdrawing it ends what rested on it, and nothing else."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from support import (
    TWO_PURPOSES,
    contents,
    files_of,
    log_bytes,
    opened,
    parts_of,
    redis_bytes,
    sealed_in_cold,
    sqlite_rows,
    state_pages,
)

from tiered_memory import Interaction, TieredMemory, User
from tiered_memory.errors import ConsentRequiredError, InvalidInputError
from tiered_memory.model import Durability
from tiered_memory.testing import ManualClock

pytestmark = pytest.mark.anyio


@pytest.fixture
def settings(tmp_path: Path) -> dict[str, object]:
    policy = tmp_path / "two.toml"
    policy.write_text(TWO_PURPOSES)
    return {"policy": str(policy)}


async def _both(memory: TieredMemory) -> User:
    user = memory.user("alice")
    await user.consent.grant("advice", notice="n1")
    for number in range(3):
        await user.add(f"advice {number}", session="s1", importance=0.9)
        await user.add(f"service {number}", session="s1", importance=0.9, purpose="service")
    await user.add("advice so so", session="s1", importance=0.0)
    await user.add("service so so", session="s1", importance=0.0, purpose="service")
    return user


@pytest.mark.parametrize("flushed", [True, False])
async def test_withdrawal_ends_its_purpose_and_no_other(
    data: Path, settings: dict[str, object], *, flushed: bool
) -> None:
    kept = {"service 0", "service 1", "service 2"}
    async with opened(data, settings=settings) as memory:
        user = await _both(memory)
        await parts_of(memory).sessions.snapshot_all()
        if flushed:
            await memory.drain()
        sealed = [row["sealed"] for row in sqlite_rows(data, "journal")] or sealed_in_cold(data)
        assert await user.consent.withdraw("advice") == 3
        assert set(await contents(user)) - {"service so so"} == kept
        assert [hit for hit in await user.search("advice") if "advice" in hit.memory.content] == []
        assert "advice" not in (await user.context("advice", session="s1")).render()
        left = b"".join(file.read_bytes() for file in files_of(data)) + state_pages(data)
        assert sum(one[-48:] in left for one in sealed) <= 3
        await memory.drain()
        assert len(sealed_in_cold(data)) == 3
        assert "service 2" in (await user.context("and?", session="s1")).render()
    async with opened(data, settings=settings) as memory:
        user = memory.user("alice")
        assert set(await contents(user)) == kept
        rendered = (await user.context("and?", session="s1")).render()
        assert "advice" not in rendered
        assert "service so so" in rendered


async def test_withdrawal_destroys_the_key(data: Path, settings: dict[str, object]) -> None:
    async with opened(data, settings=settings) as memory:
        user = await _both(memory)
        doomed = next(row["wrapped"] for row in sqlite_rows(data, "data_keys") if row["purpose"] == "advice")
        assert doomed in state_pages(data)
        await user.consent.withdraw("advice")
        assert {row["purpose"] for row in sqlite_rows(data, "data_keys")} == {"service", "_subject"}
        assert doomed not in state_pages(data)
        assert log_bytes(data) == 0
        assert {row["purpose"] for row in sqlite_rows(data, "session_tail")} == {"service"}
        assert {row["purpose"] for row in sqlite_rows(data, "memories")} == {"service"}


async def test_after_withdrawal_one_is_a_stranger_again_and_may_come_back(
    data: Path, settings: dict[str, object]
) -> None:
    async with opened(data, settings=settings) as memory:
        user = await _both(memory)
        await user.consent.withdraw("advice")
        assert await user.consent.withdraw("advice") == 0
        assert (await user.add("new advice", importance=0.9)).durability is Durability.EPHEMERAL
        with pytest.raises(ConsentRequiredError):
            await user.add("new advice", importance=0.9, durability=Durability.JOURNALED)
        await user.consent.grant("advice", notice="n2")
        assert (await user.add("kept advice", importance=0.9)).durability is Durability.JOURNALED
    async with opened(data, settings=settings) as memory:
        assert "kept advice" in await contents(memory.user("alice"))
        assert "new advice" not in await contents(memory.user("alice"))


async def test_withdrawal_takes_what_was_forgotten_too(
    data: Path, settings: dict[str, object], clock: ManualClock
) -> None:
    async with opened(data, settings=settings, clock=clock) as memory:
        user = memory.user("alice")
        await user.consent.grant("advice", notice="n1")
        await user.add("faint", importance=0.25)
        clock.advance(timedelta(days=30))
        await memory.drain()
        await memory.forget()
        await user.consent.withdraw("advice")
        assert await user.forgotten() == []
        assert sealed_in_cold(data) == []


async def test_an_expired_consent_has_ended_by_itself(
    data: Path, settings: dict[str, object], clock: ManualClock
) -> None:
    async with opened(data, settings=settings, clock=clock) as memory:
        user = memory.user("alice")
        expires_at = clock.now() + timedelta(days=1)
        await user.consent.grant("advice", notice="n1", expires_at=expires_at)
        assert (await user.add("in time", importance=0.9)).durability is Durability.JOURNALED
        clock.advance(timedelta(days=1))
        assert (await user.add("too late", importance=0.9)).durability is Durability.EPHEMERAL
        assert await user.consent.current() == {}
        assert await user.consent.withdraw("advice") == 0
        assert "in time" not in await contents(user)


async def test_restricted_data_needs_explicit_consent(memory: TieredMemory) -> None:
    user = memory.user("alice")
    await user.consent.grant("personalization", notice="n1")
    implied = await user.add("my blood group", sensitivity="restricted", importance=0.9)
    assert implied.durability is Durability.EPHEMERAL
    assert "explicit" in implied.routing
    await user.consent.grant("personalization", notice="n1", explicit=True)
    stated = await user.add("my blood group is A", sensitivity="restricted", importance=0.9)
    assert stated.durability is Durability.JOURNALED


async def test_a_group_of_mixed_grounds_keeps_what_it_may(data: Path) -> None:
    async with opened(data) as memory:
        user = memory.user("alice")
        await user.consent.grant("personalization", notice="n1")
        group = [
            Interaction(content="plain", importance=0.9),
            Interaction(content="secret", importance=0.9, sensitivity="restricted"),  # type: ignore[arg-type]
        ]
        receipts = await user.add_many(group)
        assert [one.durability for one in receipts] == [Durability.JOURNALED, Durability.EPHEMERAL]
        with pytest.raises(ConsentRequiredError):
            await user.add_many(group, durability=Durability.JOURNALED)
    async with opened(data) as memory:
        assert await contents(memory.user("alice")) == ["plain"]


async def test_a_purpose_the_policy_does_not_know_is_refused_by_name(
    memory: TieredMemory, alice: User
) -> None:
    """A misspelt purpose would otherwise keep nothing, quietly."""
    for purpose in ("adverts", "_subject"):
        with pytest.raises(InvalidInputError, match="it has: personalization"):
            await alice.add("for the adverts", importance=0.9, purpose=purpose)
        with pytest.raises(InvalidInputError, match="it has: personalization"):
            await alice.consent.grant(purpose, notice="n")
    assert await contents(alice) == []


async def test_a_refused_grant_leaves_nothing(memory: TieredMemory, data: Path, clock: ManualClock) -> None:
    user = memory.user("alice")
    yesterday = clock.now() - timedelta(days=1)
    for given in (
        {"notice": "n", "expires_at": yesterday},
        {"notice": ""},
        {"notice": "n", "details": {"a": object()}},
        {"notice": "n", "details": {"a": 2**70}},
        {"notice": "n", "details": {"a": "x" * 1_000_000}},
        {"notice": "n", "expires_at": clock.now().replace(tzinfo=None)},
    ):
        with pytest.raises(InvalidInputError):
            await user.consent.grant("personalization", **given)  # type: ignore[arg-type]
    assert sqlite_rows(data, "subjects") == sqlite_rows(data, "data_keys") == []
    assert redis_bytes(memory) == []
