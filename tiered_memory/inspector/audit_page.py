"""The audit ledger: its entries, whether it verifies, and its newest signed head."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from tiered_memory.clock import from_us, stopwatch
from tiered_memory.inspector.render import page
from tiered_memory.inspector.visit import Visit
from tiered_memory.principals import Grant

SHOWN = 50


async def show(visit: Visit) -> Response:
    """Show a page of entries."""
    return page(visit, "audit.html", await _entries(visit))


async def verify(visit: Visit) -> Response:
    """Verify the whole ledger and say what it is worth."""
    visit.check(Grant.AUDIT)
    begun = stopwatch()
    verdict = await visit.memory.ledger.verify()
    took = stopwatch() - begun
    return page(visit, "audit.html", {**await _entries(visit), "verdict": verdict, "seconds": took})


async def _entries(visit: Visit) -> dict[str, Any]:
    visit.check(Grant.AUDIT)
    ledger, before = visit.memory.ledger, visit.number("before", -1)
    entries = await ledger.entries(limit=SHOWN, before=None if before < 0 else before)
    signed = await ledger.checkpoint()
    return {
        "here": "audit",
        "entries": entries,
        "next_before": entries[-1].index if entries and entries[-1].index > 0 else None,
        "later": before >= 0,
        "note": None if signed is None else signed.note(),
        "signed": None if signed is None else signed.checkpoint,
        "signed_at": None if signed is None else from_us(signed.checkpoint.at_us),
        "public_key": ledger.public_key.hex(),
        "verdict": None,
    }
