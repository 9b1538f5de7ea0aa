from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import fields

import pytest
from fact_samples import FACT_KINDS, SAMPLES, SERIES, everything
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from tiered_memory import __version__, clock, metrics
from tiered_memory.metrics import (
    OTHER,
    ErasureDone,
    Fact,
    RequestDone,
    TierHeld,
    TierUp,
    Vocabulary,
)
from tiered_memory.metrics.catalogue import FAMILIES, OWN_LABELS, PREFIX, Kind, known_words, most_series
from tiered_memory.prometheus_observer import PrometheusObserver
from tiered_memory.testing import ManualClock

WORDS = Vocabulary()
BOUND = 1_500
"""The most series that a scraper is asked to keep for one store."""


def families(observer: PrometheusObserver) -> list[Metric]:
    return list(text_string_to_metric_families(observer.exposition().decode()))


def samples(observer: PrometheusObserver) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    found = (sample for family in families(observer) for sample in family.samples)
    return {(sample.name, frozenset(sample.labels.items())): sample.value for sample in found}


def value(observer: PrometheusObserver, name: str, **labels: str) -> float:
    return samples(observer)[PREFIX + name, frozenset(labels.items())]


def is_told(observer: PrometheusObserver, name: str, **labels: str) -> bool:
    return (PREFIX + name, frozenset(labels.items())) in samples(observer)


def label_values(observer: PrometheusObserver) -> Iterator[tuple[str, str]]:
    for name, labels in samples(observer):
        if name != PREFIX + "build_info":
            yield from labels


def told(*facts: Fact) -> PrometheusObserver:
    observer = PrometheusObserver()
    for fact in facts:
        observer.observe(fact)
    return observer


def traffic(subjects: int) -> Iterator[Fact]:
    ops, tiers = sorted(WORDS.ops), sorted(WORDS.asked_tiers)
    for subject in range(subjects):
        yield RequestDone(ops[subject % 10], "ok", subject / 1000)
        yield metrics.Routed(f"table-{subject}", f"user {subject} said so", subject / subjects)
        yield metrics.TierLookup(tiers[subject % 2], hit=subject % 2 == 0, seconds=0.01)
        yield metrics.ConsentChanged(f"given by {subject}")
        yield RequestDone(f"add/{subject}", f"error of {subject}", 0.1)
        yield metrics.RecallIndexState(subject, subject * 100)
        yield metrics.Quarantined(f"because of {subject}")
        yield metrics.HttpDone(f"/v1/users/{subject}", 200 + subject % 400, 0.01)
        yield metrics.JobRun(f"forget {subject}", "ok", 0.01)


@pytest.mark.parametrize("fact", SAMPLES, ids=lambda fact: type(fact).__name__)
def test_every_fact_changes_what_is_exported(fact: Fact) -> None:
    observer = PrometheusObserver()
    before = samples(observer)
    observer.observe(fact)
    assert samples(observer) != before


@pytest.mark.parametrize(
    ("name", "labels", "expected"), SERIES, ids=[f"{name}{labels or ''}" for name, labels, _ in SERIES]
)
def test_amounts_land_under_their_names(name: str, labels: dict[str, str], expected: float) -> None:
    assert value(told(*SAMPLES), name, **labels) == pytest.approx(expected)


def test_every_family_is_looked_at_above() -> None:
    named = {
        name.removesuffix("_sum").removesuffix("_count").removesuffix("_bucket") for name, _, _ in SERIES
    }
    elsewhere = {"build_info", "errors_total", "job_last_success_timestamp_seconds"}
    assert named | elsewhere == {family.name for family in FAMILIES}


def test_a_failed_call_counts_by_what_it_asks_and_by_its_class() -> None:
    observer = told(RequestDone("get", "NotFoundError", 0.1), RequestDone("get", "KeyUnavailableError", 0.1))
    assert value(observer, "requests_total", op="get", outcome="not_found") == 1
    assert value(observer, "requests_total", op="get", outcome="corruption") == 1
    assert value(observer, "errors_total", error="KeyUnavailableError") == 1
    assert value(observer, "requests_total", op="get", outcome="ok") == 0


def test_calls_that_are_rare_share_one_duration() -> None:
    observer = told(RequestDone("notice", "ok", 0.1), RequestDone("search", "ok", 0.1))
    assert value(observer, "request_duration_seconds_count", op=OTHER) == 1
    assert value(observer, "request_duration_seconds_count", op="search") == 1


