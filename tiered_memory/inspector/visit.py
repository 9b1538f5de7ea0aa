"""One request: who asks, in which role, whether a form is the visitor's own, and about whom."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from urllib.parse import parse_qsl, urlsplit

from starlette.datastructures import Headers
from starlette.requests import Request

from tiered_memory.caller import AGENT, Caller
from tiered_memory.errors import AccessDeniedError, InvalidInputError, NotFoundError
from tiered_memory.inspector.desk import LOOPBACK, Desk
from tiered_memory.memory import TieredMemory
from tiered_memory.model import Subject
from tiered_memory.policy.access_rules import AccessRole
from tiered_memory.principals import EVERY_ROLE, Grant, Principal
from tiered_memory.user import User

COOKIE = "tiered_memory_inspector"
ROLE_COOKIE = "tiered_memory_role"
ID_DIGITS = 64
FORM_BYTES = 2 << 20
STRANGERS_BYTES = 16 << 10
"""Bytes of a form from nobody in particular: there is a key to send, and nothing else."""
FORM_FIELDS = 100
BY_ITSELF = ("/live", "/data/")
"""Paths that an open page asks for again and again."""
CSRF_FIELD = "csrf"
CSRF_HEADER = "x-csrf-token"
CONTEXT = "inspector"
VOID = "this address is of an earlier run of the daemon, or was never one: open the person again"
FORGED = "this form is not of this page, or too old: reload the page and try again"
ELSEWHERE = "without keys the inspector answers under the loopback's names only"


class SignInNeededError(Exception):
    """Nobody stands behind this request."""


class ForgedError(Exception):
    """A form that another site sent, or that has lost its token."""


@dataclass(frozen=True)
class Visit:
    """A request with what is known of the visitor. `fresh`: the session id is to be set as a cookie."""

    request: Request
    desk: Desk
    session_id: str
    fresh: bool
    principal: Principal | None
    signed_in: bool
    form: Mapping[str, str]

    @property
    def memory(self) -> TieredMemory:
        """The memory that is looked at."""
        return self.desk.memory

    @property
    def root(self) -> str:
        """The path the inspector is mounted at."""
        return str(self.request.scope.get("root_path", ""))

    @property
    def csrf(self) -> str:
        """The token that a form of this visitor's carries."""
        return self.desk.seal.sign("csrf", self.session_id)

    @property
    def who(self) -> Principal:
        """The principal.

        Raises:
            SignInNeededError: there is none.
        """
        if self.principal is None:
            raise SignInNeededError
        return self.principal

    @cached_property
    def roles(self) -> tuple[str, ...]:
        """The roles the visitor may call in."""
        if self.principal is None:
            return ()
        if EVERY_ROLE in self.principal.roles:
            return tuple(role.value for role in AccessRole)
        return tuple(sorted(self.principal.roles))

    @cached_property
    def role(self) -> str:
        """The role the visitor calls in: what they chose, else that of an agent, else their first."""
        chosen = self.request.cookies.get(ROLE_COOKIE, "")
        if chosen in self.roles:
            return chosen
        return AGENT if AGENT in self.roles else next(iter(self.roles), AGENT)

    @property
    def caller(self) -> Caller:
        """Who calls the memory."""
        return self.who.caller(self.role, context=CONTEXT)

    def check(self, grant: Grant, subject: Subject | None = None) -> None:
        """Refuse what the credential does not reach: of one person, or of everybody.

        Raises:
            AccessDeniedError: it does not reach it.
        """
        if subject is None:
            self.who.check(grant)
        else:
            self.who.check(grant, tenant=subject.tenant, user=subject.user)

    def may(self, grant: Grant, subject: Subject | None = None) -> bool:
        """Tell whether the credential reaches something."""
        try:
            self.check(grant, subject)
        except AccessDeniedError:
            return False
        return True

    @cached_property
    def subject(self) -> Subject:
        """The person the address is about.

        Raises:
            NotFoundError: the address is void.
        """
        words = self.desk.names.words(self.request.path_params["person"])
        if words is None or words[0] != "person":
            raise NotFoundError(VOID)
        return Subject(words[1], words[2])

    def user(self, grant: Grant) -> User:
        """Return the face of the person the address is about, for what `grant` allows.

        Raises:
            AccessDeniedError: the credential does not reach it.
        """
        self.check(grant, self.subject)
        return self.memory.user(self.subject.user, self.subject.tenant, caller=self.caller)

    def address(self, subject: Subject) -> str:
        """Return the address of a person's page."""
        return f"{self.root}/p/{self.desk.names.of('person', subject.tenant, subject.user)}"

    def field(self, name: str) -> str:
        """Return what a form says in a field; InvalidInputError when it is not there."""
        found = self.form.get(name, "")
        if not found:
            raise InvalidInputError(f"{name.replace('_', ' ')} is missing")
        return found

    def number(self, name: str, otherwise: int) -> int:
        """Return a whole number of the form or the address."""
        found = self.form.get(name) or self.request.query_params.get(name) or ""
        try:
            return int(found) if found else otherwise
        except ValueError:
            raise InvalidInputError(f"{name} must be a whole number") from None


