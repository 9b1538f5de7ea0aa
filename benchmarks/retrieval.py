"""`retrieval`: is the turn that answers a question among the first k that a search returns?

Each conversation is one user. Its turns are added in order at their own times and carried to cold; then the memory is
closed and opened again, so that every turn found was read from cold and verified. Questions are asked one day after
the last turn. No forgetting cycle runs: what forgetting costs is another benchmark's question.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from typing import Any

from rich.table import Table

from benchmarks.ablation import LEVERS, ablate
from benchmarks.baselines import by_bm25, by_vector
from benchmarks.charts import Chart
from benchmarks.datasets import Conversation, Question
from benchmarks.metrics import bootstrap_interval, recall_at
from benchmarks.store import (
    OPEN_POLICY,
    SEARCHED_AFTER,
    Told,
    conversations,
    count_searchable,
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

CUTS = (5, 10, 20, 50)
SESSION_CUTS = (5, 10)
DEPTH = CUTS[-1]
DEFAULT_POLICY = "default"


@dataclass(frozen=True, slots=True)
class Answer:
    """A question of one conversation, and the ids of the turns returned for it, best first.

    `sessions` are the session names of the conversation's turns, by id.
    A turn that was merged into an earlier one is `held_as` that one: where it is returned, both are found.
    """

    conversation: str
    question: Question
    ranked: Sequence[str]
    sessions: Mapping[str, str]
    held_as: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Asked:
    """All answers of one way of searching, and how many turns it could find at all."""

    answers: list[Answer]
    searchable: int


async def run(request: Request) -> Measured:
    """Measure the product with the gate open, with the default policy, and the baselines."""
    chosen = conversations(request.data, full=request.full)
    turns = sum(len(conversation.turns) for conversation in chosen)
    with fresh_folder() as folder:
        settings = settings_for(folder / "headline", request.policy or OPEN_POLICY, background=False)
        asked = await ask_product("gate as configured", chosen, settings, request.progress)
        shipped = settings_for(folder / "default", DEFAULT_POLICY, background=False)
        by_default = await ask_product("default policy", chosen, shipped, request.progress)
        config = _config(request.data, chosen, engines(settings))
    results = summary(asked.answers, request.seed) | {"searchable_ratio": asked.searchable / turns}
    results["baselines"] = await _baselines(chosen, request)
    results["default_policy"] = summary(by_default.answers, request.seed) | {
        "searchable_ratio": by_default.searchable / turns
    }
    results["split"] = _split(asked.answers, chosen, request.seed)
    request.progress.stage("ablation", len(LEVERS))
    results["ablation"] = ablate(chosen, _data_name(request.data), request.progress.step)
    return Measured(config, results)


async def ask_product(
    title: str, chosen: Sequence[Conversation], settings: Settings, progress: Progress
) -> Asked:
    """Tell the product every conversation, open it anew, and ask every question."""
    clock, told_of = ManualClock(), dict[str, list[Told]]()
    progress.stage(f"{title}: adding turns", sum(len(one.turns) for one in chosen))
    async with TieredMemory.open(settings, clock=clock) as memory:
        for conversation in chosen:
            told = await tell(user_of(memory, conversation), conversation, clock)
            told_of[conversation.name] = told
            await memory.drain()
            progress.step(len(told))
    answers, searchable = [], 0
    progress.stage(f"{title}: asking", sum(len(one.questions) for one in chosen))
    async with TieredMemory.open(settings, clock=clock) as memory:
        for conversation in chosen:
            clock.set(conversation.turns[-1].occurred_at + SEARCHED_AFTER)
            user = user_of(memory, conversation)
            searchable += await count_searchable(user)
            for question in conversation.questions:
                answers.append(await _answer(user, conversation, question, told_of[conversation.name]))
                progress.step()
    return Asked(answers, searchable)


async def _answer(user: User, conversation: Conversation, question: Question, told: Sequence[Told]) -> Answer:
    hits = await user.search(question.text, limit=DEPTH)
    first_of = first_turns(told)
    held_as = {one.turn.id: first_of[one.receipt.id] for one in told}
    ranked = [first_of[hit.memory.id] for hit in hits]
    return Answer(conversation.name, question, ranked, conversation.session_of, held_as)


def first_turns(told: Iterable[Told]) -> dict[str, str]:
    """Return for each memory the first turn it was made of."""
    first_of = dict[str, str]()
    for one in told:
        first_of.setdefault(one.receipt.id, one.turn.id)
    return first_of


def summary(answers: Sequence[Answer], seed: int) -> Results:
    """Return recall at each cut, the number of questions, and the 95 % interval of recall at 10.

    The interval draws whole conversations, or questions where there is one conversation. Without questions the
    figures are None.
    """
    figures: Results = {f"recall_at_{cut}": _mean_recall(answers, cut) for cut in CUTS}
    for cut in SESSION_CUTS:
        figures[f"session_recall_at_{cut}"] = _mean_session_recall(answers, cut)
    figures["questions"] = len(answers)
    figures["interval_95"] = _interval(answers, seed) if answers else None
    return figures


def _mean_recall(answers: Sequence[Answer], cut: int) -> float | None:
    return fmean(_recall(answer, cut) for answer in answers) if answers else None


def _mean_session_recall(answers: Sequence[Answer], cut: int) -> float | None:
    """Return the mean share of the evidence's sessions among the first `cut`, each as good as its best turn."""
    return fmean(_session_recall(answer, cut) for answer in answers) if answers else None


