"""Facts as Prometheus metrics: base units, closed label sets, never an id.

What is exported stands in `metrics/catalogue.py`. The number of series depends on the vocabulary alone: not on how
many subjects are served, nor on what words a fact carries.
"""

from __future__ import annotations

import platform
from collections.abc import Mapping
from typing import assert_never

from prometheus_client import CollectorRegistry, generate_latest

from tiered_memory import __version__, metrics
from tiered_memory.clock import Clock, SystemClock
from tiered_memory.metrics import (
    OK,
    OTHER,
    DaemonFact,
    Fact,
    ForgettingFact,
    RightsFact,
    ServingFact,
    StandingFact,
    StoringFact,
    Vocabulary,
)
from tiered_memory.metrics.words import OUTCOME_OF
from tiered_memory.prometheus_series import Board


class _Taker:
    """Puts one kind of facts on the board."""

    def __init__(self, board: Board, words: Vocabulary) -> None:
        self._add = {name: series.add for name, series in board.numbers.items()}
        self._put = {name: series.put for name, series in board.numbers.items()}
        self._record = {name: series.record for name, series in board.distributions.items()}
        self._drop = {name: series.drop for name, series in board.numbers.items()}
        self._words = words

    def _state(self, name: str, value: float | None, *key: str) -> None:
        """What nobody knows any more is exported no more: an old age would look like a present one."""
        if value is None:
            self._drop[name](*key)
        else:
            self._put[name](value, *key)


class _Serving(_Taker):
    """Calls, where they went, what they asked of tiers and models."""

    def __init__(self, board: Board, words: Vocabulary) -> None:
        super().__init__(board, words)
        self._calls = board.numbers["requests_total"].add
        self._durations = board.distributions["request_duration_seconds"].record

    def request(self, fact: metrics.RequestDone) -> None:
        self._calls(1, fact.op, OUTCOME_OF.get(fact.outcome, OTHER))
        self._durations(fact.seconds, fact.op)
        if fact.outcome != OK:
            self._add["errors_total"](1, fact.outcome)

    def take(self, fact: ServingFact) -> None:
        match fact:
            case metrics.RequestDone():
                self.request(fact)
            case metrics.Routed():
                self._add["routing_decisions_total"](1, fact.target, fact.reason)
                self._record["importance_score"](fact.importance)
            case metrics.TierLookup():
                self._lookup(fact)
            case metrics.Embedded():
                self._add["embedded_texts_total"](fact.texts)
                self._record["embedding_duration_seconds"](fact.seconds)
            case metrics.ContextPacked():
                self._record["context_tokens"](fact.tokens)
            case metrics.AccessDenied():
                self._add["access_denied_total"](1, fact.action)
            case metrics.Quarantined():
                self._add["quarantined_total"](1, fact.reason)
            case metrics.RecallIndexState():
                self._put["recall_index_users"](fact.users)
                self._put["recall_index_bytes"](fact.bytes)
            case metrics.LoopLag():
                self._record["event_loop_lag_seconds"](fact.seconds)
            case _:
                assert_never(fact)

    def _lookup(self, fact: metrics.TierLookup) -> None:
        self._add["tier_lookups_total"](1, fact.tier, "hit" if fact.hit else "miss")
        if fact.seconds is not None:
            self._record["tier_lookup_duration_seconds"](fact.seconds, fact.tier)


class _Storing(_Taker):
    """The tiers and the journal."""

    def take(self, fact: StoringFact) -> None:
        match fact:
            case metrics.TierUp():
                self._put["tier_up"](float(fact.up), fact.tier)
            case metrics.BreakerChanged():
                self._breaker_changed(fact)
            case metrics.JournalState():
                self._put["journal_depth_records"](fact.records)
                self._put["journal_depth_bytes"](fact.bytes)
                self._put["journal_oldest_unapplied_seconds"](fact.oldest_unapplied_seconds)
            case metrics.JournalCommitted():
                self._add["journal_committed_records_total"](fact.records)
                self._record["journal_fsync_seconds"](fact.seconds)
            case metrics.Flushed():
                self._add["flushed_records_total"](fact.records)
                self._record["flush_duration_seconds"](fact.seconds)
            case metrics.Recovered():
                self._add["recovered_records_total"](fact.records)
                self._put["recovery_seconds"](fact.seconds)
            case metrics.CorruptionDetected():
                self._add["corruption_detected_total"](1, fact.store)
            case _:
                assert_never(fact)

    def _breaker_changed(self, fact: metrics.BreakerChanged) -> None:
        put = self._put["breaker_state"]
        for state in (*sorted(self._words.breaker_states), OTHER):
            put(0.0, fact.tier, state)
        put(1.0, fact.tier, fact.state)


