"""A real Prometheus scrapes a real memory to which everything happens: every query of every panel then has an answer."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import pytest
from board_files import ALERTS, PREFIX, Target, every_target, rules, substituted
from live_prometheus import JOB, POLL_SECONDS, Prometheus, Sample, prometheus_over
from scenario import IN_SMALL_STEPS, Life, Objects, first_life
from scraped_daemon import served
from support import opened

from benchmarks.redis_process import running
from tiered_memory.clock import SystemClock
from tiered_memory.prometheus_observer import PrometheusObserver
from tiered_memory.testing import ManualClock
from tiered_memory.tiers.redis_server import find_redis_server

WINDOW = "10m"
"""Holds all that happens here."""
MOST_SERIES = 1500
SCRAPED_SECONDS = 60.0
TARGETS = every_target()


@dataclass(frozen=True)
class Seen:
    """What Prometheus answered when everything had happened: as it is then, and whatever it was in between."""

    answers: Mapping[str, list[Sample]]
    drawn: Mapping[str, list[float]]
    rules: list[dict[str, Any]]
    targets: list[dict[str, Any]]
    series: float


@pytest.fixture(scope="module", autouse=True)
def _redis_is_installed() -> None:
    if find_redis_server() is None:
        pytest.skip("needs redis-server")


async def scraped(prometheus: Prometheus, times: int = 1) -> None:
    """Return after so many more scrapes."""
    before = await scrapes(prometheus)
    with anyio.fail_after(SCRAPED_SECONDS):
        while await scrapes(prometheus) < before + times:
            await SystemClock().sleep(POLL_SECONDS)


async def scrapes(prometheus: Prometheus) -> float:
    return sum(one.value for one in await prometheus.query(f'sum(count_over_time(up{{job="{JOB}"}}[10m]))'))


@asynccontextmanager
async def scraped_lives(prometheus: str, folder: Path, grant: str) -> AsyncIterator[tuple[Prometheus, Life]]:
    """Let Prometheus scrape a process with a key for `grant`; it is killed, and the one after it is given."""
    clock, observer, token = ManualClock(SystemClock().now()), PrometheusObserver(), folder / "token"
    async with running() as redis, AsyncExitStack() as stack:
        async with first_life(folder / "data", clock, grant) as first:
            token.write_text(first.secret, encoding="utf-8")
            scraping = prometheus_over(prometheus, folder, first.port, token, ALERTS)
            found = await stack.enter_async_context(scraping)
            await scraped(found, 2)
            await first.kill(folder / "image")
        (folder / "small_steps.toml").write_text(IN_SMALL_STEPS, encoding="utf-8")
        settings = {
            "redis_url": redis.url,
            "background": True,
            "policy": str(folder / "small_steps.toml"),
        }
        async with (
            opened(
                folder / "image", settings=settings, clock=clock, observer=observer, before_forget=Objects()
            ) as memory,
            served(memory, observer, first.port) as port,
        ):
            await scraped(found, 2)
            yield found, Life(memory, clock, redis, observer, folder, port, partial(scraped, found))


@pytest.fixture(scope="module")
async def seen(prometheus: str, _redis_is_installed: None, tmp_path_factory: pytest.TempPathFactory) -> Seen:
    begun = SystemClock().now()
    async with scraped_lives(prometheus, tmp_path_factory.mktemp("life"), "metrics") as (found, life):
        await life.all()
        await scraped(found, 3)
        asked = sorted({substituted(one.expr, window=WINDOW) for one in TARGETS})
        answers = {expr: await found.query(expr) for expr in asked}
        drawn = {expr: await found.drawn(expr, begun, SystemClock().now()) for expr in asked}
        series = await found.query(f'count({{__name__=~"{PREFIX}.+"}})')
        return Seen(answers, drawn, await found.rules(), await found.targets(), series[0].value)


@pytest.mark.parametrize(("value", "finite"), [(0.0, True), (math.nan, False), (math.inf, False)])
def test_what_is_no_number_is_no_answer(value: float, finite: bool) -> None:
    assert Sample({}, value).is_finite is finite


@pytest.mark.anyio
@pytest.mark.parametrize("target", TARGETS, ids=lambda one: f"{one.place}: {one.legend}")
async def test_a_query_has_a_finite_answer(target: Target, seen: Seen) -> None:
    found = seen.answers[substituted(target.expr, window=WINDOW)]
    assert found != [], target.expr
    assert [one.labels for one in found if not one.is_finite] == [], target.expr


@pytest.mark.anyio
@pytest.mark.parametrize("target", TARGETS, ids=lambda one: f"{one.place}: {one.legend}")
async def test_a_query_draws_more_than_zeros(target: Target, seen: Seen) -> None:
    """What began at zero and stayed there would be an answer too, and show nothing."""
    assert any(value > 0 for value in seen.drawn[substituted(target.expr, window=WINDOW)]), target.expr


@pytest.mark.anyio
async def test_every_rule_is_evaluated(seen: Seen) -> None:
    assert {rule["name"] for rule in seen.rules} == {one.get("alert") or one["record"] for one in rules()}
    assert [rule["name"] for rule in seen.rules if rule["health"] != "ok"] == []


@pytest.mark.anyio
async def test_who_damages_and_fails_is_found_out(seen: Seen) -> None:
    """Alerts that fire at once fire in earnest, and what recovered does not."""
    firing = {rule["name"] for rule in seen.rules if rule.get("state") == "firing"}
    assert {"TieredMemoryCorruptionDetected", "TieredMemoryErasureFailed"} <= firing
    assert not firing & {"TieredMemoryDown", "TieredMemoryTierDegraded"}


@pytest.mark.anyio
async def test_the_target_is_up_under_the_name_that_alerts_know(seen: Seen) -> None:
    assert [(one["health"], one["labels"]["job"]) for one in seen.targets] == [("up", JOB)]


@pytest.mark.anyio
async def test_there_are_few_series(seen: Seen) -> None:
    assert 300 < seen.series <= MOST_SERIES


@pytest.mark.anyio
async def test_a_key_for_something_else_sees_nothing(prometheus: str, tmp_path: Path) -> None:
    async with scraped_lives(prometheus, tmp_path, "memories:read") as (found, life):
        assert [one.value for one in await found.query(f'up{{job="{JOB}"}}')] == [0.0]
        assert await found.query(f"{PREFIX}build_info") == []
        assert life.shows("build_info")
