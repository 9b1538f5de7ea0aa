"""Objecting ends what is done for a purpose that nobody asked the person about, and nothing else."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import pytest
from support import contents, log_bytes, opened, sealed_in_cold, sqlite_rows, state_of, state_pages

from tiered_memory import TieredMemory, User
from tiered_memory.errors import (
    ConsentRequiredError,
    InvalidInputError,
    NotFoundError,
    ObjectionNotApplicableError,
)
from tiered_memory.model import Durability

pytestmark = pytest.mark.anyio
POLICY = "schema = 1\ndefault_purpose = 'insight'\n" + "".join(
    f"[purposes.{name}]\nlawful_basis = '{basis}'\ndocumentation = 'file 7'\nmax_sensitivity = 'restricted'\n"
    for name, basis in {
        "insight": "legitimate_interests",
        "records": "public_task",
        "service": "contract",
        "books": "legal_obligation",
        "rescue": "vital_interests",
        "advice": "consent",
    }.items()
)
WORDS = "insight into the harbour"


@pytest.fixture
def settings(tmp_path: Path) -> dict[str, Any]:
    policy = tmp_path / "bases.toml"
    policy.write_text(POLICY)
    return {"policy": str(policy)}


async def told(memory: TieredMemory) -> User:
    user = memory.user("alice")
    for number in range(3):
        await user.add(f"{WORDS} {number}", session="s1", importance=0.9)
        await user.add(f"service {number}", session="s1", importance=0.9, purpose="service")
    await user.add(f"{WORDS} so so", session="s1", importance=0.0)
    return user


@pytest.mark.parametrize("grounds", [None, "claims in court, file 9"])
@pytest.mark.parametrize("flushed", [True, False])
async def test_nothing_of_the_purpose_is_found_any_more(
    data: Path, settings: dict[str, Any], grounds: str | None, *, flushed: bool
) -> None:
    async with opened(data, settings=settings) as memory:
        alice = await told(memory)
        if flushed:
            await memory.drain()
        ids = [one.id for one in await alice.list() if one.purpose == "insight"]
        objection = await alice.object_to("insight", reason="not my harbour", compelling_grounds=grounds)
        assert (objection.purpose, objection.covered) == ("insight", 3)
        assert objection.status == ("objected" if grounds is None else "restricted")
        await _nothing_shown(alice, ids)
        late = await alice.add("insight again", importance=0.9)
        assert late.durability is Durability.EPHEMERAL
        assert "objected" in late.routing
        with pytest.raises(ConsentRequiredError, match="objected"):
            await alice.add("insight again", importance=0.9, durability=Durability.JOURNALED)
    async with opened(data, settings=settings) as memory:
        alice = memory.user("alice")
        await _nothing_shown(alice, ids)
        assert {f"service {number}" for number in range(3)} <= set(await contents(alice))
        assert [one.reason for one in await alice.objections()] == ["not my harbour"]


async def _nothing_shown(alice: User, ids: list[str]) -> None:
    assert not [one for one in await contents(alice) if WORDS in one]
    assert not [hit for hit in await alice.search(WORDS, limit=20) if WORDS in hit.memory.content]
    assert WORDS not in (await alice.context(WORDS, session="s1")).render()
    assert not [one for one in await alice.forgotten() if WORDS in one.content]
    for one in ids:
        for call in (alice.get, alice.explain, alice.history, alice.pin, alice.restore):
            with pytest.raises(NotFoundError):
                await call(one)  # type: ignore[operator]


async def test_without_grounds_it_is_erased(data: Path, settings: dict[str, Any]) -> None:
    async with opened(data, settings=settings) as memory:
        alice = await told(memory)
        await memory.drain()
        doomed = next(row["wrapped"] for row in sqlite_rows(data, "data_keys") if row["purpose"] == "insight")
        await alice.object_to("insight")
        assert {row["purpose"] for row in sqlite_rows(data, "data_keys")} == {"service", "_subject"}
        assert doomed not in state_pages(data)
        assert log_bytes(data) == 0
        assert {row["purpose"] for row in sqlite_rows(data, "memories")} == {"service"}
        assert len(sealed_in_cold(data)) == 3
        assert await alice.lift_objection("insight")
        assert not await alice.lift_objection("insight")
        assert not [one for one in await contents(alice) if WORDS in one]
        assert (await alice.add("insight anew", importance=0.9)).durability is Durability.JOURNALED
        assert [one.status for one in await alice.objections()] == ["lifted"]
    async with opened(data, settings=settings) as memory:
        assert "insight anew" in await contents(memory.user("alice"))


async def test_with_grounds_it_comes_back_when_the_objection_is_lifted(
    data: Path, settings: dict[str, Any]
) -> None:
    async with opened(data, settings=settings) as memory:
        alice = await told(memory)
        await memory.drain()
        await alice.object_to("insight", compelling_grounds="claims in court, file 9")
        assert len(sealed_in_cold(data)) == 6
        assert await alice.lift_objection("insight")
        assert {f"{WORDS} {number}" for number in range(3)} <= set(await contents(alice))
        assert WORDS in (await alice.search(WORDS))[0].memory.content
        assert await alice.damaged() == []


async def test_grounds_may_fall_away_later(data: Path, settings: dict[str, Any]) -> None:
    async with opened(data, settings=settings) as memory:
        alice = await told(memory)
        await memory.drain()
        await alice.object_to("insight", compelling_grounds="claims in court, file 9")
        await alice.object_to("insight")
        assert len(sealed_in_cold(data)) == 3
        assert [one.status for one in await alice.objections()] == ["objected"]


async def test_a_restricted_memory_can_be_deleted(data: Path, settings: dict[str, Any]) -> None:
    async with opened(data, settings=settings) as memory:
        alice = await told(memory)
        await memory.drain()
        ids = [one.id for one in await alice.list() if one.purpose == "insight" and "so" not in one.content]
        await alice.object_to("insight", compelling_grounds="claims in court, file 9")
        for one in ids:
            await alice.delete(one)
        assert len(sealed_in_cold(data)) == 3


@pytest.mark.parametrize(
    ("purpose", "basis"),
    [("service", "contract"), ("books", "legal_obligation"), ("rescue", "vital_interests")],
)
async def test_nobody_can_object_to_other_bases(
    data: Path, settings: dict[str, Any], purpose: str, basis: str
) -> None:
    async with opened(data, settings=settings) as memory:
        alice = memory.user("alice")
        with pytest.raises(ObjectionNotApplicableError, match=basis):
            await alice.object_to(purpose)
        with pytest.raises(InvalidInputError, match="withdraw"):
            await alice.object_to("advice")
        with pytest.raises(InvalidInputError, match="it has: advice"):
            await alice.object_to("unheard")
        for wrong in ({"reason": ""}, {"compelling_grounds": " "}):
            with pytest.raises(InvalidInputError):
                await alice.object_to("insight", **wrong)
        assert sqlite_rows(data, "subjects") == []


async def test_a_stranger_may_object_before_anything_is_held(data: Path, settings: dict[str, Any]) -> None:
    async with opened(data, settings=settings) as memory:
        await memory.user("alice").object_to("records")
    async with opened(data, settings=settings) as memory:
        late = await memory.user("alice").add("on record", importance=0.9, purpose="records")
        assert late.durability is Durability.EPHEMERAL
        bob = await memory.user("bob").add("on record", importance=0.9, purpose="records")
        assert bob.durability is Durability.JOURNALED


async def test_the_ledger_tells_that_and_not_why(data: Path, settings: dict[str, Any]) -> None:
    async with opened(data, settings=settings) as memory:
        alice = await told(memory)
        await alice.object_to("insight", reason="a-private-matter")
        await alice.lift_objection("insight")
        assert (await memory.ledger.verify()).sound
    leaves = b"".join(row["leaf"] for row in sqlite_rows(data, "audit"))
    assert leaves.count(b'"event":"objected"') == leaves.count(b'"event":"objection_lifted"') == 1
    for word in (b"private", b"insight", b"alice"):
        assert word not in leaves


async def test_a_damaged_entry_still_bars_its_purpose(data: Path, settings: dict[str, Any]) -> None:
    async with opened(data, settings=settings) as memory:
        alice = await told(memory)
        await alice.object_to("insight", compelling_grounds="claims in court, file 9")
    with contextlib.closing(state_of(data)) as db:
        db.execute("UPDATE register SET sealed = x'00'")
    async with opened(data, settings=settings) as memory:
        alice = memory.user("alice")
        assert not [one for one in await contents(alice) if WORDS in one]
        assert (await alice.add("more", importance=0.9)).durability is Durability.EPHEMERAL