class _Forgetting(_Taker):
    """What leaves, and why."""

    def take(self, fact: ForgettingFact) -> None:
        match fact:
            case metrics.ForgetCycle():
                self._forget_cycle(fact)
            case metrics.StrengthsSeen():
                for strength in fact.strengths:
                    self._record["forget_strength"](strength)
            case metrics.PurgeRunNoted():
                self._add["purge_runs_total"](1)
            case metrics.MemoryMoved():
                self._add["memory_changes_total"](1, fact.change)
                self._add["forget_rules_total"](1, fact.rule)
            case metrics.HookAnswered():
                self._add["forget_hook_calls_total"](1, fact.outcome)
                self._add["forget_vetoed_total"](fact.vetoed)
            case metrics.Reindexed():
                self._add["policy_reindexed_total"](fact.records)
                self._put["policy_reindex_remaining"](fact.remaining)
            case metrics.OldestOverdueDeletion():
                self._put["oldest_overdue_deletion_seconds"](fact.seconds)
            case _:
                assert_never(fact)

    def _forget_cycle(self, fact: metrics.ForgetCycle) -> None:
        self._add["forget_evaluated_total"](fact.evaluated)
        self._add["forget_forgotten_total"](fact.forgotten)
        self._add["forget_purged_total"](fact.purged)
        for reason, memories in fact.protected.items():
            self._add["forget_protected_total"](memories, reason)
        self._record["forget_cycle_duration_seconds"](fact.seconds)


class _Rights(_Taker):
    """People's rights."""

    def take(self, fact: RightsFact) -> None:
        match fact:
            case metrics.ErasureDone():
                self._add["erasures_total"](1, fact.outcome)
                for phase, seconds in fact.phases.items():
                    self._record["erasure_duration_seconds"](seconds, phase)
            case metrics.ConsentChanged():
                self._add["consent_changes_total"](1, fact.state)
            case metrics.DsarDone():
                self._record["dsar_duration_seconds"](fact.seconds, fact.kind)
            case _:
                assert_never(fact)


class _Standing(_Taker):
    """How the store stands."""

    def take(self, fact: StandingFact) -> None:
        match fact:
            case metrics.RecordsStanding():
                self._put["retention_overdue_records"](fact.overdue)
                for tier, held in fact.tiers.items():
                    self._state("records", held.records, tier)
                    self._state("bytes", held.bytes, tier)
            case metrics.ConsentsStanding():
                self._each("consent_state", fact.states, self._words.consent_states)
            case metrics.RequestsStanding():
                self._put["requests_open"](fact.open)
                self._put["requests_overdue"](fact.overdue)
                self._state("request_next_due_seconds", fact.next_due_seconds)
            case metrics.HoldsStanding():
                self._put["holds_active"](fact.active)
            case metrics.KeysStanding():
                self._state("key_epoch_age_seconds", fact.oldest_epoch_seconds)
                self._state("root_key_age_seconds", fact.root_key_seconds)
            case metrics.LedgerStanding():
                self._put["ledger_entries_total"](fact.entries)
                self._state("ledger_checkpoint_age_seconds", fact.checkpoint_age_seconds)
            case metrics.DiskStanding():
                self._put["data_dir_free_bytes"](fact.free_bytes)
                self._put["data_dir_size_bytes"](fact.size_bytes)
            case _:
                assert_never(fact)

    def _each(self, name: str, counts: Mapping[str, int], known: frozenset[str]) -> None:
        """States that nothing is in any more are 0; what is in unknown ones is summed."""
        for word in sorted(known):
            self._put[name](counts.get(word, 0), word)
        strange = sum(count for word, count in counts.items() if word not in known)
        if strange:
            self._put[name](strange, OTHER)
        else:
            self._drop[name](OTHER)


