"""Commands of whoever answers for what is kept: legal holds, purge runs, and events that retention counts from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Group, RenderableType
from rich.text import Text

from tiered_memory.cli import views
from tiered_memory.cli.entry import ID_DIGITS, caller_of, command, moment, output_of, run, whole_id
from tiered_memory.cli.options import Calling, NamedPerson, Store
from tiered_memory.cli.output import one_line
from tiered_memory.errors import InvalidInputError

if TYPE_CHECKING:
    from datetime import datetime

    from tiered_memory.caller import Caller
    from tiered_memory.hold_model import Hold, PurgeRun
    from tiered_memory.memory import TieredMemory

Name = Annotated[str, typer.Argument(show_default=False, help="The hold's name.")]
Reason = Annotated[str, typer.Option(help="Why, for the record.")]


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    hold = typer.Typer(no_args_is_help=True, help="Suspend deletion for a legal claim, and end that again.")
    for name, function in (("place", place), ("release", release), ("list", show), ("export", export)):
        command(hold, name)(function)
    app.add_typer(hold, name="hold", rich_help_panel="Upkeep")
    retention = typer.Typer(no_args_is_help=True, help="What retention rules count from.")
    command(retention, "event")(event)
    app.add_typer(retention, name="retention", rich_help_panel="Upkeep")
    command(app, "purges", rich_help_panel="Upkeep")(purges)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answerable:
    """Who answers for a hold, and on which ground."""

    owner: Annotated[str, typer.Option(help="Who asked for it.")]
    reason: Annotated[str, typer.Option(help="Why, for the record.")]
    review: Annotated[str, typer.Option(help="When to look at it again: ISO 8601, or a day (UTC).")]
    ground: Annotated[str, typer.Option(help="Letter of GDPR Art. 17(3): b, c, d or e.")] = "e"


def place(
    name: Name,
    store: Store,
    calling: Calling,
    why: Answerable,
    what: Annotated[
        list[str],
        typer.Option(
            "--covers",
            metavar="PART=VALUE",
            help="What it covers: tenant=, user=, purpose=, memory= (with user= its first digits do); every part must apply.",
        ),
    ],
) -> None:
    """Put a hold in force: nothing it covers is deleted until it is released."""
    review_at, parts = _day(why.review), _parts(what)

    async def work(memory: TieredMemory) -> Any:
        from tiered_memory.hold_model import HoldScope

        scope = HoldScope(
            tenant=_only(parts, "tenant"),
            user=_only(parts, "user"),
            purpose=_only(parts, "purpose"),
            memory_ids=await _memories(memory, parts, caller_of(calling)),
        )
        return await memory.holds.place(
            name,
            scope=scope,
            owner=why.owner,
            reason=why.reason,
            review_at=review_at,
            ground=why.ground,
        )

    found = run(store, work, create=True)
    output_of(store).show(
        found, Text(f"in force; it covers {views.several(found.memories or 0, 'memory', 'memories')} so far")
    )


def _day(text: str) -> datetime:
    found = moment(text, "--review")
    if found is None:
        raise InvalidInputError("--review must be a day or a moment")
    return found


def _parts(given: Sequence[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for one in given:
        part, equals, value = one.partition("=")
        if part not in {"tenant", "user", "purpose", "memory"} or not equals or not value:
            raise InvalidInputError("--covers takes tenant=, user=, purpose= or memory= with a value")
        found.setdefault(part, []).append(value)
    return found


async def _memories(memory: TieredMemory, parts: dict[str, list[str]], caller: Caller) -> frozenset[str]:
    given, user = parts.get("memory", []), _only(parts, "user")
    if all(len(one) >= ID_DIGITS for one in given):
        return frozenset(given)
    if user is None:
        raise InvalidInputError("give the memory's whole id, or say whose it is (--covers user=ID)")
    face = memory.user(user, _only(parts, "tenant") or "default", caller=caller)
    return frozenset([await whole_id(face, one) for one in given])


def _only(parts: dict[str, list[str]], part: str) -> str | None:
    values = parts.get(part, [])
    if len(values) > 1:
        raise InvalidInputError(f"--covers {part}= may be given once")
    return values[0] if values else None


def release(name: Name, store: Store, reason: Reason) -> None:
    """End a hold: what it alone kept is destroyed, what became overdue under it goes at once."""

    async def work(memory: TieredMemory) -> Any:
        kept = {one.name: one.kept for one in await memory.holds.list()}
        return replace(await memory.holds.release(name, reason), kept=kept.get(name, 0))

    found = run(store, work)
    said = f"released; {views.several(found.memories or 0, 'memory', 'memories')} held no more"
    ended = f", {views.several(found.kept, 'kept copy', 'kept copies')} destroyed" if found.kept else ""
    output_of(store).show(found, Text(said + ended))


def show(
    store: Store,
    released: Annotated[bool, typer.Option("--released", help="Those that ended as well.")] = False,
    due: Annotated[bool, typer.Option("--due", help="Only those whose review is due.")] = False,
) -> None:
    """Show the holds."""

    async def work(memory: TieredMemory) -> Any:
        return await (memory.holds.due_for_review() if due else memory.holds.list(released=released))

    found = run(store, work)
    output_of(store).show({"holds": found}, _table(found))


def _table(holds: Sequence[Hold]) -> RenderableType:
    if not holds:
        return Text("no holds")
    return Group(*[part for one in holds for part in (Text(one_line(one.name), style="bold"), _facts(one))])


def _facts(one: Hold) -> RenderableType:
    rows = {
        "status": one.status if one.released_because is None else f"{one.status}: {one.released_because}",
        "covers": _scope(one),
        "keeps": f"{views.several(one.kept, 'copy', 'copies')} of what was erased or withdrawn",
        "owner": one.owner,
        "reason": f"{one.reason}  (Art. 17(3)({one.ground}))",
        "review": views.day(one.review_at),
    }
    return views.pairs([(f"  {name}", one_line(words)) for name, words in rows.items()])


def _scope(hold: Hold) -> str:
    scope = hold.scope
    parts = {"tenant": scope.tenant, "user": scope.user, "purpose": scope.purpose}
    shown = [f"{part}={value}" for part, value in parts.items() if value is not None]
    return ", ".join(
        [*shown, *([views.several(len(scope.memory_ids), "memory", "memories")] if scope.memory_ids else [])]
    )


def export(
    name: Name,
    target: Annotated[Path, typer.Argument(show_default=False, help="File to write; must not exist.")],
    store: Store,
) -> None:
    """Write what a hold keeps of persons who were erased or withdrew, for the hold's owner: it is content."""

    async def work(memory: TieredMemory) -> Any:
        return await memory.holds.export(name, target)

    records = run(store, work)
    output_of(store).show({"records": records, "file": target}, Text(f"{records} records in {target}"))


