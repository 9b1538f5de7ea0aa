"""Receipts, and the operation ids that make a repeated write answer with the first one's receipts."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import msgpack

from tiered_memory.active import ActiveSubject
from tiered_memory.core import Core
from tiered_memory.crypto.envelope import Place
from tiered_memory.drafts import Draft
from tiered_memory.errors import ConflictError
from tiered_memory.intake import check_id
from tiered_memory.model import Durability, Interaction, Receipt, TierName
from tiered_memory.state import commands as c
from tiered_memory.state.base import OperationRow
from tiered_memory.tiers.base import TierRecord

HOUR_US = 3_600_000_000
RAM_OPERATIONS = 256


def receipt_for(draft: Draft, operation_id: str, *, in_hot: bool) -> Receipt:
    """Return the receipt of a written interaction."""
    placement, memory = draft.placement, draft.memory
    tiers = [TierName.HOT] if in_hot and placement.searchable else []
    tiers += [TierName.WARM] if memory.session is not None and draft.is_heard else []
    tiers += [TierName.COLD] if placement.kept else []
    durability = placement.durability
    if durability is Durability.SESSION and memory.session is None:
        durability = Durability.EPHEMERAL
    return Receipt(
        id=draft.stored_as or memory.id,
        operation_id=operation_id,
        importance=memory.importance,
        reasons=memory.reasons,
        tiers=tuple(tiers),
        durability=durability,
        routing=placement.explanation,
        quarantined=memory.quarantined,
    )


def fingerprint_of(interactions: Sequence[Interaction], purpose: str) -> bytes:
    """Return a digest (32 bytes) of what makes two calls the same: everything the caller gave, and the purpose."""
    given = json.dumps([purpose, *map(_given, interactions)], ensure_ascii=False, default=str)
    return hashlib.sha256(given.encode("utf-8", "surrogatepass")).digest()


def _given(one: Interaction) -> list[Any]:
    return [
        one.content,
        one.role.value,
        one.session,
        one.author,
        one.agent,
        one.kind.value,
        one.sensitivity.value,
        one.importance,
        dict(one.metadata),
        None if one.occurred_at is None else one.occurred_at.isoformat(),
        None if one.provenance is None else repr(one.provenance),
    ]


class Operations:
    """Answers for operation ids: durably where the write was durable, else in RAM with the subject."""

    def __init__(self, core: Core) -> None:
        self._core = core

    async def earlier(
        self, active: ActiveSubject, operation_id: str | None, fingerprint: bytes
    ) -> list[Receipt] | None:
        """Return the receipts of an operation done before; raises ConflictError when its content differs."""
        if operation_id is None:
            return None
        known = self.known(active, check_id(operation_id, "operation_id"), fingerprint)
        if known is not None or not active.durable:
            return known
        name = self._core.names.operation(active.ref.pseudonym, operation_id)
        row = await self._core.state.read(c.GetOperation(active.ref.pseudonym, name))
        return None if row is None else self.repeated(active, row, fingerprint)

    def known(
        self, active: ActiveSubject, operation_id: str | None, fingerprint: bytes
    ) -> list[Receipt] | None:
        """Return the receipts of an operation that is remembered in RAM; raises like `earlier`."""
        earlier = None if operation_id is None else active.operations.get(operation_id)
        if earlier is None:
            return None
        if not hmac.compare_digest(earlier[0], fingerprint):
            raise ConflictError
        return [replace(receipt, repeated=True) for receipt in earlier[1]]

    def repeated(self, active: ActiveSubject, row: OperationRow, fingerprint: bytes) -> list[Receipt]:
        """Return the receipts that `row` keeps."""
        sealer = active.sealer(row.purpose)
        if not hmac.compare_digest(row.fingerprint, sealer.key.fingerprint(fingerprint)):
            raise ConflictError
        record = TierRecord(row.operation.hex(), 0, 0, row.receipt)
        return [_receipt_of(fields) for fields in msgpack.unpackb(sealer.open(Place.OPERATION, record))]

    def row(
        self,
        active: ActiveSubject,
        purpose: str,
        operation_id: str,
        fingerprint: bytes,
        drafts: Sequence[Draft],
    ) -> OperationRow:
        """Return the row that remembers an operation; it can be read as long as the purpose's key lives."""
        receipts = [receipt_for(draft, operation_id, in_hot=False) for draft in drafts]
        return self.row_of(active, purpose, operation_id, fingerprint, receipts)

    def row_of(
        self,
        active: ActiveSubject,
        purpose: str,
        operation_id: str,
        fingerprint: bytes,
        receipts: Sequence[Receipt],
    ) -> OperationRow:
        """Return the same for what has receipts already."""
        sealer = active.sealer(purpose)
        name = self._core.names.operation(active.ref.pseudonym, operation_id)
        plaintext = msgpack.packb([_fields_of(receipt) for receipt in receipts])
        context = sealer.context(Place.OPERATION, name.hex())
        return OperationRow(
            subject=active.ref.pseudonym,
            operation=name,
            generation=active.ref.generation,
            fingerprint=sealer.key.fingerprint(fingerprint),
            purpose=purpose,
            receipt=sealer.key.seal(plaintext, context, self._core.keyring.nonce()),
            expires_us=self._core.now_us() + round(self._core.limits.idempotency_hours * HOUR_US),
        )


def remember(
    active: ActiveSubject, operation_id: str, fingerprint: bytes, receipts: list[Receipt], purpose: str
) -> None:
    """Keep a write's receipts with its subject, the newest 256."""
    active.operations[operation_id] = (fingerprint, receipts, purpose)
    while len(active.operations) > RAM_OPERATIONS:
        active.operations.popitem(last=False)


def disremember(active: ActiveSubject, purpose: str) -> None:
    """Forget the operations for a purpose: what they wrote is not there any more, so a repeated one is a new one."""
    for name in [name for name, (_, _, of) in active.operations.items() if of == purpose]:
        del active.operations[name]


def _fields_of(receipt: Receipt) -> dict[str, Any]:
    return {
        "id": receipt.id,
        "operation_id": receipt.operation_id,
        "importance": receipt.importance,
        "reasons": list(receipt.reasons),
        "tiers": [tier.value for tier in receipt.tiers],
        "durability": receipt.durability.value,
        "routing": receipt.routing,
        **({"quarantined": True} if receipt.quarantined else {}),
    }


def _receipt_of(fields: dict[str, Any]) -> Receipt:
    return Receipt(
        id=fields["id"],
        operation_id=fields["operation_id"],
        importance=fields["importance"],
        reasons=tuple(fields["reasons"]),
        tiers=tuple(TierName(tier) for tier in fields["tiers"]),
        durability=Durability(fields["durability"]),
        routing=fields["routing"],
        repeated=True,
        quarantined=fields.get("quarantined", False),
    )
