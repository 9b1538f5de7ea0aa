"""Moving a store to another embedder: user by user, each in one commit, to be gone on with after a kill anywhere.

A user's records are opened, embedded anew, sealed again and written to a new table. One commit of the state store
then makes it the user's table, seals the user's sessions anew and names the embedder; after it the old table is
removed with its files. A mark in the state store names whichever of the two tables nobody refers to, so that a
run that was cut short is cleaned up by the next. Until the last user is moved the store cannot be opened otherwise.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import msgpack

from tiered_memory.active import ActiveSubject
from tiered_memory.clock import stopwatch
from tiered_memory.core import Core
from tiered_memory.crypto.envelope import Place
from tiered_memory.errors import (
    ColdTierError,
    CorruptionError,
    DiskFullError,
    HotTierError,
    ReembeddingUnfinishedError,
    StorageError,
)
from tiered_memory.failpoints import reach
from tiered_memory.flusher import Flusher
from tiered_memory.held_records import is_current
from tiered_memory.reseal import Fate, Opened, Resealer
from tiered_memory.state import commands as c
from tiered_memory.state.base import MemoryRow, MemoryState, SubjectRow, SubjectState, TailRow
from tiered_memory.subjects import SubjectDirectory
from tiered_memory.tiers.base import SubjectRef, TierRecord

MARK_FORMAT = 1
BATCH = 1000
SAMPLE = 500
TABLE_SECONDS = 0.08
"""What writing one user's table and removing the old one takes beside the work on its records; for the estimate."""
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class ReembedReport:
    """What moving a store to another embedder came to, or of a dry run what it would come to.

    `subjects` and `memories` were moved. Of the rest, `skipped` memories are sealed under keys that cannot be
    opened and were carried over as they are; `damaged` ones do not verify or are lost, as they were before.
    `left` users, whose table cannot be read, keep the embedder they had. `seconds` is an estimate in a dry run.
    """

    embedder: str
    dry_run: bool
    subjects: int
    memories: int
    skipped: int
    damaged: int
    left: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Mark:
    """What the state store says of a move under way.

    `named` is how the embedder was asked for, empty when it was handed over as an object; `table` is the one that
    nobody refers to: the one being written, or the one left behind.
    """

    embedder: str
    named: str
    table: SubjectRef | None = None

    def encode(self) -> bytes:
        """Return the mark as it is stored."""
        table = self.table and [self.table.pseudonym, self.table.generation, self.table.incarnation]
        packed: bytes = msgpack.packb(
            {"f": MARK_FORMAT, "to": self.embedder, "named": self.named, "table": table}
        )
        return packed

    @classmethod
    def decode(cls, data: bytes) -> Mark:
        """Return a stored mark; raises CorruptionError when it was made by a later version."""
        fields = msgpack.unpackb(data)
        if fields["f"] != MARK_FORMAT:
            raise CorruptionError(
                "a move to another embedder was begun by a newer version: finish it with that"
            )
        return cls(fields["to"], fields["named"], fields["table"] and SubjectRef(*fields["table"]))


async def refuse_unfinished(core: Core) -> None:
    """Refuse a store that was left half-way between two embedders."""
    stored = await core.state.read(c.GetMeta(c.REEMBEDDING))
    if stored is not None:
        mark = Mark.decode(stored)
        raise ReembeddingUnfinishedError(
            f"moving this store to the embedder {mark.embedder!r} was interrupted: run `tiered-memory reembed "
            f"--to {mark.named or 'NAME'}` again to finish it, or give the embedder it had to go back"
        )


@dataclass(slots=True)
class _Tally:
    """What has been done so far, and who is to hear of it."""

    progress: Progress
    total: int = 0
    done: int = 0
    subjects: int = 0
    left: int = 0
    fates: Counter[Fate] = field(default_factory=Counter)

    def advance(self, memories: int) -> None:
        """Count memories that were looked at."""
        self.done = min(self.total, self.done + memories)
        self.progress(self.done, self.total)

    def lose(self, memories: int) -> None:
        """Count memories of which no record can be read."""
        self.fates[Fate.DAMAGED] += memories
        self.advance(memories)

    def leave(self, memories: int) -> None:
        """Count a user who cannot be moved."""
        self.left += 1
        self.lose(memories)


