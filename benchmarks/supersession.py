"""`supersession`: is what holds now found above what held before?

Some twenty pairs of a stale and a current statement, each among true neighbours of its topic, are told to one user,
each turn at its own time. Then the product is asked for what holds now, once as it is and once with superseded
memories included. A stale statement that is not returned counts as below a current one that is; a current one that is
not returned counts as not above. With `--data`, natural talk is replayed through the judge too: there nearly every
update it sees is a false one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from inspect import signature
from statistics import fmean
from typing import Any

from rich.table import Table

from benchmarks.baselines import by_bm25, by_vector
from benchmarks.charts import Chart
from benchmarks.datasets import Conversation, Turn
from benchmarks.judging import judged, natural_talk
from benchmarks.pairs import BUNDLED, PAIRS_PER_USER, Pair, PairSet, load_pairs, told_together
from benchmarks.store import (
    OPEN_POLICY,
    SEARCHED_AFTER,
    engines,
    fresh_folder,
    settings_for,
    tell,
    user_of,
)
from benchmarks.suite import Benchmark, Measured, Progress, Request, Results
from tiered_memory import TieredMemory, User
from tiered_memory.config import Settings
from tiered_memory.embedding.static_embedder import StaticEmbedder
from tiered_memory.testing import ManualClock

DEPTH = 10
_NOTHING_HIDDEN: Mapping[str, Any] = (
    {"include_superseded": True} if "include_superseded" in signature(User.search).parameters else {}
)
"""A product that hides nothing has no word for it."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a search returned for one pair, as turn ids, best first; `without` hides nothing."""

    pair: Pair
    ranked: Sequence[str]
    without: Sequence[str]


@dataclass(frozen=True, slots=True)
class Answered:
    """Every pair's outcome, and the ids of the turns that were superseded."""

    outcomes: list[Outcome]
    closed: frozenset[str]


async def run(request: Request) -> Measured:
    """Measure the product on the pairs, the plain baselines, and the judge alone."""
    found = load_pairs()
    chosen = told_together(found.pairs)
    with fresh_folder() as folder:
        settings = settings_for(folder / "store", request.policy or OPEN_POLICY, background=False)
        answered = await ask_product(found.pairs, chosen, settings, request.progress)
        config = _config(found, chosen, settings)
    results = summary(answered.outcomes)
    results["styles"] = _by(answered.outcomes, lambda pair: pair.style)
    results["splits"] = _by(answered.outcomes, lambda pair: pair.split)
    results["closed"] = _closed(found.pairs, answered.closed)
    results["baselines"] = await _baselines(found.pairs, chosen)
    results["judge"] = judged(found, StaticEmbedder())
    if request.data is not None:
        results["natural_talk"] = natural_talk(request.data, StaticEmbedder(), request.progress)
    return Measured(config, results)


async def ask_product(
    pairs: Sequence[Pair], chosen: Sequence[Conversation], settings: Settings, progress: Progress
) -> Answered:
    """Tell the product every conversation and ask every pair's question, one day after the last turn."""
    clock, outcomes, closed = ManualClock(), list[Outcome](), set[str]()
    by_question = {f"{pair.id}/current": pair for pair in pairs}
    progress.stage("telling and asking", len(pairs))
    async with TieredMemory.open(settings, clock=clock) as memory:
        for conversation in chosen:
            user = user_of(memory, conversation)
            told = await tell(user, conversation, clock)
            await memory.drain()
            clock.set(conversation.turns[-1].occurred_at + SEARCHED_AFTER)
            turn_of = {one.receipt.id: one.turn for one in told}
            closed |= await _superseded(user, turn_of)
            for question in conversation.questions:
                (wanted,) = question.evidence
                ranked = await _ranked(user, question.text, turn_of)
                without = await _ranked(user, question.text, turn_of, **_NOTHING_HIDDEN)
                outcomes.append(Outcome(by_question[wanted], ranked, without))
                progress.step()
    return Answered(outcomes, frozenset(closed))


async def _ranked(user: User, question: str, turn_of: Mapping[str, Turn], **asked: Any) -> list[str]:
    hits = await user.search(question, limit=DEPTH, **asked)
    return [turn_of[hit.memory.id].id for hit in hits]


async def _superseded(user: User, turn_of: Mapping[str, Turn]) -> set[str]:
    found = [await user.get(one) for one in turn_of]
    return {turn_of[one.id].id for one in found if one.superseded_by is not None}


