"""Erasing a subject: fence, keys, tiers, verification, certificate. Resumable after a crash at any step."""

from __future__ import annotations

import hmac
import json
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime

import anyio.to_thread

import tiered_memory
from tiered_memory.active import ActiveSubject
from tiered_memory.core import Core
from tiered_memory.crypto.envelope import SealingKey
from tiered_memory.crypto.signing import verifies
from tiered_memory.errors import CorruptionError, ErasureIncompleteError, StorageError
from tiered_memory.failpoints import reach
from tiered_memory.flusher import Flusher
from tiered_memory.formats.leaf import AuditEvent, AuditLeaf
from tiered_memory.held_vault import Vault
from tiered_memory.highwater import ErasedEntry
from tiered_memory.ledger import leaf_for, said, subject_commitment
from tiered_memory.metrics import ErasureDone, Laps
from tiered_memory.model import Certificate, Subject, TierErasure
from tiered_memory.notary import LedgerProof, proof_holds, read_proof
from tiered_memory.state import commands as c
from tiered_memory.state.base import SubjectRow, SubjectState
from tiered_memory.subjects import SubjectDirectory
from tiered_memory.tiers.base import SubjectRef, Tier

logger = logging.getLogger("tiered_memory")

SALT_BYTES = 16
CERTIFICATE_FORMAT = 2
SINCE_FORMAT_2 = ("format", "ledger_entry", "ledger_path", "ledger_checkpoint")
LATE_WRITES = 8


@dataclass(frozen=True, slots=True)
class _Done:
    """What an erasure did."""

    keys_destroyed: int
    generation: int
    tiers: list[TierErasure]
    leaf_index: int
    retained: tuple[str, ...] = ()


