"""Indexed mode: a user too large for RAM is searched through the cold tier's indexes, and nobody can tell."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import pytest
from support import consenting, contents, opened, parts_of

from tiered_memory import Filter, Hit, Interaction, TieredMemory, User, paging, recall
from tiered_memory.active import ActiveSubject
from tiered_memory.config import load_settings
from tiered_memory.embedding.base import TextKind, Vectors
from tiered_memory.embedding.static_embedder import StaticEmbedder
from tiered_memory.errors import NotFoundError
from tiered_memory.model import Role
from tiered_memory.testing import ManualClock
from tiered_memory.tiers.durable_files import files_below

pytestmark = pytest.mark.anyio

SMALL = {"indexed_above_memories": 5}
TOPICS = (
    "the bakery on Mill Lane",
    "the staging database",
    "the trip to Lisbon",
    "her new bicycle",
    "the tax letter",
)
WORDS = (
    "plums",
    "gravel",
    "a kite",
    "Tuesday",
    "lamps",
    "the choir",
    "rust",
    "maps",
    "snow",
    "Ines",
    "violins",
)
QUESTIONS = (
    "which database did we stage?",
    "what about the trip to Lisbon in week 7?",
    "where is the bakery?",
    "the letter about taxes, and the choir",
    "whose bicycle is new?",
)


def told(count: int) -> list[Interaction]:
    return [
        Interaction(
            content=f"{TOPICS[n % 5]} came up in week {n // 5}, beside {WORDS[n % 7]} and {WORDS[n * 3 % 11]}",
            session=f"s{n // 10}",
            role=Role.USER,
            author="Ada",
            importance=0.9,
        )
        for n in range(count)
    ]


async def write(data: Path, count: int = 60, **settings: int) -> None:
    """Leave a store with one user's memories in cold."""
    async with opened(data, settings=settings) as memory:
        alice = await consenting(memory)
        await alice.add_many(told(count))
        await memory.drain()


def active_of(memory: TieredMemory) -> ActiveSubject:
    (active,) = parts_of(memory).directory.residents()
    return active


def found(hits: Sequence[Hit]) -> list[tuple[str, float]]:
    return [(hit.memory.content, round(hit.score, 6)) for hit in hits]


async def ask(user: User) -> list[list[str]]:
    return [[hit.memory.content for hit in await user.search(one, limit=5)] for one in QUESTIONS]


async def test_the_best_answers_are_those_of_the_index_in_ram(data: Path) -> None:
    await write(data)
    async with opened(data) as memory:
        in_ram = await ask(memory.user("alice", tenant="acme"))
    async with opened(data, settings=SMALL) as memory:
        alice = memory.user("alice", tenant="acme")
        indexed = await ask(alice)
        assert active_of(memory).paged
    assert indexed == in_ram


async def test_ram_holds_what_was_asked_for_and_lets_go_of_it(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paging, "PAGES", 12)
    monkeypatch.setattr(recall, "NOMINATED", 4)
    await write(data, 80)
    async with opened(data, settings=SMALL) as memory:
        alice = memory.user("alice", tenant="acme")
        for question in QUESTIONS * 2:
            assert await alice.search(question, limit=2)
        active = active_of(memory)
        assert len(active.pages) <= 12 + (4 + 4) * 3
        assert len(active.held) < 80
        assert len(active.index) == len(active.held) == len(active.tracked)


async def test_everything_is_listed_page_by_page(data: Path) -> None:
    await write(data, 60)
    async with opened(data, settings=SMALL) as memory:
        alice = memory.user("alice", tenant="acme")
        pages, before = list[str](), None
        while page := await alice.list(limit=7, before=before):
            pages += [one.content for one in page]
            before = page[-1].order
        assert pages == [one.content for one in reversed(told(60))]
        only = await alice.list(where=Filter(sessions=frozenset({"s2"})), limit=100)
        assert [one.session for one in only] == ["s2"] * 10