def _session_recall(answer: Answer, cut: int) -> float:
    ranked = list(dict.fromkeys(answer.sessions[one] for one in answer.ranked))
    evidence = {answer.sessions[answer.held_as.get(one, one)] for one in answer.question.evidence}
    return recall_at(ranked, evidence, cut)


def _recall(answer: Answer, cut: int) -> float:
    evidence = frozenset(answer.question.evidence)
    found = set(answer.ranked[:cut])
    return sum(answer.held_as.get(one, one) in found for one in evidence) / len(evidence)


def _interval(answers: Sequence[Answer], seed: int) -> list[float]:
    several = len({answer.conversation for answer in answers}) > 1
    groups: dict[str, list[float]] = {}
    for position, answer in enumerate(answers):
        group = answer.conversation if several else str(position)
        groups.setdefault(group, []).append(_recall(answer, 10))
    return list(bootstrap_interval(groups, seed=seed))


async def _baselines(chosen: Sequence[Conversation], request: Request) -> Results:
    embedder, vector, lexical = StaticEmbedder(), list[Answer](), list[Answer]()
    request.progress.stage("baselines", len(chosen))
    for conversation in chosen:
        vector += _answers(conversation, await by_vector(conversation, embedder, DEPTH))
        lexical += _answers(conversation, by_bm25(conversation, DEPTH))
        request.progress.step()
    return {"vector": summary(vector, request.seed), "bm25": summary(lexical, request.seed)}


def _answers(conversation: Conversation, rankings: Iterable[Sequence[str]]) -> list[Answer]:
    pairs = zip(conversation.questions, rankings, strict=True)
    return [
        Answer(conversation.name, question, ranked, conversation.session_of) for question, ranked in pairs
    ]


def _split(answers: Sequence[Answer], chosen: Sequence[Conversation], seed: int) -> Results:
    """Return the figures of every other conversation from the first (for tuning) and from the second (to report)."""
    tune = {one.name for one in chosen[::2]}
    return {
        "tune": summary([answer for answer in answers if answer.conversation in tune], seed),
        "report": summary([answer for answer in answers if answer.conversation not in tune], seed),
    }


def _config(data: Path | None, chosen: Sequence[Conversation], described: Mapping[str, Any]) -> Results:
    return {
        **described,
        "data": _data_name(data),
        "conversations": len(chosen),
        "turns": sum(len(one.turns) for one in chosen),
        "searched": "one day after the last turn, after closing and opening again",
        "forgetting_cycles": 0,
        "baseline_text": "Author: text",
        "interval_of": "recall_at_10",
    }


def _data_name(data: Path | None) -> str:
    return "the bundled demo" if data is None else data.name


def tables(results: Results) -> list[Table]:
    """Return the product beside the baselines, each with its ratio to the product's recall at 10."""
    table = Table(title="retrieval: share of the evidence among the first k")
    for column in ("", *(f"R@{cut}" for cut in CUTS), "95 % of R@10", "product / this, R@10"):
        table.add_column(column, justify="left" if not column else "right")
    rows = {
        "product, gate as configured": results,
        "product, default policy": results["default_policy"],
        "BM25 over the turn": results["baselines"]["bm25"],
        "vectors over the turn": results["baselines"]["vector"],
        "tune half": results["split"]["tune"],
        "report half": results["split"]["report"],
    }
    for name, figures in rows.items():
        if figures["questions"]:
            table.add_row(name, *_cells(figures, results["recall_at_10"]))
    return [table, _ablation_table(results["ablation"])]


def _ablation_table(ablation: Results) -> Table:
    """Return recall at 10 without each lever, and what the lever costs a search."""
    names = list(ablation["with everything"])
    table = Table(title="R@10 without one lever; median search with it / without it")
    for column in ("", *names, "cost"):
        table.add_column(column, justify="left" if not column else "right")
    for lever, figures in ablation.items():
        cells = ["" if figures[name] is None else f"{figures[name]:.3f}" for name in names]
        cost = figures.get("cost")
        table.add_row(lever, *cells, "" if cost is None else f"{cost:.2f}")
    return table


def _cells(figures: Results, headline: float) -> list[str]:
    low, high = figures["interval_95"]
    ratio = headline / figures["recall_at_10"] if figures["recall_at_10"] else float("inf")
    recalls = [f"{figures[f'recall_at_{cut}']:.3f}" for cut in CUTS]
    return [*recalls, f"{low:.3f} to {high:.3f}", f"{ratio:.2f}"]


def charts(results: Results) -> list[Chart]:
    """Return recall over k of the product and the baselines."""
    shown = {"product": results, "default policy": results["default_policy"], **results["baselines"]}
    series = {name: [figures[f"recall_at_{cut}"] or 0.0 for cut in CUTS] for name, figures in shown.items()}
    return [Chart("retrieval", "recall at k", [str(cut) for cut in CUTS], series)]


BENCHMARK = Benchmark("retrieval", run, tables, charts)
