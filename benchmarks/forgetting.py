"""`forgetting` (ForgetBench): with room for a part only, how much of what is asked for is still there?

Turns arrive in order; after each, whatever is above the room is evicted and gone. The product's policies evict what
their curve forgets first. Importance and ranking are the product's own. The room is a quota, a share of the whole
conversation's turns that stands from the first; with `--full` also a share of the turns so far, which is harder.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from rich.table import Table

from benchmarks.charts import Chart
from benchmarks.forget_items import Story, story_of
from benchmarks.forget_optimum import optimum
from benchmarks.forget_policies import FirstIn, Maker, baselines, by_curve
from benchmarks.forget_replay import Outcome, Regime, Room, growing, quota, replay
from benchmarks.forget_scale import scale
from benchmarks.metrics import bootstrap_interval
from benchmarks.store import conversations, policy_named
from benchmarks.suite import Benchmark, Measured, Progress, Request, Results
from tiered_memory.embedding.static_embedder import StaticEmbedder
from tiered_memory.forgetting.decay import PowerCurve, curve_for
from tiered_memory.policy.rules import DecayRules, Policy
from tiered_memory.wiring import load_policy

BUDGETS = (0.1, 0.2, 0.3, 0.5)
DEFAULT_POLICY = "default"
SHOWN_BUDGET = "0.3"
RECALL = "recall_at_10_noisy"
FIGURES = (*(regime.value for regime in Regime), RECALL)


@dataclass(frozen=True, slots=True)
class Replayed:
    """All stories under all policies and budgets in one sort of room.

    `outcomes` has one outcome per story by budget, policy and regime; `optima` one sum of shares per story by budget
    and regime.
    """

    stories: Sequence[Story]
    outcomes: Mapping[tuple[str, str, Regime], Sequence[Outcome]]
    optima: Mapping[tuple[str, Regime], Sequence[float]]
    unforgotten: Sequence[Outcome]
    policies: Sequence[str]


async def run(request: Request) -> Measured:
    """Measure every policy at every budget; with `scale` also the product's cycle over many rows."""
    chosen, embedder = conversations(request.data, full=request.full), StaticEmbedder()
    stories = [await story_of(one, embedder, request.seed) for one in chosen if one.turns and one.questions]
    if not stories:
        raise ValueError("there is nothing to forget: no conversation has questions with evidence")
    named = _policies(request.policy)
    makers = baselines(request.seed) | {
        "power": by_curve(PowerCurve(DecayRules(curve="power", use_slowdown=1.0)))
    }
    makers |= {name: by_curve(curve_for(policy.decay)) for name, policy in named.items()}
    replayed = replay_all(stories, makers, request.progress)
    results = summary(replayed, range(len(stories)), request.seed)
    results["default_policy"] = DEFAULT_POLICY
    results["split"] = {
        "tune": summary(replayed, range(0, len(stories), 2), request.seed),
        "report": summary(replayed, range(1, len(stories), 2), request.seed),
    }
    if request.full:
        harder = replay_all(stories, makers, request.progress, grows=True)
        results["growing"] = summary(harder, range(len(stories)), request.seed)
    if request.scale:
        results["scale"] = await scale(request.progress)
    return Measured(_config(request, stories, named), results)


def _policies(given: str | None) -> dict[str, Policy]:
    found = [load_policy(DEFAULT_POLICY), *([load_policy(policy_named(given))] if given else [])]
    return {policy.name: policy for policy in found}


