"""Options that many commands share, as values; and the step that lets typer see a value's fields as options."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator
from dataclasses import MISSING, Field, dataclass, fields, is_dataclass
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

from tiered_memory.model import Durability

STORE, WHO, ABOUT, TERMS, NARROW = "Store", "Whose memory", "The interaction", "Terms", "Filter"
CALLING = "Who asks"


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """How to answer."""

    json: Annotated[bool, typer.Option("--json", help="Answer with one JSON document.")] = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Store(Format):
    """Which store, and how to answer."""

    data: Annotated[
        Path | None,
        typer.Option(
            envvar="TIERED_MEMORY_DATA_DIR",
            show_default="./data",
            help="Data directory of the store.",
            rich_help_panel=STORE,
        ),
    ] = None
    config: Annotated[Path | None, typer.Option(help="Settings file (TOML).", rich_help_panel=STORE)] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Person(Store):
    """Whose memory in which store."""

    user: Annotated[str, typer.Option("--user", "-u", help="Id of the user.", rich_help_panel=WHO)] = "me"
    tenant: Annotated[str, typer.Option(help="Id of the user's tenant.", rich_help_panel=WHO)] = "default"


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedPerson(Store):
    """Like `Person`, where guessing the user would be dangerous."""

    user: Annotated[str, typer.Option("--user", "-u", help="Id of the user.", rich_help_panel=WHO)]
    tenant: Annotated[str, typer.Option(help="Id of the user's tenant.", rich_help_panel=WHO)] = "default"


@dataclass(frozen=True, slots=True, kw_only=True)
class AnyPerson(Store):
    """One user, or all of them."""

    user: Annotated[
        str | None,
        typer.Option("--user", "-u", show_default="every user", help="Id of one user.", rich_help_panel=WHO),
    ] = None
    tenant: Annotated[str, typer.Option(help="Id of the user's tenant.", rich_help_panel=WHO)] = "default"


@dataclass(frozen=True, slots=True, kw_only=True)
class Calling:
    """Who asks, and in which connection; see `Caller`."""

    as_role: Annotated[
        str, typer.Option(help="agent, admin, export, auditor or support.", rich_help_panel=CALLING)
    ] = "agent"
    actor: Annotated[
        str,
        typer.Option(show_default=False, help="Who asks; the ledger commits to it.", rich_help_panel=CALLING),
    ] = ""
    purpose_context: Annotated[
        str,
        typer.Option(
            "--context",
            show_default=False,
            help="In which connection, e.g. support.",
            rich_help_panel=CALLING,
        ),
    ] = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """What may be said of an interaction besides its content; see `Interaction`."""

    session: Annotated[str | None, typer.Option(help="Session it belongs to.", rich_help_panel=ABOUT)] = None
    role: Annotated[str, typer.Option(help="user, assistant, system or tool.", rich_help_panel=ABOUT)] = (
        "user"
    )
    author: Annotated[str | None, typer.Option(help="Who said it.", rich_help_panel=ABOUT)] = None
    agent: Annotated[str | None, typer.Option(help="Agent it was said to.", rich_help_panel=ABOUT)] = None
    time: Annotated[
        str | None,
        typer.Option(
            show_default="now", help="When it was said: ISO 8601 with offset.", rich_help_panel=ABOUT
        ),
    ] = None
    kind: Annotated[
        str, typer.Option(help="episodic, semantic, procedural or profile.", rich_help_panel=ABOUT)
    ] = "episodic"
    sensitivity: Annotated[
        str, typer.Option(help="public, internal, confidential or restricted.", rich_help_panel=ABOUT)
    ] = "internal"
    importance: Annotated[
        float | None,
        typer.Option(show_default="scored", help="0..1, in place of the score.", rich_help_panel=ABOUT),
    ] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """On which terms an interaction is stored; see `User.add_many`."""

    purpose: Annotated[
        str | None,
        typer.Option(show_default="the policy's", help="What it is kept for.", rich_help_panel=TERMS),
    ] = None
    operation_id: Annotated[
        str | None, typer.Option(help="Makes repeating this call harmless.", rich_help_panel=TERMS)
    ] = None
    require: Annotated[
        Durability | None,
        typer.Option(help="Refuse to keep it less durably than this.", rich_help_panel=TERMS),
    ] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Narrow:
    """Which memories; see `Filter`."""

    kind: Annotated[list[str] | None, typer.Option(help="Only these kinds.", rich_help_panel=NARROW)] = None
    role: Annotated[list[str] | None, typer.Option(help="Only these roles.", rich_help_panel=NARROW)] = None
    session: Annotated[
        list[str] | None, typer.Option(help="Only these sessions.", rich_help_panel=NARROW)
    ] = None
    agent: Annotated[list[str] | None, typer.Option(help="Only these agents.", rich_help_panel=NARROW)] = None
    since: Annotated[
        str | None, typer.Option(help="Said from then on: ISO 8601, or a day (UTC).", rich_help_panel=NARROW)
    ] = None
    until: Annotated[
        str | None, typer.Option(help="Said before: ISO 8601, or a day (UTC).", rich_help_panel=NARROW)
    ] = None
    min_importance: Annotated[
        float | None, typer.Option(help="At least so important, 0..1.", rich_help_panel=NARROW)
    ] = None
    as_of: Annotated[
        str | None,
        typer.Option(help="What held good then: ISO 8601, or a day (UTC).", rich_help_panel=NARROW),
    ] = None
    include_superseded: Annotated[
        bool,
        typer.Option(
            "--include-superseded", help="Those too that another took the place of.", rich_help_panel=NARROW
        ),
    ] = False


def flat(function: Callable[..., None]) -> Callable[..., None]:
    """Return `function` as typer wants it: the fields of its dataclass parameters as options of their own."""
    hints = get_type_hints(function, include_extras=True)
    values = {name: hint for name, hint in hints.items() if isinstance(hint, type) and is_dataclass(hint)}

    @functools.wraps(function)
    def call(**given: Any) -> None:
        for name, kind in values.items():
            given[name] = kind(**{one.name: given.pop(one.name) for one in fields(kind)})
        function(**given)

    signature = inspect.signature(function)
    found = [one for name in signature.parameters for one in _parameters(name, signature, hints)]
    call.__signature__ = inspect.Signature(found)  # type: ignore[attr-defined]
    call.__annotations__ = {one.name: one.annotation for one in found}
    return call


def _parameters(
    name: str, signature: inspect.Signature, hints: dict[str, Any]
) -> Iterator[inspect.Parameter]:
    hint, given = hints[name], signature.parameters[name]
    if not is_dataclass(hint):
        yield given.replace(annotation=hint, kind=inspect.Parameter.KEYWORD_ONLY)
        return
    inner = get_type_hints(hint, include_extras=True)
    for one in fields(hint):
        yield inspect.Parameter(
            one.name, inspect.Parameter.KEYWORD_ONLY, default=_default(one), annotation=inner[one.name]
        )


def _default(one: Field[Any]) -> Any:
    return inspect.Parameter.empty if one.default is MISSING else one.default
