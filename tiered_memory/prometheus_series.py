"""The series of each family of the catalogue, as Prometheus collects them.

Every call of the public face ends in two of these; the client's own Counter and Histogram would cost it twice the
time, with a lock for each of their numbers, export gauges as 0 before anybody knows them, and add `_created` samples.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from itertools import accumulate
from math import inf
from threading import Lock

from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from tiered_memory.metrics.catalogue import FAMILIES, OWN_LABELS, Family, Kind
from tiered_memory.metrics.words import OTHER, Vocabulary

Key = tuple[str, ...]


class _Keys:
    """The label values of one family: known words stay, others become "other".

    Whoever has a series of a key already need not ask: it is made of known words.
    """

    def __init__(self, family: Family, words: Vocabulary) -> None:
        self._sets = tuple(frozenset(getattr(words, one)) for one in family.labels.values())

    def canonical(self, key: Key) -> Key:
        pairs = zip(key, self._sets, strict=True)
        return tuple(word if word in known else OTHER for word, known in pairs)


class Numbers:
    """The series of a counter or a gauge."""

    def __init__(self, family: Family, words: Vocabulary) -> None:
        self.family = family
        self._keys = _Keys(family, words)
        self._lock = Lock()
        first = () if family.kind is Kind.GAUGE else family.first_keys(words)
        self._values: dict[Key, float] = dict.fromkeys(first, 0.0)

    def add(self, amount: float, *key: str) -> None:
        """Add a finite `amount` >= 0; any other would spoil the sum for the rest of the process."""
        if 0 <= amount < inf:
            found = key if key in self._values else self._keys.canonical(key)
            with self._lock:
                self._values[found] = self._values.get(found, 0.0) + amount

    def put(self, value: float, *key: str) -> None:
        """Let the series be a finite `value` >= 0."""
        if 0 <= value < inf:
            found = self._keys.canonical(key)
            with self._lock:
                self._values[found] = value

    def drop(self, *key: str) -> None:
        """Let the series be unknown again."""
        with self._lock:
            self._values.pop(self._keys.canonical(key), None)

    def collected(self) -> Metric:
        """Return the family as it is now."""
        with self._lock:
            values = dict(self._values)
        kind = CounterMetricFamily if self.family.kind is Kind.COUNTER else GaugeMetricFamily
        found = kind(self.family.full_name, self.family.meaning, labels=labels_of(self.family))
        for key, value in values.items():
            found.add_metric(key, value)
        return found


class Distribution:
    """The series of a histogram."""

    def __init__(self, family: Family, words: Vocabulary) -> None:
        self.family = family
        self._keys = _Keys(family, words)
        self._lock = Lock()
        self._buckets = family.buckets
        self._bounds = (*map(str, family.buckets), "+Inf")
        self._sums: dict[Key, float] = dict.fromkeys(family.first_keys(words), 0.0)
        self._counts = {key: [0] * len(self._bounds) for key in self._sums}

    def record(self, amount: float, *key: str) -> None:
        """Count a finite `amount` >= 0 in its bucket."""
        if not 0 <= amount < inf:
            return
        found = key if key in self._sums else self._keys.canonical(key)
        bucket = bisect_left(self._buckets, amount)
        with self._lock:
            self._sums[found] = self._sums.get(found, 0.0) + amount
            self._counts.setdefault(found, [0] * len(self._bounds))[bucket] += 1

    def collected(self) -> Metric:
        """Return the family as it is now."""
        with self._lock:
            sums = dict(self._sums)
            cumulated = {key: list(accumulate(counts)) for key, counts in self._counts.items()}
        found = HistogramMetricFamily(
            self.family.full_name, self.family.meaning, labels=labels_of(self.family)
        )
        for key, counts in cumulated.items():
            found.add_metric(key, list(zip(self._bounds, counts, strict=True)), sums[key])
        return found


def labels_of(family: Family) -> tuple[str, ...]:
    """Return the names of a family's labels."""
    return OWN_LABELS.get(family.name, tuple(family.labels))


class Board(Collector):
    """The series of every family of the catalogue, by its name."""

    def __init__(self, words: Vocabulary) -> None:
        plain = [one for one in FAMILIES if one.kind is not Kind.HISTOGRAM and one.name not in OWN_LABELS]
        shared = [one for one in FAMILIES if one.kind is Kind.HISTOGRAM]
        self.numbers = {one.name: Numbers(one, words) for one in plain}
        self.distributions = {one.name: Distribution(one, words) for one in shared}
        self._own: dict[str, Key] = {}

    def own(self, name: str, *key: str) -> None:
        """Export a family that is 1, with these values of its own labels."""
        self._own[name] = key

    def collect(self) -> Iterator[Metric]:
        """Yield every family, in the order of the catalogue."""
        for family in FAMILIES:
            if family.name in self._own:
                yield self._info(family)
            elif family.kind is Kind.HISTOGRAM:
                yield self.distributions[family.name].collected()
            else:
                yield self.numbers[family.name].collected()

    def describe(self) -> Iterator[Metric]:
        """Yield every family, so that a registry refuses a second one of these names."""
        return self.collect()

    def _info(self, family: Family) -> Metric:
        found = GaugeMetricFamily(family.full_name, family.meaning, labels=labels_of(family))
        found.add_metric(self._own[family.name], 1.0)
        return found
