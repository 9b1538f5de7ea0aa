"""Builds one specimen of each stored format from fixed inputs. `python -m tests.golden.frozen` writes missing files.

A golden file, once landed, is never rewritten: old stores hold such bytes.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable
from dataclasses import asdict, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import apsw

sys.path.insert(0, str(Path(__file__).parent))

from api_key_specimens import api_key_v1
from register_specimens import register_v1
from specimens import (
    CONTEXT,
    ENDED,
    ERASED,
    FOLDER,
    KEY,
    MARK,
    MARKS_KEY,
    NOW,
    PASSPHRASE,
    ROOT,
    SIGNER,
    SUBJECT,
    TENANT,
    features,
    memory,
    passages,
)

from tiered_memory.clock import SeededEntropy, to_us
from tiered_memory.crypto.envelope import Place, SealContext
from tiered_memory.crypto.escrow import EscrowedKeys, seal_escrow
from tiered_memory.crypto.keyring import KeyOwner, Keyring, Pseudonyms
from tiered_memory.erasure import CERTIFICATE_FORMAT, signed_bytes
from tiered_memory.formats.archive import (
    ArchiveKind,
    ArchiveManifest,
    FileFacts,
    inferred_fields,
    line,
    memory_fields,
    provided_fields,
)
from tiered_memory.formats.leaf import AuditEvent, AuditLeaf
from tiered_memory.formats.record import decode_fields, encode_record
from tiered_memory.highwater import (
    Listed,
    encode_erased,
    encode_latest,
    encode_mark,
)
from tiered_memory.model import (
    Certificate,
    Explanation,
    Subject,
    TierErasure,
    TierName,
)
from tiered_memory.notary import sign_checkpoint
from tiered_memory.privacy.checkpoint import Checkpoint, SignedCheckpoint, encode_entry, verifier_key
from tiered_memory.privacy.manifest import Manifest
from tiered_memory.privacy.merkle import Tree, leaf_hash
from tiered_memory.state import commands as c
from tiered_memory.state.base import JournalAction, JournalEntry, TailRow, WriteBatch
from tiered_memory.state.queries import load_sql
from tiered_memory.state.sqlite_verbs import HANDLERS


def envelope_v1() -> dict[str, Any]:
    sealed = KEY.seal(b"plaintext", CONTEXT, b"n" * 12)
    return {"aad_context": CONTEXT.encode().hex(), "envelope": sealed.hex()}


def record_v1() -> dict[str, Any]:
    return {"plaintext": encode_record(memory(), features()).hex()}


def record_passages_v1() -> dict[str, Any]:
    found = replace(features(), signs=("d-1", "time"), passages=passages())
    return {"plaintext": encode_record(memory(), found).hex()}


def key_record_v1() -> dict[str, Any]:
    keyring = Keyring(ROOT, SeededEntropy(1))
    epoch_key, epoch = keyring.new_epoch(TENANT, 3, to_us(NOW))
    owner = KeyOwner(SUBJECT, "personalization", 2)
    _, record = keyring.new_data_key(epoch_key, TENANT, owner, to_us(NOW))
    names = Pseudonyms(bytes(range(64, 96)))
    return {
        "epoch": _hexed(asdict(epoch)),
        "record": _hexed(asdict(record)),
        "pseudonym": names.subject(Subject("acme", "alice")).hex(),
        "table": names.table(SUBJECT, b"i" * 16),
    }


class OneGuard:
    """Keeps guards in RAM."""

    def __init__(self) -> None:
        self.kept: dict[bytes, bytes] = {}

    def get(self, guard_id: bytes) -> bytes | None:
        return self.kept.get(guard_id)

    def put(self, guard_id: bytes, secret: bytes) -> None:
        self.kept[guard_id] = secret


def key_record_v2() -> dict[str, Any]:
    """A guarded epoch, and a data key of format 1 that was wrapped again under it."""
    guards = OneGuard()
    keyring = Keyring(ROOT, SeededEntropy(2), guards)
    old, _ = keyring.new_epoch(TENANT, 3, to_us(NOW))
    guards.kept.clear()
    new, epoch = keyring.new_epoch(TENANT, 4, to_us(NOW))
    key, record = keyring.new_data_key(old, TENANT, KeyOwner(SUBJECT, "personalization", 2), to_us(NOW))
    ((guard_id, guard),) = guards.kept.items()
    return {
        "guard": {"id": guard_id.hex(), "secret": guard.hex()},
        "epoch": _hexed(asdict(epoch)),
        "record": _hexed(asdict(keyring.rewrap(old, new, TENANT, record))),
        "envelope": key.seal(b"plaintext", CONTEXT, b"n" * 12).hex(),
    }


def escrow_v1() -> dict[str, Any]:
    keys = EscrowedKeys(ROOT, {b"g" * 16: bytes(range(128, 160))})
    return {
        "passphrase": PASSPHRASE,
        "file": seal_escrow(keys, PASSPHRASE, b"s" * 16, b"n" * 12, 2**10).decode("ascii"),
    }


def audit_leaf_v1() -> dict[str, Any]:
    leaf = AuditLeaf(
        AuditEvent.MEMORY_FORGOTTEN,
        to_us(NOW),
        TENANT.hex(),
        SUBJECT.hex(),
        2,
        object="ab" * 32,
        reason="decay",
        detail={"count": 1},
    )
    return {"leaf": leaf.encode().decode()}


def journal_entry_v1() -> dict[str, Any]:
    entry = JournalEntry(
        operation=b"o" * 16,
        atomic_group=b"g" * 16,
        group_size=1,
        subject=SUBJECT,
        generation=0,
        action=JournalAction.UPSERT,
        memory_id="0a" * 16,
        order=17,
        version=4,
        sealed=b"sealed",
        created_us=to_us(NOW),
    )
    return {"row": _stored("journal", WriteBatch(SUBJECT, 0, entries=(entry,)))}


def session_tail_v1() -> dict[str, Any]:
    sealed = KEY.seal(
        encode_record(memory(), features(), volatile=True),
        SealContext(TENANT, SUBJECT, Place.TAIL, "0a" * 16, "personalization", order=17, version=1),
        b"n" * 12,
    )
    tail = TailRow(SUBJECT, b"x" * 16, 17, 0, "0a" * 16, "personalization", False, sealed, to_us(NOW))
    return {"row": _stored("session_tail", WriteBatch(SUBJECT, 0, tails=(tail,)))}


def highwater_v1() -> dict[str, Any]:
    return {"key": MARKS_KEY.hex(), "file": encode_mark(MARK, MARKS_KEY).decode()}


def highwater_v2() -> dict[str, Any]:
    lines = b"".join(encode_erased(one, MARKS_KEY) for one in ERASED)
    mark = replace(MARK, erased=Listed(len(lines), hashlib.sha256(lines).hexdigest()))
    return {"key": MARKS_KEY.hex(), "file": encode_mark(mark, MARKS_KEY).decode()}


def highwater_v2_checkpoints() -> dict[str, Any]:
    log = b"".join(encode_entry(checkpoint(size)) for size in (1, 4))
    mark = replace(MARK, erased=Listed(0, hashlib.sha256().hexdigest()), checkpoints=listed_of(log))
    return {"key": MARKS_KEY.hex(), "file": encode_mark(mark, MARKS_KEY).decode()}


def listed_of(data: bytes) -> Listed:
    return Listed(len(data), hashlib.sha256(data).hexdigest())


def highwater_latest_v1() -> dict[str, Any]:
    file = encode_latest(bytes.fromhex(MARK.incarnation), MARK.commits, MARKS_KEY)
    return {"key": MARKS_KEY.hex(), "file": file.hex()}


def erased_v1() -> dict[str, Any]:
    return {"key": MARKS_KEY.hex(), "lines": [encode_erased(one, MARKS_KEY).decode() for one in ERASED]}


def erased_purposes_v1() -> dict[str, Any]:
    return {"key": MARKS_KEY.hex(), "lines": [encode_erased(one, MARKS_KEY).decode() for one in ENDED]}


LEAVES = tuple(
    AuditLeaf(event, to_us(NOW) + number, TENANT.hex(), SUBJECT.hex(), 2).encode()
    for number, event in enumerate(
        (
            AuditEvent.KEY_CREATED,
            AuditEvent.CONSENT_GIVEN,
            AuditEvent.ERASURE_BEGUN,
            AuditEvent.ERASURE_FINISHED,
        )
    )
)


def checkpoint(size: int) -> SignedCheckpoint:
    root = Tree(leaf_hash(leaf) for leaf in LEAVES[:size]).root()
    return sign_checkpoint(Checkpoint("0f" * 16, size, root, to_us(NOW) + size, "0.1.0"), SIGNER)


def checkpoint_v1() -> dict[str, Any]:
    log = b"".join(encode_entry(checkpoint(size)) for size in (1, 4))
    key = verifier_key(checkpoint(1).checkpoint.origin, SIGNER.public_key)
    return {"leaves": [leaf.decode() for leaf in LEAVES], "verifier_key": key, "log": log.decode()}


def certificate(version: int) -> Certificate:
    unsigned = Certificate(
        id="0a" * 16,
        requested_at=NOW,
        finished_at=NOW + timedelta(milliseconds=25),
        reason="Löschung verlangt",
        generation=3,
        subject_commitment="ab" * 32,
        salt="cd" * 16,
        keys_destroyed=2,
        tiers=(TierErasure("cold", 3, "table dropped, files removed", verified=True),),
        retained=(),
        verified=True,
        software_version="0.1.0",
        ledger_leaf="3",
        public_key=SIGNER.public_key.hex(),
        signature="",
    )
    if version >= CERTIFICATE_FORMAT:
        path = Tree(leaf_hash(leaf) for leaf in LEAVES).inclusion(3)
        unsigned = replace(
            unsigned,
            format=CERTIFICATE_FORMAT,
            ledger_entry=LEAVES[3].decode(),
            ledger_path=tuple(node.hex() for node in path),
            ledger_checkpoint=checkpoint(4).note(),
        )
    return replace(unsigned, signature=SIGNER.sign(signed_bytes(unsigned)).hex())


def certificate_v1() -> dict[str, Any]:
    return _plain(certificate(1), leave_out=("format", "ledger_entry", "ledger_path", "ledger_checkpoint"))


def certificate_v2() -> dict[str, Any]:
    return _plain(certificate(2))


def ledger_export_v1() -> dict[str, Any]:
    root = checkpoint(4).checkpoint.root.hex()
    files = {"leaves.jsonl": ("ab" * 32, 1234), "checkpoints.txt": ("cd" * 32, 567)}
    manifest = Manifest("0f" * 16, to_us(NOW), "0.1.0", 4, root, SIGNER.public_key.hex(), files)
    return {"manifest": manifest.encode(SIGNER.sign).decode()}


def _plain(proof: Certificate, leave_out: tuple[str, ...] = ()) -> dict[str, Any]:
    fields = json.loads(json.dumps(asdict(proof), default=lambda one: one.isoformat()))
    return {name: value for name, value in fields.items() if name not in leave_out}


def archive_v1() -> dict[str, Any]:
    fields = decode_fields(encode_record(memory(), replace(features(), signs=("d-1",), passages=passages())))
    explained = Explanation(
        memory=memory(),
        strength=0.5,
        forget_at=NOW + timedelta(days=30),
        deadline=NOW + timedelta(days=32),
        deadline_rule="decay",
        half_life_days=12.5,
        spaced_uses=1.0,
        last_used_at=NOW,
        state="active",
        tiers=(TierName.COLD,),
        policy="default@0123456789ab",
    )
    manifest = ArchiveManifest(
        id="0e" * 16,
        kind=ArchiveKind.ACCESS,
        made_at_us=to_us(NOW),
        software="0.1.0",
        public_key=SIGNER.public_key.hex(),
        subject_commitment="ab" * 32,
        salt="cd" * 16,
        files={"memories.jsonl": FileFacts("ef" * 32, 1234, 5)},
        left_out={"not covered": 2},
        damaged=("0b" * 16,),
    )
    return {
        "memory": line(memory_fields(memory(), "active")).decode(),
        "provided": line(provided_fields(memory(), "active")).decode(),
        "inferred": line(inferred_fields(explained, fields, pinned=False, held=True)).decode(),
        "manifest": manifest.encode(SIGNER.sign).decode(),
    }


SPECIMENS: dict[str, Callable[[], dict[str, Any]]] = {
    "envelope_v1": envelope_v1,
    "record_v1": record_v1,
    "record_passages_v1": record_passages_v1,
    "key_record_v1": key_record_v1,
    "key_record_v2": key_record_v2,
    "escrow_v1": escrow_v1,
    "audit_leaf_v1": audit_leaf_v1,
    "journal_entry_v1": journal_entry_v1,
    "session_tail_v1": session_tail_v1,
    "highwater_v1": highwater_v1,
    "highwater_v2": highwater_v2,
    "highwater_v2_checkpoints": highwater_v2_checkpoints,
    "highwater_latest_v1": highwater_latest_v1,
    "erased_v1": erased_v1,
    "erased_purposes_v1": erased_purposes_v1,
    "checkpoint_v1": checkpoint_v1,
    "certificate_v1": certificate_v1,
    "certificate_v2": certificate_v2,
    "ledger_export_v1": ledger_export_v1,
    "archive_v1": archive_v1,
    "register_v1": register_v1,
    "api_key_v1": api_key_v1,
}


def stored(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    return loaded


def empty_state() -> apsw.Connection:
    connection = apsw.Connection(":memory:")
    connection.execute(load_sql("schema_1.sql"))
    connection.execute(
        "INSERT INTO subjects VALUES (?, ?, 0, ?, 'active', 'embedder-1', NULL, 0)",
        (SUBJECT, TENANT, b"i" * 16),
    )
    return connection


def _stored(table: str, batch: WriteBatch) -> dict[str, Any]:
    with empty_state() as connection:
        HANDLERS[c.Append](connection, c.Append(batch))
        cursor = connection.execute(f"SELECT * FROM {table}")
        names = [column[0] for column in cursor.get_description()]
        return _hexed(dict(zip(names, next(cursor), strict=True)))


def _hexed(fields: dict[str, Any]) -> dict[str, Any]:
    return {key: f"hex:{value.hex()}" if isinstance(value, bytes) else value for key, value in fields.items()}


def write_missing() -> list[str]:
    written = []
    for name, build in SPECIMENS.items():
        path = FOLDER / f"{name}.json"
        if not path.exists():
            path.write_text(json.dumps(build(), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
            written.append(name)
    return written


if __name__ == "__main__":
    sys.stdout.write(f"written: {', '.join(write_missing()) or 'nothing, every golden file is there'}\n")
