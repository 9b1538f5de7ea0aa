"""Commands for consents, the notices they rest on, and objections."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from tiered_memory.cli import consent_views, views
from tiered_memory.cli.entry import command, moment, output_of, run
from tiered_memory.cli.options import TERMS, NamedPerson, Person, Store
from tiered_memory.errors import InvalidInputError

if TYPE_CHECKING:
    from tiered_memory.memory import TieredMemory

Purpose = Annotated[
    str, typer.Argument(show_default=False, help="A purpose of the policy, e.g. personalization.")
]
Reason = Annotated[str, typer.Option(help="Why, for the record.")]
Notice = Annotated[str, typer.Option(help="The notice the person saw: a published one's id, or id@version.")]
RIGHTS = "Rights"


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What may be said of a consent besides; see `ConsentTerms`."""

    method: Annotated[
        str | None, typer.Option(help="How it was given, e.g. web form.", rich_help_panel=TERMS)
    ] = None
    actor: Annotated[str | None, typer.Option(help="Who recorded it.", rich_help_panel=TERMS)] = None
    recipient: Annotated[
        list[str] | None, typer.Option(help="Who receives the data; may be repeated.", rich_help_panel=TERMS)
    ] = None
    category: Annotated[
        list[str] | None, typer.Option(help="A category of data; may be repeated.", rich_help_panel=TERMS)
    ] = None
    retention: Annotated[str | None, typer.Option(help="How long it is kept.", rich_help_panel=TERMS)] = None
    jurisdiction: Annotated[str | None, typer.Option(help="Whose law applies.", rich_help_panel=TERMS)] = None
    language: Annotated[
        str | None, typer.Option(help="Language of the notice (BCP 47).", rich_help_panel=TERMS)
    ] = None

    def terms(self) -> dict[str, Any]:
        """Return what was said."""
        given = {
            "method": self.method,
            "actor": self.actor,
            "recipients": self.recipient,
            "data_categories": self.category,
            "retention": self.retention,
            "jurisdiction": self.jurisdiction,
            "language": self.language,
        }
        return {name: value for name, value in given.items() if value is not None}


@dataclass(frozen=True, slots=True, kw_only=True)
class Stated:
    """What a notice states besides its text; see `NoticeTerms`."""

    controller: Annotated[str, typer.Option(help="Who is responsible.", rich_help_panel=TERMS)] = ""
    contact: Annotated[str, typer.Option(help="How to reach them.", rich_help_panel=TERMS)] = ""
    purpose: Annotated[
        list[str] | None,
        typer.Option(help="A purpose it informs of; may be repeated.", rich_help_panel=TERMS),
    ] = None
    recipient: Annotated[
        list[str] | None, typer.Option(help="Who receives the data; may be repeated.", rich_help_panel=TERMS)
    ] = None
    jurisdiction: Annotated[str, typer.Option(help="Whose law applies.", rich_help_panel=TERMS)] = ""


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    consent = typer.Typer(no_args_is_help=True, help="Record, withdraw, show and prove a user's consents.")
    for work in (grant, refuse, withdraw, show, history, receipt):
        command(consent, work.__name__)(work)
    app.add_typer(consent, name="consent", rich_help_panel=RIGHTS)
    notice = typer.Typer(no_args_is_help=True, help="Publish and show the notices that people see.")
    command(notice, "publish")(publish)
    command(notice, "list")(list_notices)
    command(notice, "show")(show_notice)
    app.add_typer(notice, name="notice", rich_help_panel=RIGHTS)
    command(app, "object", rich_help_panel=RIGHTS)(object_to)


def grant(
    purpose: Purpose,
    person: Person,
    notice: Notice,
    said: Said,
    explicit: Annotated[
        bool, typer.Option("--explicit", help="Given by an express statement; restricted data needs it.")
    ] = False,
    expires: Annotated[
        str | None,
        typer.Option(show_default="when withdrawn", help="When it ends: ISO 8601, or a day (UTC)."),
    ] = None,
) -> None:
    """Record a user's consent to a purpose: from then on interactions for it may be kept."""
    expires_at = moment(expires, "--expires")

    async def work(memory: TieredMemory) -> Any:
        user = memory.user(person.user, person.tenant)
        return await user.consent.grant(
            purpose, notice=notice, explicit=explicit, expires_at=expires_at, **said.terms()
        )

    event = run(person, work, create=True)
    output_of(person).show(event, views.consents({purpose: event}))


def refuse(purpose: Purpose, person: Person, notice: Notice, said: Said) -> None:
    """Record that a user refused; a consent that was given ends as by withdrawal."""

    async def work(memory: TieredMemory) -> Any:
        user = memory.user(person.user, person.tenant)
        return await user.consent.refuse(purpose, notice=notice, **said.terms())

    event = run(person, work, create=True)
    output_of(person).show(event, consent_views.events([event]))


