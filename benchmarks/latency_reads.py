"""Search, context and first touch of users of several sizes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.store import NOTICE, PURPOSE
from benchmarks.suite import Progress, Request, Results
from benchmarks.synthetic import Writer
from benchmarks.timing import median, since_ms, spread, timed
from tiered_memory import Interaction, TieredMemory, User
from tiered_memory.clock import stopwatch
from tiered_memory.config import Settings

BATCH = 500
SESSION_TURNS = 30
IMPORTANCE = 0.6
TENANT = "benchmark"


@dataclass(frozen=True, slots=True)
class Reads:
    """One user of each of `sizes` memories; `queries` timed searches and contexts; `reopenings` for first touch."""

    sizes: Sequence[int]
    queries: int
    reopenings: int


async def measure_reads(settings: Settings, reads: Reads, request: Request) -> Results:
    """Return `search`, `context` and `first_touch` by size."""
    results: Results = {"search": {}, "context": {}}
    writer = Writer(request.seed)
    async with TieredMemory.open(settings) as memory:
        request.progress.stage("filling", sum(reads.sizes))
        for size in (1, *reads.sizes):
            await fill(user_sized(memory, size), writer.messages(size), request.progress)
        await memory.drain()
        for size in reads.sizes:
            user, questions = user_sized(memory, size), writer.questions(reads.queries)
            request.progress.stage(f"searching {size}", 2 * len(questions))
            results["search"][str(size)] = spread(await timed(user.search, questions, request.progress))
            results["context"][str(size)] = spread(await _contexts(user, questions, request.progress))
    results["first_touch"] = await _first_touches(settings, reads, writer, request.progress)
    return results


def user_sized(memory: TieredMemory, size: int) -> User:
    """Return the user with `size` memories."""
    return memory.user(f"user with {size}", tenant=TENANT)


def session_of(turn: int) -> str:
    """Return the session of a user's turn number `turn`: each has 30."""
    return f"session {turn // SESSION_TURNS}"


async def fill(user: User, texts: Sequence[str], progress: Progress) -> None:
    """Give a user memories that all go to cold, in sessions of 30 turns."""
    await user.consent.grant(PURPOSE, notice=NOTICE)
    turns = [
        Interaction(content=text, session=session_of(place), importance=IMPORTANCE)
        for place, text in enumerate(texts)
    ]
    for start in range(0, len(turns), BATCH):
        await user.add_many(turns[start : start + BATCH])
        progress.step(len(turns[start : start + BATCH]))


async def _contexts(user: User, questions: Sequence[str], progress: Progress) -> list[float]:
    async def context(question: str) -> object:
        return await user.context(question, session=session_of(0))

    return await timed(context, questions, progress)


async def _first_touches(settings: Settings, reads: Reads, writer: Writer, progress: Progress) -> Results:
    """Open the store again and again; each time the first search of each user reads and verifies all its rows."""
    taken: dict[int, list[float]] = {size: [] for size in reads.sizes}
    progress.stage("first touch", reads.reopenings)
    for _ in range(reads.reopenings):
        async with TieredMemory.open(settings) as memory:
            await user_sized(memory, 1).search(writer.question())
            for size in reads.sizes:
                begun = stopwatch()
                await user_sized(memory, size).search(writer.question())
                taken[size].append(since_ms(begun))
        progress.step()
    return {str(size): {"p50_ms": median(one)} for size, one in taken.items()}