async def test_a_memory_can_be_got_explained_used_pinned_and_deleted_without_having_been_found(
    data: Path,
) -> None:
    await write(data)
    async with opened(data) as memory:
        listed = await memory.user("alice", tenant="acme").list(limit=4)
    async with opened(data, settings=SMALL) as memory:
        alice = memory.user("alice", tenant="acme")
        first, second, third, fourth = (one.id for one in listed)
        assert (await alice.get(first)).content == listed[0].content
        assert (await alice.explain(second)).state == "active"
        await alice.pin(third)
        assert (await alice.explain(third)).deadline_rule == "ceiling"
        await alice.delete(fourth, reason="test")
        for call in (alice.get(fourth), alice.explain(fourth), alice.get("0" * 32)):
            with pytest.raises(NotFoundError):
                await call
        assert len(await alice.list(limit=100)) == 59


async def test_uses_of_what_was_brought_in_survive(data: Path, clock: ManualClock) -> None:
    async with opened(data, clock=clock) as memory:
        alice = await consenting(memory)
        receipts = await alice.add_many(told(20))
    clock.advance(timedelta(days=9))
    async with opened(data, clock=clock, settings=SMALL) as memory:
        assert await memory.user("alice", tenant="acme").used([receipts[3].id]) == 1
    async with opened(data, clock=clock) as memory:
        explained = await memory.user("alice", tenant="acme").explain(receipts[3].id)
        assert explained.spaced_uses > 0


async def test_what_is_on_its_way_to_cold_is_found(data: Path) -> None:
    await write(data, 30, **SMALL)
    async with opened(data, settings=SMALL) as memory:
        alice = memory.user("alice", tenant="acme")
        assert await alice.search("the tax letter")
        fresh = await alice.add("Zebedee keeps axolotls in the greenhouse", importance=0.9)
        assert (await alice.search("who keeps axolotls?"))[0].memory.id == fresh.id
    async with opened(data, settings=SMALL) as memory:
        alice = memory.user("alice", tenant="acme")
        assert (await alice.search("who keeps axolotls?"))[0].memory.id == fresh.id


async def test_a_change_closes_what_lies_in_cold(data: Path) -> None:
    async with opened(data) as memory:
        alice = await consenting(memory)
        await alice.add("I live in Madrid", importance=0.9)
        await alice.add_many(told(30))
    async with opened(data, settings=SMALL) as memory:
        alice = memory.user("alice", tenant="acme")
        moved = await alice.add("I moved from Madrid to Lisbon, I live in Lisbon now", importance=0.9)
        hits = await alice.search("where do I live?", limit=10)
        assert hits[0].memory.id == moved.id
        assert "I live in Madrid" not in [hit.memory.content for hit in hits]
        chain = await alice.history(moved.id)
        assert chain[0].memory.content == "I live in Madrid"


async def test_a_session_goes_on(data: Path) -> None:
    await write(data, 20)
    async with opened(data, settings=SMALL) as memory:
        alice = memory.user("alice", tenant="acme")
        packed = await alice.context("what was decided?", session="s1", token_budget=4000)
        recent = [item.content for item in packed.items if item.section == "recent"]
        assert recent == [one.content for one in told(20)[10:]]


async def test_what_is_forgotten_or_withdrawn_is_found_no_more(data: Path, clock: ManualClock) -> None:
    async with opened(data, clock=clock) as memory:
        alice = await consenting(memory)
        await alice.add("a faint remark about axolotls", importance=0.25)
        await alice.add_many(told(20))
    async with opened(data, clock=clock, settings=SMALL) as memory:
        alice = memory.user("alice", tenant="acme")
        assert "axolotls" in (await alice.search("axolotls"))[0].memory.content
        clock.advance(timedelta(days=60))
        assert len((await memory.forget()).forgotten) >= 1
        assert not any("axolotls" in hit.memory.content for hit in await alice.search("axolotls"))
        assert await alice.consent.withdraw("personalization") == 20
        assert await alice.search("the tax letter") == []
        assert await contents(alice) == []


