from __future__ import annotations

import asyncio
import sys
import typing
from collections.abc import Iterator
from dataclasses import FrozenInstanceError, fields

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from tiered_memory import __version__, clock, metrics
from tiered_memory.errors import HotTierError, InvalidInputError
from tiered_memory.metrics import (
    OTHER,
    ErasureDone,
    Fact,
    FanOut,
    NullObserver,
    RecordingObserver,
    RequestDone,
    TierUp,
    Vocabulary,
    outcome_of,
    timed,
)
from tiered_memory.prometheus_observer import PREFIX, PrometheusObserver

WORDS = Vocabulary()
FACT_KINDS = typing.get_args(Fact)
SAMPLES: list[Fact] = [
    RequestDone("add", "ok", 0.001),
    metrics.Routed("cold", "important", 0.75),
    metrics.TierLookup("hot", hit=True),
    metrics.Embedded(3, 0.000_2),
    metrics.ContextPacked(900),
    metrics.RecallIndexState(4, 5_000),
    TierUp("hot", up=True),
    metrics.BreakerChanged("hot", "open"),
    metrics.JournalState(7, 9_000, 1.5),
    metrics.JournalCommitted(2, 0.000_7),
    metrics.Flushed(50, 0.01),
    metrics.Recovered(12, 0.2),
    metrics.CorruptionDetected("cold"),
    metrics.ForgetCycle(10, 3, 2, 1, 0.02),
    metrics.MemoryMoved("evicted", "quota"),
    metrics.HookAnswered("timeout", 2, 0.5),
    metrics.Reindexed(100, 40),
    ErasureDone("verified", {"keys": 0.001, "cold": 0.02}),
    metrics.ConsentChanged("withdrawn"),
    metrics.OldestOverdueDeletion(3600.0),
]
HOSTILE = st.text(max_size=30).filter(lambda word: word not in {"ok", "hot", "add", "cold", "open", "keys"})


def families(observer: PrometheusObserver) -> list[Metric]:
    return list(text_string_to_metric_families(observer.exposition().decode()))


def samples(observer: PrometheusObserver) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    found = (sample for family in families(observer) for sample in family.samples)
    return {(sample.name, frozenset(sample.labels.items())): sample.value for sample in found}


def value(observer: PrometheusObserver, name: str, **labels: str) -> float:
    return samples(observer)[PREFIX + name, frozenset(labels.items())]


def label_values(observer: PrometheusObserver) -> Iterator[tuple[str, str]]:
    for name, labels in samples(observer):
        if name != PREFIX + "build_info":
            yield from labels


def everything(words: Vocabulary) -> Iterator[Fact]:
    for op in sorted({*words.ops, "?"}):
        yield from (RequestDone(op, outcome, 0.001) for outcome in sorted({*words.outcomes, "?"}))
    for target in sorted({*words.targets, "?"}):
        yield from (metrics.Routed(target, reason, 0.5) for reason in sorted({*words.reasons, "?"}))
    for tier in sorted({*words.tiers, "?"}):
        yield from (metrics.TierLookup(tier, hit=hit) for hit in (True, False))
        yield from (metrics.BreakerChanged(tier, state) for state in sorted(words.breaker_states))
        yield TierUp(tier, up=True)
    yield ErasureDone("?", dict.fromkeys({*words.phases, "?"}, 0.1))
    yield from (ErasureDone(outcome, {}) for outcome in words.erasure_outcomes)
    yield from (metrics.ConsentChanged(state) for state in {*words.consent_states, "?"})
    yield from (metrics.CorruptionDetected(store) for store in {*words.stores, "?"})
    yield from (metrics.MemoryMoved(change, "?") for change in sorted({*words.changes, "?"}))
    yield from (metrics.MemoryMoved("?", rule) for rule in sorted({*words.rules, "?"}))
    yield from SAMPLES


def traffic(subjects: int) -> Iterator[Fact]:
    ops, tiers = sorted(WORDS.ops), sorted(WORDS.tiers)
    for subject in range(subjects):
        yield RequestDone(ops[subject % 10], "ok", subject / 1000)
        yield metrics.Routed(f"table-{subject}", f"user {subject} said so", subject / subjects)
        yield metrics.TierLookup(tiers[subject % 2], hit=subject % 2 == 0)
        yield metrics.ConsentChanged(f"given by {subject}")
        yield RequestDone(f"add/{subject}", f"error of {subject}", 0.1)
        yield metrics.RecallIndexState(subject, subject * 100)


def test_the_samples_cover_every_kind_of_fact() -> None:
    assert {type(fact) for fact in SAMPLES} <= set(FACT_KINDS)


@pytest.mark.parametrize("fact", SAMPLES, ids=lambda fact: type(fact).__name__)
def test_every_fact_changes_what_is_exported(fact: Fact) -> None:
    observer = PrometheusObserver()
    before = samples(observer)
    observer.observe(fact)
    assert samples(observer) != before


@pytest.mark.parametrize("fact", SAMPLES, ids=lambda fact: type(fact).__name__)
def test_a_fact_is_frozen(fact: Fact) -> None:
    with pytest.raises(FrozenInstanceError):
        setattr(fact, fields(fact)[0].name, 0)