class Eraser:
    """Carries out erasures. Never reports success when a tier failed."""

    def __init__(
        self,
        core: Core,
        directory: SubjectDirectory,
        flusher: Flusher,
        discard_projection: Callable[[], None],
    ) -> None:
        self._core = core
        self._discard_projection = discard_projection
        self._directory = directory
        self._flusher = flusher
        self._vault = Vault(core, directory.epochs)
        self.leave_spaces: Callable[[ActiveSubject], Awaitable[None]] = _nowhere
        self.drop_credentials: Callable[[Subject], Awaitable[None]] = _none_bound

    async def erase(self, subject: Subject, reason: str) -> Certificate:
        """Erase a subject, or finish an erasure of it that was interrupted, and return the certificate."""
        laps = Laps()
        try:
            certificate = await self._erase(subject, reason, laps)
        except StorageError as error:
            outcome = "incomplete" if isinstance(error, ErasureIncompleteError) else "failed"
            self._core.observer.observe(ErasureDone(outcome, {}))
            raise
        self._core.observer.observe(ErasureDone("verified", laps.all()))
        return certificate

    async def _erase(self, subject: Subject, reason: str, laps: Laps) -> Certificate:
        requested_at = self._core.clock.now()
        async with self._core.ballast.retaken(), self._directory.alone(subject):
            stored = await self._core.state.read(c.GetSubject(self._core.names.subject(subject)))
            if stored is not None and stored.state == SubjectState.ERASING:
                await self.drop_credentials(subject)
                done = await self._finish(stored, laps)
            else:
                done = await self._begin(await self._directory.unread(subject, stored), reason, laps)
            done = replace(done, retained=await self._vault.retained(self._core.names.subject(subject)))
            proof = await self._proof(done.leaf_index)
            laps.end("certificate")
        return _with_proof(
            self._certificate(subject, reason, requested_at, done), proof, self._core.notary.sign
        )

    async def _proof(self, leaf_index: int) -> LedgerProof | None:
        """A ledger that cannot prove is no reason to refuse a right: the certificate says what it can."""
        if leaf_index < 0:
            return None
        try:
            return await self._core.ballast.spend(lambda: self._core.notary.prove(leaf_index))
        except (StorageError, CorruptionError) as error:
            logger.warning("the certificate has no proof of its place in the ledger: %s", error)
            return None

    async def _begin(self, active: ActiveSubject, reason: str, laps: Laps) -> _Done:
        self._directory.forget(active)
        if not active.durable:
            await self.drop_credentials(active.subject)
            return _Done(0, active.ref.generation, await self._empty(active.ref, durable=False), -1)
        # While the keys can still say where the person took part.
        await self.leave_spaces(active)
        key, now_us = active.ledger_key, self._core.now_us()
        keys_destroyed = await self._core.ballast.spend(lambda: self._fence(active, key, reason))
        # After the fence: one that is made from now on is the person's next life's.
        await self.drop_credentials(active.subject)
        generation = active.ref.generation + 1
        await self._enter(active.ref.pseudonym, generation)
        laps.end("fence")
        tiers = await self._empty(active.ref, durable=True)
        laps.end("tiers")
        leaf = leaf_for(active, key, AuditEvent.ERASURE_FINISHED, now_us, detail=said(key, reason))
        index = await self._close(active.ref.pseudonym, generation, leaf)
        laps.end("close")
        return _Done(keys_destroyed, generation, tiers, index)

    def _certificate(self, subject: Subject, reason: str, requested_at: datetime, done: _Done) -> Certificate:
        salt = self._core.entropy.token(SALT_BYTES)
        return Certificate(
            id=self._core.new_id(),
            requested_at=requested_at,
            finished_at=self._core.clock.now(),
            reason=reason,
            generation=done.generation,
            subject_commitment=commitment_to(subject, salt),
            salt=salt.hex(),
            keys_destroyed=done.keys_destroyed,
            tiers=tuple(done.tiers),
            retained=done.retained,
            verified=all(tier.verified for tier in done.tiers),
            software_version=tiered_memory.__version__,
            ledger_leaf=str(done.leaf_index) if done.leaf_index >= 0 else "",
            public_key=self._core.notary.public_key.hex(),
            signature="",
            format=CERTIFICATE_FORMAT,
        )

    async def resume(self) -> int:
        """Finish erasures that a crash interrupted; return how many."""
        interrupted = await self._core.state.read(c.SubjectsInState(SubjectState.ERASING))
        failure: StorageError | None = None
        for row in interrupted:
            laps = Laps()
            try:
                await self._finish(row, laps)
            except StorageError as error:
                failure = error
            else:
                self._core.observer.observe(ErasureDone("verified", laps.all()))
        if failure is not None:
            raise failure
        return len(interrupted)

    async def finish(self, row: SubjectRow) -> None:
        """Finish the erasure of a subject that is fenced already; raises ErasureIncompleteError."""
        await self._finish(row, Laps())

    async def apply_list(self) -> int:
        """Erase again what the erased list names and an older state brought back; return how many subjects."""
        if self._core.marks.list_was_cut:
            await self._complete_list()
        if not self._core.marks.must_apply:
            return 0
        latest: dict[str, int] = {}
        memories: list[tuple[bytes, str]] = []
        for entry in await self._core.marks.erased():
            if entry.purpose:
                continue  # what ended for a purpose is applied by `ended_purposes.py`
            if entry.memory:
                memories.append((bytes.fromhex(entry.subject), entry.memory))
            else:
                latest[entry.subject] = max(entry.generation, latest.get(entry.subject, 0))
        await self._core.state.write(c.RemoveAgain(tuple(memories), self._core.now_us()))
        again = 0
        for subject, generation in latest.items():
            row = await self._core.state.read(c.GetSubject(bytes.fromhex(subject)))
            if row is not None and row.generation < generation and row.state != SubjectState.ERASED:
                await self._erase_again(row, generation)
                again += 1
        return again

    async def _complete_list(self) -> None:
        """Enter what the state store knows of and the list has lost."""
        entries = [one for one in await self._core.marks.erased() if not one.purpose]
        listed = {(one.subject, one.memory or one.generation) for one in entries}
        known = [
            ErasedEntry(subject.hex(), generation, at_us, memory)
            for subject, generation, at_us, memory in await self._core.state.read(c.Removed())
        ]
        await self._core.marks.add(
            [one for one in known if (one.subject, one.memory or one.generation) not in listed]
        )

    async def _erase_again(self, row: SubjectRow, generation: int) -> None:
        if row.state != SubjectState.ERASING:
            commitment = subject_commitment(self._core.keyring.ram_key(), row.subject)
            leaf = AuditLeaf(
                AuditEvent.ERASURE_BEGUN,
                self._core.now_us(),
                row.tenant.hex(),
                commitment,
                row.generation,
                reason="applied again",
            )
            begin = c.BeginErasure(row.subject, row.generation, leaf, generation)
            await self._vault.write(await self._directory.peek(row), begin)
        begun = await self._core.state.read(c.GetSubject(row.subject))
        if begun is not None:
            await self._finish(begun, Laps())

    async def _fence(self, active: ActiveSubject, key: SealingKey, reason: str) -> int:
        """From here on no writer of the old generation commits, and nothing sealed opens."""
        detail = said(key, reason)
        leaf = leaf_for(active, key, AuditEvent.ERASURE_BEGUN, self._core.now_us(), detail=detail)
        command = c.BeginErasure(active.ref.pseudonym, active.ref.generation, leaf)
        reach("erase.before_fence")
        destroyed = await self._vault.write(active, command)
        reach("erase.after_fence")
        active.keys.clear()
        await self._core.state.checkpoint()
        reach("erase.after_checkpoint")
        return destroyed

    async def _empty(self, ref: SubjectRef, durable: bool) -> list[TierErasure]:
        """Empty every tier, look again, and say what was there."""
        try:
            tiers = await self._core.ballast.spend(lambda: self._emptied(ref, durable))
        except StorageError as error:
            raise ErasureIncompleteError(
                f"the keys are destroyed, but {type(error).__name__} kept bytes from being removed; "
                "erase again, or reopen the store, to finish"
            ) from error
        if not all(tier.verified for tier in tiers):
            raise ErasureIncompleteError
        return tiers

    async def _emptied(self, ref: SubjectRef, durable: bool) -> list[TierErasure]:
        # RAM first: what it shows must not depend on whether hot can be reached.
        warm, warm_empty = await _cleared(self._core.warm, ref)
        hot, hot_empty = await _cleared(self._core.hot, ref)
        tiers = [
            TierErasure("hot", hot, "keys deleted", hot_empty),
            TierErasure("warm", warm, "dropped from RAM", warm_empty),
        ]
        reach("erase.after_hot_and_warm")
        return tiers + await self._empty_durable(ref) if durable else tiers

    async def _enter(self, pseudonym: bytes, generation: int) -> None:
        """Enter the subject in the list that no rolled-back or restored store can forget."""
        entry = ErasedEntry(pseudonym.hex(), generation, self._core.now_us())
        await self._core.ballast.spend(lambda: self._core.marks.add([entry]))

    async def _empty_durable(self, ref: SubjectRef) -> list[TierErasure]:
        async with self._flusher.paused(ref.pseudonym):
            self._flusher.discard(ref.pseudonym)
            rows = await self._core.cold.drop(ref)
            await anyio.to_thread.run_sync(self._discard_projection)
            gone = not self._core.cold.exists(ref)
        reach("erase.after_cold")
        before = await self._core.state.write(c.PurgeSubject(ref.pseudonym))
        self._core.terms.forget(ref.pseudonym)
        reach("erase.after_purge")
        after = await self._core.state.read(c.HeldOf(ref.pseudonym))
        return [
            TierErasure("cold", rows, "table dropped, files removed", gone),
            TierErasure("state", before.total, "rows overwritten and removed", after.total == 0),
        ]

    async def _close(self, pseudonym: bytes, generation: int, leaf: AuditLeaf) -> int:
        command = c.FinishErasure(pseudonym, generation, leaf.at_us, leaf)
        index = await self._core.ballast.spend(lambda: self._core.state.write(command))
        reach("erase.after_close")
        await self._core.state.checkpoint()
        await self._core.mark()
        return index

    async def _finish(self, row: SubjectRow, laps: Laps) -> _Done:
        """The key that named the subject in the ledger is gone by now: the closing leaf commits to chance."""
        ref = SubjectRef(row.subject, row.generation, row.incarnation)
        await self._core.state.checkpoint()
        await self._enter(row.subject, row.generation)
        laps.end("fence")
        tiers = await self._empty(ref, durable=True)
        laps.end("tiers")
        commitment = subject_commitment(self._core.keyring.ram_key(), row.subject)
        leaf = AuditLeaf(
            AuditEvent.ERASURE_FINISHED,
            self._core.now_us(),
            row.tenant.hex(),
            commitment,
            row.generation,
            reason="resumed",
        )
        index = await self._close(row.subject, row.generation, leaf)
        laps.end("close")
        return _Done(0, row.generation, tiers, index)


