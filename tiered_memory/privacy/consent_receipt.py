"""The consent record and its receipt, with the fields of ISO/IEC TS 27560:2023. Pure.

A record's part that tells what was agreed rests in the event's sealed details; a receipt is the event and that part
together, signed, with the event's place in the audit ledger. The ledger holds a commitment to a receipt keyed by the
receipt's id, which is chance: whoever holds the receipt can check it, nobody else can tell whose it is.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from tiered_memory.privacy.consent import ConsentEvent

RECEIPT_FORMAT = 1
SCHEMA = "ISO/IEC TS 27560:2023"
RECORD = "record"
"""The key of the record's part in an event's details; a caller's details may not use it."""
COMMITMENT = "receipt"
"""The key of the commitment to a receipt in the detail of the event's leaf."""
UNSIGNED = frozenset({"signature"})
PROOF = frozenset({"ledger_leaf", "ledger_entry", "ledger_path", "ledger_checkpoint"})
ISSUED = PROOF | {"software_version", "public_key", "signature"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsentRecord:
    """What TS 27560 asks of a record besides the event itself. An empty text says that nothing was stated.

    `record_id` is the same for all events of one person and purpose, `receipt_id` is each event's own; both are 32 hex
    digits of chance. `subject` is the person's pseudonym (hex). The notice's version, language and SHA-256 are known
    when it was published.
    """

    record_id: str
    receipt_id: str
    subject: str
    controller: str = ""
    contact: str = ""
    notice: str = ""
    notice_version: str = ""
    notice_language: str = ""
    notice_sha256: str = ""
    data_categories: tuple[str, ...] = ()
    retention: str = ""
    recipients: tuple[str, ...] = ()
    jurisdiction: str = ""
    withdrawal_method: str = ""
    method: str = ""
    actor: str = ""

    def packed(self) -> dict[str, Any]:
        """Return what the sealed details keep of it."""
        return {
            key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()
        }


def record_of(event: ConsentEvent) -> ConsentRecord | None:
    """Return the record's part of an event; None for one from before there were records, or that does not open."""
    found = event.details.get(RECORD)
    if not isinstance(found, Mapping):
        return None
    known = {one.name for one in fields(ConsentRecord)}
    given: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value for key, value in found.items()
    }
    return ConsentRecord(**{key: value for key, value in given.items() if key in known})


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsentReceipt:
    """What a person is given of a consent event. Times are microseconds since 1970.

    `ledger_*` prove that the event is in the audit ledger, where it is known: the leaf's index, the leaf, its audit
    path and the signed checkpoint, as in an erasure's certificate.
    """

    receipt_id: str
    record_id: str
    subject: str
    event_id: str
    action: str
    purpose: str
    at_us: int
    expires_us: int | None
    explicit: bool
    controller: str
    contact: str
    notice: str
    notice_version: str
    notice_language: str
    notice_sha256: str
    data_categories: tuple[str, ...]
    retention: str
    recipients: tuple[str, ...]
    jurisdiction: str
    withdrawal_method: str
    method: str
    actor: str
    lawful_basis: str = "consent"
    schema: str = SCHEMA
    format: int = RECEIPT_FORMAT
    software_version: str = ""
    public_key: str = ""
    ledger_leaf: str = ""
    ledger_entry: str = ""
    ledger_path: tuple[str, ...] = ()
    ledger_checkpoint: str = ""
    signature: str = ""

    def as_document(self) -> dict[str, Any]:
        """Return the receipt as JSON has it; `receipt_from` reads it back."""
        return {
            key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()
        }


def receipt_from(document: Mapping[str, Any]) -> ConsentReceipt:
    """Return the receipt that a JSON document holds.

    Raises:
        ValueError: a field is missing, unknown, or no text, number or list where one is expected.
    """
    try:
        given: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value for key, value in document.items()
        }
        return ConsentReceipt(**given)
    except TypeError as error:
        raise ValueError("this is no consent receipt: a field is missing or unknown") from error


def unsigned_receipt(event: ConsentEvent) -> ConsentReceipt:
    """Return an event's receipt before it is signed; what an event from before there were records lacks is empty."""
    record = record_of(event)
    if record is None:
        notice = str(event.details.get("notice", ""))
        record = ConsentRecord(record_id="", receipt_id="", subject="", notice=notice)
    return ConsentReceipt(
        event_id=event.event_id,
        action=event.action.value,
        purpose=event.purpose,
        at_us=event.at_us,
        expires_us=event.expires_us,
        explicit=event.explicit,
        **asdict(record),
    )


def commitment_to(receipt: ConsentReceipt) -> str:
    """Return HMAC-SHA-256 (hex) over what was agreed, keyed by the receipt's id: what the ledger holds of it."""
    agreed = {key: value for key, value in receipt.as_document().items() if key not in ISSUED}
    return hmac.new(receipt.receipt_id.encode(), _canonical(agreed), "sha256").hexdigest()


def signed_part(receipt: ConsentReceipt) -> bytes:
    """Return what a receipt's signature covers: every field but the signature, as canonical JSON."""
    return _canonical({key: value for key, value in receipt.as_document().items() if key not in UNSIGNED})


def _canonical(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
