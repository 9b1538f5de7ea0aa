"""Tells the acts of a demo to a person: a heading, a sentence or two, and a picture each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import assert_never

from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.rule import Rule
from rich.text import Text

from tiered_memory.cli import views
from tiered_memory.cli.demo import render_life, render_proof
from tiered_memory.cli.demo.facts import (
    Act,
    BeforeConsent,
    Closing,
    Erasure,
    Explained,
    Fading,
    Opening,
    Packed,
    Searches,
    Statistics,
    Streaming,
)
from tiered_memory.cli.demo.words import say
from tiered_memory.cli.output import one_line

ROOMY = 90


class Teller:
    """Writes one act after another to a console."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._told = 0

    def tell(self, act: Act) -> None:
        """Write one act."""
        title, *parts = self._parts(act)
        self._told += 1
        head = Text.assemble((f" {self._told} ", "bold black on cyan"), (f" {title} ", "bold"))
        self._console.print()
        self._console.print(Rule(head, align="left", style="cyan"))
        for part in parts:
            self._console.print(Padding(part, (0, 0, 0, 1) if isinstance(part, Text) else (0, 1)))

    def _parts(self, act: Act) -> list[RenderableType]:  # noqa: C901, PLR0911 - one line for each act
        match act:
            case Opening():
                return list(_opening(act))
            case BeforeConsent():
                return list(_before_consent(act))
            case Streaming():
                return list(render_life.streaming(act, roomy=self._console.width >= ROOMY))
            case Searches():
                return list(_searches(act))
            case Packed():
                return list(_packed(act))
            case Fading():
                return list(render_life.fading(act, roomy=self._console.width >= ROOMY))
            case Explained():
                return list(_explained(act))
            case Statistics():
                return list(_statistics(act))
            case Erasure():
                return list(render_proof.erasure(act))
            case Closing():
                return list(render_proof.closing(act))
            case _:
                assert_never(act)


def _opening(act: Opening) -> Iterator[RenderableType]:
    yield f"Opening the engines took {act.seconds:.2f} s"
    yield say(
        f"{act.turns} turns of {act.conversation}, from {views.day(act.first)} to {views.day(act.last)}, are played "
        "on the real engines. Only the clock is virtual, so that months pass in seconds."
    )
    kept = "temporary, removed at the end" if act.temporary else "stays"
    yield views.pairs(
        [
            ("hot", Text.assemble(("Redis  " if "redis" in act.hot.lower() else "", "red"), act.hot)),
            ("cold", Text.assemble(("LanceDB  ", "cyan"), act.cold.removeprefix("LanceDB, "))),
            ("state", Text.assemble(("SQLite  ", "magenta"), act.state.removeprefix("SQLite, "))),
            ("embedder", f"{act.embedder}, {act.dimensions} dimensions, on this CPU"),
            ("policy", act.policy),
            ("data", f"{act.data_dir} ({kept})"),
            *(("note", Text(warning, style="yellow")) for warning in act.warnings),
        ]
    )


def _before_consent(act: BeforeConsent) -> Iterator[RenderableType]:
    receipt = act.receipt
    yield "Before consent, nothing stays"
    yield say(
        f"“{act.content}” scores {receipt.importance:.2f}, and yet: without a lawful basis it lives in RAM under "
        "keys that are in RAM only. Asking for more is refused."
    )
    yield views.pairs(
        [
            (
                "receipt",
                Text.assemble((receipt.durability.value, "bold yellow"), "  in ", views.tiers(receipt.tiers)),
            ),
            ("because", receipt.routing),
            (
                "durably?",
                Text(f"refused: {act.refusal}", style="yellow") if act.refusal else Text("accepted"),
            ),
            ("then", Text(f"consent to {act.purpose} is recorded, notice {act.notice}", style="green")),
        ]
    )


def _searches(act: Searches) -> Iterator[RenderableType]:
    fastest = min((one.milliseconds for one in act.searches), default=0.0)
    yield f"Asking, by word and by meaning ({fastest:.1f} ms)"
    yield say("A score is a sum; every hit shows its largest terms.")
    for search in act.searches:
        yield Text()
        yield Text.assemble(("? ", "bold green"), (search.question, "bold"))
        if search.why:
            yield Padding(Text(search.why, style="dim"), (0, 0, 0, 2))
        shown = views.table("score", "said", "memory", right=["score"], wide="memory")
        for hit in search.hits:
            memory = hit.memory
            content = Text(one_line(memory.content), overflow="ellipsis", no_wrap=True)
            shown.add_row(Text(f"{hit.score:.2f}", style="green"), views.day(memory.occurred_at), content)
            shown.add_row("", "", Text(main_terms(hit.terms), style="dim"))
        yield shown


def main_terms(given: object) -> str:
    """Return the largest terms of a score, as many as fit beside each other."""
    return " · ".join(views.terms(given).split(" · ")[:4])  # type: ignore[arg-type]


def _packed(act: Packed) -> Iterator[RenderableType]:
    yield f"A context for a prompt: {act.tokens} of {act.token_budget} tokens"
    yield say(
        "What was recalled and the session's latest turns share one budget. What gets in counts as used; what does "
        "not is listed with its reason."
    )
    yield Text.assemble(("? ", "bold green"), (act.question, "bold"))
    shown = views.table("part", "tokens", "content", right=["tokens"], wide="content")
    for piece in act.pieces:
        style = "cyan" if piece.section == "recalled" else "yellow"
        shown.add_row(Text(piece.section, style=style), str(piece.tokens), Text(one_line(piece.content)))
    yield shown
    yield Text(f"left out: {render_life.reasons(act.left_out_by_reason)}", style="dim")
    for piece in act.left_out[:2]:
        yield Text(
            f"   {piece.tokens:>3}  {one_line(piece.content)}", style="dim", no_wrap=True, overflow="ellipsis"
        )


def _explained(act: Explained) -> Iterator[RenderableType]:
    given = act.explanation
    yield "Why is this one still here?"
    yield say("Any memory can be asked. This is the one that was used most.")
    yield views.explanation(given)


def _statistics(act: Statistics) -> Iterator[RenderableType]:
    stats = act.stats
    yield f"What is held, and what falls due ({act.milliseconds:.0f} ms)"
    yield say("A projection in DuckDB, rebuilt from the state store: pseudonyms and numbers only.")
    routing = {
        f"{target}, {reason.replace('_', ' ')}": n
        for target, reasons in sorted(stats.routing.items())
        for reason, n in sorted(reasons.items())
    }
    bins = len(stats.importance_histogram)
    histogram = {
        f"importance {place / bins:.1f}-{(place + 1) / bins:.1f}": count
        for place, count in enumerate(stats.importance_histogram)
        if count
    }
    forecast = {
        f"due within {views.FORECAST_SAYS.get(d, d)}": n for d, n in stats.forecast.within_days.items()
    }
    for title, counts, style in _groups(routing, histogram, forecast):
        yield from _without_gap(views.counted(title, counts, style))


def _groups(*counts: dict[str, int]) -> list[tuple[str, dict[str, int], str]]:
    titles = ("Routing decisions so far", "Importance of what is left", "Forgetting forecast")
    return list(zip(titles, counts, ("cyan", "green", "yellow"), strict=True))


def _without_gap(parts: Sequence[RenderableType]) -> Iterable[RenderableType]:
    return parts[1:]