def test_the_phases_of_an_erasure_are_a_copy() -> None:
    phases = {"keys": 0.1}
    fact = ErasureDone("verified", phases)
    phases["keys"] = 9.9
    assert fact.phases == {"keys": 0.1}
    with pytest.raises(TypeError):
        fact.phases["keys"] = 1.0  # type: ignore[index]


def test_amounts_land_under_their_names() -> None:
    observer = PrometheusObserver()
    for fact in SAMPLES:
        observer.observe(fact)
    assert value(observer, "requests_total", op="add", outcome="ok") == 1
    assert value(observer, "request_duration_seconds_sum", op="add") == 0.001
    assert value(observer, "routing_decisions_total", target="cold", reason="important") == 1
    assert value(observer, "importance_score_sum") == 0.75
    assert value(observer, "tier_lookups_total", tier="hot", result="hit") == 1
    assert value(observer, "tier_up", tier="hot") == 1
    assert value(observer, "journal_depth_records") == 7
    assert value(observer, "journal_oldest_unapplied_seconds") == 1.5
    assert value(observer, "forget_evaluated_total") == 10
    assert value(observer, "forget_protected_total") == 1
    assert value(observer, "memory_changes_total", change="evicted") == 1
    assert value(observer, "forget_rules_total", rule="quota") == 1
    assert value(observer, "forget_hook_calls_total", outcome="timeout") == 1
    assert value(observer, "forget_vetoed_total") == 2
    assert value(observer, "policy_reindexed_total") == 100
    assert value(observer, "policy_reindex_remaining") == 40
    assert value(observer, "erasures_total", outcome="verified") == 1
    assert value(observer, "erasure_duration_seconds_sum", phase="cold") == 0.02
    assert value(observer, "oldest_overdue_deletion_seconds") == 3600
    assert value(observer, "recovery_seconds") == 0.2
    assert value(observer, "embedded_texts_total") == 3
    assert value(observer, "context_tokens_sum") == 900
    assert value(observer, "recall_index_bytes") == 5_000


def test_the_version_is_exported() -> None:
    (built,) = [labels for name, labels in samples(PrometheusObserver()) if name == PREFIX + "build_info"]
    assert dict(built)["version"] == __version__


def test_a_breaker_is_in_one_state_at_a_time() -> None:
    observer = PrometheusObserver()
    for state in ("open", "half_open", "closed", "molten"):
        observer.observe(metrics.BreakerChanged("hot", state))
    states = {
        state: value(observer, "breaker_state", tier="hot", state=state)
        for state in (*WORDS.breaker_states, OTHER)
    }
    assert states == {"closed": 0, "open": 0, "half_open": 0, OTHER: 1}


@settings(max_examples=25)
@given(st.lists(st.floats(min_value=0, max_value=20), min_size=1, max_size=40))
def test_durations_are_counted_in_the_bucket_they_belong_to(durations: list[float]) -> None:
    observer = PrometheusObserver()
    for seconds in durations:
        observer.observe(RequestDone("search", "ok", seconds))
    for (name, labels), count in samples(observer).items():
        if name == PREFIX + "request_duration_seconds_bucket" and ("op", "search") in labels:
            bound = float(dict(labels)["le"])
            assert count == sum(seconds <= bound for seconds in durations)
    assert value(observer, "request_duration_seconds_count", op="search") == len(durations)
    assert value(observer, "request_duration_seconds_sum", op="search") == pytest.approx(sum(durations))


def test_the_number_of_series_does_not_depend_on_the_number_of_subjects() -> None:
    few, many = PrometheusObserver(), PrometheusObserver()
    for observer, subjects in ((few, 10), (many, 10_000)):
        for fact in traffic(subjects):
            observer.observe(fact)
    assert set(samples(many)) == set(samples(few))


def test_the_whole_vocabulary_stays_under_the_series_limit() -> None:
    observer = PrometheusObserver()
    for fact in everything(WORDS):
        observer.observe(fact)
    assert len(samples(observer)) <= 1_500


def test_names_types_and_units_follow_the_conventions() -> None:
    observer = PrometheusObserver()
    for fact in everything(WORDS):
        observer.observe(fact)
    for family in families(observer):
        assert family.name.startswith(PREFIX)
        assert family.documentation.endswith(".")
        assert family.type in {"counter", "gauge", "histogram"}
        assert not {"ms", "us", "millis", "minutes", "kib", "percent"} & set(family.name.split("_"))
        assert not any(sample.name.endswith("_created") for sample in family.samples)


