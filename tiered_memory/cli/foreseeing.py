"""The command that looks ahead: what will be forgotten when, and what another policy would change."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Group, RenderableType
from rich.text import Text

from tiered_memory.cli import views
from tiered_memory.cli.entry import command, output_of, run
from tiered_memory.cli.options import AnyPerson

if TYPE_CHECKING:
    from tiered_memory.forecast_model import Forecast, ForecastBucket, ForecastShift, ForgettingForecast
    from tiered_memory.memory import TieredMemory


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    command(app, "forecast", rich_help_panel="Operating")(forecast)


def forecast(
    person: AnyPerson,
    days: Annotated[int, typer.Option(help="How far to look ahead, 1 to 3650 days.")] = 90,
    policy: Annotated[
        str | None,
        typer.Option(show_default="none", help="A policy to compare with: a file, or a shipped one's name."),
    ] = None,
) -> None:
    """Say what will be forgotten when, if nobody uses it, and what another policy would change. Changes nothing."""

    async def work(memory: TieredMemory) -> Any:
        face = memory if person.user is None else memory.user(person.user, person.tenant)
        return await face.forecast(days, policy=policy)

    output = output_of(person)
    with output.progress("looking ahead"):
        found = run(person, work)
    output.show(found, picture(found))


def picture(found: ForgettingForecast) -> RenderableType:
    """Return a forecast as a line of its course and a table of what leaves when."""
    parts: list[RenderableType] = [
        Text(f"{found.memories} memories, the next {found.days} days, if nobody uses any", style="bold")
    ]
    parts += _outlook(found.present)
    if found.candidate is not None and found.shift is not None:
        parts += [Text(), Text("under the other policy", style="bold"), *_outlook(found.candidate)]
        parts += [Text(), _shift(found.shift)]
    return Group(*parts)


def _outlook(one: Forecast) -> list[RenderableType]:
    leaving = [_leaving(bucket) for bucket in one.buckets]
    rows = views.table("from", "forgotten", "removed for good", wide="removed for good")
    for bucket in one.buckets:
        if bucket.forgotten or bucket.purged:
            rows.add_row(views.day(bucket.start), _counts(bucket.forgotten), _counts(bucket.purged))
    ends = f"{one.at_once} at once, {one.later} later, {one.never} never"
    course = Text.assemble(("  ", ""), (sparkline(leaving), "yellow"), (f"  {ends}  {one.policy}", "dim"))
    return [course, rows] if any(leaving) or rows.row_count else [course]


def _leaving(bucket: ForecastBucket) -> int:
    """Count what leaves retrieval in a bucket: forgotten, or removed without having been."""
    removed = sum(count for rule, count in bucket.purged.items() if rule != "undo window")
    return sum(bucket.forgotten.values()) + removed


def sparkline(counts: Iterable[int]) -> str:
    """Return counts as a line of blocks, the largest at full height, none as a space."""
    given = list(counts)
    top = max(given, default=0) or 1
    steps = len(views.LEVELS) - 1
    return "".join(views.LEVELS[-(-one * steps // top)] if one else " " for one in given)


def _counts(by_rule: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {rule}" for rule, count in sorted(by_rule.items()))


def _shift(shift: ForecastShift) -> RenderableType:
    return views.pairs(
        [
            ("earlier", f"{shift.earlier}, {shift.at_once} of them at once"),
            ("later", str(shift.later)),
            ("as before", str(shift.same)),
            ("kept", f"{shift.kept} would stay beyond the forecast"),
            ("lost", f"{shift.lost} would leave within it"),
        ]
    )
