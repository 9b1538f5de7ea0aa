"""What an archive says besides the memories: who receives what, which notices were shown, what was said before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta, timezone
from typing import Any

from tiered_memory.clock import from_us
from tiered_memory.formats.versions import Version, versions_of
from tiered_memory.notices import NoticeBoard
from tiered_memory.policy.disclosure import disclosure_of
from tiered_memory.policy.rules import Policy
from tiered_memory.privacy.consent import ConsentEvent
from tiered_memory.privacy.consent_receipt import record_of
from tiered_memory.privacy.notices import Notice


def purposes_told(policy: Policy, events: Sequence[ConsentEvent]) -> list[dict[str, Any]]:
    """Return the policy's purposes, and for each its recipients: as the person was told, else as the policy says."""
    return [
        {
            "purpose": name,
            "lawful_basis": rule.lawful_basis,
            "documentation": rule.documentation,
            "max_sensitivity": rule.max_sensitivity,
            "recipients": _told(events, name) or list(disclosure_of(policy, name).recipients),
        }
        for name, rule in policy.purposes.items()
    ]


def _told(events: Sequence[ConsentEvent], purpose: str) -> list[str]:
    """Return the recipients that the newest consent event names which names any."""
    said = [_recipients(one) for one in events if one.purpose == purpose]
    return next((one for one in reversed(said) if one), [])


def _recipients(event: ConsentEvent) -> list[str]:
    record, noted = record_of(event), event.details.get("recipients") or ()
    found = [noted] if isinstance(noted, str) else [str(one) for one in noted]
    return found or (list(record.recipients) if record is not None else [])


async def notices_told(board: NoticeBoard, events: Sequence[ConsentEvent]) -> list[dict[str, Any]]:
    """Return the published notices that the person was shown, in the order of publication, with their texts."""
    records = [record for one in events if (record := record_of(one)) is not None]
    seen = {(one.notice, one.notice_version, one.notice_language) for one in records}
    every = await board.all() if seen else []
    return [_fields(one) for one in every if (one.id, one.version, one.language) in seen]


def _fields(notice: Notice) -> dict[str, Any]:
    return {
        "id": notice.id,
        "version": notice.version,
        "language": notice.language,
        "published_at": from_us(notice.at_us),
        "sha256": notice.sha256,
        "controller": notice.controller,
        "contact": notice.contact,
        "purposes": notice.purposes,
        "recipients": notice.recipients,
        "jurisdiction": notice.jurisdiction,
        "text": notice.text,
    }


def version_fields(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a decoded record was before it was corrected, oldest first, and up to which order that settled."""
    return {"versions": [_version(one) for one in versions_of(record)], "settled": record.get("settled")}


def _version(one: Version) -> dict[str, Any]:
    moment_us, offset = one.occurred
    fields = {
        "version": one.version,
        "content": one.content,
        "until": from_us(one.until_us),
        "reason": one.reason,
        "by": one.by,
        "occurred_at": from_us(moment_us).astimezone(timezone(timedelta(minutes=offset))),
        "metadata": one.metadata,
    }
    return {key: value for key, value in fields.items() if value not in (None, {})}
