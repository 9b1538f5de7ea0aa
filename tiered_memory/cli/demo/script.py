"""The order of the acts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncGenerator
from statistics import median

from tiered_memory.cli.demo import proof, talk, year
from tiered_memory.cli.demo.facts import Act, Closing
from tiered_memory.cli.demo.source import Conversation
from tiered_memory.cli.demo.stage import Ground, Stage, Watch, staged
from tiered_memory.clock import stopwatch
from tiered_memory.metrics import RequestDone

TOLD_CALLS = ("add_many", "search", "context", "forget", "restore", "erase")


async def play(ground: Ground, conversation: Conversation, watch: Watch) -> AsyncGenerator[Act, None]:
    """Play a memory's life over `conversation` and yield each act's facts as it ends."""
    begun = stopwatch()
    async with staged(ground, conversation, watch) as stage:
        yield await talk.opening(stage, stopwatch() - begun)
        yield await talk.before_consent(stage)
        yield await talk.streaming(stage)
        yield await talk.searches(stage)
        yield await talk.packed(stage)
        yield await year.fading(stage)
        explained = await year.explained(stage)
        if explained is not None:
            yield explained
        yield await year.statistics(stage)
        yield await proof.erasure(stage)
        yield _closing(stage, stopwatch() - begun)


def _closing(stage: Stage, seconds: float) -> Closing:
    calls: dict[str, list[float]] = defaultdict(list)
    for done in stage.observer.of(RequestDone):
        if done.outcome == "ok" and done.op in TOLD_CALLS:
            calls[done.op].append(done.seconds * 1e3)
    return Closing(
        seconds=seconds,
        virtual_days=stage.virtual_days,
        median_milliseconds={op: median(spans) for op, spans in sorted(calls.items())},
        calls={op: len(spans) for op, spans in sorted(calls.items())},
    )