async def _nowhere(_: ActiveSubject) -> None:
    """Nobody took part in anything."""


async def _none_bound(_: Subject) -> None:
    """No credential is bound to anybody."""


def _with_proof(
    unsigned: Certificate, proof: LedgerProof | None, sign: Callable[[bytes], bytes]
) -> Certificate:
    """Return the certificate with its place in the ledger, signed."""
    if proof is not None:
        unsigned = replace(
            unsigned,
            ledger_entry=proof.leaf.decode(),
            ledger_path=tuple(node.hex() for node in proof.path),
            ledger_checkpoint=proof.checkpoint.note(),
        )
    return replace(unsigned, signature=sign(signed_bytes(unsigned)).hex())


async def _cleared(tier: Tier, ref: SubjectRef) -> tuple[int, bool]:
    """Drop what a tier has and look again; a write that was under way may put something there once more."""
    removed = 0
    for _ in range(LATE_WRITES):
        removed += await tier.drop(ref)
        if not await tier.scan(ref):
            return removed, True
    return removed, False


def signed_bytes(certificate: Certificate) -> bytes:
    """Return what a certificate's signature covers: its fields but the signature, as canonical JSON."""
    fields = asdict(certificate)
    for name in ("signature", *(SINCE_FORMAT_2 if certificate.format == 1 else ())):
        del fields[name]
    return json.dumps(fields, sort_keys=True, separators=(",", ":"), default=_plain).encode()


