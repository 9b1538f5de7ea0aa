"""The audit leaf: what the ledger keeps of an event, format 1 (`tests/golden/audit_leaf_v1.json`).

A leaf is canonical JSON (sorted keys, no spaces, UTF-8). It names a subject and an object only by keyed
commitments under a key that erasure destroys; afterwards the tree still verifies and tells nothing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

LEAF_FORMAT = 1


class AuditEvent(StrEnum):
    """What the ledger records."""

    STORE_CREATED = "store_created"
    CONSENT_GIVEN = "consent_given"
    CONSENT_WITHDRAWN = "consent_withdrawn"
    KEY_CREATED = "key_created"
    KEYS_DESTROYED = "keys_destroyed"
    MEMORY_FORGOTTEN = "memory_forgotten"
    MEMORY_RESTORED = "memory_restored"
    MEMORY_DELETED = "memory_deleted"
    MEMORY_PURGED = "memory_purged"
    ERASURE_BEGUN = "erasure_begun"
    ERASURE_FINISHED = "erasure_finished"
    STORE_RESTORED = "store_restored"
    ACCESSED = "accessed"
    ACCESS_REFUSED = "access_refused"
    NOTICE_PUBLISHED = "notice_published"
    CONSENT_REFUSED = "consent_refused"
    CONSENT_EXPIRED = "consent_expired"
    OBJECTED = "objected"
    OBJECTION_LIFTED = "objection_lifted"
    MEMORY_CORRECTED = "memory_corrected"
    RESTRICTED = "restricted"
    RESTRICTION_LIFTED = "restriction_lifted"
    REQUEST_OPENED = "request_opened"
    REQUEST_CLOSED = "request_closed"
    DECISION_RECORDED = "decision_recorded"
    DECISION_REVIEWED = "decision_reviewed"
    EXPORTED = "exported"
    IMPORTED = "imported"
    HOLD_PLACED = "hold_placed"
    HOLD_RELEASED = "hold_released"
    PURGE_RUN = "purge_run"
    EPOCH_BEGUN = "epoch_begun"
    EPOCH_ENDED = "epoch_ended"
    ROOT_ROTATED = "root_rotated"
    TENANT_REGISTERED = "tenant_registered"
    TENANT_CHANGED = "tenant_changed"
    TENANT_ERASED = "tenant_erased"
    SHARED_CHANGED = "shared_changed"
    QUARANTINED = "quarantined"
    QUARANTINE_LIFTED = "quarantine_lifted"
    SOURCE_ROLLED_BACK = "source_rolled_back"
    API_KEY_CREATED = "api_key_created"
    API_KEY_REVOKED = "api_key_revoked"
    API_KEY_ROTATED = "api_key_rotated"
    JOB_PAUSED = "job_paused"
    JOB_RESUMED = "job_resumed"


@dataclass(frozen=True, slots=True)
class AuditLeaf:
    """One event. `subject` and `object` are hex commitments; `detail` holds reasons and counts, never content."""

    event: AuditEvent
    at_us: int
    tenant: str
    subject: str
    generation: int
    actor: str = "runtime"
    object: str = ""
    reason: str = ""
    detail: Mapping[str, int | str] = field(default_factory=dict)

    def encode(self) -> bytes:
        """Return the leaf's canonical bytes."""
        fields = {
            "actor": self.actor,
            "at_us": self.at_us,
            "detail": dict(self.detail),
            "event": self.event.value,
            "format": LEAF_FORMAT,
            "generation": self.generation,
            "object": self.object,
            "reason": self.reason,
            "subject": self.subject,
            "tenant": self.tenant,
        }
        return json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def leaf_time_us(leaf: bytes) -> int | None:
    """Return when the event of a stored leaf was (us since 1970); None when the bytes are no leaf."""
    try:
        at_us = json.loads(leaf)["at_us"]
    except (ValueError, KeyError, TypeError):
        return None
    return at_us if isinstance(at_us, int) else None
