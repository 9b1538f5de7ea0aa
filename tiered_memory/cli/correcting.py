"""Commands for a person's rights over what is held: correct a memory, freeze everything, free it again, and tell."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from tiered_memory.cli import views
from tiered_memory.cli.entry import command, moment, output_of, run, user_of, whole_id
from tiered_memory.cli.options import Calling, NamedPerson, Person
from tiered_memory.cli.output import one_line

if TYPE_CHECKING:
    from tiered_memory.dossier import Dossier
    from tiered_memory.memory import TieredMemory

COMMANDS = {
    "to be informed": "about",
    "access": "export, requests open access",
    "rectification": "update ID TEXT --reason WHY",
    "erasure": "delete ID, erase, requests open erasure",
    "restriction": "restrict --reason WHY, unrestrict",
    "portability": "export --portability, requests open portability",
    "objection": "object PURPOSE, requests open objection",
    "review of automated decisions": "decisions review ID, requests open review",
    "withdrawal of consent": "consent withdraw PURPOSE",
}
"""A right, as the dossier has it, and the commands of `tiered-memory` that serve it."""
Reason = Annotated[str, typer.Option(help="Why; it is kept, sealed, with what is done.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class Changed:
    """What a correction changes besides the words, and whether the former ones stay."""

    time: Annotated[
        str | None, typer.Option(show_default="as it was", help="When it was said: ISO 8601.")
    ] = None
    sensitivity: Annotated[
        str | None, typer.Option(show_default="as it was", help="Another sensitivity.")
    ] = None
    drop_previous: Annotated[
        bool, typer.Option("--drop-previous", help="Do not keep its former texts: they must not stay.")
    ] = False


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    for name, function in (
        ("update", update),
        ("restrict", restrict),
        ("unrestrict", unrestrict),
        ("about", about),
    ):
        command(app, name, rich_help_panel="Rights")(function)


def update(
    memory_id: Annotated[
        str, typer.Argument(metavar="ID", show_default=False, help="Id, or its first digits.")
    ],
    content: Annotated[str, typer.Argument(show_default=False, help="What it says from now on.")],
    person: Person,
    calling: Calling,
    changed: Changed,
    reason: Reason,
) -> None:
    """Correct what a memory says: the old text is found nowhere any more, its history keeps it."""
    occurred_at = moment(changed.time, "--time")

    async def work(memory: TieredMemory) -> Any:
        user = user_of(memory, person, calling)
        return await user.update(
            await whole_id(user, memory_id),
            content,
            reason=reason,
            occurred_at=occurred_at,
            sensitivity=changed.sensitivity,
            keep_previous=not changed.drop_previous,
        )

    done = run(person, work)
    named = ", ".join(one[: views.ID_SHOWN] for one in done.affected)
    words = f"corrected; it is version {done.memory.version}"
    output_of(person).show(done, Text(f"{words}; derived from it: {named}" if named else words))


def restrict(
    person: NamedPerson,
    calling: Calling,
    reason: Reason,
    until: Annotated[
        str | None,
        typer.Option(show_default=False, help="When to look at it again: ISO 8601, or a day (UTC)."),
    ] = None,
) -> None:
    """Freeze everything held of a user: stored, and neither read, changed nor forgotten (GDPR Art. 18)."""
    review_at = moment(until, "--until")

    async def work(memory: TieredMemory) -> Any:
        return await user_of(memory, person, calling).rights.restrict(reason=reason, until=review_at)

    done = run(person, work, create=True)
    output_of(person).show(done, Text(f"restricted since {views.day(done.since)}"))


def unrestrict(person: NamedPerson, calling: Calling, reason: Reason) -> None:
    """Free a user's data again; tell the person first (GDPR Art. 18(3))."""

    async def work(memory: TieredMemory) -> Any:
        return await user_of(memory, person, calling).rights.lift_restriction(reason=reason)

    output_of(person).show(run(person, work), Text("not restricted any more"))


def about(person: NamedPerson, calling: Calling) -> None:
    """Tell a user everything: what is held, why, until when, notices, rights, requests, restrictions, decisions."""

    async def work(memory: TieredMemory) -> Any:
        return await user_of(memory, person, calling).about()

    found: Dossier = run(person, work)
    held = views.table("what", "why", "count", "since", "until", right=["count"], wide="why")
    for one in found.held:
        what = f"{one.kind}, {one.sensitivity}"
        why = Text(one_line(f"{one.purpose} ({one.lawful_basis})"))
        held.add_row(what, why, str(one.count), views.day(one.since), views.day(one.until, "no date"))
    rights = views.table("right", "GDPR Art.", "how", wide="how")
    for right in found.rights:
        rights.add_row(right.right, right.article, COMMANDS.get(right.right, right.how))
    facts = [
        ("restricted", "no" if found.restriction is None else f"since {views.day(found.restriction.since)}"),
        ("notices seen", ", ".join(one_line(one.notice) for one in found.notices) or "none"),
        ("open requests", str(sum(one.open for one in found.requests))),
        ("decisions", str(len(found.decisions))),
        ("objections", str(len(found.objections))),
        ("next to leave", views.day(found.next_leaving, "nothing")),
    ]
    counted = (("quarantined", found.quarantined), ("on hold", found.on_hold))
    facts += [(word, str(count)) for word, count in counted if count]
    facts += [("shared", ", ".join(one_line(one.name) for one in found.shared))] if found.shared else []
    output_of(person).show(found, held, views.pairs(facts), rights)
