"""What a person may ask for: what is held and on which grounds, consents, requests, their archive, their erasure."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import anyio
from starlette.responses import Response, StreamingResponse

from tiered_memory.clock import from_us
from tiered_memory.errors import NotFoundError
from tiered_memory.formats.archive import ArchiveKind
from tiered_memory.inspector.person_page import about
from tiered_memory.inspector.render import page
from tiered_memory.inspector.visit import Visit
from tiered_memory.inspector.words import as_json, visible
from tiered_memory.intake import check_word
from tiered_memory.principals import Grant
from tiered_memory.privacy.consent import ConsentEvent

EVENTS_SHOWN = 50
PIECE = 64 * 1024
KINDS = (
    (ArchiveKind.ACCESS.value, "everything held, what was inferred as well (GDPR Art. 15)"),
    (ArchiveKind.PORTABILITY.value, "what the person provided (GDPR Art. 20)"),
)


async def show(visit: Visit) -> Response:
    """Show what is held of a person and what they may ask for."""
    return await _shown(visit)


async def export(visit: Visit) -> Response:
    """Hand over a signed archive. While it is sent no file of it has a name: whoever leaves early leaves nothing."""
    user = visit.user(Grant.RIGHTS)
    kind = check_word(ArchiveKind, visit.field("kind"), "kind")
    with tempfile.TemporaryDirectory(prefix="tiered-memory-") as folder:
        made = await user.export(Path(folder), kind=kind)
        file = await anyio.open_file(made.path, "rb")
    headers = {
        "content-disposition": f'attachment; filename="archive-{kind.value}{made.path.suffix}"',
        "content-length": str(made.bytes),
    }
    return StreamingResponse(_pieces(file), headers=headers, media_type="application/zip")


async def _pieces(file: anyio.AsyncFile[bytes]) -> AsyncIterator[bytes]:
    async with file:
        while piece := await file.read(PIECE):
            yield piece


async def erase(visit: Visit) -> Response:
    """Erase a person whose id was typed once more, and show the proof."""
    user = visit.user(Grant.ERASE)
    if visit.form.get("confirm") not in {visit.subject.user, visible(visit.subject.user)}:
        return await _shown(visit, "the id that was typed is another: nothing was erased", 400)
    certificate = await user.erase(reason=visit.field("reason"))
    visit.desk.certificates.keep(visit.session_id, certificate)
    return page(visit, "erased.html", {**about(visit, "rights"), "certificate": certificate})


async def certificate(visit: Visit) -> Response:
    """Hand over a certificate to who asked for the erasure."""
    found = visit.desk.certificates.of(visit.session_id, visit.request.path_params["certificate"])
    if found is None or visit.principal is None:
        raise NotFoundError(
            "no such certificate is kept here: it was handed out once, when the person was erased"
        )
    headers = {"content-disposition": 'attachment; filename="certificate.json"'}
    return Response(as_json(found, indent=2) + "\n", headers=headers, media_type="application/json")


async def _shown(visit: Visit, wrong: str = "", status: int = 200) -> Response:
    user = visit.user(Grant.RIGHTS)
    dossier = await user.about()
    events = await user.consent.history()
    current = await user.consent.current()
    values = {
        **about(visit, "rights"),
        "dossier": dossier,
        "consents": [_consent(one, current) for one in reversed(events[-EVENTS_SHOWN:])],
        "may_erase": visit.may(Grant.ERASE, visit.subject),
        "kinds": KINDS,
        "wrong": wrong,
    }
    return page(visit, "rights.html", values, status)


def _consent(event: ConsentEvent, current: dict[str, ConsentEvent]) -> dict[str, object]:
    in_force = current.get(event.purpose)
    return {
        "purpose": event.purpose,
        "action": event.action.value,
        "at": from_us(event.at_us),
        "expires": None if event.expires_us is None else from_us(event.expires_us),
        "explicit": event.explicit,
        "notice": str(event.details.get("notice", "")),
        "in_force": in_force is not None and in_force.event_id == event.event_id,
    }
