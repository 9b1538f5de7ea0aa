"""Facts as Prometheus metrics: base units, closed label sets, never an id.

Naming follows the Prometheus conventions (https://prometheus.io/docs/practices/naming/). The number of series
depends on the vocabulary alone: not on how many subjects are served, nor on what words a fact carries.
"""

from __future__ import annotations

import platform
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from itertools import accumulate, product
from math import inf
from threading import Lock
from typing import Generic, TypeVar, assert_never

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from tiered_memory import __version__, metrics
from tiered_memory.metrics import (
    OTHER,
    Fact,
    RightsFact,
    ServingFact,
    StoringFact,
    Vocabulary,
)

PREFIX = "tiered_memory_"

REQUEST_BUCKETS = (0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0)
FSYNC_BUCKETS = (0.000_25, 0.000_5, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 2.0)
WORK_BUCKETS = (0.001, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0, 120.0)
EMBEDDING_BUCKETS = (0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.005, 0.01, 0.05, 0.25, 1.0)
IMPORTANCE_BUCKETS = tuple(step / 10 for step in range(1, 11))
TOKEN_BUCKETS = (64.0, 128.0, 256.0, 512.0, 1024.0, 2048.0, 4096.0, 8192.0, 16_384.0, 65_536.0)

_BOUNDS = (*map(str, REQUEST_BUCKETS), "+Inf")

M = TypeVar("M", Counter, Gauge, Histogram)


class _Requests:
    """Calls by operation and outcome, and their durations, under one lock.

    Every call of the public face passes here; a Counter and a Histogram of the client would cost it twice the
    time, with a lock for each of their three numbers.
    """

    def __init__(self, words: Vocabulary) -> None:
        self._lock = Lock()
        self._words = words
        self._counts = {(op, "ok"): 0 for op in sorted(words.ops)}
        self._buckets = {op: [0] * (len(REQUEST_BUCKETS) + 1) for op in (*sorted(words.ops), OTHER)}
        self._sums = dict.fromkeys(self._buckets, 0.0)

    def note(self, fact: metrics.RequestDone) -> None:
        op, seconds = _known(fact.op, self._words.ops), fact.seconds
        key = op, _known(fact.outcome, self._words.outcomes)
        with self._lock:
            self._counts[key] = self._counts.get(key, 0) + 1
            if 0.0 <= seconds < inf:
                self._buckets[op][bisect_left(REQUEST_BUCKETS, seconds)] += 1
                self._sums[op] += seconds

    def collect(self) -> Iterator[Metric]:
        with self._lock:
            counts, sums = dict(self._counts), dict(self._sums)
            buckets = {op: list(accumulate(counted)) for op, counted in self._buckets.items()}
        total = CounterMetricFamily(
            PREFIX + "requests", "Calls by operation and outcome.", labels=("op", "outcome")
        )
        for key, count in counts.items():
            total.add_metric(key, count)
        yield total
        latency = HistogramMetricFamily(
            PREFIX + "request_duration_seconds", "Duration of calls.", labels=("op",)
        )
        for op, cumulated in buckets.items():
            latency.add_metric((op,), list(zip(_BOUNDS, cumulated, strict=True)), sums[op])
        yield latency