def test_a_job_says_when_it_last_succeeded() -> None:
    time = ManualClock()
    observer = PrometheusObserver(clock=time)
    observer.observe(metrics.JobRun("backup", "failed", 3.0))
    assert not is_told(observer, "job_last_success_timestamp_seconds", job="backup")
    observer.observe(metrics.JobRun("backup", "ok", 3.0))
    first = value(observer, "job_last_success_timestamp_seconds", job="backup")
    assert first == time.now().timestamp()
    time.advance(100)
    observer.observe(metrics.JobRun("backup", "failed", 3.0))
    assert value(observer, "job_last_success_timestamp_seconds", job="backup") == first
    assert value(observer, "job_runs_total", job="backup", outcome="failed") == 2


@pytest.mark.parametrize(
    ("status", "word"), [(200, "2xx"), (304, "3xx"), (451, "4xx"), (599, "5xx"), (101, OTHER)]
)
def test_a_status_counts_as_its_class(status: int, word: str) -> None:
    observer = told(metrics.HttpDone("mcp", status, 0.1))
    assert value(observer, "http_requests_total", group="mcp", status=word) == 1


def test_what_nobody_looked_at_is_not_exported() -> None:
    """A gauge of 0 would say that all is well."""
    exported = {name for name, _ in samples(PrometheusObserver())}
    gauges = {PREFIX + one.name for one in FAMILIES if one.kind is Kind.GAUGE and one.name not in OWN_LABELS}
    assert not exported & gauges
    assert PREFIX + "ledger_checkpoint_age_seconds" in gauges


def test_what_cannot_be_told_any_more_is_not_exported_any_more() -> None:
    observer = told(
        metrics.KeysStanding(10.0, 20.0),
        metrics.KeysStanding(None, 21.0),
        metrics.RequestsStanding(1, 0, 50.0),
        metrics.RequestsStanding(0, 0),
        metrics.RecordsStanding({"hot": TierHeld(3, 4)}, 0),
        metrics.RecordsStanding({"hot": TierHeld(None, None)}, 0),
    )
    assert not is_told(observer, "key_epoch_age_seconds")
    assert value(observer, "root_key_age_seconds") == 21
    assert not is_told(observer, "request_next_due_seconds")
    assert not is_told(observer, "records", tier="hot")


def test_consents_in_states_that_nobody_knows_are_summed() -> None:
    observer = told(metrics.ConsentsStanding({"open": 1, "pending": 2, "lost": 3}))
    assert value(observer, "consent_state", state=OTHER) == 5
    observer.observe(metrics.ConsentsStanding({}))
    assert value(observer, "consent_state", state="open") == 0
    assert not is_told(observer, "consent_state", state=OTHER)


def test_the_version_is_exported() -> None:
    (built,) = [labels for name, labels in samples(PrometheusObserver()) if name == PREFIX + "build_info"]
    assert dict(built)["version"] == __version__


def test_a_breaker_is_in_one_state_at_a_time() -> None:
    observer = told(
        *(metrics.BreakerChanged("hot", one) for one in ("open", "half_open", "closed", "molten"))
    )
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
    few, many = told(*traffic(400)), told(*traffic(10_000))
    assert set(samples(many)) == set(samples(few))


def test_the_whole_vocabulary_stays_under_the_series_limit() -> None:
    assert len(samples(told(*everything(WORDS)))) == most_series() <= BOUND


@settings(max_examples=40)
@given(st.data())
def test_facts_of_any_words_make_no_unknown_label_and_no_further_series(data: st.DataObject) -> None:
    """What a fact is given as a word, a number or a table may be anything of its type."""
    text = st.one_of(st.text(max_size=12), st.sampled_from(sorted(known_words(WORDS))))
    counts = st.dictionaries(text, st.integers(-5, 10**9), max_size=4)
    number = st.one_of(st.floats(), st.integers(-5, 10**12))
    observer = PrometheusObserver()
    for _ in range(data.draw(st.integers(1, 30))):
        kind = data.draw(st.sampled_from(FACT_KINDS))
        given_words = {
            str: text,
            bool: st.booleans(),
            int: st.integers(-5, 10**12),
            float: number,
        }
        observer.observe(data.draw(st.builds(kind, **drawn(kind, given_words, counts, text, number))))
    exported = samples(observer)
    assert len(exported) <= most_series()
    assert {word for label, word in label_values(observer) if label != "le"} <= known_words(WORDS) | {OTHER}
    assert all(0.0 <= one < float("inf") for one in exported.values())


