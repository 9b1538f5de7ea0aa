"""Pictures of the runtime's values for people."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from rich import box
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from tiered_memory import plurals
from tiered_memory.cli.output import harmless, one_line

if TYPE_CHECKING:
    from tiered_memory.analytics.duckdb_views import Stats
    from tiered_memory.forget_model import ForgetReport
    from tiered_memory.model import (
        Certificate,
        Context,
        Explanation,
        HistoryEntry,
        Hit,
        Memory,
        Receipt,
        TierName,
    )
    from tiered_memory.privacy.consent import ConsentEvent

ID_SHOWN = 8
INDENT = 3
PLANNED_SHOWN = 20
STRONG, WEAK = 0.5, 0.2
LEVELS = "▁▂▃▄▅▆▇█"
EIGHTHS = " ▏▎▍▌▋▊▉█"
TIER_STYLE = {"hot": "red", "warm": "yellow", "cold": "cyan", "state": "magenta"}
DURABILITY_SAYS = {
    "ephemeral": "kept in memory only, until this process ends",
    "session": "kept on disk as long as its session",
    "journaled": "on disk",
}
FORECAST_SAYS = {1: "a day", 7: "a week", 30: "30 days", 90: "90 days", 365: "a year"}


def share_style(share: float) -> str:
    """Return the colour for a share (0..1): green is strong, red is nearly gone."""
    return "green" if share >= STRONG else "yellow" if share >= WEAK else "red"


def number(share: float) -> Text:
    """Return a share (0..1) as two digits in its colour."""
    return Text(f"{share:.2f}".removeprefix("0"), style=share_style(share))


def bar(share: float, width: int, style: str) -> Text:
    """Return a bar for a share (0..1) of `width` columns, fine to an eighth of one."""
    eighths = round(min(max(share, 0.0), 1.0) * width * 8)
    full, rest = divmod(eighths, 8)
    return Text((LEVELS[-1] * full + (EIGHTHS[rest] if rest else "")).ljust(width), style=style)


def tiers(names: Iterable[TierName | str]) -> Text:
    """Return tiers in their colours."""
    return Text(" ").join(Text(str(name), style=TIER_STYLE.get(str(name), "")) for name in names)


def day(when: datetime | None, otherwise: str = "never") -> str:
    """Return a moment's date."""
    return otherwise if when is None else f"{when:%Y-%m-%d}"


def last_day(ends: datetime) -> str:
    """Return the last date before a moment: who is told a day as a deadline has the whole of it."""
    return day(ends - timedelta.resolution)


def several(count: int, one: str, more: str = "") -> str:
    """Return a number with its noun, e.g. "1 user", "2 users"."""
    return plurals.counted(count, one, more)


def table(*columns: str, right: Sequence[str] = (), wide: str = "") -> Table:
    """Return an empty table; columns named in `right` are right-aligned, `wide` takes what room is left."""
    made = Table(
        box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0), header_style="dim", expand=bool(wide)
    )
    for name in columns:
        made.add_column(
            name,
            justify="right" if name in right else "left",
            no_wrap=True,
            ratio=1 if name == wide else None,
            overflow="ellipsis",
        )
    return made


def pairs(rows: Iterable[tuple[str, RenderableType]]) -> Table:
    """Return names with their values beside them."""
    made = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    made.add_column(style="dim", no_wrap=True)
    made.add_column(overflow="fold")
    for name, value in rows:
        made.add_row(name, Text(harmless(value)) if isinstance(value, str) else value)
    return made


def reasons(given: Iterable[str]) -> str:
    """Return reasons as one phrase."""
    return ", ".join(given) or "nothing in it stands out"


def receipt(one: Receipt) -> RenderableType:
    """Return what became of an interaction."""
    return pairs(
        [
            ("memory", one.id),
            ("importance", Text.assemble(number(one.importance), f"  {reasons(one.reasons)}")),
            ("tiers", tiers(one.tiers) or "none"),
            ("kept", f"{one.durability.value}: {DURABILITY_SAYS[one.durability.value]}"),
            ("because", one.routing + (" (repeated: nothing was added)" if one.repeated else "")),
        ]
    )


def memories(found: Sequence[Memory]) -> RenderableType:
    """Return memories as a list."""
    if not found:
        return Text("no memories", style="dim")
    shown = table("id", "said", "imp", "who", "content", right=["imp"], wide="content")
    for one in found:
        who = one_line(one.author or one.role.value)[:12]
        shown.add_row(
            one.id[:ID_SHOWN],
            day(one.occurred_at),
            number(one.importance),
            Text(who),
            Text(one_line(one.content)),
        )
    return shown


def hits(found: Sequence[Hit]) -> RenderableType:
    """Return what a search found, each with the terms of its score."""
    if not found:
        return Text("nothing found", style="dim")
    return Group(*(part for rank, hit in enumerate(found, 1) for part in _hit(rank, hit)))


