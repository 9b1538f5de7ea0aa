"""An objection with compelling grounds that comes at the very moment of a write: stored before it, or not at all."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from support import contents, opened, parts_of, sqlite_rows

from tiered_memory import TieredMemory, User
from tiered_memory.errors import ConsentRequiredError, NotFoundError, StateStoreError
from tiered_memory.model import Durability
from tiered_memory.state import commands as c
from tiered_memory.state.correction import Correct
from tiered_memory.state.register import PutEntries

pytestmark = pytest.mark.anyio
GROUNDS = "claims in court, file 9"
POLICY = (
    "schema = 1\ndefault_purpose = 'insight'\n[purposes.insight]\nlawful_basis = 'legitimate_interests'\n"
    "documentation = 'file 7'\nmax_sensitivity = 'restricted'\n"
)


@pytest.fixture
def settings(tmp_path: Path) -> dict[str, Any]:
    path = tmp_path / "bases.toml"
    path.write_text(POLICY)
    return {"policy": str(path)}


@pytest.fixture
async def memory(data: Path, settings: dict[str, Any]) -> AsyncIterator[TieredMemory]:
    async with opened(data, settings=settings) as memory:
        yield memory


def around(
    memory: TieredMemory,
    monkeypatch: pytest.MonkeyPatch,
    kind: type,
    *,
    before: Callable[[], Awaitable[Any]] | None = None,
    after: Callable[[], Awaitable[Any]] | None = None,
) -> None:
    """Do something once, before or after the first command of a kind is carried out."""
    state = parts_of(memory).core.state
    write, left = state.write, [kind]

    async def slowly(command: Any) -> Any:
        if not (left and isinstance(command, kind)):
            return await write(command)
        left.clear()
        if before is not None:
            await before()
        outcome = await write(command)
        if after is not None:
            await after()
        return outcome

    monkeypatch.setattr(state, "write", slowly)


async def objecting(alice: User) -> None:
    await alice.object_to("insight", compelling_grounds=GROUNDS)


async def nothing_shown(alice: User) -> None:
    assert await contents(alice) == []
    assert await alice.search("harbour") == []
    assert "harbour" not in (await alice.context("which harbour?", session="s")).render()


@pytest.mark.parametrize("importance", [0.9, 0.0])
async def test_what_was_committed_just_before_is_held_and_not_shown(
    memory: TieredMemory,
    data: Path,
    settings: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    importance: float,
) -> None:
    alice = memory.user("alice")
    await alice.add("the ferry is late", importance=0.9)
    around(memory, monkeypatch, c.Append, after=lambda: objecting(alice))
    receipt = await alice.add("the harbour is ours", session="s", importance=importance)
    assert receipt.durability is (Durability.JOURNALED if importance else Durability.SESSION)
    await nothing_shown(alice)
    assert len(sqlite_rows(data, "memories")) == (2 if importance else 1)
    await memory.close()
    async with opened(data, settings=settings) as again:
        await nothing_shown(again.user("alice"))
        await again.user("alice").lift_objection("insight")
        found = await contents(again.user("alice"))
        assert found == (
            ["the harbour is ours", "the ferry is late"] if importance else ["the ferry is late"]
        )


async def test_what_comes_to_its_commit_just_after_is_refused(
    memory: TieredMemory, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last look is where the batch is queued, behind everything that awaits."""
    alice = memory.user("alice")
    await alice.add("the ferry is late", importance=0.9)
    quotas = parts_of(memory).router._committer._quotas
    first_room = quotas._first_room

    async def late(*given: Any) -> Any:
        monkeypatch.setattr(quotas, "_first_room", first_room)
        await objecting(alice)
        return await first_room(*given)

    monkeypatch.setattr(quotas, "_first_room", late)
    with pytest.raises(ConsentRequiredError, match="objected"):
        await alice.add("the harbour is ours", session="s", importance=0.9)
    await nothing_shown(alice)
    assert len(sqlite_rows(data, "memories")) == 1


async def test_a_write_that_comes_while_the_objection_is_committed_is_refused(
    memory: TieredMemory, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice = memory.user("alice")
    await alice.add("the ferry is late", importance=0.9)
    refused = []

    async def write() -> None:
        receipt = await alice.add("the harbour is ours", importance=0.9)
        refused.append(receipt.durability)

    around(memory, monkeypatch, PutEntries, before=write)
    await objecting(alice)
    assert refused == [Durability.EPHEMERAL]
    assert len(sqlite_rows(data, "memories")) == 1


async def test_an_objection_that_could_not_be_recorded_bars_nothing(
    memory: TieredMemory, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice = memory.user("alice")
    await alice.add("the ferry is late", importance=0.9)

    async def fail() -> None:
        raise StateStoreError

    around(memory, monkeypatch, PutEntries, before=fail)
    with pytest.raises(StateStoreError):
        await objecting(alice)
    await alice.add("the harbour is ours", importance=0.9)
    assert await contents(alice) == ["the harbour is ours", "the ferry is late"]
    await objecting(alice)
    assert await contents(alice) == []


async def test_a_correction_and_a_restoring_keep_to_it_too(
    memory: TieredMemory, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice = memory.user("alice")
    one = await alice.add("the ferry is late", importance=0.9)
    around(memory, monkeypatch, Correct, after=lambda: objecting(alice))
    with pytest.raises(NotFoundError):
        await alice.update(one.id, "the harbour is ours", reason="r")
    await nothing_shown(alice)
    await alice.lift_objection("insight")
    assert await contents(alice) == ["the harbour is ours"]
