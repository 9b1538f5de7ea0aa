"""What the tests of moving a store to another embedder share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from support import consenting, opened

from tiered_memory import TieredMemory, User
from tiered_memory.config import load_settings
from tiered_memory.embedding.static_embedder import StaticEmbedder
from tiered_memory.reembed import ReembedReport
from tiered_memory.testing import ManualClock

SAID = [
    "I prefer rooibos tea over coffee in the morning",
    "the staging cluster is moved to Frankfurt next week",
    "Maya's daughter starts school in September",
    "never deploy on a Friday afternoon",
    "the invoice of the printer is still unpaid",
    "we met at the conference in Lisbon two years ago",
    "her favourite composer is Clara Schumann",
    "the API keys are rotated every ninety days",
    "he is allergic to peanuts and to cats",
    "the train to Malmö leaves at seven",
]
ASKED = [
    "what does she drink?",
    "when do we deploy?",
    "allergies",
    "music she likes",
    "rotate the keys",
    "travel",
]
SMALL_TALK = "hmm, okay then"
LOCAL: dict[str, Any] = {"redis_url": "local"}
SHIPPED = StaticEmbedder().name


async def speak(user: User) -> None:
    for said in SAID:
        await user.add(said, session="s1", importance=0.9)
    await user.add(SMALL_TALK, session="s1", importance=0.0)


async def moved(store: Path, to: Any, clock: ManualClock, **more: Any) -> ReembedReport:
    settings = load_settings(data_dir=store, **LOCAL)
    return await TieredMemory.reembed(settings, to, clock=clock, **more)


async def answers(memory: TieredMemory) -> dict[str, list[tuple[str, float]]]:
    alice = memory.user("alice", tenant="acme")
    found = {question: await alice.search(question, limit=6) for question in ASKED}
    return {question: [(hit.memory.id, hit.score) for hit in hits] for question, hits in found.items()}


async def asked(store: Path, clock: ManualClock, embedder: str) -> dict[str, list[tuple[str, float]]]:
    async with opened(store, clock=clock, settings={**LOCAL, "embedder": embedder}) as memory:
        return await answers(memory)


async def fill(data: Path, clock: ManualClock) -> Path:
    """Make a store of two users; the first has a session with a turn that is no memory."""
    async with opened(data, clock=clock, settings=LOCAL) as memory:
        await speak(await consenting(memory))
        await (await consenting(memory, "bob")).add("bob likes trains", importance=0.9)
    return data
