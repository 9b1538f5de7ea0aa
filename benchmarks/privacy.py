"""`privacy`: whether anybody sees what is another's, and whether anything done to what is stored goes unnoticed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import anyio.to_thread
from rich.table import Table

from benchmarks import injections
from benchmarks.hostile import try_hostile
from benchmarks.injections import measured
from benchmarks.ledger_mutations import SHOWN, try_mutations
from benchmarks.rotation import rotate
from benchmarks.store import fresh_folder
from benchmarks.suite import Benchmark, Measured, Progress, Request, Results
from benchmarks.swaps import try_swaps
from tiered_memory.clock import stopwatch
from tiered_memory.crypto.signing import Signer
from tiered_memory.formats.leaf import AuditEvent, AuditLeaf
from tiered_memory.notary import note_holds, sign_checkpoint
from tiered_memory.privacy.audit import Auditor
from tiered_memory.privacy.checkpoint import Checkpoint, SignedCheckpoint
from tiered_memory.privacy.merkle import Tree, leaf_hash

EVERY = 1_000
INCARNATION = "0f" * 16
VERIFY_BAR_S = 15.0
NONE_OF = {
    "cross_subject_hits": "hostile questions are answered with another's",
    "path_escapes": "names became paths",
    "swaps_accepted": "sealed values open where they do not belong",
    "rotation_errors": "calls failed while key epochs were ended",
    "ledger_mutations_missed": "mutations of the ledger are missed",
}


@dataclass(frozen=True, slots=True)
class Extent:
    """How much is tried."""

    subjects: int
    attempts: int
    rotated: int
    injections: int
    benign: int
    swaps: int
    mutations: int
    entries: int


QUICK = Extent(
    subjects=400,
    attempts=10_000,
    rotated=1_000,
    injections=500,
    benign=5_000,
    swaps=2_000,
    mutations=2_000,
    entries=1_000_000,
)
FULL = replace(QUICK, subjects=2_000, attempts=100_000, rotated=10_000, swaps=10_000, mutations=10_000)


async def run(request: Request) -> Measured:
    """Try what quick or full asks for."""
    return await measure(request, FULL if request.full else QUICK)


async def measure(request: Request, extent: Extent) -> Measured:
    """Ask for what is another's, swap what is sealed, mutate the ledger, and verify a long one."""
    hostile = await try_hostile(extent.subjects, extent.attempts, request.seed, request.progress)
    swapped = await try_swaps(extent.swaps, request.seed, request.progress)
    with fresh_folder() as folder:
        rotation = await rotate(folder / "rotation", extent.rotated, request.progress, request.seed)
    injected = await measured(request.data, request.seed, request.progress, extent.injections, extent.benign)
    with fresh_folder() as folder:
        found = await try_mutations(folder, extent.mutations, request.seed, request.progress)
        seconds = await anyio.to_thread.run_sync(_verify_long, folder, extent.entries, request.progress)
    config = {
        "hostile_subjects": hostile.subjects,
        "hostile_examples": hostile.examples[:SHOWN],
        "swaps_by_sort": dict(sorted(swapped.by_sort.items())),
        "swaps_accepted": swapped.accepted[:SHOWN],
        "mutations": extent.mutations,
        "by_sort": dict(sorted(found.by_sort.items())),
        "missed": found.missed[:SHOWN],
        "checkpoint_every": EVERY,
    }
    results = {
        "hostile_attempts": hostile.attempts,
        "cross_subject_hits": hostile.cross_subject_hits,
        "path_escapes": hostile.path_escapes,
        "swaps": swapped.tried,
        "swaps_accepted": len(swapped.accepted),
        **{f"rotation_{name}": figure for name, figure in rotation.items() if name != "rotation_errors"},
        "rotation_errors": rotation["rotation_errors"],
        **injected,
        "ledger_mutations": found.tried,
        "ledger_mutations_missed": len(found.missed),
        "verify_entries": extent.entries,
        "verify_s": seconds,
    }
    return Measured(config, results)


def _verify_long(folder: Path, entries: int, progress: Progress) -> float:
    """Write a ledger of many leaves with a checkpoint every thousand, and judge it from the file."""
    path, signer = folder / "long.jsonl", Signer(bytes(range(32)))
    progress.stage("writing a long ledger", entries)
    notes = _write_long(path, entries, signer, progress)
    progress.stage("verifying it", 1)
    begun = stopwatch()
    auditor = Auditor(notes, lambda signed: note_holds(signed, signer.public_key))
    with path.open("rb") as lines:
        for line in lines:
            auditor.add(line[:-1])
    verdict = auditor.verdict()
    seconds = stopwatch() - begun
    if not verdict.sound or verdict.covered != entries:
        raise RuntimeError("the long ledger does not verify")
    return seconds


def _write_long(path: Path, entries: int, signer: Signer, progress: Progress) -> list[SignedCheckpoint]:
    tree, notes = Tree(block_height=10), []
    with path.open("wb") as file:
        for leaf in _leaves(entries):
            file.write(leaf + b"\n")
            tree.append(leaf_hash(leaf))
            if tree.size % EVERY == 0 or tree.size == entries:
                head = Checkpoint(INCARNATION, tree.size, tree.root(), tree.size, "0")
                notes.append(sign_checkpoint(head, signer))
                progress.step(EVERY)
    return notes


def _leaves(entries: int) -> Iterator[bytes]:
    for number in range(entries):
        subject = f"{number % 1_000:064x}"
        yield AuditLeaf(
            AuditEvent.MEMORY_FORGOTTEN,
            number,
            "ab" * 32,
            subject,
            1,
            object=f"{number:064x}",
            reason="decay",
        ).encode()


def tables(results: Results) -> list[Table]:
    """Return what was tried and how long it took."""
    table = Table(title="privacy")
    table.add_column("")
    table.add_column("figure", justify="right")
    table.add_row("hostile questions", f"{results['hostile_attempts']:,}")
    table.add_row("answered with another's", str(results["cross_subject_hits"]))
    table.add_row("names that became paths", str(results["path_escapes"]))
    table.add_row("sealed values swapped", f"{results['swaps']:,}")
    table.add_row("opened where they do not belong", str(results["swaps_accepted"]))
    table.add_row("users whose key epoch ended under load", f"{results['rotation_subjects']:,}")
    table.add_row("calls that failed meanwhile", str(results["rotation_errors"]))
    table.add_row("scripted injections", f"{results['injections']:,}")
    table.add_row("that had influence, not quarantined", str(results["injections_influential"]))
    table.add_row("of wordings no rule has seen", _of(results, "unseen_influential", "unseen_injections"))
    table.add_row("benign turns quarantined, worst source", f"{results['benign_quarantined_ratio']:.2%}")
    table.add_row("mutations of the ledger", f"{results['ledger_mutations']:,}")
    table.add_row("missed", str(results["ledger_mutations_missed"]))
    table.add_row("entries verified", f"{results['verify_entries']:,}")
    table.add_row("in", f"{results['verify_s']:.1f} s")
    return [table]


def _of(results: Results, part: str, whole: str) -> str:
    return f"{results[part]:,} of {results[whole]:,}"


def missed(results: Results) -> list[str]:
    """Name what is worse than it may be."""
    worse = [f"{results[key]} {what}, not 0" for key, what in NONE_OF.items() if results[key]]
    worse += injections.missed(results)
    if results["verify_s"] > VERIFY_BAR_S:
        worse.append(f"verifying takes {results['verify_s']:.1f} s, not under {VERIFY_BAR_S:.0f}")
    return worse


BENCHMARK = Benchmark("privacy", run, tables, missed=missed)
