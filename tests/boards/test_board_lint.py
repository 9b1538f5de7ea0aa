"""Every board keeps the linter's rules, and each rule finds the fault it is for."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import pytest
from board_files import Board, board, board_names, every_target, panels, substituted
from board_lint import RULES, findings, learn

pytestmark = pytest.mark.usefixtures("_promtool_has_seen_every_query")

DOCUMENTED = {
    "template-datasource-rule",
    "template-job-rule",
    "template-instance-rule",
    "template-label-promql-rule",
    "panel-datasource-rule",
    "panel-title-description-rule",
    "panel-units-rule",
    "target-promql-rule",
    "target-rate-interval-rule",
    "target-job-rule",
    "target-instance-rule",
}


@pytest.fixture(scope="module")
def _promtool_has_seen_every_query(promtool: str) -> None:
    learn([substituted(one.expr) for one in every_target()])


@pytest.mark.parametrize("name", board_names())
def test_a_board_keeps_every_rule(name: str) -> None:
    assert findings(board(name)) == {}


def test_the_eleven_documented_rules_are_among_them() -> None:
    assert set(RULES) >= DOCUMENTED


def variable(of: Board, name: str) -> dict[str, Any]:
    found: dict[str, Any] = next(one for one in of["templating"]["list"] if one["name"] == name)
    return found


def replace(old: str, new: str) -> Callable[[Board], None]:
    def change(of: Board) -> None:
        target = next(t for p in panels(of) for t in p["targets"] if old in t["expr"])
        target["expr"] = target["expr"].replace(old, new)

    return change


def put(path: Iterable[str | int], value: object) -> Callable[[Board], None]:
    *way, last = path

    def change(of: Board) -> None:
        place: Any = of
        for step in way:
            place = place[step]
        place[last] = value

    return change


def label(name: str, key: str, value: object) -> Callable[[Board], None]:
    return lambda of: variable(of, name).update({key: value})


def without(name: str) -> Callable[[Board], None]:
    return lambda of: of["templating"]["list"].remove(variable(of, name))


BREAKS: list[tuple[str, Callable[[Board], None]]] = [
    ("template-datasource-rule", without("datasource")),
    ("template-datasource-rule", label("datasource", "name", "prom")),
    ("template-datasource-rule", label("datasource", "label", "Prometheus here")),
    ("template-job-rule", without("job")),
    ("template-job-rule", label("job", "type", "custom")),
    ("template-job-rule", label("job", "datasource", {"uid": "abc"})),
    ("template-job-rule", label("job", "label", "which")),
    ("template-job-rule", label("job", "multi", value=False)),
    ("template-job-rule", label("job", "allValue", ".*")),
    ("template-instance-rule", without("instance")),
    ("template-label-promql-rule", label("job", "query", "tiered_memory_build_info")),
    ("template-label-promql-rule", label("job", "query", "label_values(up{, job)")),
    ("template-on-time-change-reload-rule", label("job", "refresh", 1)),
    ("template-uneditable-rule", put(["editable"], value=True)),
    ("panel-datasource-rule", put(["panels", 1, "datasource"], {"uid": "abc"})),
    ("panel-title-description-rule", put(["panels", 1, "description"], "")),
    ("panel-title-description-rule", put(["panels", 1, "title"], "")),
    ("panel-units-rule", put(["panels", 1, "fieldConfig", "defaults", "unit"], "")),
    ("panel-units-rule", put(["panels", 1, "fieldConfig", "defaults", "unit"], "furlongs")),
    ("panel-no-targets-rule", put(["panels", 1, "targets"], [])),
    ("target-promql-rule", replace("sum(", "sum((")),
    ("target-rate-interval-rule", replace("$__rate_interval", "5m")),
    ("target-job-rule", replace('job=~"$job",', "")),
    ("target-job-rule", replace('job=~"$job"', 'job="$job"')),
    ("target-instance-rule", replace(',instance=~"$instance"', "")),
    ("target-counter-agg-rule", replace("rate(tiered", "abs(tiered")),
]


@pytest.mark.parametrize(("rule", "change"), BREAKS)
def test_a_rule_finds_its_fault(rule: str, change: Callable[[Board], None]) -> None:
    broken = board("overview")
    change(broken)
    assert RULES[rule](broken) != []


def test_every_rule_is_shown_to_fail() -> None:
    assert {rule for rule, _ in BREAKS} == set(RULES)