@dataclass(slots=True)
class _Timing:
    """What a dry run measured: seconds of opening every memory, seconds of embedding and sealing some."""

    opening: float = 0.0
    sampling: float = 0.0
    sampled: int = 0

    @property
    def per_memory(self) -> float:
        """Seconds that embedding and sealing one memory takes."""
        return self.sampling / self.sampled if self.sampled else 0.0


class Reembedder:
    """Moves every user of a store to the runtime's embedder. Nobody else may use the store meanwhile."""

    def __init__(self, core: Core, directory: SubjectDirectory, flusher: Flusher) -> None:
        self._core = core
        self._directory = directory
        self._flusher = flusher
        self._resealer = Resealer(core)

    async def run(self, named: str, progress: Progress) -> ReembedReport:
        """Move the users who have another embedder; `progress` hears of memories done and in all.

        Raises:
            ConfigurationError: the embedder does not give the vectors it promises.
            StorageError: an engine failed; what was done stays, run it again to go on.
        """
        begun, tally = stopwatch(), _Tally(progress)
        await self._resealer.check_embedder()
        interrupted = await self._clean_up()
        await self._come_to_rest()
        rows = await self._waiting()
        tally.total = await self._memories_of(rows)
        for row in rows:
            await self._move(row, Mark(self._core.embedder.name, named), tally)
        if rows or interrupted:
            reach("reembed.before_end")
            await self._core.state.write(c.MarkReembedding(None))
            # The sessions' old turns were in its pages, and the log keeps what the pages no longer have.
            await self._core.state.checkpoint()
            reach("reembed.after_end")
        return self._report(tally, stopwatch() - begun)

    async def estimate(self, progress: Progress) -> ReembedReport:
        """Change nothing; count what would be moved, and tell from a sample how long that takes."""
        tally, timing = _Tally(progress), _Timing()
        await self._resealer.check_embedder()
        rows = await self._waiting()
        tally.total = await self._memories_of(rows)
        for row in rows:
            await self._look(row, tally, timing)
        seconds = (
            timing.opening + timing.per_memory * tally.fates[Fate.MOVED] + TABLE_SECONDS * tally.subjects
        )
        return replace(self._report(tally, seconds), dry_run=True)

    def _report(self, tally: _Tally, seconds: float) -> ReembedReport:
        return ReembedReport(
            embedder=self._core.embedder.name,
            dry_run=False,
            subjects=tally.subjects,
            memories=tally.fates[Fate.MOVED],
            skipped=tally.fates[Fate.SKIPPED],
            damaged=tally.fates[Fate.DAMAGED],
            left=tally.left,
            seconds=seconds,
        )

    async def _clean_up(self) -> bool:
        """Remove the table that an interrupted run left; tell whether there was such a run."""
        stored = await self._core.state.read(c.GetMeta(c.REEMBEDDING))
        if stored is None:
            return False
        table = Mark.decode(stored).table
        if table is not None:
            await self._drop(table)
        return True

    async def _come_to_rest(self) -> None:
        """What waits goes to cold first; a user whose table refuses it is left as it is."""
        await self._core.state.write(c.Expire(self._core.now_us()))
        try:
            await self._flusher.drain()
        except DiskFullError:
            raise
        except StorageError:
            return

    async def _waiting(self) -> list[SubjectRow]:
        rows = [
            *await self._core.state.read(c.SubjectsInState(SubjectState.ACTIVE)),
            *await self._core.state.read(c.SubjectsInState(SubjectState.RESTRICTED)),
        ]
        return [row for row in rows if row.embedder != self._core.embedder.name]

    async def _memories_of(self, rows: Sequence[SubjectRow]) -> int:
        return sum([(await self._core.state.read(c.HeldOf(row.subject))).memories for row in rows])

    async def _move(self, row: SubjectRow, mark: Mark, tally: _Tally) -> None:
        active = await self._directory.peek(row)
        memories = await self._kept(row)
        stored = await self._stored(active, memories)
        if stored is None:
            tally.leave(len(memories))
            return
        target = replace(active.ref, incarnation=self._core.entropy.token(16))
        await self._core.state.write(c.MarkReembedding(replace(mark, table=target).encode()))
        reach("reembed.after_mark")
        sizes = await self._write_table(active, target, (memories, stored), tally)
        tails = await self._tails(active)
        reach("reembed.before_move")
        await self._core.state.write(
            c.MoveSubject(
                subject=row.subject,
                generation=row.generation,
                incarnation=target.incarnation,
                embedder=self._core.embedder.name,
                tails=tuple(tails),
                sizes=tuple(sizes),
                mark=replace(mark, table=active.ref).encode(),
            )
        )
        reach("reembed.after_move")
        await self._drop(active.ref)
        reach("reembed.after_drop")
        tally.subjects += 1

    async def _kept(self, row: SubjectRow) -> dict[str, MemoryRow]:
        """What is on its way out is not carried over: its bytes go with the old table."""
        rows = await self._core.state.read(c.Memories(row.subject))
        return {one.memory_id: one for one in rows if one.state != MemoryState.REMOVING}

    async def _stored(
        self, active: ActiveSubject, memories: Mapping[str, MemoryRow]
    ) -> list[TierRecord] | None:
        """Return the records of the memories; None when the table cannot be read, or refused what waits for it."""
        if self._flusher.pending(active.ref.pseudonym):
            return None
        try:
            records = await self._directory.holdings.records(active)
        except ColdTierError:
            return None
        return [record for record in records if record.id in memories]

    async def _write_table(
        self,
        active: ActiveSubject,
        target: SubjectRef,
        held: tuple[Mapping[str, MemoryRow], Sequence[TierRecord]],
        tally: _Tally,
    ) -> list[tuple[str, int]]:
        """Write the new table; return the size of each memory that was embedded anew."""
        memories, stored = held
        sizes: list[tuple[str, int]] = []
        for start in range(0, len(stored), BATCH):
            opened = await self._resealer.opened(active, stored[start : start + BATCH], Place.MEMORY)
            anew = await self._resealer.anew(active, opened, Place.MEMORY)
            as_they_are = [one.record for one in opened if one.fate is not Fate.MOVED]
            await self._core.cold.append(target, [one.record for one in anew] + as_they_are)
            reach("reembed.after_batch")
            sizes += [(one.record.id, one.size) for one in anew]
            tally.fates.update(_fates_of(opened, memories))
            tally.advance(len(opened))
        tally.lose(len(memories) - len(stored))
        return sizes

    async def _tails(self, active: ActiveSubject) -> list[TailRow]:
        """Return the turns of the user's sessions that are no memories, sealed anew; each has a vector too."""
        rows = await self._core.state.read(c.SealedTails(active.ref.pseudonym))
        turns = {(row.record_id, row.order): row for row in rows}
        records = [TierRecord(row.record_id, row.order, 1, row.sealed or b"") for row in rows]
        opened = await self._resealer.opened(active, records, Place.TAIL)
        anew = [one.record for one in await self._resealer.anew(active, opened, Place.TAIL)]
        return [replace(turns[record.id, record.order], sealed=record.payload) for record in anew]

    async def _look(self, row: SubjectRow, tally: _Tally, timing: _Timing) -> None:
        """Count what would become of a user's memories; embed and seal those that the sample still wants."""
        active, memories, begun = await self._directory.peek(row), await self._kept(row), stopwatch()
        stored = await self._stored(active, memories)
        if stored is None:
            tally.leave(len(memories))
            return
        for start in range(0, len(stored), BATCH):
            opened = await self._resealer.opened(active, stored[start : start + BATCH], Place.MEMORY)
            timing.opening += stopwatch() - begun
            begun, sample = stopwatch(), opened[: SAMPLE - timing.sampled]
            timing.sampled += len(await self._resealer.anew(active, sample, Place.MEMORY))
            timing.sampling += stopwatch() - begun
            begun = stopwatch()
            tally.fates.update(_fates_of(opened, memories))
            tally.advance(len(opened))
        tally.lose(len(memories) - len(stored))
        tally.subjects += 1

    async def _drop(self, table: SubjectRef) -> None:
        """Remove a table that nobody refers to; hot may keep sealed copies no longer than its own time."""
        await self._core.cold.drop(table)
        with contextlib.suppress(HotTierError):
            await self._core.hot.drop(table)


def _fates_of(opened: Sequence[Opened], memories: Mapping[str, MemoryRow]) -> Counter[Fate]:
    """Count what became of memories; one of which only an older record is there is damaged, whatever that says."""
    stored = {one.record.id: one.record for one in opened}
    outdated = {one.record.id for one in opened if not is_current(memories[one.record.id], stored)}
    return Counter(Fate.DAMAGED if one.record.id in outdated else one.fate for one in opened)
