"""The rules of Grafana's dashboard-linter for boards over Prometheus (https://github.com/grafana/dashboard-linter).

Its eleven documented rules, and those of its others that concern us. Each takes a board and returns what is wrong with
it. PromQL is parsed by Prometheus itself, in `promtool`.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from board_files import Board, panels, selectors, substituted, targets

Rule = Callable[[Board], list[str]]

UNITS = frozenset(
    [
        "none",
        "string",
        "short",
        "percent",
        "percentunit",
        "bytes",
        "decbytes",
        "Bps",
        "binBps",
        "s",
        "ms",
        "µs",
        "ns",
        "m",
        "h",
        "d",
        "dtdurations",
        "hertz",
        "cps",
        "ops",
        "reqps",
        "rps",
        "wps",
        "iops",
        "cpm",
        "opm",
        "rpm",
        "wpm",
        "bool",
        "bool_yes_no",
        "bool_on_off",
        "dateTimeAsIso",
        "dateTimeFromNow",
    ]
)
"""Those of Grafana's units that a memory could need."""
WITH_UNITS = frozenset({"stat", "singlestat", "graph", "table", "timeseries", "gauge", "bargauge"})
COUNTERS = ("_total", "_count", "_sum", "_bucket")
VARIABLE_QUERY = re.compile(r"^(label_names|label_values|metrics|query_result)\((.*)\)$")
SOURCES = {"$datasource", "${datasource}"}


def template_datasource_rule(board: Board) -> list[str]:
    found = _variables(board, "datasource")
    wanted = [{"name": "datasource", "label": "Data source", "query": "prometheus"}]
    given = [{key: one.get(key) for key in ("name", "label", "query")} for one in found]
    return [] if given == wanted else [f"the data source is no variable as agreed: {given}"]


def template_job_rule(board: Board) -> list[str]:
    return _label_variable(board, "job")


def template_instance_rule(board: Board) -> list[str]:
    return _label_variable(board, "instance")


def template_label_promql_rule(board: Board) -> list[str]:
    return [
        f"variable {one['name']}: {one['query']}"
        for one in _variables(board, "query")
        if not (asked := VARIABLE_QUERY.match(one["query"]))
        or not parses(substituted(asked[2].rpartition(",")[0] or asked[2]))
    ]


def template_on_time_change_reload_rule(board: Board) -> list[str]:
    return [one["name"] for one in _variables(board, "query") if one.get("refresh") != 2]


def template_uneditable_rule(board: Board) -> list[str]:
    return ["the board can be edited in place"] if board.get("editable", True) else []


def panel_datasource_rule(board: Board) -> list[str]:
    return [p["title"] for p in panels(board) if (p.get("datasource") or {}).get("uid") not in SOURCES]


def panel_title_description_rule(board: Board) -> list[str]:
    return [f"panel {p['id']}" for p in panels(board) if not (p.get("title") and p.get("description"))]


def panel_units_rule(board: Board) -> list[str]:
    return [p["title"] for p in panels(board) if p["type"] in WITH_UNITS and _unit(p) not in UNITS]


def panel_no_targets_rule(board: Board) -> list[str]:
    return [p["title"] for p in panels(board) if not p.get("targets")]


def target_promql_rule(board: Board) -> list[str]:
    return [one.place for one in targets(board) if not parses(substituted(one.expr))]


def target_rate_interval_rule(board: Board) -> list[str]:
    return [
        one.place
        for one in targets(board)
        for selector in selectors(one.expr)
        if selector.inside in {"rate", "irate"} and selector.range != "$__rate_interval"
    ]


def target_job_rule(board: Board) -> list[str]:
    return _without_matcher(board, 'job=~"$job"')


def target_instance_rule(board: Board) -> list[str]:
    return _without_matcher(board, 'instance=~"$instance"')


def target_counter_agg_rule(board: Board) -> list[str]:
    return [
        f"{one.place}: {selector.name}"
        for one in targets(board)
        for selector in selectors(one.expr)
        if selector.name.endswith(COUNTERS) and not (selector.inside and selector.range)
    ]


RULES: dict[str, Rule] = {
    name.replace("_", "-"): rule for name, rule in list(globals().items()) if name.endswith("_rule")
}


def findings(board: Board) -> dict[str, list[str]]:
    """Return what each rule finds wrong."""
    return {name: found for name, rule in RULES.items() if (found := rule(board))}


_parsed: dict[str, bool] = {}


def parses(expr: str) -> bool:
    """Tell whether Prometheus takes an expression."""
    if expr not in _parsed:
        _parsed[expr] = not _refused([expr])
    return _parsed[expr]


def learn(expressions: list[str]) -> None:
    """Let promtool look at many expressions at once: it takes them all, or each is asked for alone."""
    if not _refused(expressions):
        _parsed.update(dict.fromkeys(expressions, True))


def _refused(expressions: list[str]) -> bool:
    written = [{"record": f"expression:{number}", "expr": expr} for number, expr in enumerate(expressions)]
    with TemporaryDirectory() as folder:
        path = Path(folder) / "rules.yml"
        path.write_text(json.dumps({"groups": [{"name": "expressions", "rules": written}]}), encoding="utf-8")
        done = subprocess.run(
            ["promtool", "check", "rules", "--lint=none", path], capture_output=True, check=False
        )
    return done.returncode != 0


def _variables(board: Board, kind: str) -> list[dict[str, Any]]:
    return [one for one in board["templating"]["list"] if one["type"] == kind]


def _label_variable(board: Board, name: str) -> list[str]:
    found = next((one for one in board["templating"]["list"] if one["name"] == name), None)
    return [f"no variable {name}"] if found is None else list(_label_faults(found, name))


def _label_faults(found: dict[str, Any], name: str) -> Iterator[str]:
    if found["type"] != "query":
        yield f"{name} is no query"
    if (found.get("datasource") or {}).get("uid") not in SOURCES:
        yield f"{name} has a data source of its own"
    if found.get("label") != name.title():
        yield f"{name} is labelled otherwise"
    if not found.get("multi"):
        yield f"one can choose only one {name}"
    if found.get("allValue") != ".+":
        yield f"all of {name} is not .+"


def _unit(panel: dict[str, Any]) -> str:
    return str(panel.get("fieldConfig", {}).get("defaults", {}).get("unit", ""))


def _without_matcher(board: Board, matcher: str) -> list[str]:
    faults = []
    for one in targets(board):
        found = selectors(one.expr)
        if not found or any(matcher not in selector.labels.split(",") for selector in found):
            faults.append(one.place)
    return faults
