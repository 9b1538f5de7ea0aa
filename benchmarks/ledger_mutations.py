"""Seeded mutations of the ledger, each of which must be found.

Of an export, judged by the package and by the program that goes with it; and of the store's own table and file of
checkpoints, judged as `ledger verify` does. The one who looks knows the key, and for exports the newest checkpoint:
without one, an older export is a true one. Half of the mutations of an export come with digests made anew, as whoever
edits the files would make them. What is mutated is what is signed: a row that is added behind the newest checkpoint
cannot be told from one that the store wrote before it was killed.
"""

from __future__ import annotations

import importlib.util
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

import anyio.to_thread
import apsw

from benchmarks.ledger_stage import Files, Stage, build_stage, draw_signer, forged, rehashed
from benchmarks.remains import state_of
from benchmarks.suite import Progress
from tiered_memory.audit_export import verify_export
from tiered_memory.checkpoint_file import CHECKPOINTS_NAME, CheckpointFile
from tiered_memory.clock import SystemClock
from tiered_memory.crypto.signing import Signer
from tiered_memory.errors import TieredMemoryError
from tiered_memory.notary import Notary, sign_checkpoint
from tiered_memory.privacy import manifest as m
from tiered_memory.privacy.checkpoint import encode_entry, parse_log
from tiered_memory.privacy.merkle import leaf_hash
from tiered_memory.state.base import Read
from tiered_memory.state.sqlite_verbs import READERS

T = TypeVar("T")
SHOWN = 20


class NotSoundError(RuntimeError):
    """What nobody touched does not verify: that mutations are found would prove nothing."""


@dataclass(slots=True)
class Found:
    """How many mutations were tried, of which sorts, and which were missed by whom."""

    tried: int = 0
    by_sort: dict[str, int] = field(default_factory=dict)
    missed: list[str] = field(default_factory=list)

    def count(self, sort: str, seed: int, judges: dict[str, bool]) -> None:
        """Count one mutation; `judges` says who found it."""
        self.tried += 1
        self.by_sort[sort] = self.by_sort.get(sort, 0) + 1
        self.missed += [f"seed {seed}: {sort}: {judge}" for judge, found in judges.items() if not found]


