"""One fact of every kind, and every word of every label, for tests of who hears of them."""

from __future__ import annotations

import typing
from collections.abc import Iterator
from itertools import product

from tiered_memory import metrics
from tiered_memory.metrics import ErasureDone, Fact, RequestDone, TierHeld, TierUp, Vocabulary

FACT_KINDS: tuple[type, ...] = typing.get_args(Fact)
SAMPLES: list[Fact] = [
    RequestDone("add", "ok", 0.001),
    metrics.Routed("cold", "above_threshold", 0.75),
    metrics.TierLookup("hot", hit=True, seconds=0.003),
    metrics.Embedded(3, 0.000_2),
    metrics.ContextPacked(900),
    metrics.AccessDenied("erase"),
    metrics.Quarantined("scanned"),
    metrics.RecallIndexState(4, 5_000),
    metrics.LoopLag(0.02),
    TierUp("hot", up=True),
    metrics.BreakerChanged("hot", "open"),
    metrics.JournalState(7, 9_000, 1.5),
    metrics.JournalCommitted(2, 0.000_7),
    metrics.Flushed(50, 0.01),
    metrics.Recovered(12, 0.2),
    metrics.CorruptionDetected("cold"),
    metrics.ForgetCycle(10, 3, 2, {"pin": 4, "floor": 1}, 0.02),
    metrics.StrengthsSeen((0.05, 0.5)),
    metrics.PurgeRunNoted(purged=2, forgotten=3),
    metrics.MemoryMoved("evicted", "quota"),
    metrics.HookAnswered("timeout", 2, 0.5),
    metrics.Reindexed(100, 40),
    metrics.OldestOverdueDeletion(3600.0),
    ErasureDone("verified", {"fence": 0.001, "cold": 0.02}),
    metrics.ConsentChanged("withdrawn"),
    metrics.DsarDone("export", 12.0),
    metrics.RecordsStanding({"cold": TierHeld(12, 3400), "hot": TierHeld(5, None)}, overdue=3),
    metrics.ConsentsStanding({"open": 6, "withdrawn": 2}),
    metrics.RequestsStanding(3, 1, 0.0),
    metrics.HoldsStanding(2),
    metrics.KeysStanding(86_400.0, 172_800.0),
    metrics.LedgerStanding(77, 30.0),
    metrics.DiskStanding(5_000_000, 9_000_000),
    metrics.JobRun("forget", "ok", 0.4),
    metrics.JobPaused("backup", paused=True),
    metrics.HttpDone("search", 200, 0.004),
    metrics.HttpInFlight(8),
    metrics.HttpRejected("rate_limited"),
    metrics.ApiKeyEvent("revoked"),
]


def everything(words: Vocabulary) -> Iterator[Fact]:
    """Yield facts with every word of every label, and with one that no label knows."""
    yield from SAMPLES
    yield from _calls(words)
    yield from _tiers(words)
    yield from _rights(words)
    yield from _daemon(words)


def _and_strange(known: frozenset[str]) -> list[str]:
    return [*sorted(known), "?"]


def _calls(words: Vocabulary) -> Iterator[Fact]:
    for op, error in product(_and_strange(words.ops), ("ok", *_and_strange(words.errors))):
        yield RequestDone(op, error, 0.001)
    for target, reason in product(_and_strange(words.targets), _and_strange(words.reasons)):
        yield metrics.Routed(target, reason, 0.5)
    yield from (metrics.AccessDenied(action) for action in _and_strange(words.actions))
    yield from (metrics.Quarantined(reason) for reason in _and_strange(words.quarantines))


def _tiers(words: Vocabulary) -> Iterator[Fact]:
    for tier in _and_strange(words.tiers):
        yield from (metrics.TierLookup(tier, hit=hit, seconds=0.1) for hit in (True, False))
        yield from (metrics.BreakerChanged(tier, state) for state in _and_strange(words.breaker_states))
        yield TierUp(tier, up=True)
    held = dict.fromkeys(_and_strange(words.tiers), TierHeld(1, 1))
    yield metrics.RecordsStanding(held, overdue=0)
    yield from (metrics.CorruptionDetected(store) for store in _and_strange(words.stores))


def _rights(words: Vocabulary) -> Iterator[Fact]:
    yield ErasureDone("?", dict.fromkeys(_and_strange(words.phases), 0.1))
    yield from (ErasureDone(outcome, {}) for outcome in words.erasure_outcomes)
    yield from (metrics.ConsentChanged(action) for action in _and_strange(words.consent_actions))
    yield metrics.ConsentsStanding(dict.fromkeys(_and_strange(words.consent_states), 1))
    yield from (metrics.DsarDone(kind, 1.0) for kind in _and_strange(words.dsar_kinds))
    yield metrics.ForgetCycle(1, 1, 1, dict.fromkeys(_and_strange(words.protections), 1), 0.1)
    yield from (metrics.MemoryMoved(change, "?") for change in _and_strange(words.changes))
    yield from (metrics.MemoryMoved("?", rule) for rule in _and_strange(words.rules))
    yield from (metrics.HookAnswered(outcome, 0, 0.1) for outcome in _and_strange(words.hook_outcomes))


def _daemon(words: Vocabulary) -> Iterator[Fact]:
    for job in _and_strange(words.jobs):
        yield from (metrics.JobRun(job, outcome, 0.1) for outcome in _and_strange(words.job_outcomes))
        yield metrics.JobPaused(job, paused=False)
    for group in _and_strange(words.groups):
        yield from (metrics.HttpDone(group, status, 0.1) for status in (101, 200, 302, 404, 503))
    yield from (metrics.HttpRejected(reason) for reason in _and_strange(words.rejections))
    yield from (metrics.ApiKeyEvent(event) for event in _and_strange(words.key_events))