def _hit(rank: int, hit: Hit) -> list[RenderableType]:
    memory = hit.memory
    head = Text.assemble(
        (f"{rank:>2} ", "bold"),
        (f"{hit.score:5.2f}  ", "bold green"),
        (
            f"{memory.id[:ID_SHOWN]}  {day(memory.occurred_at)}  {one_line(memory.author or memory.role.value)}  ",
            "dim",
        ),
        tiers([hit.tier]),
        ("  strength ", "dim"),
        number(hit.strength),
        (standing(memory, hit.conflicts_with), "yellow"),
    )
    body = Padding(Text(harmless(memory.content.strip())), (0, 0, 0, INDENT))
    return [head, body, Padding(Text(terms(hit.terms), style="dim"), (0, 0, 1, INDENT))]


def standing(memory: Memory, conflicts: Sequence[str] = ()) -> str:
    """Return what else is known of what a memory says: that it was superseded, or what says otherwise."""
    ended = f"  until {day(memory.valid_to)}" if memory.superseded_by else ""
    others = ", ".join(one[:ID_SHOWN] for one in conflicts)
    return ended + (f"  conflicts with {others}" if others else "")


def terms(given: Mapping[str, float]) -> str:
    """Return the terms of a score, largest first."""
    ordered = sorted(given.items(), key=lambda term: -abs(term[1]))
    return " · ".join(f"{name.replace('_', ' ')} {value:+.2f}" for name, value in ordered if round(value, 2))


def left_out(context: Context) -> RenderableType:
    """Return how full a context is, and what is not in it."""
    lines = [Text(f"{context.tokens} of {context.token_budget} tokens, {len(context.items)} pieces")]
    counted: dict[tuple[str, str], list[int]] = {}
    for one in context.left_out:
        counted.setdefault((one.section, one.reason), []).append(one.tokens)
    for (section, reason), sizes in counted.items():
        lines.append(Text(f"left out: {len(sizes)} {section} ({sum(sizes)} tokens), {reason}", style="dim"))
    return Group(*lines)


def explanation(given: Explanation) -> RenderableType:
    """Return why a memory is kept and until when."""
    memory = given.memory
    said = f"{day(memory.occurred_at)} by {memory.author or memory.role.value}"
    strength = Text.assemble(
        bar(given.strength, 20, share_style(given.strength)), " ", number(given.strength)
    )
    leaves = Text(day(given.deadline), style="bold")
    leaves.append(f"  by {given.deadline_rule}", style="dim")
    if given.forget_at != given.deadline:
        leaves.append(f"  (would fade on {day(given.forget_at)})", style="dim")
    basis = "none" if memory.lawful_basis is None else memory.lawful_basis.value
    return Group(
        Text(harmless(memory.content.strip()), style="bold"),
        pairs(
            [
                ("memory", memory.id),
                ("said", said),
                ("state", Text.assemble(given.state, standing(memory), "  ", tiers(given.tiers))),
                ("importance", Text.assemble(number(memory.importance), f"  {reasons(memory.reasons)}")),
                ("strength", strength),
                ("half-life", f"{given.half_life_days:.0f} days" if given.half_life_days else "none"),
                ("used", f"{given.spaced_uses:.1f} spaced uses, last on {day(given.last_used_at)}"),
                ("leaves", leaves),
                ("kept for", f"{memory.purpose} (basis: {basis}), {memory.sensitivity.value}"),
                ("policy", given.policy),
            ]
        ),
    )


def history(found: Sequence[HistoryEntry]) -> RenderableType:
    """Return memories that took each other's place, each with its time and why that ended."""
    shown = table("id", "from", "until", "because", "content", wide="content")
    for one in found:
        shown.add_row(
            one.memory.id[:ID_SHOWN],
            day(one.valid_from),
            day(one.valid_to, "now"),
            Text(one_line(one.reason or "")),
            Text(one_line(one.memory.content)),
        )
    return shown


def forgetting(report: ForgetReport, contents: Mapping[str, Memory]) -> RenderableType:
    """Return what a forgetting run did or would do; `contents` has the memories that can be shown."""
    verb = "would be" if report.dry_run else "were"
    lines: list[RenderableType] = [
        Text.assemble(
            (f"{len(report.forgotten)} {verb} forgotten", "bold"),
            f" (restorable), {len(report.removed)} {verb} removed for good, ",
            f"{report.kept} due but kept, {report.evaluated} looked at",
        )
    ]
    lines += [
        Text(f"  {count:>5}  {reason}", style="dim") for reason, count in sorted(report.reasons.items())
    ]
    if contents:
        lines.append(memories(list(contents.values())))
    if report.planned:
        lines.append(planned(report))
    if report.unheard:
        lines.append(Text("before_forget did not answer: decay took nothing", style="yellow"))
    if report.stopped:
        lines.append(
            Text(
                "a user would lose too large a share at once and was left alone: check with "
                "--dry-run, then run with --confirm",
                style="yellow",
            )
        )
    return Group(*lines)