def withdraw(purpose: Purpose, person: Person, reason: Reason = "withdrawn by the person") -> None:
    """Withdraw a user's consent: what rests on it becomes unreadable at once and is removed."""

    async def work(memory: TieredMemory) -> Any:
        return await memory.user(person.user, person.tenant).consent.withdraw(purpose, reason=reason)

    removed = run(person, work)
    output_of(person).show(
        {"purpose": purpose, "removed": removed},
        Text(f"withdrawn; {views.several(removed, 'memory', 'memories')} that rested on it went"),
    )


def show(person: Person) -> None:
    """Show the consents in force."""

    async def work(memory: TieredMemory) -> Any:
        return await memory.user(person.user, person.tenant).consent.current()

    found = run(person, work)
    output_of(person).show({"consents": found}, views.consents(found))


def history(
    person: Person,
    purpose: Annotated[str | None, typer.Option(show_default="all", help="Only this purpose.")] = None,
) -> None:
    """Show what a user gave, refused and withdrew, and what expired."""

    async def work(memory: TieredMemory) -> Any:
        return await memory.user(person.user, person.tenant).consent.history(purpose)

    found = run(person, work)
    output_of(person).show({"events": found}, consent_views.events(found))


def receipt(purpose: Purpose, person: Person) -> None:
    """Show the signed receipt of a user's latest decision on a purpose (ISO/IEC TS 27560), verified."""
    from tiered_memory.consent_records import verify_receipt

    async def work(memory: TieredMemory) -> Any:
        return await memory.user(person.user, person.tenant).consent.receipt(purpose)

    found = run(person, work)
    verify_receipt(found)
    document = {"receipt": found.as_document(), "signature_verified": True}
    output_of(person).show(document, consent_views.receipt(found))


def publish(
    notice_id: Annotated[str, typer.Argument(show_default=False, help="The notice's id.")],
    version: Annotated[str, typer.Option(help="Its version.")],
    text: Annotated[str, typer.Option(help="File with its text; - for standard input.")],
    store: Store,
    stated: Stated,
    language: Annotated[str, typer.Option(help="Its language (BCP 47).")] = "en",
) -> None:
    """Publish a version of a notice for good."""
    words = _text_of(text)

    async def work(memory: TieredMemory) -> Any:
        return await memory.notices.publish(
            notice_id,
            version=version,
            language=language,
            text=words,
            controller=stated.controller,
            contact=stated.contact,
            purposes=stated.purpose or (),
            recipients=stated.recipient or (),
            jurisdiction=stated.jurisdiction,
        )

    found = run(store, work, create=True)
    output_of(store).show(found, consent_views.notices([found]))


def list_notices(store: Store) -> None:
    """List the notices that were published."""

    async def work(memory: TieredMemory) -> Any:
        return await memory.notices.list()

    found = run(store, work)
    output_of(store).show({"notices": found}, consent_views.notices(found))


def show_notice(
    name: Annotated[
        str, typer.Argument(show_default=False, help="Its id (the newest version), or id@version.")
    ],
    store: Store,
    language: Annotated[
        str | None, typer.Option(show_default="published first", help="Its language (BCP 47).")
    ] = None,
) -> None:
    """Show a notice with its text."""

    async def work(memory: TieredMemory) -> Any:
        return await memory.notices.get(name, language=language)

    found = run(store, work)
    output_of(store).show(found, consent_views.notice(found))


def object_to(
    purpose: Purpose,
    person: NamedPerson,
    reason: Reason = "objected by the person",
    compelling_grounds: Annotated[
        str | None,
        typer.Option(show_default="none", help="Why the controller keeps what is held, not retrievable."),
    ] = None,
    lift: Annotated[bool, typer.Option("--lift", help="Take the objection back.")] = False,
) -> None:
    """Record a user's objection to a purpose (GDPR Art. 21), or take it back: what was kept for it is erased."""
    if lift and compelling_grounds is not None:
        raise InvalidInputError("--lift takes an objection back: it needs no --compelling-grounds")

    async def work(memory: TieredMemory) -> Any:
        user = memory.user(person.user, person.tenant)
        if lift:
            return {"purpose": purpose, "lifted": await user.lift_objection(purpose)}
        return await user.object_to(purpose, reason=reason, compelling_grounds=compelling_grounds)

    found = run(person, work, create=not lift)
    output_of(person).show(found, consent_views.objection(found))


def _text_of(file: str) -> str:
    try:
        return sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInputError(
            f"the notice's text cannot be read ({type(error).__name__}); nothing was published"
        ) from None
