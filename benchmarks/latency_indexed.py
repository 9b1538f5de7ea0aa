"""The same users searched through the cold tier's own indexes (indexed mode), to see from which size that is faster."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

from benchmarks.latency_reads import Reads, user_sized
from benchmarks.suite import Request, Results
from benchmarks.synthetic import Writer
from benchmarks.timing import median, since_ms, spread, timed
from tiered_memory import TieredMemory
from tiered_memory.clock import stopwatch
from tiered_memory.config import Settings

EVERYBODY = {"indexed_above_memories": 0}


async def measure_indexed(settings: Settings, reads: Reads, request: Request) -> Results:
    """Return, by size, `p50_ms` and `p99_ms` of a search, `first_p50_ms` of the first after opening, and `reveal_ms`.

    `reveal_ms` is what the very first search took in addition: it gives a table of sealed rows its columns.
    """
    indexed, writer = settings.model_copy(update=EVERYBODY), Writer(request.seed)
    results: Results = {str(size): {} for size in reads.sizes}
    request.progress.stage("indexed mode", len(reads.sizes) * (2 + reads.reopenings))
    async with TieredMemory.open(indexed) as memory:
        await user_sized(memory, 1).search(writer.question())
        for size in reads.sizes:
            begun, user = stopwatch(), user_sized(memory, size)
            await user.search(writer.question())
            results[str(size)]["reveal_ms"] = since_ms(begun)
            request.progress.step()
            asked = writer.questions(reads.queries)
            results[str(size)].update(spread(await timed(user.search, asked, request.progress)))
    for size, taken in (await _first_searches(indexed, reads, writer, request)).items():
        results[str(size)]["first_p50_ms"] = median(taken)
    return results


async def _first_searches(
    indexed: Settings, reads: Reads, writer: Writer, request: Request
) -> dict[int, list[float]]:
    taken: dict[int, list[float]] = {size: [] for size in reads.sizes}
    for _ in range(reads.reopenings):
        async with TieredMemory.open(indexed) as memory:
            await user_sized(memory, 1).search(writer.question())
            for size in reads.sizes:
                begun = stopwatch()
                await user_sized(memory, size).search(writer.question())
                taken[size].append(since_ms(begun))
                request.progress.step()
    return taken


def crossover(in_ram: Mapping[str, Any], indexed: Mapping[str, Any], key: str) -> float | None:
    """Return the number of memories from which indexed mode is faster, on a straight line between two sizes.

    None when it is slower at every size measured; the smallest size when it is faster at each.
    """
    sizes = sorted(int(size) for size in indexed)
    behind: dict[int, float] = {size: indexed[str(size)][key] - in_ram[str(size)]["p50_ms"] for size in sizes}
    if behind[sizes[0]] < 0:
        return float(sizes[0])
    for small, large in pairwise(sizes):
        if behind[large] < 0:
            return small + (large - small) * behind[small] / (behind[small] - behind[large])
    return None
