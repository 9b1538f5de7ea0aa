"""Signing in with an API key, signing out, choosing a role."""

from __future__ import annotations

from starlette.responses import Response

from tiered_memory.errors import AccessDeniedError, InvalidInputError, UnauthenticatedError
from tiered_memory.inspector.render import goto, page, set_cookie, set_session
from tiered_memory.inspector.visit import COOKIE, ROLE_COOKIE, Visit

MOST_OF_A_KEY = 4096
WRONG = "this is no key of this daemon, or it was revoked"


async def show(visit: Visit) -> Response:
    """Show the form for a key."""
    if visit.principal is not None:
        return goto(visit, visit.root + "/")
    return _form(visit)


async def sign_in(visit: Visit) -> Response:
    """Begin a session under a new id: one that somebody planted before is worth nothing."""
    verify = visit.desk.options.verify
    key = visit.form.get("key", "").strip()
    if verify is None or not key or len(key) > MOST_OF_A_KEY:
        return _form(visit, WRONG, 403)
    try:
        principal = await verify(key)
    except (AccessDeniedError, InvalidInputError, UnauthenticatedError):
        return _form(visit, WRONG, 403)
    visit.desk.sessions.end(visit.session_id)
    response = goto(visit, visit.root + "/")
    set_session(visit, response, visit.desk.sessions.begin(principal))
    return response


async def sign_out(visit: Visit) -> Response:
    """End the session."""
    visit.desk.sessions.end(visit.session_id)
    response = goto(visit, visit.root + "/login")
    response.delete_cookie(COOKIE, path=visit.root or "/")
    response.delete_cookie(ROLE_COOKIE, path=visit.root or "/")
    return response


async def choose_role(visit: Visit) -> Response:
    """Call in another role from now on.

    Raises:
        AccessDeniedError: the credential may not be used in it.
    """
    role = visit.field("role")
    visit.who.caller(role)
    response = goto(visit, visit.root + "/people")
    set_cookie(visit, response, ROLE_COOKIE, role)
    return response


def _form(visit: Visit, wrong: str = "", status: int = 200) -> Response:
    values = {"wrong": wrong, "possible": visit.desk.options.verify is not None}
    return page(visit, "login.html", values, status)
