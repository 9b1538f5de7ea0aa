"""`importance`: does the importance given on arrival foresee what will be asked for later?

Each conversation is one user; the importance is the one in the receipts of the product's own `add`, in order of
arrival. A turn is evidence when any question cites it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from rich.table import Table

from benchmarks.charts import Chart
from benchmarks.datasets import Conversation
from benchmarks.demo_lines import DEMO_LINES, DemoLine
from benchmarks.metrics import area_under_curve, evidence_kept
from benchmarks.store import (
    NOTICE,
    PURPOSE,
    Told,
    conversations,
    engines,
    fresh_folder,
    settings_for,
    tell,
    user_of,
)
from benchmarks.suite import Benchmark, Measured, Request, Results
from tiered_memory import TieredMemory, User
from tiered_memory.config import Settings
from tiered_memory.forgetting.gate import ImportanceSpread, judge_gate
from tiered_memory.policy.rules import RoutingRules
from tiered_memory.testing import ManualClock

SHARES = (0.1, 0.2, 0.3, 0.5)
THRESHOLDS = (0.0, 0.05, 0.1, 0.12, 0.15, 0.18, 0.2, 0.25, 0.3, 0.4, 0.5, 0.7)
QUANTILES = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
DEFAULT_POLICY = "default"
TOLERANCE = 1e-9


async def run(request: Request) -> Measured:
    """Measure the importance of every turn, and of the demo's lines."""
    chosen = conversations(request.data, full=request.full)
    with fresh_folder() as folder:
        settings = settings_for(folder / "store", request.policy or DEFAULT_POLICY, background=False)
        told, lines = await _told(chosen, settings, request)
        config = _config(request.data, chosen, settings)
    pairs = list(zip(chosen, told, strict=True))
    kept = {str(share): fmean(_kept(pairs, share)) for share in SHARES}
    results = {"evidence_kept": kept, "auc": fmean(_areas(pairs)), "demo_lines": lines}
    results["gate_curve"] = [_gated(pairs, rules) for rules in GATES]
    results["demo_lines_in_band"] = sum(_in_band(line) for line in lines) / len(lines)
    return Measured(config, results)


GATES = (
    *(RoutingRules(cold_threshold=one) for one in THRESHOLDS),
    *(RoutingRules(gate="quantile", cold_quantile=one) for one in QUANTILES),
)
Pairs = Sequence[tuple[Conversation, Sequence[Told]]]


async def _told(
    chosen: Sequence[Conversation], settings: Settings, request: Request
) -> tuple[list[list[Told]], list[Results]]:
    clock, told = ManualClock(), list[list[Told]]()
    request.progress.stage("adding turns", sum(len(one.turns) for one in chosen))
    async with TieredMemory.open(settings, clock=clock) as memory:
        for conversation in chosen:
            told.append(await tell(user_of(memory, conversation), conversation, clock))
            await memory.drain()
            request.progress.step(len(conversation.turns))
        lines = await _demo_lines(memory.user("demo lines", tenant="benchmark"))
    return told, lines


async def _demo_lines(user: User) -> list[Results]:
    await user.consent.grant(PURPOSE, notice=NOTICE)
    return [await _demo_line(user, line) for line in DEMO_LINES]


async def _demo_line(user: User, line: DemoLine) -> Results:
    receipt = await user.add(line.text, role=line.role, session="demo")
    return {"text": line.text, "importance": receipt.importance, "low": line.low, "high": line.high}


def _in_band(line: Results) -> bool:
    return bool(line["low"] - TOLERANCE <= line["importance"] <= line["high"] + TOLERANCE)


def _kept(pairs: Pairs, share: float) -> list[float]:
    """Return per question the share of its evidence among its conversation's most important turns."""
    kept: list[float] = []
    for conversation, told in pairs:
        ranked = [one.turn.id for one in sorted(told, key=lambda one: -one.receipt.importance)]
        kept += evidence_kept(ranked, [question.evidence for question in conversation.questions], share)
    return kept


