"""What a replay found, as one JSON document and as pictures for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from rich.console import Group, RenderableType
from rich.text import Text

from tiered_memory.cli import views
from tiered_memory.cli.output import one_line, plain
from tiered_memory.clock import from_us

if TYPE_CHECKING:
    from tiered_memory.cli.tuning import Candidate, Tuning
    from tiered_memory.forgetting.rehearsal import Month

UNITS = ("B", "KiB", "MiB", "GiB")
MARK = "*"
SORTS: Mapping[str, str] = {
    "missed": "needed and not there",
    "gone": "kept at first and gone",
    "dropped": "below the gate",
}


def document(made: Tuning) -> dict[str, Any]:
    """Return the answer as JSON has it. Examples are lines; what they say comes along only when asked for."""
    history = made.history
    return {
        "turns": len(history.turns),
        "users": len({turn.user for turn in history.turns}),
        "needs": len(history.needs),
        "first": from_us(int(history.said.min())) if history.turns else None,
        "until": from_us(history.until_us) if history.turns else None,
        "weighed": "needs_met against bytes_peak" if history.needs else "importance_kept against bytes_end",
        "candidates": [_candidate(one, made) for one in made.candidates],
        "chosen": None if made.chosen is None else made.chosen.number,
        "toml": None if made.chosen is None else _toml(made.chosen),
    }


def _candidate(one: Candidate, made: Tuning) -> dict[str, Any]:
    found = plain(one.found)
    found["months"] = [_month(month) for month in one.found.months]
    for sort in SORTS:
        found[sort] = [_example(turn, made) for turn in getattr(one.found, sort)]
    name = {"number": one.number, "name": one.policy.name, "version": one.policy.version, "best": one.best}
    return {**name, **found, "needs_share": one.found.needs_share}


def _month(month: Month) -> dict[str, Any]:
    found: dict[str, Any] = plain(month)
    return {"start": from_us(found.pop("start_us")), **found}


def _example(turn: int, made: Tuning) -> dict[str, Any]:
    line = made.lines[turn]
    found = {"line": line.number, "importance": made.history.turns[turn].importance}
    return {**found, "content": line.said.content} if made.shown else found


def picture(made: Tuning) -> RenderableType:
    """Return the answer as a table of candidates, the chosen one's months and lines, and examples."""
    parts: list[RenderableType] = [Text(_headline(made), style="bold"), _table(made), _legend(made)]
    if made.chosen is not None:
        parts += [Text(), Text(f"{made.chosen.policy.name}, month by month", style="bold")]
        parts += [_months(made.chosen), Text(), Text("as a policy file", style="bold")]
        parts.append(Text(_toml(made.chosen).rstrip()))
    if made.shown:
        shown = [made.chosen] if made.chosen else [one for one in made.candidates if one.best]
        for one in shown:
            parts += _examples(one, made)
    return Group(*parts)


def _headline(made: Tuning) -> str:
    history = made.history
    if not history.turns:
        return "no turns"
    first, until = views.day(from_us(int(history.said.min()))), views.day(from_us(history.until_us))
    return f"{len(history.turns)} turns, {len(history.needs)} times needed, {first} to {until}"


def _table(made: Tuning) -> RenderableType:
    weighed = "met" if made.history.needs else "weight"
    columns = ("below gate", "kept", "forgotten", "purged", "at end", "peak", "life", weighed)
    table = views.table("", "policy", *columns, right=["", *columns])
    for one in made.candidates:
        found, life = one.found, one.found.median_lifetime_days
        counts = (found.below_gate, found.active, found.forgotten, found.purged)
        table.add_row(
            str(one.number),
            Text(f"{MARK if one.best else ' '} {one_line(one.policy.name)}", style="green" * one.best),
            *map(str, counts),
            _size(found.bytes_end),
            _size(found.bytes_peak),
            ("for ever" if found.stored else "") if life is None else f"{life:.0f} d",
            f"{found.benefit:.1%}",
        )
    return table


def _size(count: float) -> str:
    """Return bytes in the largest unit of which there is one."""
    unit = 0
    while count >= 1024 and unit < len(UNITS) - 1:  # noqa: PLR2004 - what the units mean
        count, unit = count / 1024, unit + 1
    return f"{count:.{unit > 0:d}f} {UNITS[unit]}"


def _legend(made: Tuning) -> RenderableType:
    weighed = (
        "met: share of needs for which the turn was there, against the peak."
        if made.history.needs
        else "weight: share of all importance kept at the end, against the bytes at the end."
    )
    life = "life: median time until what is stored is forgotten."
    return Text(f"{MARK} none keeps as much with less. {weighed}\n{life}", style="dim")


def _months(one: Candidate) -> RenderableType:
    table = views.table(
        "month", "stored", "left", "removed for good", "kept", "size", right=["stored", "kept", "size"]
    )
    for month in one.found.months:
        table.add_row(
            f"{from_us(month.start_us):%Y-%m}",
            str(month.stored),
            _counts(month.left),
            _counts(month.purged),
            str(month.active),
            _size(month.bytes),
        )
    return table


def _counts(by_rule: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {rule}" for rule, count in by_rule.items())


def _examples(one: Candidate, made: Tuning) -> Iterator[RenderableType]:
    for sort, said in SORTS.items():
        turns = getattr(one.found, sort)
        if turns:
            yield Text(f"\n{one.policy.name}: {said}", style="bold")
        for turn in turns:
            line, importance = made.lines[turn], made.history.turns[turn].importance
            start = f"  line {line.number}  {views.day(from_us(line.at_us))}  {importance:.2f}  "
            yield Text.assemble(
                (start, "dim"), one_line(line.said.content), no_wrap=True, overflow="ellipsis"
            )


def _toml(one: Candidate) -> str:
    from tiered_memory.policy.variants import as_toml

    return as_toml(one.policy)
