"""Commands for requests to exercise a right, with their deadlines, and for decisions that rested on memories."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import RenderableType
from rich.text import Text

from tiered_memory.cli import views
from tiered_memory.cli.entry import (
    command,
    moment,
    output_of,
    run,
    user_of,
    whole_decision_id,
    whole_id,
    whole_request_id,
)
from tiered_memory.cli.options import Calling, NamedPerson, Store
from tiered_memory.cli.output import one_line

if TYPE_CHECKING:
    from tiered_memory.memory import TieredMemory
    from tiered_memory.privacy.decisions import DecisionRecord
    from tiered_memory.privacy.requests import Request
    from tiered_memory.user import User

RequestId = Annotated[
    str, typer.Argument(metavar="ID", show_default=False, help="Id of the request, or its first digits.")
]
DecisionId = Annotated[
    str, typer.Argument(metavar="ID", show_default=False, help="Id of the decision, or its first digits.")
]
Reason = Annotated[str, typer.Option(help="Why.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """How a decision was made, and what it means for the person."""

    effect: Annotated[str, typer.Option(help="legal, similar (significant) or none.")] = "none"
    by_person: Annotated[bool, typer.Option("--by-person", help="Not decided by a machine alone.")] = False
    logic: Annotated[str | None, typer.Option(show_default=False, help="How it came about, plainly.")] = None
    outcome: Annotated[str | None, typer.Option(show_default=False, help="What came of it.")] = None


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    requests = typer.Typer(
        no_args_is_help=True, help="Keep requests to exercise a right, and their deadlines."
    )
    for name, function in (
        ("open", open_request),
        ("extend", extend),
        ("close", close),
        ("list", listed),
        ("due", due),
    ):
        command(requests, name)(function)
    app.add_typer(requests, name="requests", rich_help_panel="Rights")
    decisions = typer.Typer(
        no_args_is_help=True, help="Record, explain and review decisions that used memories."
    )
    for name, work in (("record", record), ("list", decided), ("explain", explain), ("review", review)):
        command(decisions, name)(work)
    app.add_typer(decisions, name="decisions", rich_help_panel="Rights")


def open_request(
    right: Annotated[
        str,
        typer.Argument(
            show_default=False,
            help="access, rectification, erasure, restriction, portability, objection or review.",
        ),
    ],
    person: NamedPerson,
    calling: Calling,
    received: Annotated[str | None, typer.Option(show_default="now", help="When it came: ISO 8601.")] = None,
    channel: Annotated[str | None, typer.Option(show_default=False, help="How it came.")] = None,
) -> None:
    """Keep a person's request; it is due a calendar month after its receipt (GDPR Art. 12(3))."""
    received_at = moment(received, "--received")

    async def work(user: User) -> Any:
        return await user.requests.open(right, received_at=received_at, channel=channel)

    _show(person, calling, work, create=True)


def extend(
    request_id: RequestId,
    person: NamedPerson,
    calling: Calling,
    reason: Reason,
    months: Annotated[int, typer.Option(min=1, max=2, help="How many months more.")] = 2,
) -> None:
    """Give a request up to two months more; tell the person why within the first."""

    async def work(user: User) -> Any:
        wanted = await whole_request_id(user, request_id)
        return await user.requests.extend(wanted, months=months, reason=reason)

    _show(person, calling, work)


def close(
    request_id: RequestId,
    person: NamedPerson,
    calling: Calling,
    outcome: Annotated[
        str, typer.Option(help="fulfilled, partly_fulfilled, refused or withdrawn.")
    ] = "fulfilled",
    reason: Annotated[str | None, typer.Option(show_default=False, help="Why; a refusal needs it.")] = None,
    evidence: Annotated[
        str | None, typer.Option(show_default=False, help="Id of the certificate or archive that shows it.")
    ] = None,
) -> None:
    """Note what became of a request."""

    async def work(user: User) -> Any:
        wanted = await whole_request_id(user, request_id)
        return await user.requests.close(wanted, outcome=outcome, reason=reason, evidence=evidence)

    _show(person, calling, work)


def listed(person: NamedPerson, calling: Calling) -> None:
    """Show a person's requests."""
    found = run(person, _of(person, calling, lambda user: user.requests.list()))
    output_of(person).show({"requests": found}, _requests(found))