async def test_confidential_memories_are_found_and_not_revealed(data: Path) -> None:
    async with opened(data, settings=SMALL) as memory:
        alice = await consenting(memory)
        await alice.add_many(told(20))
        await alice.add("The diagnosis is haemochromatosis", sensitivity="restricted", importance=0.9)
        await memory.drain()
    async with opened(data, settings=SMALL) as memory:
        alice = memory.user("alice", tenant="acme")
        assert "haemochromatosis" in (await alice.search("what is the diagnosis?"))[0].memory.content
        rows = await _columns(memory)
    revealed = [(vector, tokens) for vector, tokens in rows if tokens]
    assert len(rows) == 21
    assert len(revealed) == 20
    assert [max(vector) for vector, tokens in rows if not tokens] == [pytest.approx(paging.MEANINGLESS)]


async def test_no_word_is_on_the_disk_and_erasure_leaves_nothing(data: Path) -> None:
    await write(data, 30, **SMALL)
    stored = b"".join(path.read_bytes() for path in files_below(data / "cold"))
    assert b"bakery" not in stored
    assert b"Lisbon" not in stored
    async with opened(data, settings=SMALL) as memory:
        alice = memory.user("alice", tenant="acme")
        await alice.search("bakery")
        assert (await alice.erase(reason="request")).verified
        assert await contents(alice) == []
    assert files_below(data / "cold") == []


async def test_a_damaged_row_is_named_and_the_others_are_found(
    data: Path, caplog: pytest.LogCaptureFixture
) -> None:
    await write(data, 20)
    async with opened(data) as memory:
        victim = (await memory.user("alice", tenant="acme").list())[3]
        parts = parts_of(memory)
        (active,) = parts.directory.residents()
        record = next(r for r in await parts.core.cold.scan(active.ref) if r.id == victim.id)
        spoilt = record.payload[:-1] + bytes([record.payload[-1] ^ 1])
        await parts.core.cold.put(active.ref, [type(record)(record.id, record.order, record.version, spoilt)])
    with caplog.at_level(logging.ERROR):
        async with opened(data, settings=SMALL) as memory:
            alice = memory.user("alice", tenant="acme")
            assert victim.content not in await contents(alice)
            assert len(await alice.list(limit=100)) == 19
            assert await alice.damaged() == [victim.id]
    assert "damaged or missing" in caplog.text


async def test_another_embedder_shows_its_own_vectors(data: Path) -> None:
    await write(data, 30, **SMALL)
    settings = load_settings(data_dir=data, background=False, **SMALL)
    report = await TieredMemory.reembed(settings, Shortened())
    assert (report.memories, report.damaged, report.left) == (30, 0, 0)
    async with opened(data, settings=SMALL, embedder=Shortened()) as memory:
        alice = memory.user("alice", tenant="acme")
        assert any("bakery" in hit.memory.content for hit in await alice.search("where is the bakery?"))
        assert {len(vector) for vector, _ in await _columns(memory)} == {Shortened.dimensions}


class Shortened:
    """The first half of each vector of the shipped embedder."""

    name = "shortened-128"
    dimensions = 128

    def __init__(self) -> None:
        self._whole = StaticEmbedder()

    async def embed(self, texts: Sequence[str], kind: TextKind = "document") -> Vectors:
        return (await self._whole.embed(texts, kind))[:, : self.dimensions]


async def _columns(memory: TieredMemory) -> list[tuple[list[float], str]]:
    tier = parts_of(memory).core.cold
    (active,) = parts_of(memory).directory.residents()
    async with tier._locked(active.ref) as name:  # type: ignore[attr-defined]
        handle = await tier._handle(name)  # type: ignore[attr-defined]
        rows = await handle.table.query().select(["vector", "tokens"]).to_arrow()
    return list(zip(rows["vector"].to_pylist(), rows["tokens"].to_pylist(), strict=True))
