"""Commands about the program: policy check, version."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import fields
from importlib.metadata import PackageNotFoundError, version
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
    from tiered_memory.policy.rules import Policy

SAMPLE_IMPORTANCES = (0.25, 0.5, 0.75, 1.0)
SECTIONS = ("routing", "hot", "warm", "decay", "forgetting", "quota", "consent")
ENGINES = ("lancedb", "redis", "duckdb", "pyarrow", "numpy", "cryptography")
DAY_US = 86_400_000_000


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    policy = typer.Typer(no_args_is_help=True, help="Work with policy files.")
    command(policy, "check")(check)
    app.add_typer(policy, name="policy", rich_help_panel="Operating")
    command(app, "version", rich_help_panel="Operating")(show_version)


def check(
    policy: Annotated[
        str, typer.Argument(show_default=False, help="A policy's file, or the name of a shipped one.")
    ],
    form: Format,
) -> None:
    """Validate a policy and show the rules that result from it."""
    from tiered_memory.wiring import load_policy

    found = load_policy(policy)
    output_of(form).show(_document(found), _picture(found))


def _document(policy: Policy) -> dict[str, Any]:
    return {
        "valid": True,
        "version": policy.version,
        "rules": plain(policy),
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


def _tables(policy: Policy) -> RenderableType:
    kept = views.table("sensitivity", "floor, days", "ceiling, days", right=["floor, days", "ceiling, days"])
    for level, rule in policy.retention.items():
        kept.add_row(level.value, _word(rule.floor_days), _word(rule.ceiling_days))
    purposes = views.table("purpose", "lawful basis", "most sensitive")
    for name, purpose in policy.purposes.items():
        mark = " (default)" if name == policy.default_purpose else ""
        purposes.add_row(Text(name + mark), purpose.lawful_basis.value, purpose.max_sensitivity.value)
    return Group(Text("[retention]", style="cyan"), kept, Text("[purposes]", style="cyan"), purposes)


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