def due(
    store: Store,
    within: Annotated[int, typer.Option(min=0, max=3650, help="Days ahead to look.")] = 7,
) -> None:
    """Show every person's open requests that fall due soon or are overdue."""

    async def work(memory: TieredMemory) -> Any:
        return await memory.requests.due(within_days=within)

    found = run(store, work)
    shown = views.table("whose", "right", "due", "state", wide="whose")
    for one in found:
        whose = "unknown" if one.subject is None else f"{one.subject.tenant}/{one.subject.user}"
        state = Text("overdue", style="bold red") if one.overdue else Text("open")
        shown.add_row(
            Text(one_line(whose)), one.request.right.value, views.last_day(one.request.due_at), state
        )
    output_of(store).show({"due": found}, shown)


def record(
    decision: Annotated[str, typer.Argument(show_default=False, help="What was decided, in words.")],
    person: NamedPerson,
    calling: Calling,
    made: Made,
    memory: Annotated[list[str] | None, typer.Option(help="Id of a memory it used; may be repeated.")] = None,
) -> None:
    """Record a decision that rested on memories (GDPR Art. 22)."""

    async def work(user: User) -> Any:
        ids = [await whole_id(user, one) for one in memory or ()]
        terms = asdict(made)
        automated = not terms.pop("by_person")
        return await user.decisions.record(decision, memory_ids=ids, automated=automated, **terms)

    found = run(person, _of(person, calling, work), create=True)
    output_of(person).show(found, _decisions([found]))


def decided(person: NamedPerson, calling: Calling) -> None:
    """Show the decisions recorded of a person."""
    found = run(person, _of(person, calling, lambda user: user.decisions.list()))
    output_of(person).show({"decisions": found}, _decisions(found))


def explain(decision_id: DecisionId, person: NamedPerson, calling: Calling) -> None:
    """Show what a decision rested on, as it was then."""

    async def work(user: User) -> Any:
        return await user.decisions.explain(await whole_decision_id(user, decision_id))

    found = run(person, _of(person, calling, work))
    used = views.table("memory", "version", "it said then", right=["version"], wide="it said then")
    for one in found.used:
        said = Text(one.gone or "", style="dim") if one.content is None else Text(one_line(one.content))
        used.add_row(one.memory_id[: views.ID_SHOWN], str(one.version), said)
    output_of(person).show(found, _decision(found.record), used)


def review(
    decision_id: DecisionId,
    person: NamedPerson,
    calling: Calling,
    reviewer: Annotated[str, typer.Option(help="Who looked at it.")],
    outcome: Annotated[str, typer.Option(help="What holds from now on.")],
    note: Annotated[str | None, typer.Option(show_default=False, help="What was found.")] = None,
) -> None:
    """Record what a person found on looking at a decision."""

    async def work(user: User) -> Any:
        wanted = await whole_decision_id(user, decision_id)
        return await user.decisions.review(wanted, reviewer=reviewer, outcome=outcome, note=note)

    found = run(person, _of(person, calling, work))
    output_of(person).show(found, _decisions([found]))


def _of(
    person: NamedPerson, calling: Calling, work: Callable[[User], Awaitable[Any]]
) -> Callable[[TieredMemory], Awaitable[Any]]:
    """Return work on one user as work on a memory."""

    async def on_memory(memory: TieredMemory) -> Any:
        return await work(user_of(memory, person, calling))

    return on_memory


def _show(
    person: NamedPerson, calling: Calling, work: Callable[[User], Awaitable[Any]], *, create: bool = False
) -> None:
    found = run(person, _of(person, calling, work), create=create)
    output_of(person).show(found, _requests([found]))


def _requests(found: Sequence[Request]) -> RenderableType:
    shown = views.table("id", "right", "received", "due", "state", wide="state")
    for one in found:
        state = "open" if one.outcome is None else one.outcome.value
        shown.add_row(one.id, one.right.value, views.day(one.received_at), views.last_day(one.due_at), state)
    return shown


def _decision(one: DecisionRecord) -> RenderableType:
    rows = {
        "decision": one.decision,
        "made": f"{views.day(one.at)}, {'by a machine alone' if one.automated else 'by a person'}",
        "effect": one.effect.value,
        "logic": one.logic or "not stated",
        "outcome": one.outcome or "not stated",
        "review": one.review.value,
        "asked for": one.requested_because or "",
        **{f"seen {views.day(seen.at)}": f"{seen.reviewer}: {seen.outcome}" for seen in one.reviews},
    }
    return views.pairs([(name, one_line(words)) for name, words in rows.items() if words])


def _decisions(found: Sequence[DecisionRecord]) -> RenderableType:
    shown = views.table("id", "at", "decision", "outcome", "review", wide="decision")
    for one in found:
        decision, outcome = Text(one_line(one.decision)), Text(one_line(one.outcome or ""))
        shown.add_row(one.id, views.day(one.at), decision, outcome, one.review.value)
    return shown