def planned(report: ForgetReport) -> RenderableType:
    """Return what a dry run lists, with the reasons; the first of them when they are many."""
    shown = table("id", "rule", "strength", "due since", "gone for good", right=["strength"])
    for one in report.planned[:PLANNED_SHOWN]:
        strength = Text("unknown") if one.strength is None else number(one.strength)
        shown.add_row(
            one.memory_id[:ID_SHOWN], one.rule, strength, day(one.deadline, "unknown"), day(one.purge_at)
        )
    more = len(report.planned) + report.planned_left_out - PLANNED_SHOWN
    return Group(shown, Text(f"and {more} more", style="dim")) if more > 0 else shown


def consents(found: Mapping[str, ConsentEvent]) -> RenderableType:
    """Return the consents in force."""
    if not found:
        return Text("no consent is in force: interactions stay in memory only", style="dim")
    shown = table("purpose", "since", "until", "explicit", "notice", wide="notice")
    for purpose, event in sorted(found.items()):
        notice = one_line(str(event.details.get("notice", "")))
        shown.add_row(
            Text(one_line(purpose)),
            at(event.at_us),
            "it is withdrawn" if event.expires_us is None else at(event.expires_us),
            "yes" if event.explicit else "no",
            Text(notice),
        )
    return shown


def at(microseconds: int) -> str:
    """Return the date of microseconds since 1970."""
    from tiered_memory.clock import from_us

    return day(from_us(microseconds))


def statistics(stats: Stats) -> RenderableType:
    """Return counts, routing, the importance histogram and what falls due when."""
    states = ", ".join(f"{count} {state}" for state, count in sorted(stats.by_state.items())) or "none"
    head = pairs(
        [
            ("memories", f"{stats.memories} ({states})"),
            ("users", str(stats.subjects)),
            ("size", f"{stats.bytes / 1024:.1f} KiB sealed"),
            (
                "sensitivity",
                ", ".join(f"{n} {level}" for level, n in sorted(stats.by_sensitivity.items())) or "none",
            ),
        ]
    )
    routing = {
        f"{target:<9} {reason.replace('_', ' ')}": n
        for target, reasons in sorted(stats.routing.items())
        for reason, n in sorted(reasons.items())
    }
    bins = len(stats.importance_histogram)
    histogram = {
        f"{place / bins:.1f} - {(place + 1) / bins:.1f}": n
        for place, n in enumerate(stats.importance_histogram)
    }
    forecast = {
        f"within {FORECAST_SAYS.get(d, f'{d} days')}": n for d, n in stats.forecast.within_days.items()
    }
    forecast |= {
        "overdue": stats.forecast.overdue,
        "later": stats.forecast.later,
        "never": stats.forecast.protected,
    }
    return Group(
        head,
        *counted("Routing decisions", routing, "cyan"),
        *counted("Importance of active memories", histogram, "green"),
        *counted("Falls due", forecast, "yellow"),
    )


def counted(title: str, counts: Mapping[str, int], style: str) -> list[RenderableType]:
    """Return counts as bars under a title."""
    largest = max(counts.values(), default=0)
    shown = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    for name, count in counts.items():
        shown.add_row(
            Text(harmless(name)), Text(str(count), justify="right"), bar(count / (largest or 1), 30, style)
        )
    return [Text(), Text(title, style="bold"), shown]


def certificate(given: Certificate) -> RenderableType:
    """Return the proof of an erasure."""
    shown = table("tier", "records", "how", "verified", right=["records"], wide="how")
    for tier in given.tiers:
        sign = Text("yes", style="green") if tier.verified else Text("NO", style="bold red")
        shown.add_row(tiers([tier.tier]), str(tier.records), tier.method, sign)
    return Group(
        shown,
        pairs(
            [
                ("certificate", given.id),
                ("keys destroyed", str(given.keys_destroyed)),
                ("finished", f"{given.finished_at:%Y-%m-%d %H:%M:%S %Z}"),
                ("commitment", shortened(given.subject_commitment)),
                ("ledger leaf", given.ledger_leaf or "none: nothing durable was held"),
                ("in the ledger", "proven" if given.ledger_checkpoint else "no proof"),
                ("signed by", f"{shortened(given.public_key)}  (Ed25519)"),
                *(("STAYS", Text(harmless(kept), style="bold yellow")) for kept in given.retained),
            ]
        ),
    )


def shortened(digits: str) -> str:
    """Return the two ends of a long number."""
    return f"{digits[:12]}…{digits[-12:]}"
