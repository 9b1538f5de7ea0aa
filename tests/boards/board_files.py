"""Reading the dashboards that are shipped: their panels, their queries, the metrics these name."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "dashboards"
ALERTS = FOLDER / "alerts" / "tiered-memory.yml"
RUNBOOKS = ROOT / "docs" / "runbooks.md"
PREFIX = "tiered_memory_"
SELECTOR = re.compile(
    r"(?P<before>(?:\b(?:rate|irate|increase)\()?)"
    r"(?P<name>[a-zA-Z_:][\w:]*)\{(?P<labels>[^}]*)\}(?P<range>\[[^\]]+\])?"
)
NAMED = re.compile(rf"\b{PREFIX}\w+")

Board = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Selector:
    """A selector of a query: `inside` is the function of counters that it is the argument of, if any."""

    name: str
    labels: str
    range: str
    inside: str


@dataclass(frozen=True, slots=True)
class Target:
    """A query, and where it stands."""

    board: str
    panel: str
    legend: str
    expr: str

    @property
    def place(self) -> str:
        return f"{self.board}: {self.panel}"


@cache
def board_names() -> tuple[str, ...]:
    return tuple(sorted(path.stem for path in FOLDER.glob("*.json")))


def board(name: str) -> Board:
    """Return a fresh copy of a board."""
    found: Board = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    return found


def panels(of: Board) -> list[dict[str, Any]]:
    """Return the panels that draw something."""
    return [panel for panel in of["panels"] if panel["type"] != "row"]


def targets(of: Board) -> Iterator[Target]:
    for panel in panels(of):
        for target in panel.get("targets", []):
            yield Target(of["title"], panel["title"], target.get("legendFormat", ""), target.get("expr", ""))


def every_target() -> list[Target]:
    return [target for name in board_names() for target in targets(board(name))]


def substituted(expr: str, *, window: str = "5m", chosen: str = ".+") -> str:
    """Return a query as Grafana sends it when everything is chosen."""
    for variable in ("$__rate_interval", "$__range"):
        expr = expr.replace(variable, window)
    return expr.replace("$job", chosen).replace("$instance", chosen)


def selectors(expr: str) -> list[Selector]:
    return [
        Selector(one["name"], one["labels"], (one["range"] or "").strip("[]"), one["before"].rstrip("("))
        for one in SELECTOR.finditer(expr)
    ]


def metrics_of(expr: str) -> set[str]:
    """Return the metrics of ours that an expression names, with or without a selector."""
    return set(NAMED.findall(expr))


def rules() -> list[dict[str, Any]]:
    """Return every rule, those that record and those that alert."""
    document = yaml.safe_load(ALERTS.read_text(encoding="utf-8"))
    return [rule for group in document["groups"] for rule in group["rules"]]


def alerts() -> list[dict[str, Any]]:
    return [rule for rule in rules() if "alert" in rule]


def anchors(document: str) -> set[str]:
    """Return the anchors of a document's headings, as its readers' links name them."""
    headings = re.findall(r"^#+ (.+)$", document, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