def replay_all(
    stories: Sequence[Story], makers: Mapping[str, Maker], progress: Progress, *, grows: bool = False
) -> Replayed:
    """Replay every story under every policy, budget and regime."""
    outcomes: dict[tuple[str, str, Regime], Sequence[Outcome]] = {}
    optima: dict[tuple[str, Regime], Sequence[float]] = {}
    progress.stage("share of turns so far" if grows else "quota", len(BUDGETS) * len(makers) * len(Regime))
    for budget in BUDGETS:
        rooms = [_room(story, budget, grows=grows) for story in stories]
        for regime in Regime:
            bounds = [optimum(story, regime, room) for story, room in zip(stories, rooms, strict=True)]
            optima[str(budget), regime] = bounds
            for name, maker in makers.items():
                outcomes[str(budget), name, regime] = _replays(stories, rooms, maker, regime)
                progress.step()
    everything = [quota(1.0, len(story.items)) for story in stories]
    unforgotten = _replays(stories, everything, lambda _story, _regime: FirstIn(), Regime.NOISY)
    return Replayed(stories, outcomes, optima, unforgotten, list(makers))


def _room(story: Story, budget: float, *, grows: bool) -> Room:
    return growing(budget) if grows else quota(budget, len(story.items))


def _replays(stories: Sequence[Story], rooms: Sequence[Room], maker: Maker, regime: Regime) -> list[Outcome]:
    pairs = zip(stories, rooms, strict=True)
    return [replay(story, maker(story, regime), room, regime) for story, room in pairs]


def summary(replayed: Replayed, numbers: Sequence[int], seed: int) -> Results:
    """Return the figures of some of the stories, by their numbers; without any, no figures."""
    if not numbers:
        return {"questions": 0}
    budgets = {
        str(budget): {
            name: _figures(replayed, (str(budget), name), numbers, seed) for name in replayed.policies
        }
        for budget in BUDGETS
    }
    recalls = [share for number in numbers for share in replayed.unforgotten[number].recalls]
    return {
        "budgets": budgets,
        "optimum": {str(budget): _optimum(replayed, str(budget), numbers) for budget in BUDGETS},
        "nothing_forgotten": {RECALL: fmean(recalls)},
        "questions": len(recalls),
    }


def _figures(replayed: Replayed, key: tuple[str, str], numbers: Sequence[int], seed: int) -> Results:
    """Return the evidence retained and its recall, with intervals, and what it took."""
    by_regime = {regime: [replayed.outcomes[*key, regime][n] for n in numbers] for regime in Regime}
    shares = {regime.value: [one.kept for one in outcomes] for regime, outcomes in by_regime.items()}
    values = {**shares, RECALL: [one.recalls for one in by_regime[Regime.NOISY]]}
    means = {name: _mean(groups) for name, groups in values.items()}
    best = _optimum(replayed, key[0], numbers)
    noisy = by_regime[Regime.NOISY]
    return {
        **means,
        "interval_95": {name: _interval(groups, seed) for name, groups in values.items()},
        "all_evidence": {
            name: _mean([[share == 1 for share in one] for one in groups]) for name, groups in shares.items()
        },
        "regret": {name: best[name] - means[name] for name in shares},
        "rows_touched_per_forgotten": sum(one.touched for one in noisy)
        / max(1, sum(one.forgotten for one in noisy)),
    }


def _optimum(replayed: Replayed, budget: str, numbers: Sequence[int]) -> dict[str, float]:
    questions = sum(len(replayed.stories[number].questions) for number in numbers)
    return {
        regime.value: sum(replayed.optima[budget, regime][number] for number in numbers) / questions
        for regime in Regime
    }


def _mean(groups: Sequence[Sequence[float]]) -> float:
    return fmean(value for group in groups for value in group)


def _interval(groups: Sequence[Sequence[float]], seed: int) -> list[float]:
    """Draw whole conversations, or questions where there is one conversation."""
    drawn = groups if len(groups) > 1 else [[value] for value in groups[0]]
    return list(bootstrap_interval({str(n): group for n, group in enumerate(drawn)}, seed=seed))