class _Families(Collector):
    """The observer's metrics as one collector.

    Leaves out the `_created` samples: they would double the series, and the library's switch for them is
    global to the process that embeds us.
    """

    def __init__(self, requests: _Requests) -> None:
        self._requests = requests
        self._metrics: list[Counter | Gauge | Histogram] = []

    def counter(self, name: str, text: str, *labels: str) -> Counter:
        return self._keep(Counter(PREFIX + name, text, labels, registry=None))

    def gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return self._keep(Gauge(PREFIX + name, text, labels, registry=None))

    def histogram(self, name: str, text: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
        return self._keep(Histogram(PREFIX + name, text, labels, registry=None, buckets=buckets))

    def collect(self) -> Iterable[Metric]:
        yield from self._requests.collect()
        for metric in self._metrics:
            yield from (_without_created(family) for family in metric.collect())

    def describe(self) -> Iterable[Metric]:
        yield from self._requests.collect()
        for metric in self._metrics:
            yield from metric.describe()

    def _keep(self, metric: M) -> M:
        self._metrics.append(metric)
        return metric


def _without_created(family: Metric) -> Metric:
    family.samples = [sample for sample in family.samples if not sample.name.endswith("_created")]
    return family


class _Children(Generic[M]):
    """The children of a labelled metric, one for each combination of known words, "other" for the rest.

    `show` names the combinations exported as zero from the start, so that a first increment is seen as one.
    """

    def __init__(self, metric: M, *words: frozenset[str], show: Iterable[tuple[str, ...]] = ()) -> None:
        self._metric: M = metric
        self._words = words
        self._children: dict[tuple[str, ...], M] = {key: metric.labels(*key) for key in show}

    def at(self, *key: str) -> M:
        """Return the child of these label values."""
        return self._children.get(key) or self._canonical(key)

    def _canonical(self, key: tuple[str, ...]) -> M:
        pairs = zip(key, self._words, strict=True)
        known = tuple(_known(word, words) for word, words in pairs)
        if known not in self._children:
            self._children[known] = self._metric.labels(*known)
        return self._children[known]


def _known(word: str, words: frozenset[str]) -> str:
    return word if word in words else OTHER


def _each(words: frozenset[str]) -> list[tuple[str, ...]]:
    return [(word,) for word in sorted(words)]


def _sane(value: float) -> bool:
    # NaN, infinity or a negative amount would spoil a sum for the rest of the process.
    return 0.0 <= value < inf


def _add(counter: Counter, amount: float) -> None:
    if _sane(amount):
        counter.inc(amount)


def _record(histogram: Histogram, amount: float) -> None:
    if _sane(amount):
        histogram.observe(amount)


def _set(gauge: Gauge, value: float) -> None:
    if _sane(value):
        gauge.set(value)


class _Serving:
    """Metrics of the public face and of recall."""

    def __init__(self, make: _Families, words: Vocabulary, requests: _Requests) -> None:
        self._requests = requests
        routed = make.counter("routing_decisions_total", "Routing decisions.", "target", "reason")
        lookups = make.counter("tier_lookups_total", "Reads that asked a tier.", "tier", "result")
        results = frozenset({"hit", "miss"})
        self._routed = _Children(routed, words.targets, words.reasons)
        self._lookups = _Children(
            lookups, words.tiers, results, show=product(sorted(words.tiers), sorted(results))
        )
        self._importance = make.histogram("importance_score", "Importance at write time.", IMPORTANCE_BUCKETS)
        self._embedding = make.histogram(
            "embedding_duration_seconds", "Duration of embedding calls.", EMBEDDING_BUCKETS
        )
        self._texts = make.counter("embedded_texts_total", "Texts embedded.")
        self._tokens = make.histogram("context_tokens", "Tokens of packed contexts.", TOKEN_BUCKETS)
        self._users = make.gauge("recall_index_users", "Users whose recall index is in memory.")
        self._bytes = make.gauge("recall_index_bytes", "Memory held by recall indexes.")

    def observe(self, fact: ServingFact) -> None:
        match fact:
            case metrics.RequestDone():
                self._requests.note(fact)
            case metrics.Routed():
                self._routed.at(fact.target, fact.reason).inc()
                _record(self._importance, fact.importance)
            case metrics.TierLookup():
                self._lookups.at(fact.tier, "hit" if fact.hit else "miss").inc()
            case metrics.Embedded():
                _add(self._texts, fact.texts)
                _record(self._embedding, fact.seconds)
            case metrics.ContextPacked():
                _record(self._tokens, fact.tokens)
            case metrics.RecallIndexState():
                _set(self._users, fact.users)
                _set(self._bytes, fact.bytes)
            case _:
                pass


class _Storing:
    """Metrics of the tiers and the journal."""

    def __init__(self, make: _Families, words: Vocabulary) -> None:
        up = make.gauge("tier_up", "Whether a tier is reachable.", "tier")
        breaker = make.gauge("breaker_state", "1 for the state a breaker is in.", "tier", "state")
        corruption = make.counter("corruption_detected_total", "Stored bytes that did not verify.", "store")
        self._up = _Children(up, words.tiers)
        self._breaker = _Children(breaker, words.tiers, words.breaker_states)
        self._breaker_states = (*sorted(words.breaker_states), OTHER)
        self._corruption = _Children(corruption, words.stores, show=_each(words.stores))
        self._depth = make.gauge("journal_depth_records", "Journal records not yet in the cold tier.")
        self._depth_bytes = make.gauge("journal_depth_bytes", "Bytes of those records.")
        self._oldest = make.gauge("journal_oldest_unapplied_seconds", "Age of the oldest of those records.")
        self._fsync = make.histogram(
            "journal_fsync_seconds", "Duration of journal group commits.", FSYNC_BUCKETS
        )
        self._committed = make.counter("journal_committed_records_total", "Records made durable.")
        self._flush = make.histogram("flush_duration_seconds", "Duration of flushes to cold.", WORK_BUCKETS)
        self._flushed = make.counter("flushed_records_total", "Records flushed to cold.")
        self._recovery = make.gauge("recovery_seconds", "Duration of the last journal replay.")
        self._recovered = make.counter("recovered_records_total", "Records replayed from the journal.")

    def observe(self, fact: StoringFact) -> None:
        match fact:
            case metrics.TierUp():
                self._up.at(fact.tier).set(float(fact.up))
            case metrics.BreakerChanged():
                self._breaker_changed(fact)
            case metrics.JournalState():
                _set(self._depth, fact.records)
                _set(self._depth_bytes, fact.bytes)
                _set(self._oldest, fact.oldest_unapplied_seconds)
            case metrics.JournalCommitted():
                _add(self._committed, fact.records)
                _record(self._fsync, fact.seconds)
            case metrics.Flushed():
                _add(self._flushed, fact.records)
                _record(self._flush, fact.seconds)
            case metrics.Recovered():
                _add(self._recovered, fact.records)
                _set(self._recovery, fact.seconds)
            case metrics.CorruptionDetected():
                self._corruption.at(fact.store).inc()
            case _:
                assert_never(fact)

    def _breaker_changed(self, fact: metrics.BreakerChanged) -> None:
        for state in self._breaker_states:
            self._breaker.at(fact.tier, state).set(0.0)
        self._breaker.at(fact.tier, fact.state).set(1.0)


class _Rights:
    """Metrics of forgetting and of people's rights."""

    def __init__(self, make: _Families, words: Vocabulary) -> None:
        erasures = make.counter("erasures_total", "Erasures by outcome.", "outcome")
        phases = make.histogram("erasure_duration_seconds", "Duration of erasures.", WORK_BUCKETS, "phase")
        consents = make.counter("consent_changes_total", "Consent events by new state.", "state")
        self._erasures = _Children(erasures, words.erasure_outcomes, show=_each(words.erasure_outcomes))
        self._phases = _Children(phases, words.phases)
        self._consents = _Children(consents, words.consent_states, show=_each(words.consent_states))
        self._cycle = make.histogram(
            "forget_cycle_duration_seconds", "Duration of forgetting runs.", WORK_BUCKETS
        )
        self._evaluated = make.counter("forget_evaluated_total", "Memories a forgetting run looked at.")
        self._forgotten = make.counter("forget_forgotten_total", "Memories that decayed away.")
        self._purged = make.counter("forget_purged_total", "Memories removed for good after forgetting.")
        self._protected = make.counter("forget_protected_total", "Due memories left as protected.")
        self._overdue = make.gauge(
            "oldest_overdue_deletion_seconds", "How long the oldest deletion is overdue; 0 when none is."
        )

    def observe(self, fact: RightsFact) -> None:
        match fact:
            case metrics.ForgetCycle():
                self._forget_cycle(fact)
            case metrics.ErasureDone():
                self._erasures.at(fact.outcome).inc()
                for phase, seconds in fact.phases.items():
                    _record(self._phases.at(phase), seconds)
            case metrics.ConsentChanged():
                self._consents.at(fact.state).inc()
            case metrics.OldestOverdueDeletion():
                _set(self._overdue, fact.seconds)
            case _:
                pass

    def _forget_cycle(self, fact: metrics.ForgetCycle) -> None:
        _add(self._evaluated, fact.evaluated)
        _add(self._forgotten, fact.forgotten)
        _add(self._purged, fact.purged)
        _add(self._protected, fact.protected)
        _record(self._cycle, fact.seconds)


class _Forgetting:
    def __init__(self, make: _Families, words: Vocabulary) -> None:
        moved = make.counter("memory_changes_total", "Memories that left or came back.", "change")
        rules = make.counter("forget_rules_total", "Those changes by the rule behind them.", "rule")
        asked = make.counter("forget_hook_calls_total", "Times the application was asked.", "outcome")
        self._moved, self._rules = _Children(moved, words.changes), _Children(rules, words.rules)
        self._asked = _Children(asked, words.hook_outcomes, show=_each(words.hook_outcomes))
        self._vetoed = make.counter("forget_vetoed_total", "Memories the application kept.")
        self._reindexed = make.counter("policy_reindexed_total", "Deadlines computed anew.")
        self._remaining = make.gauge("policy_reindex_remaining", "Deadlines that follow another policy.")

    def observe(self, fact: RightsFact) -> None:
        match fact:
            case metrics.MemoryMoved(change=change, rule=rule):
                self._moved.at(change).inc()
                self._rules.at(rule).inc()
            case metrics.HookAnswered():
                self._asked.at(fact.outcome).inc()
                _add(self._vetoed, fact.vetoed)
            case metrics.Reindexed():
                _add(self._reindexed, fact.records)
                _set(self._remaining, fact.remaining)
            case _:
                pass


class PrometheusObserver:
    """Turns facts into metrics named `tiered_memory_…` in `registry` (its own one when None is given).

    Amounts that are negative or not finite are ignored; words outside `words` count as "other".
    Raises ValueError when `registry` already holds metrics of these names.
    """

    def __init__(self, registry: CollectorRegistry | None = None, words: Vocabulary | None = None) -> None:
        self.registry = CollectorRegistry() if registry is None else registry
        words = Vocabulary() if words is None else words
        self._requests = _Requests(words)
        families = _Families(self._requests)
        self._serving = _Serving(families, words, self._requests)
        self._storing = _Storing(families, words)
        self._rights = _Rights(families, words)
        self._forgetting = _Forgetting(families, words)
        info = families.gauge("build_info", "The running version.", "version", "python_version")
        info.labels(__version__, platform.python_version()).set(1)
        self.registry.register(families)

    def observe(self, fact: Fact) -> None:
        """Count `fact`."""
        match fact:
            case metrics.RequestDone():
                self._requests.note(fact)
            case (
                metrics.Routed()
                | metrics.TierLookup()
                | metrics.Embedded()
                | metrics.ContextPacked()
                | metrics.RecallIndexState()
            ):
                self._serving.observe(fact)
            case (
                metrics.ForgetCycle()
                | metrics.ErasureDone()
                | metrics.ConsentChanged()
                | metrics.OldestOverdueDeletion()
            ):
                self._rights.observe(fact)
            case metrics.MemoryMoved() | metrics.HookAnswered() | metrics.Reindexed():
                self._forgetting.observe(fact)
            case (
                metrics.TierUp()
                | metrics.BreakerChanged()
                | metrics.JournalState()
                | metrics.JournalCommitted()
                | metrics.Flushed()
                | metrics.Recovered()
                | metrics.CorruptionDetected()
            ):
                self._storing.observe(fact)
            case _:
                pass

    def exposition(self) -> bytes:
        """Return every metric of the registry in Prometheus's text format (version 0.0.4)."""
        return generate_latest(self.registry)