async def try_mutations(folder: Path, mutations: int, seed: int, progress: Progress) -> Found:
    """Mutate `mutations` (>= 2) times, every other time an export and the store's table, and see what is found.

    Raises:
        NotSoundError: the unmutated ledger does not verify.
    """
    stage = await build_stage(folder)
    found = Found()
    progress.stage("mutating the ledger", mutations)
    await anyio.to_thread.run_sync(
        _try_exports, stage, folder, range(seed, seed + mutations // 2), found, progress
    )
    await _try_tables(stage, folder, range(seed, seed + mutations - mutations // 2), found, progress)
    return found


# --- the export --------------------------------------------------------------------------------------------------


def _lines(files: Files) -> list[bytes]:
    return files[m.LEAVES].split(b"\n")[:-1]


def _with(files: Files, lines: Sequence[bytes]) -> dict[str, bytes]:
    return {**files, m.LEAVES: b"".join(line + b"\n" for line in lines)}


def _flip(data: bytes, draw: random.Random) -> bytes:
    at = draw.randrange(len(data))
    return data[:at] + bytes([data[at] ^ draw.randrange(1, 256)]) + data[at + 1 :]


def _edit_any_file(stage: Stage, draw: random.Random) -> Files:
    name = draw.choice(sorted(stage.whole))
    return {**stage.whole, name: _flip(stage.whole[name], draw)}


def _changed_lines(lines: list[bytes], how: str, draw: random.Random) -> list[bytes]:
    at = draw.randrange(len(lines))
    if how == "edit":
        # A newline would be two mutations at once, and end one line early.
        edited = _flip(lines[at], draw).replace(b"\n", b"!")
        return [*lines[:at], edited, *lines[at + 1 :]]
    if how == "drop":
        return lines[:at] + lines[at + 1 :]
    if how == "duplicate":
        return [*lines[: at + 1], *lines[at:]]
    if how == "insert":
        return [*lines[:at], lines[at].replace(b'"at_us":1', b'"at_us":2'), *lines[at:]]
    if how == "truncate":
        return lines[: -draw.randint(1, len(lines) - 1)]
    other = draw.choice([place for place in range(len(lines)) if lines[place] != lines[at]])
    swapped = list(lines)
    swapped[at], swapped[other] = lines[other], lines[at]
    return swapped


LINE_CHANGES = ("edit", "drop", "duplicate", "insert", "truncate", "swap")


def _change_lines(how: str) -> Callable[[Stage, random.Random], Files]:
    def mutate(stage: Stage, draw: random.Random) -> Files:
        files = _with(stage.whole, _changed_lines(_lines(stage.whole), how, draw))
        return rehashed(files) if draw.random() < 0.5 else files

    return mutate


def _truncate_with_checkpoints(stage: Stage, draw: random.Random) -> Files:
    """Back to an earlier checkpoint, so that leaves and checkpoints agree."""
    log = parse_log(stage.whole[m.CHECKPOINTS])
    keep = draw.randrange(1, len(log.notes))
    heads = [one for one in log.notes[:keep] if one]
    files = _with(stage.whole, _lines(stage.whole)[: heads[-1].checkpoint.size])
    return rehashed({**files, m.CHECKPOINTS: b"".join(map(encode_entry, heads))})


def _sign_with_another_key(stage: Stage, draw: random.Random) -> Files:
    lines = _changed_lines(_lines(stage.whole), draw.choice(LINE_CHANGES), draw)
    return forged(_with(stage.whole, lines), draw_signer(draw))


def _fork(stage: Stage, draw: random.Random) -> Files:
    """All of the fork, or files of both."""
    taken = draw.sample([m.LEAVES, m.CHECKPOINTS, m.MANIFEST], draw.randint(1, 3))
    return {**stage.whole, **{name: stage.fork[name] for name in taken}}


def _older(stage: Stage, draw: random.Random) -> Files:
    taken = draw.sample([m.LEAVES, m.CHECKPOINTS, m.MANIFEST], draw.randint(1, 3))
    return {**stage.whole, **{name: stage.older[name] for name in taken}}


def _lose_a_file(stage: Stage, draw: random.Random) -> Files:
    lost = draw.choice(sorted(stage.whole))
    return {name: data for name, data in stage.whole.items() if name != lost}


EXPORT_MUTATIONS: dict[str, Callable[[Stage, random.Random], Files]] = {
    "edit any file": _edit_any_file,
    **{f"{how} leaves": _change_lines(how) for how in LINE_CHANGES},
    "truncate to a checkpoint": _truncate_with_checkpoints,
    "sign with another key": _sign_with_another_key,
    "fork": _fork,
    "older export": _older,
    "lose a file": _lose_a_file,
}


def _try_exports(stage: Stage, folder: Path, seeds: range, found: Found, progress: Progress) -> None:
    target, program = folder / "mutated", _program(folder / "whole" / m.PROGRAM)
    target.mkdir()
    if any(_judged(stage, stage.whole, target, program).values()):
        raise NotSoundError("the export itself does not verify")
    sorts = list(EXPORT_MUTATIONS)
    for seed in seeds:
        draw, sort = random.Random(seed), sorts[seed % len(sorts)]
        files = EXPORT_MUTATIONS[sort](stage, draw)
        found.count(f"export: {sort}", seed, _judged(stage, files, target, program))
        progress.step()


def _judged(stage: Stage, files: Files, target: Path, program: ModuleType) -> dict[str, bool]:
    for path in target.iterdir():
        path.unlink()
    for name, data in files.items():
        (target / name).write_bytes(data)
    return {"package": _package_objects(stage, target), "program": _program_objects(stage, target, program)}


def _package_objects(stage: Stage, target: Path) -> bool:
    try:
        return not verify_export(target, stage.public_key, (stage.head,)).sound
    except TieredMemoryError:
        return True


def _program_objects(stage: Stage, target: Path, program: ModuleType) -> bool:
    try:
        program.verify_export(target, stage.public_key, stage.head.note().encode())
    except (program.Refused, OSError):
        return True
    return False


def _program(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("exported_verify_ledger", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# --- the store ---------------------------------------------------------------------------------------------------


class _Table:
    """The store's table behind the one verb the notary needs."""

    def __init__(self, connection: apsw.Connection) -> None:
        self.connection = connection

    async def read(self, query: Read[T]) -> T:
        """Answer as the store would."""
        answer: Callable[[apsw.Connection, Read[T]], T] = READERS[type(query)]
        return answer(self.connection, query)


Rows = list[tuple[int, bytes, bytes]]


def _put(rows: Rows, leaves: Sequence[bytes], *, hashed: bool) -> Rows:
    """Return the rows of other leaves, with hashes of their own or the ones that stood there."""
    old = [stored for _, _, stored in rows]
    hashes = [
        leaf_hash(leaf) if hashed or index >= len(old) else old[index] for index, leaf in enumerate(leaves)
    ]
    return list(zip(range(len(leaves)), leaves, hashes, strict=True))


def _change_rows(how: str) -> Callable[[Rows, Stage, random.Random], Rows]:
    def mutate(rows: Rows, stage: Stage, draw: random.Random) -> Rows:
        del stage
        every = [leaf for _, leaf, _ in rows]
        # A row behind the newest checkpoint is not signed yet: a second last row would be no change to what is.
        last = every[-1:] if how == "duplicate" else []
        leaves = _changed_lines(every[: len(every) - len(last)], how, draw) + last
        return _put(rows, leaves, hashed=how == "truncate" or draw.random() < 0.5)

    return mutate


def _leave_a_gap(rows: Rows, stage: Stage, draw: random.Random) -> Rows:
    del stage
    at = draw.randrange(len(rows) - 1)
    return rows[:at] + rows[at + 1 :]


def _fork_rows(rows: Rows, stage: Stage, draw: random.Random) -> Rows:
    del draw
    return _put(rows, _lines(stage.fork), hashed=True)


def _roll_back(rows: Rows, stage: Stage, draw: random.Random) -> Rows:
    del draw
    return rows[: len(_lines(stage.older))]


TABLE_MUTATIONS: dict[str, Callable[[Rows, Stage, random.Random], Rows]] = {
    **{f"{how} rows": _change_rows(how) for how in LINE_CHANGES},
    "leave a gap": _leave_a_gap,
    "fork": _fork_rows,
    "roll back": _roll_back,
}


def _edit_checkpoint(log: bytes, key: Signer, draw: random.Random) -> bytes:
    """Of the last entry only what is signed, and the signature: without its end it is what a crash leaves."""
    del key
    at = draw.randrange(len(log) - 3)
    edited = log[:at] + bytes([log[at] ^ draw.randrange(1, 256)]) + log[at + 1 :]
    return (
        edited
        if parse_log(edited).whole_bytes == len(log)
        else _edit_checkpoint(log, Signer(bytes(32)), draw)
    )


def _resign_checkpoint(log: bytes, key: Signer, draw: random.Random) -> bytes:
    notes = [one for one in parse_log(log).notes if one]
    at = draw.randrange(len(notes))
    notes[at] = sign_checkpoint(notes[at].checkpoint, key)
    return b"".join(map(encode_entry, notes))


def _swap_checkpoints(log: bytes, key: Signer, draw: random.Random) -> bytes:
    del key
    notes = [one for one in parse_log(log).notes if one]
    first, second = draw.sample(range(len(notes)), 2)
    notes[first], notes[second] = notes[second], notes[first]
    return b"".join(map(encode_entry, notes))


LOG_MUTATIONS = {
    "edit a checkpoint": _edit_checkpoint,
    "re-sign a checkpoint": _resign_checkpoint,
    "swap checkpoints": _swap_checkpoints,
}


async def _try_tables(stage: Stage, folder: Path, seeds: range, found: Found, progress: Progress) -> None:
    aside = folder / "log"
    aside.mkdir()
    log = (stage.data / CHECKPOINTS_NAME).read_bytes()
    sorts = [*TABLE_MUTATIONS, *LOG_MUTATIONS]
    with closing(state_of(stage.data)) as connection:
        rows: Rows = list(connection.execute("SELECT leaf_index, leaf, hash FROM audit ORDER BY leaf_index"))
        judge = _Judge(connection, aside, Signer(bytes(32)), stage)
        if await judge.objects(log):
            raise NotSoundError("the store's ledger itself does not verify")
        for seed in seeds:
            draw, sort = random.Random(seed), sorts[seed % len(sorts)]
            if sort in TABLE_MUTATIONS:
                with _replaced(connection, TABLE_MUTATIONS[sort](rows, stage, draw)):
                    objects = await judge.objects(log)
            else:
                objects = await judge.objects(LOG_MUTATIONS[sort](log, draw_signer(draw), draw))
            found.count(f"store: {sort}", seed, {"ledger verify": objects})
            progress.step()


@dataclass(slots=True)
class _Judge:
    connection: apsw.Connection
    aside: Path
    stand_in: Signer
    stage: Stage

    async def objects(self, log: bytes) -> bool:
        """Tell whether `ledger verify` finds something wrong."""
        (self.aside / CHECKPOINTS_NAME).write_bytes(log)
        table: Any = _Table(self.connection)
        incarnation = self.stage.head.checkpoint.incarnation
        notary = Notary(table, CheckpointFile(self.aside), self.stand_in, SystemClock(), incarnation)
        notary.public_key = self.stage.public_key
        return not (await notary.verify()).sound


@contextmanager
def _replaced(connection: apsw.Connection, rows: Rows) -> Iterator[None]:
    """Put other rows in the table, and take them back."""
    connection.execute("SAVEPOINT mutation")
    try:
        connection.execute("DELETE FROM audit")
        connection.executemany("INSERT INTO audit (leaf_index, format, leaf, hash) VALUES (?, 1, ?, ?)", rows)
        yield
    finally:
        connection.execute("ROLLBACK TO mutation")
        connection.execute("RELEASE mutation")
