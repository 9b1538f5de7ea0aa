"""How consents' histories, receipts, notices and objections look on a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from rich.console import Group, RenderableType
from rich.text import Text

from tiered_memory.cli.output import harmless, one_line
from tiered_memory.cli.views import at, pairs, table

if TYPE_CHECKING:
    from tiered_memory.privacy.consent import ConsentEvent
    from tiered_memory.privacy.consent_receipt import ConsentReceipt
    from tiered_memory.privacy.notices import Notice
    from tiered_memory.privacy.objections import Objection

NOT_STATED = "not stated"


def events(found: Iterable[ConsentEvent]) -> RenderableType:
    """Return consent events in order."""
    shown = table("when", "what", "purpose", "until", "notice", wide="notice")
    for event in found:
        until = "" if event.expires_us is None else at(event.expires_us)
        notice = one_line(str(event.details.get("notice", "")))
        shown.add_row(at(event.at_us), event.action.value, Text(one_line(event.purpose)), until, Text(notice))
    return shown if shown.row_count else Text("nothing was ever decided", style="dim")


def receipt(one: ConsentReceipt) -> RenderableType:
    """Return a receipt's fields, and whether the ledger proves it."""
    version = f" {one.notice_version} ({one.notice_language})" if one.notice_version else ""
    proof = f"entry {one.ledger_leaf}, proven" if one.ledger_entry else "no proof"
    fields = {
        "decision": f"{one.action}, {at(one.at_us)}",
        "purpose": one.purpose,
        "until": "it is withdrawn" if one.expires_us is None else at(one.expires_us),
        "notice": f"{one.notice}{version}",
        "controller": one.controller,
        "contact": one.contact,
        "data": ", ".join(one.data_categories),
        "retention": one.retention,
        "recipients": ", ".join(one.recipients),
        "jurisdiction": one.jurisdiction,
        "withdrawal": one.withdrawal_method,
        "method": one.method,
        "receipt": one.receipt_id,
        "record": one.record_id,
        "ledger": proof,
    }
    valid = Text("the receipt's signature is valid", style="bold green")
    return Group(pairs([(name, value or NOT_STATED) for name, value in fields.items()]), valid)


def notices(found: Iterable[Notice]) -> RenderableType:
    """Return published notices, a line each."""
    shown = table("id", "version", "language", "published", "sha256", wide="sha256")
    for one in found:
        shown.add_row(
            Text(one_line(one.id)), Text(one_line(one.version)), one.language, at(one.at_us), one.sha256
        )
    return shown if shown.row_count else Text("no notice is published", style="dim")


def notice(one: Notice) -> RenderableType:
    """Return a notice with its text."""
    return Group(notices([one]), Text(harmless(one.text)))


def objection(found: Objection | Mapping[str, Any]) -> RenderableType:
    """Return what an objection, or taking it back, did."""
    if isinstance(found, Mapping):
        return Text("the objection is lifted" if found["lifted"] else "there was no objection to lift")
    fate = "are kept, not retrievable" if found.compelling_grounds else "are erased"
    return Text(f"recorded; the {found.covered} memories that were kept for it {fate}")
