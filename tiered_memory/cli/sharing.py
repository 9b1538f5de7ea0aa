"""Commands about shared memories: make one, say who is a member, contribute, look, delete."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from tiered_memory.cli import views
from tiered_memory.cli.entry import caller_of, command, output_of, run
from tiered_memory.cli.options import WHO, Calling, Store

if TYPE_CHECKING:
    from tiered_memory.memory import TieredMemory
    from tiered_memory.privacy.sharing import Member
    from tiered_memory.shared_face import SharedMemory

REFERENCE_DIGITS = 32
Name = Annotated[str, typer.Argument(show_default=False, help="Name of the shared memory.")]
Who = Annotated[str, typer.Argument(show_default=False, help="Id of a user, or of an agent with --agent.")]
IsAgent = Annotated[bool, typer.Option("--agent", help="The member is an agent, not a user.")]
MemoryId = Annotated[str, typer.Argument(show_default=False, help="Id of a memory.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class Participant(Store):
    """As whom, in which store."""

    user: Annotated[
        str | None,
        typer.Option(
            "--user", "-u", show_default="the agent --actor", help="Id of the user.", rich_help_panel=WHO
        ),
    ] = None
    tenant: Annotated[str, typer.Option(help="Id of the tenant.", rich_help_panel=WHO)] = "default"


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    shared = typer.Typer(no_args_is_help=True, help="Memories that several people and agents share.")
    for name, function in (
        ("create", create),
        ("grant", grant),
        ("revoke", revoke),
        ("members", members),
        ("add", add),
        ("search", search),
        ("list", list_memories),
        ("delete", delete),
    ):
        command(shared, name)(function)
    app.add_typer(shared, name="shared", rich_help_panel="Remembering")


def create(
    name: Name,
    person: Participant,
    calling: Calling,
    notice: Annotated[str, typer.Option(help="Id or version of what members are told of it.")],
    purpose: Annotated[str | None, typer.Option(show_default="the policy's", help="What it is for.")] = None,
    explicit: Annotated[bool, typer.Option("--explicit", help="It may take restricted data.")] = False,
) -> None:
    """Make a shared memory; whoever makes it manages it."""

    async def work(memory: TieredMemory) -> Any:
        space = _space(memory, name, person, calling)
        await space.create(notice=notice, purpose=purpose, explicit=explicit)

    run(person, work)
    output_of(person).show({"created": name}, Text("made; you manage it"))


def grant(
    name: Name,
    member: Who,
    person: Participant,
    calling: Calling,
    right: Annotated[list[str], typer.Option(help="read, write or manage; may be given again.")],
    is_agent: IsAgent = False,
) -> None:
    """Give a member exactly these rights; others it had are taken away."""

    async def work(memory: TieredMemory) -> Any:
        return await _space(memory, name, person, calling).grant_access(_member(member, is_agent), right)

    reference = run(person, work)
    output_of(person).show(
        {"reference": reference, "rights": sorted(right)}, views.pairs([("member", reference)])
    )


def revoke(name: Name, member: Who, person: Participant, calling: Calling, is_agent: IsAgent = False) -> None:
    """Take a member's access away at once; the member may be given by its reference."""

    async def work(memory: TieredMemory) -> Any:
        given = member if _is_reference(member) and not is_agent else _member(member, is_agent)
        await _space(memory, name, person, calling).revoke_access(given)

    run(person, work)
    output_of(person).show({"revoked": True}, Text("revoked"))


def members(name: Name, person: Participant, calling: Calling) -> None:
    """Show who is a member, by opaque reference, and the newest changes."""

    async def work(memory: TieredMemory) -> Any:
        space = _space(memory, name, person, calling)
        return await space.members(), await space.changes()

    found, changes = run(person, work)
    shown = views.table("member", "is", "rights", "since")
    for one in found:
        shown.add_row(one.reference, one.kind.value, ", ".join(one.rights), views.day(one.since))
    told = views.table("change", "day", "by", "about")
    for entry in changes:
        told.add_row(entry.change, views.day(entry.at), entry.by[:8], entry.about[:8])
    output_of(person).show({"members": found, "changes": changes}, shown, told)


def add(
    name: Name,
    text: Annotated[str, typer.Argument(show_default=False, help="What to contribute.")],
    person: Participant,
    calling: Calling,
    sensitivity: Annotated[
        str, typer.Option(help="public, internal, confidential or restricted.")
    ] = "internal",
    operation_id: Annotated[str | None, typer.Option(help="Makes repeating this call harmless.")] = None,
) -> None:
    """Contribute something; it is kept durably or not at all."""

    async def work(memory: TieredMemory) -> Any:
        space = _space(memory, name, person, calling)
        return await space.add(text, sensitivity=sensitivity, operation_id=operation_id)

    found = run(person, work)
    output_of(person).show(found, views.receipt(found))


def search(
    name: Name,
    question: Annotated[str, typer.Argument(show_default=False, help="What to look for, in plain words.")],
    person: Participant,
    calling: Calling,
    limit: Annotated[int, typer.Option("--limit", "-n", help="How many memories at most.")] = 5,
) -> None:
    """Find what answers a question."""

    async def work(memory: TieredMemory) -> Any:
        return await _space(memory, name, person, calling).search(question, limit=limit)

    found = run(person, work)
    output_of(person).show({"question": question, "hits": found}, views.hits(found))


def list_memories(
    name: Name,
    person: Participant,
    calling: Calling,
    limit: Annotated[int, typer.Option("--limit", "-n", help="Memories on a page.")] = 20,
    before: Annotated[
        int | None, typer.Option(show_default=False, help="Order at which the page before ended.")
    ] = None,
) -> None:
    """List memories, newest first, page by page."""

    async def work(memory: TieredMemory) -> Any:
        return await _space(memory, name, person, calling).list(limit=limit, before=before)

    found = run(person, work)
    more = found[-1].order if found and len(found) == limit else None
    output_of(person).show({"memories": found, "next_before": more}, views.memories(found))


def delete(
    name: Name,
    memory_id: MemoryId,
    person: Participant,
    calling: Calling,
    reason: Annotated[str, typer.Option(help="Why, for the record.")] = "deleted by a member",
) -> None:
    """Delete a contribution of one's own, or any when one manages, for good."""

    async def work(memory: TieredMemory) -> Any:
        await _space(memory, name, person, calling).delete(memory_id, reason=reason)

    run(person, work)
    output_of(person).show({"deleted": memory_id}, Text("deleted"))


def _space(memory: TieredMemory, name: str, person: Participant, calling: Calling) -> SharedMemory:
    return memory.shared(name, person.tenant, user=person.user, caller=caller_of(calling))


def _member(given: str, is_agent: bool) -> Member:
    from tiered_memory.privacy.sharing import Member, MemberKind

    return Member(given, MemberKind.AGENT if is_agent else MemberKind.USER)


def _is_reference(given: str) -> bool:
    return len(given) == REFERENCE_DIGITS and not set(given) - set("0123456789abcdef")
