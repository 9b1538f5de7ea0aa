"""The privacy benchmark on a small scale: every sort of mutation is tried and found, and a miss would be counted."""

from __future__ import annotations

import random
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest

from benchmarks import hostile, ledger_mutations, privacy, swaps
from benchmarks.ledger_mutations import EXPORT_MUTATIONS, LOG_MUTATIONS, TABLE_MUTATIONS, Found, try_mutations
from benchmarks.suite import Request, Silent
from tiered_memory.core import Core

pytestmark = pytest.mark.anyio

SORTS = len(EXPORT_MUTATIONS) + len(TABLE_MUTATIONS) + len(LOG_MUTATIONS)


async def test_every_sort_of_mutation_is_tried_and_found() -> None:
    extent = privacy.Extent(
        subjects=32,
        attempts=200,
        rotated=6,
        injections=8,
        benign=20,
        swaps=160,
        mutations=4 * SORTS,
        entries=3_000,
    )
    measured = await privacy.measure(Request(seed=7), extent)
    results = measured.results
    assert (results["hostile_attempts"], results["swaps"]) == (200, 160)
    assert {results[key] for key in privacy.NONE_OF} == {0}
    assert measured.config["missed"] == []
    assert results["ledger_mutations_missed"] == 0
    assert results["ledger_mutations"] == sum(measured.config["by_sort"].values()) == 4 * SORTS
    assert len(measured.config["by_sort"]) == SORTS
    assert results["verify_s"] > 0
    assert privacy.missed(results) == []
    assert all(table.row_count for table in privacy.tables(results))


async def test_a_mutation_that_changes_nothing_counts_as_missed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The harness is not one that finds everything it is told to find."""
    monkeypatch.setattr(ledger_mutations, "EXPORT_MUTATIONS", {"nothing": lambda stage, _draw: stage.whole})
    monkeypatch.setattr(ledger_mutations, "TABLE_MUTATIONS", {"nothing": lambda rows, _stage, _draw: rows})
    monkeypatch.setattr(ledger_mutations, "LOG_MUTATIONS", {"nothing": lambda log, _key, _draw: log})
    found = await try_mutations(tmp_path, 4, 0, Silent())
    assert found.tried == 4
    assert len(found.missed) == 2 * 2 + 2


async def test_a_value_that_opens_where_it_was_put_counts_as_accepted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def stays(one: swaps.Sealed, _other: swaps.Sealed, _chance: random.Random) -> Callable[[], object] | None:
        return None if one.wrapped else lambda: one.key.open(one.payload, one.context)

    def at_home(_core: Core) -> list[tuple[str, swaps.Swap]]:
        return [("at home", stays)]

    monkeypatch.setattr(swaps, "_ways", at_home)
    found = await swaps.try_swaps(5, 0, Silent())
    assert (found.tried, len(found.accepted)) == (5, 5)


async def test_every_way_of_swapping_is_tried() -> None:
    found = await swaps.try_swaps(64, 3, Silent())
    assert len(found.by_sort) == len(swaps._ways(None)) == 16  # type: ignore[arg-type]
    assert found.accepted == []


def test_hostile_names_differ_and_what_is_another_s_is_seen() -> None:
    named = list(hostile.pairs(200, random.Random(1)))
    assert len({(one.tenant, one.user) for one in named}) == len({one.marker for one in named}) == 200
    assert any(one.tenant + one.user == other.tenant + other.user for one, other in pairwise(named))
    victim = hostile._Subject(named[0], None, ["f" * 32])  # type: ignore[arg-type]
    assert hostile._shows_another("markerXb", "markerXa", victim)
    assert hostile._shows_another(f"id={'f' * 32}", "markerXa", victim)
    assert not hostile._shows_another("markerXa", "markerXa", victim)


def test_what_is_missed_or_slow_is_named() -> None:
    found = Found()
    found.count("fork", 3, {"package": True, "program": False})
    assert found.missed == ["seed 3: fork: program"]
    shares = {"injections_influential": 1, "benign_quarantined_ratio": 0.03}
    bad = {**dict.fromkeys(privacy.NONE_OF, 1), **shares, "verify_s": 20.0}
    assert len(privacy.missed(bad)) == len(privacy.NONE_OF) + 3
    good = {**dict.fromkeys([*privacy.NONE_OF, *shares], 0), "verify_s": 5.0}
    assert privacy.missed(good) == []
