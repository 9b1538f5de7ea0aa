"""Consent events as they are written: the record's fields, the sealed row, the leaf; and receipts with their proof."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypedDict

import msgpack

import tiered_memory
from tiered_memory.active import ActiveSubject
from tiered_memory.core import Core
from tiered_memory.crypto.envelope import Place, SealingKey
from tiered_memory.crypto.keyring import SUBJECT_PURPOSE
from tiered_memory.crypto.signing import verifies
from tiered_memory.errors import CorruptionError, StorageError
from tiered_memory.formats.leaf import AuditEvent, AuditLeaf
from tiered_memory.ledger import leaf_for
from tiered_memory.notary import LedgerProof, proof_holds, read_proof
from tiered_memory.policy.disclosure import disclosure_of
from tiered_memory.privacy.consent import ConsentAction, ConsentEvent, latest_events
from tiered_memory.privacy.consent_receipt import (
    COMMITMENT,
    RECORD,
    ConsentReceipt,
    ConsentRecord,
    commitment_to,
    record_of,
    signed_part,
    unsigned_receipt,
)
from tiered_memory.privacy.merkle import leaf_hash
from tiered_memory.privacy.notices import Notice
from tiered_memory.state.base import ConsentRow
from tiered_memory.state.consents import LeafIndex

logger = logging.getLogger("tiered_memory")

EVENTS: Mapping[ConsentAction, AuditEvent] = {
    ConsentAction.GIVEN: AuditEvent.CONSENT_GIVEN,
    ConsentAction.RENEWED: AuditEvent.CONSENT_GIVEN,
    ConsentAction.REFUSED: AuditEvent.CONSENT_REFUSED,
    ConsentAction.WITHDRAWN: AuditEvent.CONSENT_WITHDRAWN,
    ConsentAction.EXPIRED: AuditEvent.CONSENT_EXPIRED,
}


class ConsentTerms(TypedDict, total=False):
    """What may be said of a consent besides its purpose, its notice and its end; see `ConsentRecord`.

    What is not said is taken from the notice, if it was published, and then from the policy.
    """

    method: str
    actor: str
    recipients: tuple[str, ...] | list[str]
    data_categories: tuple[str, ...] | list[str]
    retention: str
    jurisdiction: str
    language: str


@dataclass(frozen=True, slots=True)
class ConsentGiven:
    """What is recorded of a consent besides its purpose; see `ConsentEvent`."""

    notice: str
    explicit: bool = False
    expires_us: int | None = None
    details: Mapping[str, Any] | None = None
    terms: ConsentTerms = field(default_factory=ConsentTerms)


@dataclass(frozen=True, slots=True)
class Written:
    """A consent event, its row, and its leaf: what one commit takes."""

    event: ConsentEvent
    row: ConsentRow
    leaf: AuditLeaf


class ConsentWriter:
    """Makes consent events ready to be committed."""

    def __init__(self, core: Core) -> None:
        self._core = core

    def agreed(
        self,
        active: ActiveSubject,
        action: ConsentAction,
        purpose: str,
        given: ConsentGiven,
        notice: Notice | None,
    ) -> Written:
        """Return the event of a decision that a person took having seen a notice."""
        record = self._record(active, purpose, given, notice)
        details = {"notice": given.notice, **(given.details or {}), RECORD: record.packed()}
        return self._written(active, self._event(action, purpose, details, given))

    def ended(
        self, active: ActiveSubject, action: ConsentAction, before: ConsentEvent, details: Mapping[str, Any]
    ) -> Written:
        """Return the event that ends a consent; its record goes on."""
        found: dict[str, Any] = {"notice": "", **details}
        earlier = record_of(before)
        if earlier is not None:
            found[RECORD] = replace(earlier, receipt_id=self._core.new_id()).packed()
        return self._written(active, self._event(action, before.purpose, found, None))

    def _event(
        self,
        action: ConsentAction,
        purpose: str,
        details: Mapping[str, Any],
        given: ConsentGiven | None,
    ) -> ConsentEvent:
        explicit, expires_us = (False, None) if given is None else (given.explicit, given.expires_us)
        now_us = self._core.now_us()
        return ConsentEvent(self._core.new_id(), action, purpose, now_us, expires_us, explicit, details)

    def _record(
        self, active: ActiveSubject, purpose: str, given: ConsentGiven, notice: Notice | None
    ) -> ConsentRecord:
        told, terms = disclosure_of(self._core.policy, purpose), given.terms
        earlier = latest_events(active.consents).get(purpose)
        known = None if earlier is None else record_of(earlier)
        return ConsentRecord(
            record_id=self._core.new_id() if known is None else known.record_id,
            receipt_id=self._core.new_id(),
            subject=active.ref.pseudonym.hex(),
            controller=(notice.controller if notice else "") or told.controller,
            contact=(notice.contact if notice else "") or told.contact,
            notice=notice.id if notice else given.notice,
            notice_version=notice.version if notice else "",
            notice_language=notice.language if notice else terms.get("language", ""),
            notice_sha256=notice.sha256 if notice else "",
            data_categories=tuple(terms.get("data_categories", ())) or told.data_categories,
            retention=terms.get("retention", "") or told.retention,
            recipients=tuple(
                terms.get("recipients", ()) or (notice.recipients if notice else ()) or told.recipients
            ),
            jurisdiction=terms.get("jurisdiction", "")
            or (notice.jurisdiction if notice else "")
            or told.jurisdiction,
            withdrawal_method=told.withdrawal_method,
            method=terms.get("method", ""),
            actor=terms.get("actor", ""),
        )

    def _written(self, active: ActiveSubject, event: ConsentEvent) -> Written:
        return Written(event, self._row(active, event), leaf_of(active, active.ledger_key, event))

    def _row(self, active: ActiveSubject, event: ConsentEvent) -> ConsentRow:
        sealer = active.sealer(SUBJECT_PURPOSE)
        context = sealer.context(Place.CONSENT, event.event_id)
        sealed = sealer.key.seal(msgpack.packb(dict(event.details)), context, self._core.keyring.nonce())
        return ConsentRow(
            active.ref.pseudonym,
            active.ref.generation,
            event.event_id,
            event.action.value,
            event.purpose,
            event.at_us,
            event.expires_us,
            event.explicit,
            sealed,
        )


def leaf_of(active: ActiveSubject, key: SealingKey, event: ConsentEvent) -> AuditLeaf:
    """Return a consent event's leaf: always the same for the same event."""
    detail = {COMMITMENT: commitment_to(unsigned_receipt(event))} if record_of(event) is not None else {}
    return leaf_for(active, key, EVENTS[event.action], event.at_us, about=event.purpose, detail=detail)


