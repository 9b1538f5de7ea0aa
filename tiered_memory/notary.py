"""Signs how far the audit ledger has come, proves what is in it, and tells when it is not what was signed.

The judging is `privacy/audit.py`'s. The tree is read from the store once per process, when it is first needed, and
then grows with the ledger.
"""

from __future__ import annotations

import errno
import logging
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import TypeVar

import anyio
import anyio.to_thread

import tiered_memory
from tiered_memory.checkpoint_file import CheckpointFile
from tiered_memory.clock import Clock, to_us
from tiered_memory.crypto.signing import Signer, verifies
from tiered_memory.errors import CorruptionError, DiskFullError, RolledBackError, StorageError
from tiered_memory.highwater import Listed
from tiered_memory.privacy.audit import Auditor, Verdict
from tiered_memory.privacy.checkpoint import (
    Checkpoint,
    CheckpointLog,
    SignedCheckpoint,
    key_id,
    parse_note,
)
from tiered_memory.privacy.merkle import leaf_hash, verify_inclusion
from tiered_memory.state import commands as c
from tiered_memory.state.base import StateStore

logger = logging.getLogger("tiered_memory")

T = TypeVar("T")
Row = tuple[int, bytes, bytes]
EVERY_LEAVES = 1_000
EVERY_SECONDS = 3_600.0
OPENING_LEAVES = 20_000
"""Up to so many leaves are compared at every opening; a longer ledger at its first checkpoint (~0.7 s per 100 000)."""
CHUNK = 4_096
UNREADABLE = (
    "the ledger's checkpoints (checkpoints.log) were altered or taken away: put their newest copy back; without one, open with "
    "accept_rollback, which sets them aside and begins anew"
)
CONTRADICTED = (
    "the audit ledger is not the one its checkpoints were signed for ({}): put the newest state store back; to go on "
    "from here, open with accept_rollback, which the ledger records"
)


@dataclass(frozen=True, slots=True)
class LedgerProof:
    """That one leaf is in the ledger: the leaf, its index, the audit path (RFC 6962), and the signed checkpoint."""

    index: int
    leaf: bytes
    path: tuple[bytes, ...]
    checkpoint: SignedCheckpoint


