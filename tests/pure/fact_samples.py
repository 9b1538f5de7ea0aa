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
    ErasureDone("verified", {"fence": 0.001, "tiers": 0.02}),
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


SERIES: list[tuple[str, dict[str, str], float]] = [
    ("requests_total", {"op": "add", "outcome": "ok"}, 1),
    ("request_duration_seconds_sum", {"op": "add"}, 0.001),
    ("routing_decisions_total", {"target": "cold", "reason": "above_threshold"}, 1),
    ("importance_score_sum", {}, 0.75),
    ("access_denied_total", {"action": "erase"}, 1),
    ("quarantined_total", {"reason": "scanned"}, 1),
    ("tier_lookups_total", {"tier": "hot", "result": "hit"}, 1),
    ("tier_lookup_duration_seconds_sum", {"tier": "hot"}, 0.003),
    ("embedded_texts_total", {}, 3),
    ("embedding_duration_seconds_sum", {}, 0.000_2),
    ("context_tokens_sum", {}, 900),
    ("recall_index_users", {}, 4),
    ("recall_index_bytes", {}, 5_000),
    ("event_loop_lag_seconds_sum", {}, 0.02),
    ("tier_up", {"tier": "hot"}, 1),
    ("breaker_state", {"tier": "hot", "state": "open"}, 1),
    ("corruption_detected_total", {"store": "cold"}, 1),
    ("journal_depth_records", {}, 7),
    ("journal_depth_bytes", {}, 9_000),
    ("journal_oldest_unapplied_seconds", {}, 1.5),
    ("journal_committed_records_total", {}, 2),
    ("journal_fsync_seconds_sum", {}, 0.000_7),
    ("flushed_records_total", {}, 50),
    ("flush_duration_seconds_sum", {}, 0.01),
    ("recovery_seconds", {}, 0.2),
    ("recovered_records_total", {}, 12),
    ("forget_cycle_duration_seconds_sum", {}, 0.02),
    ("forget_evaluated_total", {}, 10),
    ("forget_forgotten_total", {}, 3),
    ("forget_purged_total", {}, 2),
    ("forget_protected_total", {"reason": "pin"}, 4),
    ("forget_protected_total", {"reason": "floor"}, 1),
    ("forget_strength_count", {}, 2),
    ("forget_strength_bucket", {"le": "0.1"}, 1),
    ("purge_runs_total", {}, 1),
    ("memory_changes_total", {"change": "evicted"}, 1),
    ("forget_rules_total", {"rule": "quota"}, 1),
    ("forget_hook_calls_total", {"outcome": "timeout"}, 1),
    ("forget_vetoed_total", {}, 2),
    ("policy_reindexed_total", {}, 100),
    ("policy_reindex_remaining", {}, 40),
    ("oldest_overdue_deletion_seconds", {}, 3600),
    ("retention_overdue_records", {}, 3),
    ("erasures_total", {"outcome": "verified"}, 1),
    ("erasure_duration_seconds_sum", {"phase": "tiers"}, 0.02),
    ("dsar_duration_seconds_sum", {"kind": "export"}, 12),
    ("consent_changes_total", {"action": "withdrawn"}, 1),
    ("consent_state", {"state": "open"}, 6),
    ("consent_state", {"state": "refused"}, 0),
    ("requests_open", {}, 3),
    ("requests_overdue", {}, 1),
    ("request_next_due_seconds", {}, 0),
    ("holds_active", {}, 2),
    ("records", {"tier": "cold"}, 12),
    ("bytes", {"tier": "cold"}, 3400),
    ("records", {"tier": "hot"}, 5),
    ("key_epoch_age_seconds", {}, 86_400),
    ("root_key_age_seconds", {}, 172_800),
    ("ledger_entries_total", {}, 77),
    ("ledger_checkpoint_age_seconds", {}, 30),
    ("data_dir_free_bytes", {}, 5_000_000),
    ("data_dir_size_bytes", {}, 9_000_000),
    ("job_runs_total", {"job": "forget", "outcome": "ok"}, 1),
    ("job_duration_seconds_sum", {"job": "forget"}, 0.4),
    ("job_paused", {"job": "backup"}, 1),
    ("http_requests_total", {"group": "search", "status": "2xx"}, 1),
    ("http_request_duration_seconds_sum", {"group": "search"}, 0.004),
    ("http_in_flight", {}, 8),
    ("http_rejected_total", {"reason": "rate_limited"}, 1),
    ("api_key_events_total", {"event": "revoked"}, 1),
]
"""What the samples come to: a series, its labels, its value."""


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
