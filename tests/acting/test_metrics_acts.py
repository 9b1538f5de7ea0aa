"""What a whole store reports: every family has its figures, every word is of the closed sets, and nobody is named."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from support import consenting, opened, parts_of, until
from tour import BILLING, CANARIES, tour

from tiered_memory import TieredMemory
from tiered_memory.metrics import OTHER, FanOut, RecordingObserver, RequestDone, Vocabulary
from tiered_memory.metrics.catalogue import FAMILIES, PREFIX
from tiered_memory.prometheus_observer import PrometheusObserver
from tiered_memory.testing import ManualClock

pytestmark = pytest.mark.anyio
DAEMON = ("job_", "http_")
"""Families that the daemon reports."""
Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def samples(observer: PrometheusObserver) -> Samples:
    families = text_string_to_metric_families(observer.exposition().decode())
    return {
        (one.name.removeprefix(PREFIX), frozenset(one.labels.items())): one.value
        for family in families
        for one in family.samples
    }


def figures(found: Samples, name: str) -> Iterator[float]:
    return (value for (one, _), value in found.items() if one.startswith(name))


@pytest.fixture
async def toured(
    data: Path, clock: ManualClock, tmp_path: Path
) -> AsyncIterator[tuple[PrometheusObserver, RecordingObserver]]:
    prometheus, recording = PrometheusObserver(), RecordingObserver()
    policy = tmp_path / "tour.toml"
    policy.write_text(BILLING)
    settings = {"policy": str(policy)}
    async with opened(data, clock=clock, settings=settings, observer=FanOut(prometheus, recording)) as memory:
        await tour(memory, clock, tmp_path)
        parts_of(memory).directory.trim()
        await parts_of(memory).gauges.look()
        yield prometheus, recording


async def test_every_feature_is_counted(toured: tuple[PrometheusObserver, RecordingObserver]) -> None:
    prometheus, recording = toured
    found = samples(prometheus)
    assert all(math.isfinite(value) and value >= 0 for value in found.values())
    exported = {family.name for family in FAMILIES if any(True for _ in figures(found, family.name))}
    expected = {family.name for family in FAMILIES if not family.name.startswith(DAEMON)}
    assert expected - exported == {"breaker_state"} - exported
    _words_are_known(recording)
    _nobody_is_named(prometheus)
    _figures_are_sane(found)


def _words_are_known(recording: RecordingObserver) -> None:
    """No word of the runtime's own is counted as "other"."""
    strange = PrometheusObserver()
    for fact in recording.facts:
        strange.observe(fact)
    others = {
        (name, labels)
        for (name, labels), value in samples(strange).items()
        if value and OTHER in dict(labels).values() and not name.startswith("request_duration_seconds")
    }
    assert not others
    called = {fact.op for fact in recording.of(RequestDone)}
    assert called <= Vocabulary().ops
    assert len(Vocabulary().ops - called) <= 4


def _nobody_is_named(prometheus: PrometheusObserver) -> None:
    page = prometheus.exposition().decode().lower()
    labels = [line.partition("{")[2] for line in page.splitlines() if not line.startswith("#")]
    assert not [word for word in CANARIES for one in labels if word in one]


def _figures_are_sane(found: Samples) -> None:
    one = {name: value for (name, labels), value in found.items() if not labels}
    assert one["forget_evaluated_total"] > 0
    assert one["forget_strength_count"] > 0
    assert one["purge_runs_total"] > 0
    assert one["requests_open"] == one["requests_overdue"] == 1
    assert one["holds_active"] == 1
    assert one["ledger_entries_total"] > 20
    assert 0 < one["data_dir_free_bytes"] < one["data_dir_size_bytes"]
    assert one["embedding_duration_seconds_count"] > 0
    assert one["context_tokens_count"] == 1
    for name, labels in (
        ("quarantined_total", {"reason": "scanned"}),
        ("quarantined_total", {"reason": "caller"}),
        ("access_denied_total", {"action": "search"}),
        ("errors_total", {"error": "ConsentRequiredError"}),
        ("requests_total", {"op": "get", "outcome": "not_found"}),
        ("erasures_total", {"outcome": "verified"}),
        ("erasure_duration_seconds_count", {"phase": "tiers"}),
        ("erasure_duration_seconds_count", {"phase": "all"}),
        ("dsar_duration_seconds_count", {"kind": "about"}),
        ("dsar_duration_seconds_count", {"kind": "export"}),
        ("dsar_duration_seconds_count", {"kind": "request"}),
        ("memory_changes_total", {"change": "restored"}),
        ("api_key_events_total", {"event": "created"}),
        ("api_key_events_total", {"event": "rotated"}),
        ("api_key_events_total", {"event": "revoked"}),
        ("api_key_events_total", {"event": "ended"}),
        ("consent_state", {"state": "withdrawn"}),
        ("records", {"tier": "cold"}),
        ("bytes", {"tier": "cold"}),
        ("bytes", {"tier": "state"}),
        ("tier_up", {"tier": "state"}),
        ("tier_up", {"tier": "cold"}),
    ):
        assert found[name, frozenset(labels.items())] >= 1, (name, labels)


async def test_the_series_of_many_people_are_those_of_few(data: Path, tmp_path: Path) -> None:
    async def series_of(people: int, path: Path) -> set[tuple[str, frozenset[tuple[str, str]]]]:
        observer = PrometheusObserver()
        async with opened(path, observer=observer, settings={"redis_url": "local"}) as memory:
            for number in range(people):
                await _a_visit(memory, f"person-{number}")
            await memory.drain()
            await memory.forget()
            await parts_of(memory).gauges.look()
        return set(samples(observer))

    few, many = await series_of(3, data), await series_of(60, tmp_path / "many")
    assert few == many


async def _a_visit(memory: TieredMemory, name: str) -> None:
    user = await consenting(memory, name)
    await user.add(f"{name} likes green tea", importance=0.9)
    await user.search("tea")


async def test_an_embedded_store_that_works_by_itself_reports_how_it_stands(data: Path) -> None:
    observer = PrometheusObserver()
    settings = {"background": True, "gauges_interval_seconds": 0.05, "redis_url": "local"}
    async with opened(data, observer=observer, settings=settings) as memory:
        await (await consenting(memory)).add("the plan is green", importance=0.9)
        await until(lambda: samples(observer).get(("consent_state", frozenset({("state", "open")}))) == 1)
        await until(lambda: next(figures(samples(observer), "event_loop_lag_seconds_count")) >= 1)
        assert observer.exposition()
