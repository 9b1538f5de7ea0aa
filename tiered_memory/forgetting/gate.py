"""The cold gate's verdict on an importance, beside a threshold or beside what the same user said before. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from tiered_memory.forgetting.placement import Route, route
from tiered_memory.policy.rules import RoutingRules

BINS = 64
LEAST_KNOWN = 10
"""With fewer interactions before it, everything is among the most important."""


@dataclass(slots=True)
class ImportanceSpread:
    """How the importances of one user's interactions are spread: a histogram of 64 bins over 0..1.

    The state is closed and small, and depends on what was counted, not on its order.
    """

    bins: list[int] = field(default_factory=lambda: [0] * BINS)
    total: int = 0

    @classmethod
    def of(cls, kept: Iterable[float], interactions: int) -> ImportanceSpread:
        """Return the spread of `interactions`, of which the `kept` ones are known.

        The others stayed below the gate: they count as just below the lowest tenth of what was kept (a few are kept
        however unimportant they are).
        """
        spread, ordered = cls(), sorted(kept)
        for importance in ordered:
            spread.add(importance)
        missing = max(0, interactions - spread.total)
        least = _bin(ordered[len(ordered) // 10]) if ordered else 0
        spread.bins[max(0, least - 1)] += missing
        spread.total += missing
        return spread

    def add(self, importance: float) -> None:
        """Count an interaction of `importance` (0..1)."""
        self.bins[_bin(importance)] += 1
        self.total += 1

    def share_above(self, importance: float) -> float:
        """Return the share (0..1) of what was counted that is more important; of its own bin half counts as such."""
        if not self.total:
            return 0.0
        own = _bin(importance)
        return (sum(self.bins[own + 1 :]) + self.bins[own] / 2) / self.total


def judge_gate(importance: float, rules: RoutingRules, spread: ImportanceSpread) -> Route:
    """Return whether an importance (0..1) passes `rules.gate`.

    `threshold`: it is above `cold_threshold`; `quantile`: it is in the user's top `cold_quantile` share so far;
    `either`: one of both is enough.
    """
    absolute = route(importance, rules)
    if rules.gate == "threshold" or (rules.gate == "either" and absolute.to_cold):
        return absolute
    passes = spread.total < LEAST_KNOWN or spread.share_above(importance) < rules.cold_quantile
    where = "among" if passes else "not among"
    return Route(
        passes,
        f"importance {importance:.2f} is {where} this user's top {rules.cold_quantile:.0%} so far",
        True,
    )


def _bin(importance: float) -> int:
    return min(BINS - 1, max(0, int(importance * BINS)))
