"""Turns values into pages: one Jinja environment in which everything printed is escaped and made harmless."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import jinja2
from markupsafe import Markup
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response

from tiered_memory import __version__
from tiered_memory.inspector import words
from tiered_memory.inspector.visit import COOKIE, Visit
from tiered_memory.principals import Grant

SEE_OTHER = 303
NAVIGATION = (
    ("overview", "/", "Overview", Grant.AUDIT),
    ("people", "/people", "People", Grant.READ),
    ("forgetting", "/forgetting", "Forgetting", Grant.ADMIN),
    ("audit", "/audit", "Audit", Grant.AUDIT),
)
HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
        "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    ),
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
}


def _harmless(value: Any) -> Any:
    return words.visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def environment() -> jinja2.Environment:
    """Return the environment of the templates."""
    made = jinja2.Environment(
        loader=jinja2.PackageLoader("tiered_memory.inspector"),
        autoescape=True,
        finalize=_harmless,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    made.filters |= {
        "bytes": words.size,
        "clock": words.clock,
        "counted": words.counted,
        "day": words.day,
        "fate": words.fate,
        "moment": words.moment,
        "phrase": words.phrase,
        "share": words.share,
    }
    made.globals["version"] = __version__
    return made


_ENVIRONMENT = environment()


def page(visit: Visit, template: str, values: Mapping[str, Any] | None = None, status: int = 200) -> Response:
    """Return a page; `values` are what the template shows."""
    now = visit.desk.now
    given = {
        "visit": visit,
        "root": visit.root,
        "now": now,
        "ago": partial(words.relative, now=now),
        "navigation": navigation(visit),
        "here": "",
        **(values or {}),
    }
    return HTMLResponse(_ENVIRONMENT.get_template(template).render(given), status)


def navigation(visit: Visit) -> list[tuple[str, str, str]]:
    """Return what the visitor may go to: a word, an address, a name."""
    if visit.principal is None:
        return []
    bound = visit.principal.tenant is not None or visit.principal.user is not None
    return [
        (word, visit.root + path, name)
        for word, path, name, grant in NAVIGATION
        if visit.principal.allows(grant) and (word == "people" or not bound)
    ]


def document(value: Any) -> Response:
    """Return data for a chart."""
    return JSONResponse(words.plain(value))


def goto(visit: Visit, address: str) -> Response:
    """Send the visitor to another page; a part of a page that asked is replaced by the whole of it."""
    if "hx-request" in visit.request.headers:
        return Response(headers={"hx-redirect": address})
    return RedirectResponse(address, SEE_OTHER)


def remember(visit: Visit, response: Response) -> Response:
    """Give a new visitor their cookie."""
    if visit.fresh:
        set_session(visit, response, visit.session_id)
    return response


def set_session(visit: Visit, response: Response, session_id: str) -> None:
    """Set the cookie that holds the session's id."""
    set_cookie(visit, response, COOKIE, session_id)


def set_cookie(visit: Visit, response: Response, name: str, value: str) -> None:
    """Set a cookie that no script reads and no other site sends."""
    response.set_cookie(
        name,
        value,
        path=visit.root or "/",
        secure=visit.request.url.scheme == "https",
        httponly=True,
        samesite="strict",
    )