async def receipt_for(core: Core, active: ActiveSubject, event: ConsentEvent) -> ConsentReceipt:
    """Return an event's receipt, signed, with its proof where the ledger has one."""
    receipt = replace(
        unsigned_receipt(event),
        software_version=tiered_memory.__version__,
        public_key=core.notary.public_key.hex(),
    )
    proof = await _proof(core, leaf_of(active, active.ledger_key, event)) if receipt.receipt_id else None
    if proof is not None:
        receipt = replace(
            receipt,
            ledger_leaf=str(proof.index),
            ledger_entry=proof.leaf.decode(),
            ledger_path=tuple(node.hex() for node in proof.path),
            ledger_checkpoint=proof.checkpoint.note(),
        )
    return replace(receipt, signature=core.notary.sign(signed_part(receipt)).hex())


async def _proof(core: Core, leaf: AuditLeaf) -> LedgerProof | None:
    """A ledger that cannot prove is no reason to refuse a receipt: it says what it can."""
    try:
        index = await core.state.read(LeafIndex(leaf_hash(leaf.encode())))
        return None if index < 0 else await core.ballast.spend(lambda: core.notary.prove(index))
    except (StorageError, CorruptionError) as error:
        logger.warning("the consent receipt has no proof of its place in the ledger: %s", error)
        return None


def verify_receipt(receipt: ConsentReceipt, public_key: bytes | None = None) -> None:
    """Check a receipt's signature and, where it has one, its proof in the ledger.

    They are checked against the key the receipt names, which must be `public_key` (32 bytes) when that is given.

    Raises:
        CorruptionError: it was altered, or another store signed it.
    """
    try:
        public, signature = bytes.fromhex(receipt.public_key), bytes.fromhex(receipt.signature)
    except ValueError as error:
        raise CorruptionError("the receipt was altered: its signature is none") from error
    if public_key is not None and public != public_key:
        raise CorruptionError("the receipt was signed by another store")
    if not verifies(public, signature, signed_part(receipt)):
        raise CorruptionError("the receipt was altered: its signature does not verify")
    if not _is_in_ledger(receipt, public):
        raise CorruptionError("the receipt's proof in the ledger does not hold")


def _is_in_ledger(receipt: ConsentReceipt, public_key: bytes) -> bool:
    """A receipt may come without a proof, but not with half of one, nor with that of another event."""
    if not (receipt.ledger_entry or receipt.ledger_path or receipt.ledger_checkpoint):
        return True
    proof = read_proof(
        receipt.ledger_leaf, receipt.ledger_entry, receipt.ledger_path, receipt.ledger_checkpoint
    )
    committed = f'"{COMMITMENT}":"{commitment_to(receipt)}"'
    return proof is not None and committed in receipt.ledger_entry and proof_holds(proof, public_key)
