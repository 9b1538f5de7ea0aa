"""How strength fades with time and grows with spaced use: closed forms, so nothing is ever swept or re-stored.

Times are whole microseconds since 1970 (`_us`), spans in formulas are days. A clock that stands still or goes
back changes nothing: time before `t_last_us` counts as `t_last_us`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Protocol

from tiered_memory.policy.rules import DecayRules

DAY_US = 86_400_000_000
POWER_IMPORTANCE = (0.02, 0.98)


@dataclass(frozen=True, slots=True)
class StrengthState:
    """What must be kept of a memory to know its strength at any time.

    `importance` and `strength_last` are 0..1, `strength_last` is the strength at `t_last_us` (stored or last
    used), `n_spaced` (>= 0) counts spaced uses, `policy_version` names the rules it was computed under.
    """

    importance: float
    strength_last: float
    t_last_us: int
    n_spaced: float
    ingested_at_us: int
    policy_version: str


class Curve(Protocol):
    """A forgetting curve. Every method is pure."""

    def start(self, importance: float, now_us: int, policy_version: str = "") -> StrengthState:
        """Return the state of a memory stored now."""
        ...

    def strength(self, state: StrengthState, now_us: int) -> float:
        """Return the strength (0..1) at `now_us`; it never rises between uses."""
        ...

    def use(self, state: StrengthState, now_us: int, weight: float = 1.0) -> StrengthState:
        """Return the state after a use of `weight` (0..1); a repeated or late one changes nothing."""
        ...

    def forget_at_us(self, state: StrengthState) -> int | None:
        """Return when strength reaches the threshold, at the earliest `t_last_us`; None is never."""
        ...

    def half_life_days(self, state: StrengthState) -> float:
        """Return the days from `t_last_us` until half the strength is left."""
        ...


class ExponentialCurve:
    """The stronger of two traces, each fading exponentially; of a trace fading at one rate half is left per half-life.

    lasting: S_last * e^(-rate*(t - t_last)), rate = base * e^(-k*importance) / (1 + c*n_spaced);
    fresh:   n_spaced / (1 + n_spaced) * 2^(-(t - t_last) / use_half_life).

    `base` = -ln(1 - daily_rate) per day. The lasting trace's half-life grows with importance and, by c, with spaced
    use, and is capped. Importance sets the rate, because equal-rate exponential decay never reorders what is not
    used: it is first in, first out. A use after a gap is worth g = weight*(1 - e^(-base*gap)): n_spaced += g and
    S_last += eta*g*(1 - S_last), so ten uses in a minute are worth about one. The fresh trace is what a use mainly
    does: bounded, so that what every search returns outlives others by weeks and not by years.
    """

    def __init__(self, rules: DecayRules) -> None:
        self._rules = rules
        self._base = _base_rate(rules)
        self._slowest = math.log(2) / rules.max_half_life_days
        self._fresh_half_life = min(rules.use_half_life_days, rules.max_half_life_days)

    def start(self, importance: float, now_us: int, policy_version: str = "") -> StrengthState:
        """Return the state of a memory stored now: strength = initial_strength * importance."""
        importance = _unit(importance)
        strength = self._rules.initial_strength * importance
        return StrengthState(importance, strength, now_us, 0.0, now_us, policy_version)

    def strength(self, state: StrengthState, now_us: int) -> float:
        """Return the strength (0..1) at `now_us`."""
        days = _days(state.t_last_us, now_us)
        lasting, fresh = self._lasting(state, days), self._fresh(state)
        return max(lasting, fresh * math.exp2(-days / self._fresh_half_life) if fresh else 0.0)

    def use(self, state: StrengthState, now_us: int, weight: float = 1.0) -> StrengthState:
        """Return the state after a use; `weight` scales what it is worth."""
        gain = _spaced_gain(self._base, state, now_us, weight)
        if gain is None:
            return state
        strength = self._lasting(state, _days(state.t_last_us, now_us))
        strength += self._rules.use_boost * gain * (1.0 - strength)
        return replace(state, strength_last=_unit(strength), t_last_us=now_us, n_spaced=_uses(state) + gain)

    def forget_at_us(self, state: StrengthState) -> int | None:
        """Return when the longer trace reaches the threshold: t_last + ln(S_last / threshold) / rate, if lasting."""
        threshold = self._rules.threshold
        return None if threshold <= 0 else state.t_last_us + _us(self._days_until(state, threshold))

    def half_life_days(self, state: StrengthState) -> float:
        """Return the days from `t_last_us` until half of the strength then is left."""
        half = self.strength(state, state.t_last_us) / 2.0
        return self._days_until(state, half) if half > 0 else math.log(2) / self._rate(state)

    def _days_until(self, state: StrengthState, level: float) -> float:
        """Return the days from `t_last_us` until both traces are at `level` (> 0) or below."""
        lasting, fresh = _unit(state.strength_last), self._fresh(state)
        days = math.log(lasting / level) / self._rate(state) if lasting > level else 0.0
        return max(days, math.log2(fresh / level) * self._fresh_half_life) if fresh > level else days

    def _lasting(self, state: StrengthState, days: float) -> float:
        return _unit(state.strength_last) * math.exp(-self._rate(state) * days)

    def _fresh(self, state: StrengthState) -> float:
        """Return the fresh trace's strength at `t_last_us`."""
        uses = _uses(state)
        return uses / (1.0 + uses) if self._fresh_half_life > 0 else 0.0

    def _rate(self, state: StrengthState) -> float:
        slowed = self._base * math.exp(-self._rules.importance_slowdown * _unit(state.importance))
        return max(slowed / (1.0 + self._rules.use_slowdown * _uses(state)), self._slowest)