def _gated(pairs: Pairs, rules: RoutingRules) -> Results:
    """Return what a gate lets through of the evidence, of the turns, and of the bytes of their texts."""
    kept, passed, total = list[float](), [0, 0], [0, 0]
    for conversation, told in pairs:
        through = set[str]()
        for one, passes in zip(told, _passing(told, rules), strict=True):
            size = len(one.turn.text.encode())
            total = [total[0] + 1, total[1] + size]
            if passes:
                through.add(one.turn.id)
                passed = [passed[0] + 1, passed[1] + size]
        asked = [frozenset(question.evidence) for question in conversation.questions if question.evidence]
        kept += [len(through & evidence) / len(evidence) for evidence in asked]
    value = rules.cold_quantile if rules.gate == "quantile" else rules.cold_threshold
    return {
        rules.gate: value,
        "evidence_kept": fmean(kept) if kept else None,
        "turns_share": passed[0] / total[0],
        "bytes_share": passed[1] / total[1],
    }


def _passing(told: Sequence[Told], rules: RoutingRules) -> list[bool]:
    """Tell of each turn, in its order, whether it would pass a gate that knows of those before it."""
    spread, passing = ImportanceSpread(), []
    for one in told:
        passing.append(judge_gate(one.receipt.importance, rules, spread).to_cold)
        spread.add(one.receipt.importance)
    return passing


def _areas(pairs: Pairs) -> list[float]:
    """Return per conversation the chance that an evidence turn outranks another; none where all turns are alike."""
    areas = []
    for conversation, told in pairs:
        evidence = frozenset[str]().union(*(question.evidence for question in conversation.questions))
        positive = [one.turn.id in evidence for one in told]
        if any(positive) and not all(positive):
            areas.append(area_under_curve([one.receipt.importance for one in told], positive))
    return areas


def _config(data: Path | None, chosen: Sequence[Conversation], settings: Settings) -> dict[str, Any]:
    return {
        **engines(settings),
        "data": "the bundled demo" if data is None else data.name,
        "conversations": len(chosen),
        "turns": sum(len(one.turns) for one in chosen),
        "questions": sum(len(one.questions) for one in chosen),
        "auc_of": "mean over conversations",
    }


def tables(results: Results) -> list[Table]:
    """Return the curve of evidence kept, and the demo's lines with their bands."""
    curve = Table(title=f"importance: evidence kept (AUC {results['auc']:.3f})")
    for column in ("turns kept", "evidence kept", "evidence / chance"):
        curve.add_column(column, justify="right")
    for share, kept in results["evidence_kept"].items():
        curve.add_row(f"{float(share):.0%}", f"{kept:.3f}", f"{kept / float(share):.2f}")
    lines = Table(title="demo lines")
    for column in ("line", "importance", "band", ""):
        lines.add_column(column, justify="left" if column == "line" else "right")
    for line in results["demo_lines"]:
        band = f"{line['low']:.2f} to {line['high']:.2f}"
        lines.add_row(line["text"], f"{line['importance']:.2f}", band, "in" if _in_band(line) else "out")
    return [curve, gates(results), lines]


def gates(results: Results) -> Table:
    """Return what each gate lets through."""
    table = Table(title="the gate to cold: evidence kept against what is stored")
    for column in ("gate", "evidence kept", "turns", "bytes of text"):
        table.add_column(column, justify="left" if column == "gate" else "right")
    for point in results["gate_curve"]:
        name = next(iter(point))
        share = point["evidence_kept"]
        table.add_row(
            f"{name} {point[name]:.2f}",
            "none" if share is None else f"{share:.3f}",
            f"{point['turns_share']:.1%}",
            f"{point['bytes_share']:.1%}",
        )
    return table


def charts(results: Results) -> list[Chart]:
    """Return evidence kept over turns kept, beside chance."""
    kept = results["evidence_kept"]
    series = {"importance": list(kept.values()), "chance": [float(share) for share in kept]}
    shown = [Chart("importance", "evidence kept", [f"{float(share):.0%}" for share in kept], series)]
    gated = [point for point in results["gate_curve"] if "threshold" in point]
    lines = {name: [point[name] or 0.0 for point in gated] for name in ("evidence_kept", "bytes_share")}
    places = [f"{point['threshold']:.2f}" for point in gated]
    return [*shown, Chart("gate", "evidence kept and bytes stored by threshold", places, lines)]


BENCHMARK = Benchmark("importance", run, tables, charts)
