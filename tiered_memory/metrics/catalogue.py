"""Every family of series that facts become: its name, type, labels and meaning. The documentation is made from it.

Names follow the Prometheus conventions (https://prometheus.io/docs/practices/naming/): base units, the unit last,
counters end in `_total`. A label's values are a set of the vocabulary and "other", so that the number of series
depends on this page alone, and not on how many people are served.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from enum import StrEnum
from itertools import product
from math import prod
from types import MappingProxyType

from tiered_memory.metrics.words import OTHER, Vocabulary

PREFIX = "tiered_memory_"
ALL = "*"
"""Every value, among those that are exported as zero from the start."""


class Kind(StrEnum):
    """What a family is to Prometheus."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True)
class Family:
    """A family of series.

    `labels` maps each label to the name of its set in `Vocabulary`. `source` says what reports it. A counter, and a
    histogram, begins at zero for the values of its last label named in `start` (ALL: for each); a gauge is
    exported once it is known.
    """

    kind: Kind
    name: str
    meaning: str
    source: str
    labels: Mapping[str, str]
    buckets: tuple[float, ...] = ()
    start: tuple[str, ...] = ()

    @property
    def full_name(self) -> str:
        """The name as exported."""
        return PREFIX + self.name

    @property
    def unit(self) -> str:
        """The base unit that the name ends in; "1" for plain numbers."""
        last = self.name.removesuffix("_total").rsplit("_", 1)[-1]
        return last if last in UNITS else "1"

    def values(self, words: Vocabulary) -> list[tuple[str, ...]]:
        """Return the values of each label, "other" last."""
        found = {one: sorted(getattr(words, one)) for one in self.labels.values()}
        return [(*known, *(() if one in CLOSED else (OTHER,))) for one, known in found.items()]

    def first_keys(self, words: Vocabulary) -> Iterator[tuple[str, ...]]:
        """Yield the label values of the series that begin at zero."""
        if not self.labels:
            yield ()
            return
        every = [tuple(one for one in given if one != OTHER) for given in self.values(words)]
        chosen = every[-1] if ALL in self.start else tuple(one for one in every[-1] if one in self.start)
        yield from product(*every[:-1], chosen)

    def most_series(self, words: Vocabulary) -> int:
        """Return how many series there are at most; a histogram has one per bucket, `+Inf`, the sum and the count."""
        each = len(self.buckets) + 3 if self.kind is Kind.HISTOGRAM else 1
        return each * prod(len(given) for given in self.values(words))


CLOSED = frozenset({"results"})
"""Sets of which no fact gives the word: nothing is "other"."""
UNITS = frozenset({"seconds", "bytes", "records", "tokens"})


def _counter(name: str, meaning: str, source: str, *start: str, **labels: str) -> Family:
    return Family(Kind.COUNTER, name, meaning, source, MappingProxyType(labels), start=start)


def _gauge(name: str, meaning: str, source: str, **labels: str) -> Family:
    return Family(Kind.GAUGE, name, meaning, source, MappingProxyType(labels))


def _histogram(name: str, meaning: str, source: str, buckets: tuple[float, ...], **labels: str) -> Family:
    return Family(Kind.HISTOGRAM, name, meaning, source, MappingProxyType(labels), buckets, start=(ALL,))


CALLS, WRITES, READS = "every call", "writes", "reads of tiers"
FORGETTING, RIGHTS, LOOK = "forgetting runs", "people's rights", "looks at the store"
JOURNAL, HTTP, JOBS = "the journal", "the daemon's HTTP face", "the daemon's jobs"
HOT, DAMAGE = "the hot tier", "whatever reads stored bytes"

REQUEST_BUCKETS = (0.001, 0.005, 0.02, 0.05, 0.1, 0.25, 1.0, 5.0)
LOOKUP_BUCKETS = (0.000_5, 0.002, 0.01, 0.05, 0.25, 1.0)
FSYNC_BUCKETS = (0.000_25, 0.000_5, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 2.0)
WORK_BUCKETS = (0.001, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0, 120.0)
PHASE_BUCKETS = (0.01, 0.1, 0.5, 1.0, 5.0, 30.0)
EMBEDDING_BUCKETS = (0.000_1, 0.000_25, 0.001, 0.005, 0.01, 0.05, 0.25, 1.0)
TENTHS = tuple(step / 10 for step in range(1, 11))
TOKEN_BUCKETS = (64.0, 128.0, 256.0, 512.0, 1024.0, 2048.0, 4096.0, 8192.0, 16_384.0, 65_536.0)
LAG_BUCKETS = (0.001, 0.005, 0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)
JOB_BUCKETS = (0.1, 1.0, 10.0, 60.0)
DAY = 86_400.0
DSAR_BUCKETS = (0.1, 1.0, 10.0, 60.0, DAY, 7 * DAY, 30 * DAY, 90 * DAY)
"""From an answer made at once to a request's legal month, and the two it may be extended by (GDPR Art. 12(3))."""
ANSWER_BUCKETS = (0.005, 0.02, 0.06, 0.25, 1.0, 5.0)

