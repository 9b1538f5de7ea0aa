"""Ways to decide what is forgotten first: the product's curves, and the baselines they are held against.

Every policy gives each held item a value; the smallest goes first. See `forget_replay.Policy`.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable

import numpy as np

from benchmarks.forget_items import DAY_US, HOUR_US, Item, Story
from benchmarks.forget_replay import Places, Policy, Regime, Values, schedule
from tiered_memory.forgetting.decay import Curve, StrengthState

SEED_DAILY_LOSS = 0.05
GENERATIVE_AGENTS_HOURLY = 0.995
"""Recency decay per hour of Park et al., "Generative Agents" (2023), section 4.1."""
AMS_LAST_USE_DAYS, AMS_CREATED_DAYS, AMS_LAST_USE_WEIGHT = 7.0, 30.0, 0.6
"""Half-lives and weight of the recency score of Redis's agent-memory-server."""
_FAR_US = 1e17


class _Noted(ABC):
    """Remembers what a policy may see: arrivals, last uses, how many there were."""

    settled = True
    heeds_uses = False

    def __init__(self) -> None:
        self._created = _Column()
        self._last = _Column()
        self._uses = _Column()
        self._importance = _Column()

    def arrived(self, item: Item) -> None:
        """Take notice of a new item."""
        self._created.append(item.at_us)
        self._last.append(item.at_us)
        self._uses.append(0)
        self._importance.append(item.importance)

    def used(self, place: int, now_us: int) -> None:
        """Take notice of a use."""
        self._last[place] = now_us
        self._uses[place] += 1

    def values(self, held: Places, now_us: int) -> Values:
        """Return the value of each held item."""
        return self._of(held, now_us)

    @abstractmethod
    def _of(self, held: Places, now_us: int) -> Values: ...


class _Column:
    """A column of numbers that grows."""

    def __init__(self) -> None:
        self._values = np.zeros(64)
        self._count = 0

    def append(self, value: float) -> None:
        if self._count == len(self._values):
            self._values = np.concatenate([self._values, np.zeros(self._count)])
        self._values[self._count] = value
        self._count += 1

    def __getitem__(self, place: int) -> float:
        return float(self._values[place])

    def __setitem__(self, place: int, value: float) -> None:
        self._values[place] = value

    def of(self, held: Places) -> Values:
        return self._values[held]


class FirstIn(_Noted):
    """The oldest goes first."""

    def _of(self, held: Places, _now_us: int) -> Values:
        return self._created.of(held)


class LeastRecentlyUsed(_Noted):
    """What was used (or else arrived) longest ago goes first."""

    heeds_uses = True

    def _of(self, held: Places, _now_us: int) -> Values:
        return self._last.of(held)


class LeastFrequentlyUsed(_Noted):
    """What was used least goes first, of equals the least recently used."""

    heeds_uses = True

    def _of(self, held: Places, _now_us: int) -> Values:
        return self._uses.of(held) + self._last.of(held) / _FAR_US


class LeastImportant(_Noted):
    """The least important goes first."""

    def _of(self, held: Places, _now_us: int) -> Values:
        return self._importance.of(held)


class AtRandom(_Noted):
    """Any held item may go."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self._draw = np.random.default_rng(seed)

    def _of(self, held: Places, _now_us: int) -> Values:
        return self._draw.random(len(held))


class FivePercentADay(_Noted):
    """Strength starts at the importance, gains 1 with each access, and loses 5 % a day; the weakest goes first.

    One rate for all never changes the order of two strengths, so the value is ln(strength) + rate * time.
    """

    heeds_uses = True

    def __init__(self) -> None:
        super().__init__()
        self._level = _Column()

    def arrived(self, item: Item) -> None:
        """Take notice of a new item."""
        super().arrived(item)
        self._level.append(_ln(item.importance) + self._rate(item.at_us))

    def used(self, place: int, now_us: int) -> None:
        """Take notice of a use."""
        strength = math.exp(self._level[place] - self._rate(now_us))
        self._level[place] = math.log(strength + 1.0) + self._rate(now_us)

    def _of(self, held: Places, _now_us: int) -> Values:
        return self._level.of(held)

    @staticmethod
    def _rate(at_us: int) -> float:
        return -math.log1p(-SEED_DAILY_LOSS) * at_us / DAY_US


class RecencyAndImportance(_Noted):
    """Generative Agents' score without relevance: 0.995^(hours since last access) + importance."""

    heeds_uses = True
    settled = False

    def _of(self, held: Places, now_us: int) -> Values:
        hours = (now_us - self._last.of(held)) / HOUR_US
        return GENERATIVE_AGENTS_HOURLY**hours + self._importance.of(held)