def purges(store: Store) -> None:
    """Show what forgetting cycles took: counts by what happened, sensitivity and rule."""

    async def work(memory: TieredMemory) -> Any:
        return await memory.purge_runs()

    found = run(store, work)
    output_of(store).show({"runs": found}, _runs(found))


def _runs(runs: Sequence[PurgeRun]) -> RenderableType:
    if not runs:
        return Text("no cycle took anything yet")
    made = views.table("when", "what", "count", right=["count"])
    for one in runs:
        for at, (what, count) in enumerate(sorted(one.counts.items())):
            made.add_row("" if at else f"{one.at:%Y-%m-%d %H:%M}", Text(what), str(count))
    return made


def event(
    name: Annotated[
        str, typer.Argument(show_default=False, help="The event's name, as the policy's rules have it.")
    ],
    person: NamedPerson,
    at: Annotated[
        str | None, typer.Option(show_default="now", help="When: ISO 8601, or a day (UTC).")
    ] = None,
) -> None:
    """Record that something happened to a user that retention rules count from, e.g. contract_end."""
    happened = moment(at, "--at")

    async def work(memory: TieredMemory) -> None:
        await memory.user(person.user, person.tenant).retention.event(name, at=happened)

    run(person, work)
    output_of(person).show({"event": name, "at": happened}, Text("recorded; deadlines follow it"))