async def visit_of(request: Request, desk: Desk) -> Visit:
    """Return what is known of the visitor, having checked a form's token.

    Raises:
        ForgedError: the form is not the visitor's own.
        AccessDeniedError: an open daemon is addressed under a name that is not its own.
    """
    given = request.cookies.get(COOKIE, "")
    known = len(given) == ID_DIGITS and given.isascii() and given.isalnum()
    session_id = given if known else desk.sessions.new_id()
    principal = await _signed_in(request, desk, session_id) if known else None
    ambient = None if principal is not None else _ambient(request, desk)
    most = STRANGERS_BYTES if principal is None and ambient is None else FORM_BYTES
    form = await _form(request, most) if request.method == "POST" else {}
    found = Visit(request, desk, session_id, not known, principal or ambient, principal is not None, form)
    if request.method == "POST":
        _check_own(found)
    return found


async def _signed_in(request: Request, desk: Desk, session_id: str) -> Principal | None:
    """Return whose session it is. What a page asks for by itself does not keep it."""
    path = request.scope["path"].removeprefix(request.scope.get("root_path", ""))
    by_itself = path.startswith(BY_ITSELF)
    principal = desk.sessions.principal(session_id, keep=not by_itself)
    if principal is None or desk.options.recheck is None or await desk.options.recheck(principal):
        return principal
    desk.sessions.end(session_id)
    return None


def _ambient(request: Request, desk: Desk) -> Principal | None:
    """Return whom the daemon takes the request for: by a key of its own, or because it is open to its machine.

    A name that leads here from elsewhere (DNS rebinding) would let a page of that name read everything.
    """
    found = getattr(request.state, "principal", None)
    if not isinstance(found, Principal):
        return None
    if "authorization" not in request.headers and request.scope.get("client") is not None:
        name = urlsplit(f"//{request.headers.get('host', '')}").hostname or ""
        name = f"[{name}]" if ":" in name else name
        if name not in LOOPBACK and name not in desk.options.hosts:
            raise AccessDeniedError(ELSEWHERE)
    return found


def _check_own(visit: Visit) -> None:
    headers = visit.request.headers
    token = headers.get(CSRF_HEADER) or visit.form.get(CSRF_FIELD, "")
    bound = not visit.fresh and visit.desk.seal.holds(token, "csrf", visit.session_id)
    if not bound or not _is_from_here(headers):
        raise ForgedError(FORGED)


def _is_from_here(headers: Headers) -> bool:
    """Tell whether a browser says that one of our own pages sent a request.

    Under `no-referrer` a form's origin is "null": then only the newer header tells, and without either nobody does.
    """
    site, origin = headers.get("sec-fetch-site"), headers.get("origin", "null")
    if origin != "null" and urlsplit(origin).netloc != headers.get("host"):
        return False
    return site == "same-origin" or (site is None and origin != "null")


async def _form(request: Request, most: int) -> dict[str, str]:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/x-www-form-urlencoded":
        raise InvalidInputError("a form is expected")
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > most:
            raise InvalidInputError(f"a form may have at most {most >> 10} KiB here")
    try:
        fields = parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=FORM_FIELDS, errors="strict")
    except ValueError:
        raise InvalidInputError("the form cannot be read") from None
    return {name: value.replace("\r\n", "\n") for name, value in fields}