class AgentMemoryServer(_Noted):
    """Redis agent-memory-server's recency score: 0.6 * 2^(-days idle / 7) + 0.4 * 2^(-days old / 30)."""

    heeds_uses = True
    settled = False

    def _of(self, held: Places, now_us: int) -> Values:
        idle = np.exp2(-(now_us - self._last.of(held)) / DAY_US / AMS_LAST_USE_DAYS)
        old = np.exp2(-(now_us - self._created.of(held)) / DAY_US / AMS_CREATED_DAYS)
        found: Values = AMS_LAST_USE_WEIGHT * idle + (1.0 - AMS_LAST_USE_WEIGHT) * old
        return found


class ByCurve(_Noted):
    """The product's own: the smallest `forget_at_us` of a forgetting curve goes first."""

    heeds_uses = True

    def __init__(self, curve: Curve) -> None:
        super().__init__()
        self._curve = curve
        self._states: list[StrengthState] = []
        self._forget_at = _Column()

    def arrived(self, item: Item) -> None:
        """Take notice of a new item."""
        state = self._curve.start(item.importance, item.at_us)
        self._states.append(state)
        self._forget_at.append(self._forget_at_of(state))

    def used(self, place: int, now_us: int) -> None:
        """Take notice of a use."""
        state = self._curve.use(self._states[place], now_us)
        self._states[place] = state
        self._forget_at[place] = self._forget_at_of(state)

    def _of(self, held: Places, _now_us: int) -> Values:
        return self._forget_at.of(held)

    def _forget_at_of(self, state: StrengthState) -> float:
        at_us = self._curve.forget_at_us(state)
        return math.inf if at_us is None else float(at_us)


def _ln(value: float) -> float:
    return math.log(value) if value > 0 else -math.inf


class Clairvoyant(_Noted):
    """Knows every question to come: what earns least per day until it was needed for the last time goes first."""

    settled = False

    def __init__(self, story: Story, regime: Regime) -> None:
        super().__init__()
        self._needs: dict[int, list[tuple[int, float]]] = {}
        for at_us, _, question in schedule(story.questions, regime):
            for place in question.evidence:
                self._needs.setdefault(place, []).append((at_us, 1.0 / len(question.evidence)))

    def _of(self, held: Places, now_us: int) -> Values:
        return np.array([self._worth(place, now_us) for place in held.tolist()])

    def _worth(self, place: int, now_us: int) -> float:
        ahead = [(at_us, worth) for at_us, worth in self._needs.get(place, ()) if at_us > now_us]
        if not ahead:
            return 0.0
        return sum(worth for _, worth in ahead) / (ahead[-1][0] - now_us)


Maker = Callable[[Story, Regime], Policy]


def baselines(seed: int) -> dict[str, Maker]:
    """Return what the product is held against, by name; each call of a maker gives a policy that has seen nothing."""
    return {
        "random": lambda _story, _regime: AtRandom(seed),
        "fifo": lambda _story, _regime: FirstIn(),
        "lru": lambda _story, _regime: LeastRecentlyUsed(),
        "lfu": lambda _story, _regime: LeastFrequentlyUsed(),
        "importance": lambda _story, _regime: LeastImportant(),
        "five_percent_a_day": lambda _story, _regime: FivePercentADay(),
        "agent_memory_server": lambda _story, _regime: AgentMemoryServer(),
        "recency_importance": lambda _story, _regime: RecencyAndImportance(),
        "clairvoyant": Clairvoyant,
    }


def by_curve(curve: Curve) -> Maker:
    """Return the maker of the policy that forgets by a curve's deadlines."""
    return lambda _story, _regime: ByCurve(curve)