def verify_certificate(certificate: Certificate) -> None:
    """Check a certificate's signature, and its proof in the ledger, against the public key it names.

    Raises:
        CorruptionError: it was altered.
    """
    try:
        public, signature = bytes.fromhex(certificate.public_key), bytes.fromhex(certificate.signature)
    except ValueError as error:
        raise CorruptionError("the certificate was altered: its signature is none") from error
    if not verifies(public, signature, signed_bytes(certificate)):
        raise CorruptionError("the certificate was altered: its signature does not verify")
    if not _is_in_ledger(certificate, public):
        raise CorruptionError("the certificate's proof in the ledger does not hold")


def _is_in_ledger(certificate: Certificate, public_key: bytes) -> bool:
    """A certificate may come without a proof, but not with half of one, and format 1 knew none."""
    one = certificate
    if not (one.ledger_entry or one.ledger_path or one.ledger_checkpoint):
        return True
    proof = read_proof(one.ledger_leaf, one.ledger_entry, one.ledger_path, one.ledger_checkpoint)
    return one.format != 1 and proof is not None and proof_holds(proof, public_key)


def _plain(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    raise TypeError(type(value).__name__)


def commitment_to(subject: Subject, salt: bytes) -> str:
    """Return what a certificate commits to its subject with: HMAC-SHA-256 (hex) under its salt."""
    return hmac.digest(salt, _identity(subject), "sha256").hex()


def _identity(subject: Subject) -> bytes:
    """Return what the commitment is over: lengths keep tenant and user apart."""
    parts: Sequence[bytes] = (subject.tenant.encode(), subject.user.encode())
    return b"".join(len(part).to_bytes(4, "big") + part for part in parts)