class _Daemon(_Taker):
    """Jobs, the HTTP face, keys. `clock` says when a job succeeded."""

    def __init__(self, board: Board, words: Vocabulary, clock: Clock) -> None:
        super().__init__(board, words)
        self._clock = clock

    def take(self, fact: DaemonFact) -> None:
        match fact:
            case metrics.JobRun():
                self._add["job_runs_total"](1, fact.job, fact.outcome)
                self._record["job_duration_seconds"](fact.seconds, fact.job)
                if fact.outcome == OK:
                    self._put["job_last_success_timestamp_seconds"](self._clock.now().timestamp(), fact.job)
            case metrics.JobPaused():
                self._put["job_paused"](float(fact.paused), fact.job)
            case metrics.HttpDone():
                self._add["http_requests_total"](1, fact.group, f"{fact.status // 100}xx")
                self._record["http_request_duration_seconds"](fact.seconds, fact.group)
            case metrics.HttpInFlight():
                self._put["http_in_flight"](fact.requests)
            case metrics.HttpRejected():
                self._add["http_rejected_total"](1, fact.reason)
            case metrics.ApiKeyEvent():
                self._add["api_key_events_total"](1, fact.event)
            case _:
                assert_never(fact)


class PrometheusObserver:
    """Turns facts into metrics named `tiered_memory_…` in `registry` (its own one when None is given).

    Amounts that are negative or not finite are ignored; words outside `words` count as "other". `clock` is the one
    whose time a scraper compares with, the system's unless another is given.
    Raises ValueError when `registry` already holds metrics of these names.
    """

    def __init__(
        self,
        registry: CollectorRegistry | None = None,
        words: Vocabulary | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.registry = CollectorRegistry() if registry is None else registry
        words = Vocabulary() if words is None else words
        board = Board(words)
        self._serving, self._storing = _Serving(board, words), _Storing(board, words)
        self._forgetting, self._rights = _Forgetting(board, words), _Rights(board, words)
        self._standing = _Standing(board, words)
        self._daemon = _Daemon(board, words, SystemClock() if clock is None else clock)
        board.own("build_info", __version__, platform.python_version())
        self.registry.register(board)

    def observe(self, fact: Fact) -> None:
        """Count `fact`."""
        match fact:
            case metrics.RequestDone():
                self._serving.request(fact)
            case (
                metrics.Routed()
                | metrics.TierLookup()
                | metrics.Embedded()
                | metrics.ContextPacked()
                | metrics.AccessDenied()
                | metrics.Quarantined()
                | metrics.RecallIndexState()
                | metrics.LoopLag()
            ):
                self._serving.take(fact)
            case (
                metrics.TierUp()
                | metrics.BreakerChanged()
                | metrics.JournalState()
                | metrics.JournalCommitted()
                | metrics.Flushed()
                | metrics.Recovered()
                | metrics.CorruptionDetected()
            ):
                self._storing.take(fact)
            case (
                metrics.JobRun()
                | metrics.JobPaused()
                | metrics.HttpDone()
                | metrics.HttpInFlight()
                | metrics.HttpRejected()
                | metrics.ApiKeyEvent()
            ):
                self._daemon.take(fact)
            case (
                metrics.RecordsStanding()
                | metrics.ConsentsStanding()
                | metrics.RequestsStanding()
                | metrics.HoldsStanding()
                | metrics.KeysStanding()
                | metrics.LedgerStanding()
                | metrics.DiskStanding()
            ):
                self._standing.take(fact)
            case metrics.ErasureDone() | metrics.ConsentChanged() | metrics.DsarDone():
                self._rights.take(fact)
            case _:
                self._forgetting.take(fact)

    def exposition(self) -> bytes:
        """Return every metric of the registry in Prometheus's text format (version 0.0.4)."""
        return generate_latest(self.registry)
