"""Pictures of the two acts in which time passes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from rich.console import RenderableType
from rich.text import Text

from tiered_memory.cli import views
from tiered_memory.cli.demo.facts import Decision, Faded, Fading, Streaming
from tiered_memory.cli.demo.words import say
from tiered_memory.cli.output import one_line

WEATHER = "What's the weather like?"
REASON_COLUMNS = 28
COMMON = ("new words for this user", "first person", "said by the assistant")
CLIP = 58


def streaming(act: Streaming, *, roomy: bool) -> Iterator[RenderableType]:
    """Return how the conversation came in and where each turn went."""
    yield f"{act.virtual_days} days of conversation stream in ({act.seconds:.1f} s)"
    kept = act.by_tier.get("cold", 0)
    seeded = any(one.seed_importance is not None for one in act.decisions)
    sample = "A sample, with the seed's own figures for its lines:" if seeded else "A sample:"
    yield say(
        f"Each turn goes to Redis and its session's buffer; the {kept} of {act.turns} that matter go to LanceDB as "
        f"well. {sample}"
    )
    yield _decisions(act.decisions, roomy=roomy)
    weather = next((one for one in act.decisions if one.content == WEATHER), None)
    if weather is not None and weather.seed_importance is not None:
        yield say(
            f"The seed gave the weather {_short(weather.seed_importance)} and kept it for good. That was wrong: it is "
            f"small talk, scores {_short(weather.importance)} here, and leaves with its session."
        )
    yield from _along_the_way(act)


def _short(share: float) -> str:
    return f"{share:.2f}".removeprefix("0")


def _decisions(decisions: Sequence[Decision], *, roomy: bool) -> RenderableType:
    columns = ["imp", "goes to", "turn", *(["because"] if roomy else []), "seed"]
    shown = views.table(*columns, right=["imp"], wide="turn")
    for one in decisions:
        turn = Text(one_line(one.content), style="" if one.seed_importance is None else "bold")
        because = [Text(_why(one), style="dim")] if roomy else []
        shown.add_row(views.number(one.importance), views.tiers([one.tier]), turn, *because, _seed(one))
    return shown


def _why(one: Decision) -> str:
    telling = [reason for reason in one.reasons if reason not in COMMON] or list(one.reasons)
    return (telling or ["nothing stands out"])[0][:REASON_COLUMNS]


def _seed(one: Decision) -> Text:
    if one.seed_importance is None:
        return Text("")
    agrees = one.seed_kept == (one.tier == "cold")
    kept = "kept" if one.seed_kept else "not kept"
    return Text(f"{_short(one.seed_importance)} {kept}", style="dim" if agrees else "yellow")


def _along_the_way(act: Streaming) -> Iterator[RenderableType]:
    yield Text.assemble(
        "Along the way ",
        (f"{act.forget_cycles} forgetting cycles", "bold"),
        f" let {act.forgotten} memories fade, and ",
        (f"{act.contexts} contexts", "bold"),
        f" used others. {act.held} are held now.",
    )
    for one in act.used[:1]:
        yield Text.assemble(
            "Spaced use made this one last: kept for ",
            (f"{one.untouched_days:.0f} → {one.lasts_days:.0f} days", "bold green"),
            f"  “{clipped(one.content)}”",
        )


def clipped(content: str, length: int = CLIP) -> str:
    """Return the beginning of a content, on one line."""
    line = one_line(content)
    return line if len(line) <= length else line[: length - 1].rstrip() + "…"


def fading(act: Fading, *, roomy: bool) -> Iterator[RenderableType]:
    """Return how strengths went over the months."""
    yield f"{len(act.months)} months pass without a word"
    yield say(
        "Strength fades by itself, slowly for what is important, and grows when a memory is used again. Below the "
        "threshold a memory is forgotten; a week later it is removed for good."
    )
    yield _curves(act.memories, roomy=roomy)
    yield from _dry_run(act)
    forgotten = sum(month.forgotten for month in act.months)
    removed = sum(month.removed for month in act.months)
    total: dict[str, int] = {}
    for month in act.months:
        for reason, count in month.reasons.items():
            total[reason] = total.get(reason, 0) + count
    yield Text.assemble(
        "In all ",
        (f"{forgotten} forgotten, {removed} removed", "bold"),
        f" ({reasons(total)}); held per month: ",
        (" ".join(str(month.held) for month in act.months), "bold"),
    )
    if act.braked:
        yield Text(
            "One cycle would have taken too large a share: it stopped, and was confirmed.", style="yellow"
        )


def reasons(counts: Mapping[str, int]) -> str:
    """Return counts by reason as one phrase."""
    return ", ".join(
        f"{count} {reason}" for reason, count in sorted(counts.items(), key=lambda item: -item[1])
    )


def _curves(memories: Sequence[Faded], *, roomy: bool) -> RenderableType:
    columns = ["imp", "month by month", "", "memory", *(["until"] if roomy else [])]
    shown = views.table(*columns, right=["imp"], wide="memory")
    for one in memories:
        role = Text("used", style="green") if one.used else Text("unused", style="dim")
        until = [Text(f"{views.day(one.deadline)} {one.rule}", style="dim")] if roomy else []
        content = Text(one_line(one.content))
        shown.add_row(views.number(one.importance), sparkline(one.strengths), role, content, *until)
    return shown


def sparkline(strengths: Sequence[float | None]) -> Text:
    """Return strengths (0..1) as columns, first and last in figures; a dot is forgotten."""
    drawn = Text()
    for one in strengths:
        if one is None:
            drawn.append("·", style="dim")
        else:
            drawn.append(views.LEVELS[min(int(one * 8), 7)], style=views.share_style(one))
    first, last = strengths[0], strengths[-1]
    return Text.assemble(_figure(first), " ", drawn, " ", _figure(last))


def _figure(strength: float | None) -> Text:
    return Text("  -", style="dim") if strength is None else views.number(strength)


def _dry_run(act: Fading) -> Iterator[RenderableType]:
    if not act.dry_run_forgotten:
        yield Text("Nothing was due in these months.", style="dim")
        return
    yield Text.assemble(
        ("Dry run first: ", "bold"),
        f"{act.dry_run_forgotten} would go. Then in earnest: {act.cycle_forgotten} went.",
    )
    for one in act.announced:
        head = f"{one.age_days:>3} days old, strength {_short(one.strength)}, by {one.rule}  "
        line = Text.assemble(("  - ", "red"), (head, "dim"), one_line(one.content))
        line.no_wrap, line.overflow = True, "ellipsis"
        yield line
    if act.undone is not None:
        undone = act.undone
        yield Text.assemble(
            ("  + restored ", "green"),
            f"within the undo window (until {views.day(undone.undo_until)}): strength ",
            (f"{_short(undone.strength_before)} → {_short(undone.strength_after)}", "green"),
            f", and {'found again' if undone.found_again else 'NOT found again'}",
        )
