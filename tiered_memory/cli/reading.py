"""Commands that look: search, context, list, explain, history, stats."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tiered_memory.cli import views
from tiered_memory.cli.entry import command, filter_of, output_of, run, user_of, whole_id
from tiered_memory.cli.options import Calling, Narrow, Person, Store
from tiered_memory.cli.output import plain

if TYPE_CHECKING:
    from tiered_memory.analytics.duckdb_views import Stats
    from tiered_memory.memory import TieredMemory

Question = Annotated[str, typer.Argument(show_default=False, help="What to look for, in plain words.")]
MemoryId = Annotated[
    str, typer.Argument(show_default=False, help="Id of a memory, or its first digits (four or more).")
]


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    panel = "Remembering"
    command(app, "search", rich_help_panel=panel)(search)
    command(app, "context", rich_help_panel=panel)(context)
    command(app, "list", rich_help_panel=panel)(list_memories)
    command(app, "explain", rich_help_panel=panel)(explain)
    command(app, "history", rich_help_panel=panel)(history)
    command(app, "stats", rich_help_panel="Operating")(stats)


def search(
    question: Question,
    person: Person,
    calling: Calling,
    narrow: Narrow,
    limit: Annotated[int, typer.Option("--limit", "-n", help="How many memories at most.")] = 5,
) -> None:
    """Find the memories that answer a question, each with the terms of its score."""
    where = filter_of(narrow)

    async def work(memory: TieredMemory) -> Any:
        return await user_of(memory, person, calling).search(question, limit=limit, where=where)

    found = run(person, work)
    output_of(person).show({"question": question, "hits": found}, views.hits(found))


def context(
    question: Question,
    person: Person,
    calling: Calling,
    narrow: Narrow,
    session_turns: Annotated[
        str | None, typer.Option("--in-session", help="Session whose turns come along.")
    ] = None,
    token_budget: Annotated[int, typer.Option(help="Most tokens the context may have.")] = 1500,
) -> None:
    """Pack memories for a prompt within a token budget. What gets in counts as used and grows stronger."""
    where = filter_of(narrow)

    async def work(memory: TieredMemory) -> Any:
        user = user_of(memory, person, calling)
        return await user.context(question, session=session_turns, token_budget=token_budget, where=where)

    packed = run(person, work)
    output = output_of(person)
    text = packed.render()
    output.text({"question": question, "text": text, **plain(packed)}, text)
    if not output.as_document:
        output.err.print(views.left_out(packed))


def list_memories(
    person: Person,
    calling: Calling,
    narrow: Narrow,
    limit: Annotated[int, typer.Option("--limit", "-n", help="Memories on a page.")] = 20,
    before: Annotated[
        int | None, typer.Option(show_default=False, help="Order at which the page before ended.")
    ] = None,
    forgotten: Annotated[
        bool, typer.Option("--forgotten", help="Those that faded and can still be restored.")
    ] = False,
) -> None:
    """List memories, newest first, page by page."""
    where = filter_of(narrow)

    async def work(memory: TieredMemory) -> Any:
        user = user_of(memory, person, calling)
        if forgotten:
            return await user.forgotten()
        return await user.list(where=where, limit=limit, before=before)

    found = run(person, work)
    more = found[-1].order if found and len(found) == limit and not forgotten else None
    output = output_of(person)
    output.show({"memories": found, "next_before": more}, views.memories(found))
    if more is not None and not output.as_document:
        output.note(f"next page: --before {more}")


def explain(memory_id: MemoryId, person: Person, calling: Calling) -> None:
    """Say why a memory is kept, how strong it is, and when and by which rule it will go."""

    async def work(memory: TieredMemory) -> Any:
        user = user_of(memory, person, calling)
        return await user.explain(await whole_id(user, memory_id))

    found = run(person, work)
    output_of(person).show(found, views.explanation(found))


def history(memory_id: MemoryId, person: Person, calling: Calling) -> None:
    """Show what took the place of what: the memories before and after one, oldest first, and why."""

    async def work(memory: TieredMemory) -> Any:
        user = user_of(memory, person, calling)
        return await user.history(await whole_id(user, memory_id))

    found = run(person, work)
    output_of(person).show({"history": found}, views.history(found))


def stats(store: Store) -> None:
    """Show counts, routing decisions, the importance histogram and the forgetting forecast."""

    async def work(memory: TieredMemory) -> Any:
        return await memory.stats()

    found = run(store, work)
    output_of(store).show(stats_document(found), views.statistics(found))


def stats_document(stats: Stats) -> Mapping[str, Any]:
    """Return statistics as JSON has them: routing as a list of its pairs."""
    document = {name: plain(getattr(stats, name)) for name in stats.__slots__ if name != "routing"}
    routing = [
        {"target": target, "reason": reason, "count": count}
        for target, reasons in sorted(stats.routing.items())
        for reason, count in sorted(reasons.items())
    ]
    return {**document, "routing": routing}