def summary(outcomes: Sequence[Outcome]) -> Results:
    """Return the figures of some outcomes (one or more)."""
    return {
        "pairs": len(outcomes),
        "current_above_stale_ratio": fmean(above(one.pair, one.ranked) for one in outcomes),
        "current_above_stale_ratio_without": fmean(above(one.pair, one.without) for one in outcomes),
        "current_in_top_10": fmean(f"{one.pair.id}/current" in one.ranked for one in outcomes),
        "current_in_top_10_without": fmean(f"{one.pair.id}/current" in one.without for one in outcomes),
    }


def above(pair: Pair, ranked: Sequence[str]) -> bool:
    """Tell whether the current statement is there and the stale one is absent or below."""
    current, stale = f"{pair.id}/current", f"{pair.id}/stale"
    return current in ranked and (stale not in ranked or ranked.index(current) < ranked.index(stale))


def _by(outcomes: Iterable[Outcome], key: Any) -> Results:
    groups: dict[str, list[Outcome]] = {}
    for one in outcomes:
        groups.setdefault(key(one.pair), []).append(one)
    return {name: summary(group) for name, group in groups.items()}


def _closed(pairs: Sequence[Pair], closed: frozenset[str]) -> Results:
    """Count what was superseded: rightly a stale statement, wrongly a current one or a distractor."""
    kinds = Counter(_kind(one) for one in closed)
    return {
        "stale": kinds["stale"],
        "current": kinds["current"],
        "distractors": kinds["distractor"],
        "distractors_told": sum(len(pair.distractors) for pair in pairs),
    }


def _kind(turn_id: str) -> str:
    name = turn_id.rpartition("/")[2]
    return name if name in {"stale", "current"} else "distractor"


async def _baselines(pairs: Sequence[Pair], chosen: Sequence[Conversation]) -> Results:
    """Return how often plain methods rank the current statement above the stale one, of however many they rank."""
    embedder, found = StaticEmbedder(), dict[str, list[bool]]()
    by_id = {f"{pair.id}/current": pair for pair in pairs}
    for conversation in chosen:
        depth = len(conversation.turns)
        rankings = {
            "bm25": by_bm25(conversation, depth),
            "vector": await by_vector(conversation, embedder, depth),
        }
        for name, ranked in rankings.items():
            for question, ids in zip(conversation.questions, ranked, strict=True):
                (wanted,) = question.evidence
                found.setdefault(name, []).append(above(by_id[wanted], ids))
    return {name: {"current_above_stale_ratio": fmean(told)} for name, told in found.items()}


def _config(found: PairSet, chosen: Sequence[Conversation], settings: Settings) -> dict[str, Any]:
    return {
        **engines(settings),
        "data": BUNDLED.name,
        "pairs_per_user": PAIRS_PER_USER,
        "turns": sum(len(one.turns) for one in chosen),
        "lookalikes": len(found.lookalikes),
        "searched": "one day after the last turn",
    }


def tables(results: Results) -> list[Table]:
    """Return the figures as a whole, per style and per half, and what the judge said."""
    table = Table(title="supersession: what holds now, above what held before")
    for column in (
        "",
        "pairs",
        "current above stale",
        "nothing hidden",
        "in top 10",
        "in top 10, nothing hidden",
    ):
        table.add_column(column, justify="left" if not column else "right")
    for name, figures in {"all": results, **results["splits"], **results["styles"]}.items():
        table.add_row(name, *_cells(figures))
    for name, figures in results["baselines"].items():
        table.add_row(name, "", f"{figures['current_above_stale_ratio']:.3f}", "", "", "")
    return [
        table,
        *(_counts(name, results[name]) for name in ("closed", "judge", "natural_talk") if name in results),
    ]


def _cells(figures: Results) -> list[str]:
    keys = (
        "current_above_stale_ratio",
        "current_above_stale_ratio_without",
        "current_in_top_10",
        "current_in_top_10_without",
    )
    return [str(figures["pairs"]), *(f"{figures[key]:.3f}" for key in keys)]


def _counts(title: str, counts: Results) -> Table:
    table = Table(title=title.replace("_", " "))
    for column in ("", "count"):
        table.add_column(column, justify="left" if not column else "right")
    for name, value in counts.items():
        table.add_row(name.replace("_", " "), f"{value:.4g}" if isinstance(value, float) else str(value))
    return table


def charts(results: Results) -> list[Chart]:
    """Return the share of current above stale per style."""
    styles = results["styles"]
    series = {"current above stale": [figures["current_above_stale_ratio"] for figures in styles.values()]}
    return [Chart("supersession", "current above stale", list(styles), series)]


BENCHMARK = Benchmark("supersession", run, tables, charts)
