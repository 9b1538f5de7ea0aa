"""Audit leaves of a subject: who and what appear only as commitments under a key that erasure destroys."""

from __future__ import annotations

from collections.abc import Mapping

from tiered_memory.active import ActiveSubject
from tiered_memory.crypto.envelope import SealingKey
from tiered_memory.formats.leaf import AuditEvent, AuditLeaf


def subject_commitment(key: SealingKey, pseudonym: bytes) -> str:
    """Return the subject's name in the ledger (hex): nobody can recompute it once `key` is gone."""
    return key.fingerprint(b"ledger/subject/" + pseudonym).hex()


def said(key: SealingKey, words: str) -> dict[str, str]:
    """Return a leaf's detail for words a caller gave: they may tell of a person, so they are committed to only."""
    return {"said": key.fingerprint(b"ledger/words/" + words.encode()).hex()}


def leaf_for(
    active: ActiveSubject,
    key: SealingKey,
    event: AuditEvent,
    now_us: int,
    *,
    about: str = "",
    reason: str = "",
    detail: Mapping[str, int | str] | None = None,
) -> AuditLeaf:
    """Return the leaf of an event; `about` (a memory's id, a purpose) is committed to, not named."""
    committed = key.fingerprint(b"ledger/object/" + about.encode()).hex() if about else ""
    return AuditLeaf(
        event=event,
        at_us=now_us,
        tenant=active.tenant.hex(),
        subject=subject_commitment(key, active.ref.pseudonym),
        generation=active.ref.generation,
        object=committed,
        reason=reason,
        detail=detail or {},
    )
