"""Boards and alerts speak of what is exported, and of all that is exported."""

from __future__ import annotations

import re

import pytest
from board_files import PREFIX, every_target, metrics_of, rules, selectors

from tiered_memory.metrics import Vocabulary
from tiered_memory.metrics.catalogue import FAMILY, OWN_LABELS
from tiered_memory.prometheus_observer import PrometheusObserver

SUFFIXES = ("_bucket", "_sum", "_count")
PROMETHEUS_OWN = {"up"}
MATCHED = re.compile(r'(\w+)\s*(=~|!~|!=|=)\s*"([^"]*)"')
GROUPED = re.compile(r"\b(?:by|on) \(([^)]*)\)")
OF_TARGETS = {"job", "instance", "le"}
EVERY_EXPR = [one.expr for one in every_target()] + [rule["expr"] for rule in rules()]


def exported() -> set[str]:
    """Every family that is exported, named as its samples are, but for what a histogram appends."""
    return {
        family.name + "_total" if family.type == "counter" else family.name
        for family in PrometheusObserver().registry.collect()
    }


def family_of(metric: str) -> str:
    """Return the family of a sample's name."""
    for suffix in SUFFIXES:
        if metric.endswith(suffix) and metric.removesuffix(suffix).removeprefix(PREFIX) in FAMILY:
            return metric.removesuffix(suffix)
    return metric


def queried() -> set[str]:
    return {family_of(metric) for text in EVERY_EXPR for metric in metrics_of(text)}


def labels_of(metric: str) -> dict[str, frozenset[str]]:
    """Return the labels of a metric as Prometheus knows them, with the words they may have (none given: any)."""
    name = family_of(metric).removeprefix(PREFIX)
    own: dict[str, frozenset[str]] = dict.fromkeys(OWN_LABELS.get(name, ()), frozenset())
    words = Vocabulary()
    given = {label: getattr(words, words_of) | {"other"} for label, words_of in FAMILY[name].labels.items()}
    return {renamed(label): known for label, known in (own | given).items()}


def renamed(label: str) -> str:
    """What Prometheus makes of a label that it has itself for every target."""
    return f"exported_{label}" if label in {"job", "instance"} else label


def test_the_catalogue_is_what_is_exported() -> None:
    assert {PREFIX + name for name in FAMILY} == exported()


def test_what_is_queried_is_exported() -> None:
    assert queried() - exported() == set()


def test_what_is_exported_is_queried() -> None:
    assert exported() - queried() == set()


def test_queries_match_labels_and_words_that_exist() -> None:
    """A label or a word that was misspelt would leave a panel empty, or an alert silent, for ever."""
    wrong = []
    for text in EVERY_EXPR:
        for selector in selectors(text):
            known = labels_of(selector.name) if selector.name.startswith(PREFIX) else {}
            for label, sign, value in MATCHED.findall(selector.labels):
                words = set(value.split("|")) if "~" in sign else {value}
                if label not in OF_TARGETS and not (label in known and words <= known[label]):
                    wrong.append((selector.name, label, value))
    assert wrong == []


def test_queries_group_by_labels_that_exist() -> None:
    wrong = []
    for text in EVERY_EXPR:
        known = OF_TARGETS.union(*(labels_of(metric) for metric in metrics_of(text) if is_ours(metric)))
        given = {label.strip() for labels in GROUPED.findall(text) for label in labels.split(",")}
        wrong += [(text, label) for label in given - known]
    assert wrong == []


def is_ours(metric: str) -> bool:
    return family_of(metric).removeprefix(PREFIX) in FAMILY


def test_other_metrics_are_prometheus_own() -> None:
    named = {selector.name for text in EVERY_EXPR for selector in selectors(text)}
    assert {name for name in named if not name.startswith(PREFIX)} == PROMETHEUS_OWN


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("rate(tiered_memory_x_total{a='b'}[5m])", {"tiered_memory_x_total"}),
        ("tiered_memory_y > 3 and tiered_memory_z", {"tiered_memory_y", "tiered_memory_z"}),
        ("tiered_memory:x:ratio_rate5m > 1", set()),
        ("up == 0", set()),
    ],
)
def test_metrics_are_found_wherever_they_stand(text: str, named: set[str]) -> None:
    assert metrics_of(text) == named


def test_a_sample_belongs_to_its_family() -> None:
    assert family_of("tiered_memory_journal_fsync_seconds_bucket") == "tiered_memory_journal_fsync_seconds"
    assert family_of("tiered_memory_requests_total") == "tiered_memory_requests_total"
    assert labels_of("tiered_memory_job_runs_total").keys() == {"exported_job", "outcome"}
