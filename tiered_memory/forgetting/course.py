"""The course of a memory's strength over time, drawn from what is kept of it. Pure.

What is kept is the strength at the last use and how many spaced uses there were: the curve from there on is exact,
the saw-tooth before it is not known. In its place stands the curve as it would have been without any use.
"""

from __future__ import annotations

from dataclasses import dataclass

from tiered_memory.forgetting.decay import DAY_US, Curve, StrengthState

AHEAD = 1.15
"""How much of the way to the crossing is drawn, so that it is seen to be crossed."""
LEAST_AHEAD_US = 14 * DAY_US
MOST_AHEAD_US = 3 * 365 * DAY_US

Line = tuple[tuple[int, float], ...]


@dataclass(frozen=True, slots=True)
class Course:
    """Points (microseconds since 1970, strength 0..1) since the last use, and had nobody ever used the memory."""

    points: Line
    unused: Line


def course_of(curve: Curve, state: StrengthState, now_us: int, points: int) -> Course:
    """Return the course of a memory: from its last use on, and from the beginning had nobody ever used it.

    `points` (>= 2) is how many points each of the two lines has. They reach past the crossing of the threshold, from
    two weeks to three years beyond `now_us`.
    """
    until_us = horizon_us(curve.forget_at_us(state), state.t_last_us, now_us)
    unused = curve.start(state.importance, state.ingested_at_us, state.policy_version)
    return Course(
        _line(curve, state, (state.t_last_us, until_us), points),
        _line(curve, unused, (state.ingested_at_us, until_us), points),
    )


def horizon_us(forget_at_us: int | None, known_us: int, now_us: int) -> int:
    """Return how far to draw: beyond the crossing, but neither less nor more than is worth looking at."""
    latest = max(now_us, known_us)
    if forget_at_us is None:
        return latest + MOST_AHEAD_US
    beyond = known_us + round((forget_at_us - known_us) * AHEAD)
    return min(max(beyond, latest + LEAST_AHEAD_US), latest + MOST_AHEAD_US)


def _line(curve: Curve, state: StrengthState, span: tuple[int, int], points: int) -> Line:
    begin, end = span
    moments = (begin + (end - begin) * place // (points - 1) for place in range(points))
    return tuple((one, curve.strength(state, one)) for one in moments)