def drawn(
    kind: type[Fact],
    plain: dict[type, st.SearchStrategy[object]],
    counts: st.SearchStrategy[dict[str, int]],
    text: st.SearchStrategy[str],
    number: st.SearchStrategy[float],
) -> dict[str, st.SearchStrategy[object]]:
    """Return a strategy for each field of a kind of fact, by the type it is written with."""
    maybe = st.none() | st.integers(-5, 10**9)
    shaped: dict[str, st.SearchStrategy[object]] = {
        "str": plain[str],
        "bool": plain[bool],
        "int": plain[int],
        "float": plain[float],
        "float | None": st.none() | number,
        "tuple[float, ...]": st.lists(number, max_size=5).map(tuple),
        "Mapping[str, int]": counts,
        "Mapping[str, float]": st.dictionaries(text, number, max_size=4),
        "Mapping[str, TierHeld]": st.dictionaries(text, st.builds(TierHeld, maybe, maybe), max_size=4),
    }
    return {one.name: shaped[str(one.type)] for one in fields(kind)}


def test_names_types_and_units_follow_the_conventions() -> None:
    for family in families(told(*everything(WORDS))):
        assert family.name.startswith(PREFIX)
        assert family.documentation.endswith(".")
        assert family.type in {"counter", "gauge", "histogram"}
        assert not {"ms", "us", "millis", "minutes", "kib", "percent"} & set(family.name.split("_"))
        assert not any(sample.name.endswith("_created") for sample in family.samples)


def test_what_is_exported_is_what_the_catalogue_says() -> None:
    """The parser takes the `_total` from a counter's name."""
    exported = {family.name: family for family in families(told(*everything(WORDS)))}
    assert exported.keys() == {one.full_name.removesuffix("_total") for one in FAMILIES}
    for one in FAMILIES:
        found = exported[one.full_name.removesuffix("_total")]
        assert (found.type, found.documentation) == (one.kind.value, one.meaning)
        assert len(found.samples) == one.most_series(WORDS)
        assert one.name.endswith("_total") == (one.kind is Kind.COUNTER)


def test_each_series_of_a_counter_with_few_begins_at_zero() -> None:
    """An alert on an increase would not see the first one."""
    exported = samples(PrometheusObserver())
    for labels in ({"outcome": "incomplete"}, {"outcome": "failed"}, {"outcome": "verified"}):
        assert exported[PREFIX + "erasures_total", frozenset(labels.items())] == 0
    assert exported[PREFIX + "corruption_detected_total", frozenset({("store", "cold")})] == 0
    assert exported[PREFIX + "errors_total", frozenset({("error", "StateStoreError")})] == 0


HOSTILE = st.text(max_size=30).filter(lambda word: word not in known_words(WORDS) | {OTHER})


@settings(max_examples=25)
@given(HOSTILE)
def test_unknown_words_become_other(word: str) -> None:
    observer = told(
        RequestDone(word, word, 0.1),
        metrics.Routed(word, word, 0.5),
        metrics.TierLookup(word, hit=False),
        TierUp(word, up=True),
        metrics.BreakerChanged(word, word),
        metrics.CorruptionDetected(word),
        ErasureDone(word, {word: 0.1}),
        metrics.ConsentChanged(word),
        metrics.JobRun(word, word, 0.1),
        metrics.HttpRejected(word),
    )
    assert word not in {text for _, text in label_values(observer)}
    assert value(observer, "requests_total", op=OTHER, outcome=OTHER) == 1
    assert value(observer, "errors_total", error=OTHER) == 1
    assert value(observer, "erasure_duration_seconds_count", phase=OTHER) == 1
    assert value(observer, "job_runs_total", job=OTHER, outcome=OTHER) == 1


@pytest.mark.parametrize("amount", [float("nan"), float("inf"), -1.0])
def test_impossible_amounts_leave_sums_alone(amount: float) -> None:
    observer = PrometheusObserver()
    before = samples(observer)
    observer.observe(metrics.Flushed(int(amount) if amount == -1.0 else 0, amount))
    observer.observe(metrics.JournalState(-1, -1, amount))
    observer.observe(metrics.OldestOverdueDeletion(amount))
    observer.observe(metrics.LoopLag(amount))
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
    observer.observe(metrics.Routed("cold", "explicit", 0.5))
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
