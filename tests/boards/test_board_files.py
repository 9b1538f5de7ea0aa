"""The boards are what the generator makes, Grafana's form, and laid out so that one can read them."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from itertools import combinations
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from board_files import ALERTS, ROOT, Board, alerts, board, board_names, panels, targets

from tiered_memory.metrics.words import OUTCOME_OF

SCHEMA = json.loads((Path(__file__).parent / "board_schema.json").read_text(encoding="utf-8"))
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)
UIDS = {
    "overview": "tiered-memory-overview",
    "tiers-and-routing": "tiered-memory-tiers",
    "forgetting-and-retention": "tiered-memory-forgetting",
    "privacy-and-erasure": "tiered-memory-privacy",
    "journal-and-reliability": "tiered-memory-journal",
}
PARTED = re.compile(r"\bby \(([^)]*)\)")


def generator(*arguments: str) -> subprocess.CompletedProcess[str]:
    pytest.importorskip("grafana_foundation_sdk")
    command = [sys.executable, str(ROOT / "scripts" / "generate_dashboards.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_boards_are_what_the_generator_makes() -> None:
    done = generator("--check")
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_check_notices_what_is_stale_missing_and_too_much(tmp_path: Path) -> None:
    code = (
        "import sys, pathlib; sys.path.insert(0, sys.argv[1]); import generate_dashboards as made;"
        "folder = pathlib.Path(sys.argv[2]); made.write(folder); first = made.generated();"
        "assert made.stale(folder) == [] and made.generated() == first;"
        "(folder / 'overview.json').write_text('{}'); (folder / 'old.json').write_text('{}');"
        "(folder / 'tiers-and-routing.json').unlink(); print(*made.stale(folder));"
        "made.write(folder); print(*made.stale(folder), (folder / 'old.json').exists())"
    )
    pytest.importorskip("grafana_foundation_sdk")
    done = subprocess.run(
        [sys.executable, "-c", code, str(ROOT / "scripts"), str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.splitlines() == ["old.json overview.json tiers-and-routing.json", "False"], done.stderr


def test_the_five_boards_keep_their_addresses() -> None:
    assert {name: board(name)["uid"] for name in board_names()} == UIDS


@pytest.mark.parametrize("name", board_names())
def test_a_board_has_grafanas_form(name: str) -> None:
    assert [error.message for error in VALIDATOR.iter_errors(board(name))] == []


@pytest.mark.parametrize(
    "path",
    [
        ("uid",),
        ("title",),
        ("schemaVersion",),
        ("templating",),
        ("panels", 1, "gridPos"),
        ("panels", 1, "targets", 0, "expr"),
        ("panels", 1, "targets", 0, "refId"),
        ("panels", 1, "fieldConfig"),
    ],
)
def test_the_form_can_be_missed(path: tuple[Any, ...]) -> None:
    broken: Any = board("overview")
    place = broken
    for step in path[:-1]:
        place = place[step]
    del place[path[-1]]
    assert not VALIDATOR.is_valid(broken)


@pytest.mark.parametrize("name", board_names())
def test_panels_have_ids_of_their_own_and_do_not_overlap(name: str) -> None:
    found = board(name)
    ids = [panel["id"] for panel in found["panels"]]
    assert len(ids) == len(set(ids))
    places = [panel["gridPos"] for panel in found["panels"]]
    assert all(at["x"] >= 0 and at["x"] + at["w"] <= 24 for at in places)
    assert [pair for pair in combinations(places, 2) if overlap(*pair)] == []


def overlap(one: dict[str, int], other: dict[str, int]) -> bool:
    aside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
    below = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
    return not (aside or below)


def test_overlapping_is_noticed() -> None:
    at = {"x": 0, "y": 0, "w": 8, "h": 8}
    assert overlap(at, at | {"x": 7, "y": 7})
    assert not overlap(at, at | {"x": 8})


@pytest.mark.parametrize("name", board_names())
def test_titles_and_letters_are_not_used_twice(name: str) -> None:
    found = board(name)
    titles = [panel["title"] for panel in found["panels"]]
    assert len(titles) == len(set(titles))
    for panel in panels(found):
        letters = [target["refId"] for target in panel["targets"]]
        assert letters == sorted(set(letters)), panel["title"]


@pytest.mark.parametrize("name", board_names())
def test_series_are_told_apart_by_their_names(name: str) -> None:
    """What a query groups by is in its legend, or all its lines would be called alike."""
    for panel in panels(board(name)):
        for target in panel["targets"]:
            given = {
                label.strip() for labels in PARTED.findall(target["expr"]) for label in labels.split(",")
            }
            shown = set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]))
            assert shown == given - {"le"}, panel["title"]
            assert target["legendFormat"], panel["title"]


@pytest.mark.parametrize("name", board_names())
def test_a_panel_says_what_to_show_where_there_is_nothing(name: str) -> None:
    defaults = [panel["fieldConfig"]["defaults"] for panel in panels(board(name))]
    assert all(one["noValue"] for one in defaults)


@pytest.mark.parametrize("name", board_names())
def test_thresholds_rise_from_nothing(name: str) -> None:
    for panel in panels(board(name)):
        steps = panel["fieldConfig"]["defaults"].get("thresholds", {}).get("steps", [])
        values = [step["value"] for step in steps]
        assert not values or (values[0] is None and values[1:] == sorted(values[1:])), panel["title"]


def test_what_counts_as_a_failure_is_the_same_everywhere() -> None:
    """Of the errors that are nobody else's: a closed memory is its user's, a credential that is none its holder's."""
    failing = {"corruption", "other", "overloaded", "storage", "unknown_outcome"}
    blamed = {name for name, outcome in OUTCOME_OF.items() if outcome in failing}
    errors = blamed - {"ClosedError", "UnauthenticatedError"} | {"other"}
    assert {frozenset(one.split("|")) for one in matched("error")} == {frozenset(errors)}
    assert {frozenset(one.split("|")) for one in matched("outcome")} == {frozenset(failing)}


def matched(label: str) -> set[str]:
    """Return what boards and rules match a label of failed calls against."""
    boards: list[Board] = [board(name) for name in board_names()]
    texts = [*(one.expr for found in boards for one in targets(found)), ALERTS.read_text(encoding="utf-8")]
    return {value for text in texts for value in re.findall(rf'\b{label}=~"([^"]+)"', text)}


def test_alerts_are_not_named_in_vain() -> None:
    """A panel that leads to an alert's runbook is there for each alert."""
    linked = "".join(panel["description"] for name in board_names() for panel in panels(board(name)))
    assert [one["alert"] for one in alerts() if f"#{one['alert'].lower()})" not in linked] == []