class PowerCurve:
    """logit S(t) = logit(importance) + ln(1 + c*n_spaced) - 1/2 * ln(age_days + 1/2).

    The base-level form of ACT-R with decay 1/2; age runs from ingestion, importance is clamped to [.02, .98].
    Spaced uses are counted as in `ExponentialCurve`. Strength never exceeds 2^(-days since t_last /
    max_half_life_days), which keeps every deadline finite. `initial_strength`, `importance_slowdown` and
    `use_boost` are not terms of this curve.
    """

    def __init__(self, rules: DecayRules) -> None:
        self._rules = rules
        self._base = _base_rate(rules)

    def start(self, importance: float, now_us: int, policy_version: str = "") -> StrengthState:
        """Return the state of a memory stored now."""
        fresh = StrengthState(_unit(importance), 0.0, now_us, 0.0, now_us, policy_version)
        return replace(fresh, strength_last=self.strength(fresh, now_us))

    def strength(self, state: StrengthState, now_us: int) -> float:
        """Return the strength (0..1) at `now_us`."""
        now_us = max(now_us, state.t_last_us)
        odds = self._odds(state) / math.sqrt(_days(state.ingested_at_us, now_us) + 0.5)
        cap = math.exp2(-_days(state.t_last_us, now_us) / self._rules.max_half_life_days)
        return min(odds / (1.0 + odds), cap)

    def use(self, state: StrengthState, now_us: int, weight: float = 1.0) -> StrengthState:
        """Return the state after a use; `weight` scales what it is worth."""
        gain = _spaced_gain(self._base, state, now_us, weight)
        if gain is None:
            return state
        used = replace(state, t_last_us=now_us, n_spaced=_uses(state) + gain)
        return replace(used, strength_last=self.strength(used, now_us))

    def forget_at_us(self, state: StrengthState) -> int | None:
        """Return ingested_at + (odds / threshold odds)^2 - 1/2 days, or the cap's crossing if that is earlier."""
        threshold = self._rules.threshold
        return None if threshold <= 0 else max(state.t_last_us, self._crossing_us(state, threshold))

    def half_life_days(self, state: StrengthState) -> float:
        """Return the days from `t_last_us` until half of the strength then is left."""
        half = self.strength(state, state.t_last_us) / 2.0
        return _days(state.t_last_us, self._crossing_us(state, half))

    def _odds(self, state: StrengthState) -> float:
        low, high = POWER_IMPORTANCE
        importance = min(max(_unit(state.importance), low), high)
        return importance / (1.0 - importance) * (1.0 + self._rules.use_slowdown * _uses(state))

    def _crossing_us(self, state: StrengthState, level: float) -> int:
        age_days = (self._odds(state) * (1.0 - level) / level) ** 2 - 0.5
        cap_days = -self._rules.max_half_life_days * math.log2(level)
        faded_us = state.ingested_at_us + _us(min(age_days, 1e9))
        return min(faded_us, state.t_last_us + _us(cap_days))


def curve_for(rules: DecayRules) -> Curve:
    """Return the curve the rules name."""
    return PowerCurve(rules) if rules.curve == "power" else ExponentialCurve(rules)


def _base_rate(rules: DecayRules) -> float:
    return -math.log1p(-rules.daily_rate)


def _spaced_gain(base: float, state: StrengthState, now_us: int, weight: float) -> float | None:
    """Return what a use is worth (0..1), or None when it changes nothing.

    A use at or before the last one is a replay or arrived late; both are ignored, which makes uses idempotent.
    """
    if now_us <= state.t_last_us or not weight > 0:
        return None
    return min(weight, 1.0) * -math.expm1(-base * _days(state.t_last_us, now_us))


def _days(earlier_us: int, later_us: int) -> float:
    return max(0, later_us - earlier_us) / DAY_US


def _us(days: float) -> int:
    return round(days * DAY_US)


def _uses(state: StrengthState) -> float:
    return state.n_spaced if state.n_spaced > 0 else 0.0


def _unit(value: float) -> float:
    """Clamp to 0..1; a value that is no number is 0: the weakest reading of a damaged state."""
    return min(value, 1.0) if value > 0 else 0.0