class Notary:
    """Keeps the checkpoints of one store's ledger. `incarnation` (32 hex digits) names the log."""

    def __init__(
        self, state: StateStore, file: CheckpointFile, signer: Signer, clock: Clock, incarnation: str
    ) -> None:
        self._state = state
        self._file = file
        self._signer = signer
        self._clock = clock
        self._incarnation = incarnation
        self._working = anyio.Lock()
        self._newest: SignedCheckpoint | None = None
        self._auditor: Auditor | None = None
        self.public_key = signer.public_key

    @property
    def incarnation(self) -> str:
        """The name of the log that is signed."""
        return self._incarnation

    @property
    def signed_size(self) -> int:
        """How many entries of the ledger the newest checkpoint covers."""
        return 0 if self._newest is None else self._newest.checkpoint.size

    @property
    def listed(self) -> Listed:
        """How long the file of checkpoints is."""
        return self._file.listed

    async def open(self, noted: Listed | None) -> None:
        """Compare the checkpoints with what the marks `noted` of them, and the ledger with the newest of its own.

        Raises:
            RolledBackError: the ledger is shorter than it was.
            CorruptionError: the ledger, or the file of checkpoints, was altered.
        """
        log = await on_disk(self._file.read)
        if noted is not None and not await on_disk(lambda: self._file.holds(noted)):
            raise CorruptionError(UNREADABLE)
        if log.torn:
            logger.warning("the checkpoints end in what a crash left of one: it is cut off at the next")
        self._newest = self._newest_of(log)
        _, leaf_index, _ = await self._state.read(c.Position())
        if self._newest is not None and leaf_index + 1 < self._newest.checkpoint.size:
            raise RolledBackError
        if leaf_index < OPENING_LEAVES:
            await self._catch_up()

    async def begin_anew(self, incarnation: str) -> None:
        """Sign under another incarnation from now on: going on from an older or altered ledger was accepted."""
        log = await on_disk(self._file.read)
        if any(one is None or not self._holds(one) for one in log.notes):
            await on_disk(self._file.set_aside)
        self._incarnation, self._newest, self._auditor = incarnation, None, None

    async def note(self) -> SignedCheckpoint | None:
        """Return a checkpoint over the whole ledger, on disk when this returns; None while the ledger is empty.

        Raises:
            CorruptionError: the ledger contradicts a checkpoint; a fork is not signed.
            StorageError: it could not be read or written.
        """
        async with self._working:
            return await self._note()

    async def tend(self) -> None:
        """Sign when enough leaves came, or enough time went by, since the newest checkpoint."""
        _, leaf_index, _ = await self._state.read(c.Position())
        newest = None if self._newest is None else self._newest.checkpoint
        fresh = leaf_index + 1 - (newest.size if newest else 0)
        age_us = to_us(self._clock.now()) - (newest.at_us if newest else 0)
        if fresh >= EVERY_LEAVES or (fresh > 0 and not 0 <= age_us < EVERY_SECONDS * 1e6):
            await self.note()

    async def prove(self, index: int) -> LedgerProof:
        """Return the proof that leaf `index` (>= 0) is in the ledger, against a checkpoint over all of it."""
        async with self._working:
            signed = await self._note()
            auditor = await self._catch_up()
            tree, rows = auditor.tree, await self._state.read(c.Leaves(index, 1))
            if signed is None or not rows or rows[0][0] != index:
                raise CorruptionError("the ledger has no such entry")
            if auditor.next_index != tree.size:
                raise CorruptionError("the ledger has a gap: its entries do not stand where they stood")
            start, end = tree.block_of(index)
            block = await self._state.read(c.Leaves(start, end - start)) if end else []
            hashes = [leaf_hash(leaf) for _, leaf, _ in block]
            path = tree.inclusion(index, signed.checkpoint.size, hashes)
        return LedgerProof(index, rows[0][1], tuple(path), signed)

    async def verify(self, known: tuple[SignedCheckpoint, ...] = ()) -> Verdict:
        """Judge the whole ledger against every checkpoint, and against others that were `known` elsewhere."""
        log = await on_disk(self._file.read)
        auditor = Auditor(log.notes, self._holds, incarnation=self._incarnation, known=known)
        async for rows in self.rows():
            await anyio.to_thread.run_sync(auditor.add_rows, rows)
        return auditor.verdict()

    async def rows(self, start: int = 0) -> AsyncIterator[list[Row]]:
        """Yield the ledger's rows (index, leaf, hash) from index `start` in chunks, in order."""
        while rows := await self._state.read(c.Leaves(start, CHUNK)):
            yield rows
            start = rows[-1][0] + 1

    async def newest(self, limit: int, before: int | None = None) -> list[Row]:
        """Return `limit` (>= 1) rows below index `before`, by default the last ones; the newest first."""
        _, last, _ = await self._state.read(c.Position())
        end = last + 1 if before is None else min(before, last + 1)
        start = max(0, end - limit)
        return [] if end <= start else (await self._state.read(c.Leaves(start, end - start)))[::-1]

    def raw_checkpoints(self) -> bytes:
        """Return the file of checkpoints. Synchronous."""
        return self._file.raw()

    def sign(self, data: bytes) -> bytes:
        """Return the ledger's signature (64 bytes) over `data`."""
        return self._signer.sign(data)

    def _newest_of(self, log: CheckpointLog) -> SignedCheckpoint | None:
        """The other signatures are `verify`'s: a log of years would take seconds at every opening."""
        if None in log.notes:
            raise CorruptionError(UNREADABLE)
        own = [one for one in log.notes if one and one.checkpoint.incarnation == self._incarnation]
        if own and not self._holds(own[-1]):
            raise CorruptionError(UNREADABLE)
        return own[-1] if own else None

    def _holds(self, signed: SignedCheckpoint) -> bool:
        return note_holds(signed, self.public_key)

    async def _note(self) -> SignedCheckpoint | None:
        tree = (await self._catch_up()).tree
        if tree.size == 0 or (self._newest and self._newest.checkpoint.size == tree.size):
            return self._newest
        now_us, version = to_us(self._clock.now()), tiered_memory.__version__
        signed = sign_checkpoint(
            Checkpoint(self._incarnation, tree.size, tree.root(), max(0, now_us), version), self._signer
        )
        await on_disk(lambda: self._file.append(signed))
        self._newest = signed
        return signed

    async def _catch_up(self) -> Auditor:
        """Take in the leaves that came since; the first time, compare them with the newest checkpoint."""
        auditor = self._auditor
        if auditor is None:
            notes = [] if self._newest is None else [self._newest]
            auditor = Auditor(notes, self._holds, incarnation=self._incarnation)
        async for rows in self.rows(auditor.next_index):
            await anyio.to_thread.run_sync(auditor.add_rows, rows)
        if problems := auditor.present_problems():
            raise CorruptionError(CONTRADICTED.format(problems[0]))
        self._auditor = auditor
        return auditor


def sign_checkpoint(checkpoint: Checkpoint, signer: Signer) -> SignedCheckpoint:
    """Return the checkpoint with its signature."""
    identity = key_id(checkpoint.origin, signer.public_key)
    return SignedCheckpoint(checkpoint, identity, signer.sign(checkpoint.text()))


def note_holds(signed: SignedCheckpoint, public_key: bytes) -> bool:
    """Tell whether a checkpoint was signed with the private half of `public_key` (32 bytes)."""
    return signed.key_id == key_id(signed.checkpoint.origin, public_key) and verifies(
        public_key, signed.signature, signed.checkpoint.text()
    )


def proof_holds(proof: LedgerProof, public_key: bytes) -> bool:
    """Tell whether a proof's leaf is in the ledger that the owner of `public_key` signed."""
    head = proof.checkpoint.checkpoint
    return note_holds(proof.checkpoint, public_key) and verify_inclusion(
        leaf_hash(proof.leaf), proof.index, head.size, proof.path, head.root
    )


def read_proof(index: str, leaf: str, path: tuple[str, ...], note: str) -> LedgerProof | None:
    """Return the proof that a document holds as text, or None when it is none."""
    signed = parse_note(note)
    try:
        if signed is not None:
            return LedgerProof(int(index), leaf.encode(), tuple(bytes.fromhex(one) for one in path), signed)
    except ValueError:
        pass
    return None


async def on_disk(work: Callable[[], T], failed: str = "the checkpoints cannot be kept") -> T:
    """Do work on files in a thread; raises DiskFullError, or StorageError that says what `failed`."""
    try:
        return await anyio.to_thread.run_sync(work)
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise DiskFullError from error
        raise StorageError(f"{failed} ({type(error).__name__})") from error
