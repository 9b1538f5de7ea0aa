"""The privacy benchmark on a small scale: every sort of mutation is tried and found, and a miss would be counted."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import ledger_mutations, privacy
from benchmarks.ledger_mutations import EXPORT_MUTATIONS, LOG_MUTATIONS, TABLE_MUTATIONS, Found, try_mutations
from benchmarks.suite import Request, Silent

pytestmark = pytest.mark.anyio

SORTS = len(EXPORT_MUTATIONS) + len(TABLE_MUTATIONS) + len(LOG_MUTATIONS)


async def test_every_sort_of_mutation_is_tried_and_found() -> None:
    extent = privacy.Extent(mutations=4 * SORTS, entries=3_000)
    measured = await privacy.measure(Request(seed=7), extent)
    results = measured.results
    assert results.keys() == {"ledger_mutations", "ledger_mutations_missed", "verify_entries", "verify_s"}
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


def test_what_is_missed_or_slow_is_named() -> None:
    found = Found()
    found.count("fork", 3, {"package": True, "program": False})
    assert found.missed == ["seed 3: fork: program"]
    bad = {"ledger_mutations_missed": 1, "verify_s": 20.0}
    assert len(privacy.missed(bad)) == 2
    assert privacy.missed({"ledger_mutations_missed": 0, "verify_s": 5.0}) == []
