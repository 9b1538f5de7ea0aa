"""What is done to a store that nobody has open: settings in, a report out."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from tiered_memory.branches import Branches
from tiered_memory.config import Settings, load_settings
from tiered_memory.embedding.base import Embedder
from tiered_memory.errors import ConfigurationError
from tiered_memory.reembed import Progress, ReembedReport
from tiered_memory.wiring import LOCAL, PRIVATE, Overrides, build


async def reembed_store(
    where: str | Path | Settings,
    to: str | Embedder,
    *,
    dry_run: bool = False,
    progress: Progress | None = None,
    **parts: Any,
) -> ReembedReport:
    """Move a store that nobody has open to another embedder; a dry run only counts and estimates.

    The directories that tenants have of their own are moved after the store's. `to` is an embedder, or what the setting `embedder` says of one. Cut short anywhere, it goes on where it was
    when it is called again; until it is through, opening the store raises ReembeddingUnfinishedError.
    Going back is the same call with the embedder the store had. `progress` hears of memories done and in all,
    `parts` are those of `TieredMemory.open` but the embedder.

    Raises:
        ConfigurationError: there is no store, another process owns it, or the embedder cannot be used.
        StorageError: an engine failed; what was done stays.
    """
    given = where if isinstance(where, Settings) else load_settings(data_dir=Path(where))
    if not (given.data_dir / "state.db").exists():
        raise ConfigurationError(f"there is no memory in {given.data_dir} that could be moved")
    # What indexed mode shows of the old vectors goes with them; it shows the new ones when they are first asked for.
    changed: dict[str, object] = {"background": False, "indexed_above_memories": None}
    if given.redis_url == PRIVATE:
        changed["redis_url"] = LOCAL  # a server of its own would be empty and live no longer than this
    if isinstance(to, str):
        changed["embedder"] = to
        overrides = Overrides(**parts)
    else:
        overrides = Overrides(embedder=to, **parts)
    settings, named = given.model_copy(update=changed), to if isinstance(to, str) else ""
    move = partial(_moved, overrides=overrides, named=named, dry_run=dry_run, hear=progress or _nobody)
    report, own = await move(settings)
    for one in own:
        report = _summed(report, (await move(one))[0])
    return report


async def _moved(
    settings: Settings, *, overrides: Overrides, named: str, dry_run: bool, hear: Progress
) -> tuple[ReembedReport, list[Settings]]:
    """Move one directory; return what came of it, and the settings of its tenants' own directories."""
    branches = Branches(settings, overrides)
    branches.main_runtime = runtime = await build(settings, overrides, moving=True)
    await runtime.start()
    try:
        reembedder, own = runtime.parts.reembedder, await branches.own_settings()
        if dry_run:
            return await reembedder.estimate(hear), own
        return await reembedder.run(named, hear), own
    finally:
        await runtime.stop()


def _summed(one: ReembedReport, other: ReembedReport) -> ReembedReport:
    return replace(
        one,
        subjects=one.subjects + other.subjects,
        memories=one.memories + other.memories,
        skipped=one.skipped + other.skipped,
        damaged=one.damaged + other.damaged,
        left=one.left + other.left,
        seconds=one.seconds + other.seconds,
    )


def _nobody(done: int, total: int) -> None:
    """Hear of progress and do nothing."""
    del done, total