@settings(max_examples=25)
@given(HOSTILE)
def test_unknown_words_become_other(word: str) -> None:
    observer = PrometheusObserver()
    allowed = {*label_values(observer)}
    for fact in (
        RequestDone(word, word, 0.1),
        metrics.Routed(word, word, 0.5),
        metrics.TierLookup(word, hit=False),
        TierUp(word, up=True),
        metrics.BreakerChanged(word, word),
        metrics.CorruptionDetected(word),
        ErasureDone(word, {word: 0.1}),
        metrics.ConsentChanged(word),
    ):
        observer.observe(fact)
    known = frozenset().union(*(getattr(WORDS, part.name) for part in fields(WORDS)))
    if word in known:
        return
    added = {text for _, text in {*label_values(observer)} - allowed}
    assert OTHER in added
    assert added - {OTHER} <= {*WORDS.breaker_states, "miss"} | {
        text for label, text in label_values(observer) if label == "le"
    }
    assert value(observer, "requests_total", op=OTHER, outcome=OTHER) == 1
    assert value(observer, "erasure_duration_seconds_count", phase=OTHER) == 1


@pytest.mark.parametrize("amount", [float("nan"), float("inf"), -1.0])
def test_impossible_amounts_leave_sums_alone(amount: float) -> None:
    observer = PrometheusObserver()
    before = samples(observer)
    observer.observe(metrics.Flushed(int(amount) if amount == -1.0 else 0, amount))
    observer.observe(metrics.JournalState(-1, -1, amount))
    observer.observe(metrics.OldestOverdueDeletion(amount))
    assert samples(observer) == before
    observer.observe(RequestDone("add", "ok", amount))
    assert value(observer, "requests_total", op="add", outcome="ok") == 1
    assert value(observer, "request_duration_seconds_count", op="add") == 0
    assert value(observer, "request_duration_seconds_sum", op="add") == 0


def test_observers_share_nothing_unless_given_one_registry() -> None:
    registry = CollectorRegistry()
    first = PrometheusObserver(registry)
    PrometheusObserver().observe(SAMPLES[0])
    assert value(first, "requests_total", op="add", outcome="ok") == 0
    with pytest.raises(ValueError, match="Duplicated"):
        PrometheusObserver(registry)


def test_a_vocabulary_of_ones_own_is_obeyed() -> None:
    observer = PrometheusObserver(words=Vocabulary(reasons=frozenset({"because"})))
    observer.observe(metrics.Routed("cold", "because", 0.5))
    observer.observe(metrics.Routed("cold", "important", 0.5))
    assert value(observer, "routing_decisions_total", target="cold", reason="because") == 1
    assert value(observer, "routing_decisions_total", target="cold", reason=OTHER) == 1


@pytest.mark.skipif(sys.gettrace() is not None, reason="a tracer slows every line")
def test_observing_a_request_is_cheap() -> None:
    observer, fact, calls = PrometheusObserver(), RequestDone("add", "ok", 0.001), 2_000

    def once() -> float:
        started = clock.stopwatch()
        for _ in range(calls):
            observer.observe(fact)
        return (clock.stopwatch() - started) / calls

    assert min(once() for _ in range(20)) <= 3e-6


def test_a_recording_observer_keeps_the_newest_facts() -> None:
    observer = RecordingObserver(limit=3)
    for fact in SAMPLES[:5]:
        observer.observe(fact)
    assert observer.facts == tuple(SAMPLES[2:5])
    assert observer.of(metrics.Embedded) == [SAMPLES[3]]
    assert observer.of(TierUp) == []
    observer.clear()
    assert observer.facts == ()


def test_a_recording_observer_needs_room() -> None:
    with pytest.raises(InvalidInputError):
        RecordingObserver(limit=0)


class Broken:
    def observe(self, fact: Fact) -> None:
        raise RuntimeError("a listener's own bug")


def test_a_broken_listener_disturbs_nobody() -> None:
    heard = RecordingObserver()
    observer = FanOut(NullObserver(), Broken(), heard)
    for fact in SAMPLES:
        observer.observe(fact)
    assert heard.facts == tuple(SAMPLES)
    assert observer.failures == len(SAMPLES)


def ticking(*readings: float) -> typing.Callable[[], float]:
    remaining = iter(readings)
    return lambda: next(remaining)


def test_timed_reports_success() -> None:
    heard = RecordingObserver()
    with timed(heard, "search", ticking(10.0, 10.25)):
        pass
    assert heard.facts == (RequestDone("search", "ok", 0.25),)


def test_timed_reports_the_error_and_lets_it_pass() -> None:
    heard = RecordingObserver()
    with pytest.raises(HotTierError), timed(heard, "add", ticking(1.0, 3.0)):
        raise HotTierError
    assert heard.facts == (RequestDone("add", "HotTierError", 2.0),)


def test_timed_uses_the_stopwatch_of_the_clock() -> None:
    heard = RecordingObserver()
    with timed(heard, "add"):
        pass
    (fact,) = heard.of(RequestDone)
    assert 0.0 <= fact.seconds < 60.0


class OwnQuotaError(InvalidInputError):
    pass


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (None, "ok"),
        (HotTierError, "HotTierError"),
        (OwnQuotaError, "InvalidInputError"),
        (asyncio.CancelledError, "CancelledError"),
        (TimeoutError, "TimeoutError"),
        (ZeroDivisionError, OTHER),
        (KeyboardInterrupt, OTHER),
    ],
)
def test_outcomes_are_words_of_a_closed_set(error: type[BaseException] | None, outcome: str) -> None:
    assert outcome_of(error) == outcome