FAMILIES: tuple[Family, ...] = (
    _counter("requests_total", "Calls by operation and outcome.", CALLS, "ok", op="ops", outcome="outcomes"),
    _histogram("request_duration_seconds", "Duration of calls.", CALLS, REQUEST_BUCKETS, op="timed_ops"),
    _counter("errors_total", "Calls that failed, by class of error.", CALLS, ALL, error="errors"),
    _counter("access_denied_total", "Refusals of the access table.", CALLS, ALL, action="actions"),
    _counter(
        "routing_decisions_total", "Where interactions went.", WRITES, ALL, target="targets", reason="reasons"
    ),
    _histogram("importance_score", "Importance at write time, 0 to 1.", WRITES, TENTHS),
    _counter("quarantined_total", "Memories put apart.", WRITES, ALL, reason="quarantines"),
    _counter(
        "tier_lookups_total", "Reads that asked a tier.", READS, ALL, tier="asked_tiers", result="results"
    ),
    _histogram(
        "tier_lookup_duration_seconds", "Duration of those reads.", READS, LOOKUP_BUCKETS, tier="asked_tiers"
    ),
    _histogram("embedding_duration_seconds", "Duration of embedding calls.", "embedding", EMBEDDING_BUCKETS),
    _counter("embedded_texts_total", "Texts embedded.", "embedding"),
    _histogram("context_tokens", "Tokens of packed contexts.", "contexts", TOKEN_BUCKETS),
    _gauge("recall_index_users", "Users whose recall index is in memory.", "recall"),
    _gauge("recall_index_bytes", "Memory held by recall indexes.", "recall"),
    _gauge("tier_up", "1 while a tier is reachable, else 0.", HOT, tier="tiers"),
    _gauge(
        "breaker_state",
        "1 for the state a breaker is in, else 0.",
        HOT,
        tier="remote_tiers",
        state="breaker_states",
    ),
    _counter("corruption_detected_total", "Stored bytes that did not verify.", DAMAGE, ALL, store="stores"),
    _gauge("journal_depth_records", "Journal records not yet in the cold tier.", JOURNAL),
    _gauge("journal_depth_bytes", "Bytes of those records.", JOURNAL),
    _gauge("journal_oldest_unapplied_seconds", "Age of the oldest of those records.", JOURNAL),
    _histogram("journal_fsync_seconds", "Duration of the journal's group commits.", JOURNAL, FSYNC_BUCKETS),
    _counter("journal_committed_records_total", "Records made durable.", JOURNAL),
    _histogram("flush_duration_seconds", "Duration of flushes to cold.", JOURNAL, WORK_BUCKETS),
    _counter("flushed_records_total", "Records flushed to cold.", JOURNAL),
    _gauge("recovery_seconds", "Duration of the last replay of the journal.", "opening"),
    _counter("recovered_records_total", "Records replayed from the journal.", "opening"),
    _histogram("forget_cycle_duration_seconds", "Duration of forgetting runs.", FORGETTING, WORK_BUCKETS),
    _counter("forget_evaluated_total", "Memories a forgetting run looked at.", FORGETTING),
    _counter("forget_forgotten_total", "Memories that decayed away.", FORGETTING),
    _counter("forget_purged_total", "Memories removed for good after forgetting.", FORGETTING),
    _counter("forget_protected_total", "Looked at and left, and why.", FORGETTING, ALL, reason="protections"),
    _histogram("forget_strength", "Strength, 0 to 1, of the memories looked at.", FORGETTING, TENTHS),
    _counter("memory_changes_total", "Memories that left or came back.", FORGETTING, ALL, change="changes"),
    _counter("forget_rules_total", "Those changes by the rule behind them.", FORGETTING, ALL, rule="rules"),
    _counter(
        "forget_hook_calls_total",
        "Times the application was asked.",
        FORGETTING,
        ALL,
        outcome="hook_outcomes",
    ),
    _counter("forget_vetoed_total", "Memories the application kept.", FORGETTING),
    _counter("purge_runs_total", "Forgetting runs that took something.", FORGETTING),
    _counter("policy_reindexed_total", "Deadlines computed anew.", FORGETTING),
    _gauge("policy_reindex_remaining", "Deadlines that follow another policy.", FORGETTING),
    _gauge(
        "oldest_overdue_deletion_seconds", "How long the oldest deletion is overdue; 0: none.", FORGETTING
    ),
    _gauge("retention_overdue_records", "Memories past their deadline that stand.", LOOK),
    _counter("erasures_total", "Erasures by outcome.", RIGHTS, ALL, outcome="erasure_outcomes"),
    _histogram(
        "erasure_duration_seconds", "Duration of erasures by phase.", RIGHTS, PHASE_BUCKETS, phase="phases"
    ),
    _histogram(
        "dsar_duration_seconds", "Time to answer a person's request.", RIGHTS, DSAR_BUCKETS, kind="dsar_kinds"
    ),
    _counter(
        "consent_changes_total", "Consent events by what they do.", RIGHTS, ALL, action="consent_actions"
    ),
    _gauge("consent_state", "Consents by the state they stand in.", LOOK, state="consent_states"),
    _gauge("requests_open", "People's registered requests that wait for an answer.", LOOK),
    _gauge("requests_overdue", "Those whose last day has passed.", LOOK),
    _gauge("request_next_due_seconds", "Time until the next is due; 0: overdue.", LOOK),
    _gauge("holds_active", "Legal holds in force.", LOOK),
    _gauge("records", "Records a tier holds.", LOOK, tier="tiers"),
    _gauge("bytes", "Bytes of those records.", LOOK, tier="tiers"),
    _gauge("key_epoch_age_seconds", "Age of the oldest key epoch in use.", LOOK),
    _gauge("root_key_age_seconds", "Age of the root key.", LOOK),
    _counter("ledger_entries_total", "Entries in the audit ledger.", LOOK),
    _gauge("ledger_checkpoint_age_seconds", "How long entries wait for a checkpoint; 0: all signed.", LOOK),
    _gauge("data_dir_free_bytes", "Room left on the data directory's file system.", LOOK),
    _gauge("data_dir_size_bytes", "Size of that file system.", LOOK),
    _histogram("event_loop_lag_seconds", "How late the event loop wakes a task.", "a ticker", LAG_BUCKETS),
    _counter("job_runs_total", "Runs of background jobs.", JOBS, ALL, job="jobs", outcome="job_outcomes"),
    _histogram("job_duration_seconds", "Duration of jobs.", JOBS, JOB_BUCKETS, job="jobs"),
    _gauge("job_last_success_timestamp_seconds", "When a job last succeeded.", JOBS, job="jobs"),
    _gauge("job_paused", "1 while a job is paused, else 0.", JOBS, job="jobs"),
    _counter("http_requests_total", "HTTP requests answered.", HTTP, ALL, group="groups", status="statuses"),
    _histogram("http_request_duration_seconds", "Duration of them.", HTTP, ANSWER_BUCKETS, group="groups"),
    _gauge("http_in_flight", "HTTP requests being answered.", HTTP),
    _counter("http_rejected_total", "HTTP requests turned away.", HTTP, ALL, reason="rejections"),
    _counter("api_key_events_total", "What happened to API keys.", HTTP, ALL, event="key_events"),
    _gauge("build_info", "1; the running version is in its labels.", "opening"),
)
FAMILY: Mapping[str, Family] = MappingProxyType({one.name: one for one in FAMILIES})
OWN_LABELS: Mapping[str, tuple[str, ...]] = MappingProxyType({"build_info": ("version", "python_version")})
"""Labels with one value per process, which no fact sets."""


def most_series(words: Vocabulary | None = None) -> int:
    """Return how many series there are at most."""
    given = Vocabulary() if words is None else words
    return sum(one.most_series(given) for one in FAMILIES)


def known_words(words: Vocabulary) -> frozenset[str]:
    """Return every word of the vocabulary."""
    return frozenset().union(*(getattr(words, one.name) for one in fields(words)))