def _config(request: Request, stories: Sequence[Story], named: Mapping[str, Policy]) -> dict[str, Any]:
    return {
        "data": "the bundled demo" if request.data is None else request.data.name,
        "conversations": len(stories),
        "turns": sum(len(story.items) for story in stories),
        "questions": sum(len(story.questions) for story in stories),
        "policies": [policy.version for policy in named.values()],
        "room": "a share of the conversation's turns, the same from the first turn on",
        "evicted": "what the curve forgets first",
        "interleaved": "asked 1 hour to 120 days (log-uniform) after the newest evidence",
        "optimum": "exact: a flow of greatest gain over the times each item could be held",
    }


def tables(results: Results) -> list[Table]:
    """Return a table per budget, best last."""
    found = [_table(f"room for {float(b):.0%}", b, results) for b in results["budgets"]]
    halves = [(f"{half} half, room for 30 %", half) for half in ("tune", "report")]
    found += [
        _table(title, SHOWN_BUDGET, results["split"][half])
        for title, half in halves
        if results["split"][half]["questions"]
    ]
    if "growing" in results:
        found.append(_table("room for 30 % of the turns so far", SHOWN_BUDGET, results["growing"]))
    if "scale" in results:
        found.append(_scale_table(results["scale"]))
    return found


def _scale_table(rows: Sequence[Results]) -> Table:
    table = Table(title="a forgetting cycle of the product, and a sweep over every row")
    for column in ("rows", "due", "touched", "ms", "/ first", "sweep ms", "sweep / cycle"):
        table.add_column(column, justify="right")
    for row in rows:
        cycle_ms, naive_ms = row["cycle_ms"], row["naive_ms"]
        table.add_row(
            *(f"{row[key]:,}" for key in ("rows_total", "rows_due", "rows_touched")),
            *(f"{cycle_ms:.0f}", f"{cycle_ms / rows[0]['cycle_ms']:.2f}"),
            *(f"{naive_ms:.0f}", f"{naive_ms / cycle_ms:.1f}"),
        )
    return table


def _table(title: str, budget: str, results: Results) -> Table:
    table = Table(title=f"forgetting: {title}; evidence retained")
    for column in ("", "end", "95 %", "meanwhile", "noisy", "95 %", "R@10", "rows / forgotten"):
        table.add_column(column, justify="left" if not column else "right")
    rows = results["budgets"][budget]
    for name in sorted(rows, key=lambda name: rows[name]["end"] + rows[name]["interleaved_noisy"]):
        table.add_row(name, *_cells(rows[name]))
    best = results["optimum"][budget]
    table.add_row(
        "optimum",
        f"{best['end']:.3f}",
        "",
        f"{best['interleaved_oracle']:.3f}",
        f"{best['interleaved_noisy']:.3f}",
    )
    table.add_row("nothing forgotten", *[""] * 5, f"{results['nothing_forgotten'][RECALL]:.3f}")
    return table


def _cells(figures: Results) -> list[str]:
    spans = figures["interval_95"]
    return [
        f"{figures['end']:.3f}",
        _span(spans["end"]),
        f"{figures['interleaved_oracle']:.3f}",
        f"{figures['interleaved_noisy']:.3f}",
        _span(spans["interleaved_noisy"]),
        f"{figures[RECALL]:.3f}",
        f"{figures['rows_touched_per_forgotten']:.1f}",
    ]


def _span(interval: Sequence[float]) -> str:
    low, high = interval
    return f"{low:.2f}-{high:.2f}"


def charts(results: Results) -> list[Chart]:
    """Return evidence retained over the budget, for both times of asking."""
    shown = ("importance", "lru", "recency_importance", "clairvoyant", results["default_policy"])
    places = [f"{float(budget):.0%}" for budget in results["budgets"]]
    return [
        Chart(
            f"forgetting_{figure}",
            f"evidence retained, {title}",
            places,
            {name: [rows[name][figure] for rows in results["budgets"].values()] for name in shown},
        )
        for figure, title in (("end", "asked at the end"), ("interleaved_noisy", "asked meanwhile"))
    ]


BENCHMARK = Benchmark("forgetting", run, tables, charts)
