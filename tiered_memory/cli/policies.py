"""Commands about the program: policy check, version."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from dataclasses import fields
from importlib.metadata import PackageNotFoundError, version
from itertools import takewhile
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Group, RenderableType
from rich.text import Text

import tiered_memory
from tiered_memory.cli import views
from tiered_memory.cli.entry import command, output_of
from tiered_memory.cli.options import Format
from tiered_memory.cli.output import plain

if TYPE_CHECKING:
    from tiered_memory.policy.retention_rules import Bound
    from tiered_memory.policy.rules import Policy

SAMPLE_IMPORTANCES = (0.25, 0.5, 0.75, 1.0)
SECTIONS = ("routing", "hot", "warm", "decay", "forgetting", "quota", "tenancy", "consent", "guard")
ENGINES = ("lancedb", "redis", "duckdb", "pyarrow", "numpy", "cryptography")
DAY_US = 86_400_000_000


Named = Annotated[
    str, typer.Argument(show_default=False, help="A policy's file, or the name of a shipped one.")
]


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    policy = typer.Typer(no_args_is_help=True, help="Work with policy files.")
    command(policy, "check")(check)
    command(policy, "show")(show)
    command(policy, "list")(listed)
    app.add_typer(policy, name="policy", rich_help_panel="Operating")
    command(app, "version", rich_help_panel="Operating")(show_version)


def check(policy: Named, form: Format) -> None:
    """Validate a policy and show the rules that result from it."""
    from tiered_memory.wiring import load_policy

    found = load_policy(policy)
    output_of(form).show(_document(found), _picture(found))


def show(policy: Named, form: Format) -> None:
    """Print a policy as it is written, with what its header says it binds: a shipped one is where to start."""
    from tiered_memory.wiring import policy_text

    text, source = policy_text(policy)
    output_of(form).text({"file": source, "text": text}, text.rstrip("\n"))


def listed(form: Format) -> None:
    """List the shipped policies, each with the first sentence of its header."""
    from tiered_memory.wiring import policy_text, shipped_policies

    heads = {name: _first_sentence(policy_text(name)[0]) for name in shipped_policies()}
    output_of(form).show({"policies": heads}, views.pairs(heads.items()))


def _first_sentence(text: str) -> str:
    head = " ".join(line.lstrip("# ") for line in takewhile(lambda line: len(line) > 1, text.splitlines()))
    return head.partition(". ")[0].rstrip(".")


def _document(policy: Policy) -> dict[str, Any]:
    return {
        "valid": True,
        "version": policy.version,
        "rules": plain(policy),
        "retention": resolved_retention(policy),
        "lifetime_days_untouched": {f"{one:g}": days for one, days in _lifetimes(policy).items()},
    }


def _lifetimes(policy: Policy) -> dict[float, float | None]:
    """Return how many days a memory lasts that nobody uses, by importance; None is for ever. Ceilings are apart."""
    from tiered_memory.forgetting.decay import curve_for

    curve = curve_for(policy.decay)
    found = {one: curve.forget_at_us(curve.start(one, 0)) for one in SAMPLE_IMPORTANCES}
    return {one: None if at is None else round(at / DAY_US, 1) for one, at in found.items()}


def _picture(policy: Policy) -> RenderableType:
    from tiered_memory.policy.rules import Policy as Defaults

    defaults = Defaults()
    parts: list[RenderableType] = [
        Text(f"{policy.name} is valid", style="bold green"),
        Text(policy.version, style="dim"),
    ]
    for name in SECTIONS:
        parts += [Text(), _rules(name, _values(getattr(policy, name)), _values(getattr(defaults, name)))]
    parts += [Text(), _personal_data(policy), Text(), _access(policy)]
    parts += [Text(), _tables(policy), Text(), _consequences(policy)]
    return Group(*parts)


def _values(rules: Any) -> dict[str, Any]:
    return {one.name: getattr(rules, one.name) for one in fields(rules)}


def _rules(title: str, values: Mapping[str, Any], defaults: Mapping[str, Any]) -> RenderableType:
    rows = []
    for name, value in values.items():
        shown = Text(_word(value))
        if value != defaults[name]:
            shown.stylize("bold yellow")
            shown.append(f"  (default {_word(defaults[name])})", style="dim")
        rows.append((f"  {name}", shown))
    return Group(Text(f"[{title}]", style="cyan"), views.pairs(rows))


def _personal_data(policy: Policy) -> RenderableType:
    modes = [(f"  {level.value}", mode.value) for level, mode in policy.pii.modes.items()]
    types = [(f"  {kind.value}", mode.value) for kind, mode in policy.pii.types.items()]
    return Group(Text("[pii]", style="cyan"), views.pairs([*modes, *types]))


def _access(policy: Policy) -> RenderableType:
    from tiered_memory.cli.access import table_of

    return Group(Text("[access]", style="cyan"), table_of(policy))


def _tables(policy: Policy) -> RenderableType:
    kept = views.table("sensitivity", "floor, days", "ceiling, days", right=["floor, days", "ceiling, days"])
    for level, rule in policy.retention.items():
        kept.add_row(level.value, _word(rule.floor_days), _word(rule.ceiling_days))
    purposes = views.table("purpose", "lawful basis", "most sensitive")
    for name, purpose in policy.purposes.items():
        mark = " (default)" if name == policy.default_purpose else ""
        purposes.add_row(Text(name + mark), purpose.lawful_basis.value, purpose.max_sensitivity.value)
    named = [Text("resolved", style="cyan"), _resolved(policy)] if policy.retention_rules else []
    return Group(Text("[retention]", style="cyan"), kept, *named, Text("[purposes]", style="cyan"), purposes)


def resolved_retention(policy: Policy) -> list[dict[str, Any]]:
    """Return what each class of records comes to under all rules together, with the rules that decide it."""
    from tiered_memory.model import Kind
    from tiered_memory.policy.compose import LEVELS, bounds_for
    from tiered_memory.policy.retention_rules import RECORDS, record_floor

    found: list[dict[str, Any]] = []
    for purpose in policy.purposes:
        for level in LEVELS:
            by_kind = {
                kind.value: bounds_for(policy, sensitivity=level, kind=kind.value, purpose=purpose)
                for kind in Kind
            }
            for bounds in dict.fromkeys(by_kind.values()):
                kinds = [kind for kind, its in by_kind.items() if its == bounds]
                name = level.value if len(kinds) == len(by_kind) else f"{level.value}, {', '.join(kinds)}"
                found.append(_class(name, purpose, bounds.floors, bounds.ceilings))
    floors = {one: record_floor(policy.retention_rules, one, policy.jurisdiction) for one in RECORDS}
    return found + [_class(one, "", (floor,), ()) for one, floor in floors.items() if floor is not None]


def _class(name: str, purpose: str, floors: Sequence[Bound], ceilings: Sequence[Bound]) -> dict[str, Any]:
    return {"records": name, "purpose": purpose, "at_least": plain(floors), "at_most": plain(ceilings)}


def _resolved(policy: Policy) -> RenderableType:
    made = views.table("records", "purpose", "at least", "at most")
    for one in resolved_retention(policy):
        made.add_row(
            Text(one["records"]), Text(one["purpose"]), _limits(one["at_least"]), _limits(one["at_most"])
        )
    return made


def _limits(bounds: Sequence[Mapping[str, Any]]) -> Text:
    """Return bounds as words: days, from which trigger if it is not ingestion, by which rule."""
    from tiered_memory.policy.retention_rules import INGESTED

    return Text(
        "; ".join(
            f"{one['days']:g} d{'' if one['trigger'] == INGESTED else ' from ' + one['trigger']} ({one['rule']})"
            for one in bounds
        )
    )


def _consequences(policy: Policy) -> RenderableType:
    rows = [
        (f"  importance {one:.2f}", "for ever" if days is None else f"{days:.0f} days")
        for one, days in _lifetimes(policy).items()
    ]
    return Group(Text("What nobody uses fades after", style="bold"), views.pairs(rows))


def _word(value: Any) -> str:
    if value is None:
        return "none"
    return f"{value:g}" if isinstance(value, float) else str(value)


def show_version(form: Format) -> None:
    """Show the versions of the package and its engines."""
    engines = {name: _version(name) for name in ENGINES}
    document = {
        "tiered-memory": tiered_memory.__version__,
        "python": platform.python_version(),
        "engines": engines,
    }
    rows = [
        ("tiered-memory", tiered_memory.__version__),
        ("python", platform.python_version()),
        *engines.items(),
    ]
    output_of(form).show(document, views.pairs(rows))


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
