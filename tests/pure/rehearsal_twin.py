"""A store's memories as the forgetting cycle moves them on, step by step: what a replay must agree with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from tiered_memory.forgetting.decay import StrengthState, curve_for
from tiered_memory.forgetting.placement import Due, Forget, Keep, plan_forgetting
from tiered_memory.forgetting.rehearsal import NEVER, Need, Turn
from tiered_memory.model import Role
from tiered_memory.policy.rules import Policy

START_US = 1_767_225_600_000_000
"""The first moment of 2026, UTC."""


@dataclass
class Lived:
    """One turn as a store would have had it."""

    item: Due | None = None
    forgotten_at: int | None = None
    purged: bool = False
    rule: str = ""
    purge_rule: str = ""

    @property
    def active(self) -> bool:
        return self.item is not None and self.forgotten_at is None and not self.purged


class Twin:
    """Runs the forgetting cycle at every moment at which something can happen, and then lets the uses come."""

    def __init__(self, turns: Sequence[Turn], needs: Sequence[Need], rules: Policy) -> None:
        self.turns, self.needs, self.rules = turns, needs, rules
        self.curve = curve_for(rules.decay)
        self.lived = [Lived() for _ in turns]
        self.met = 0

    def run(self, until: int, step: int | None = None) -> None:
        """Go on to `until`; with a `step` cycles run only so often, else at every deadline."""
        now = START_US
        while now <= until:
            self.arrive(now)
            coming = self.cycle(now)
            self.serve(now)
            if step is None:
                coming += self.cycle(now)
                moments = [
                    *coming,
                    *(turn.said_us for turn in self.turns),
                    *(one.at_us for one in self.needs),
                ]
                now = min((moment for moment in moments if moment > now), default=until + 1)
            else:
                now += step
        if step is None:
            self.cycle(until)

    def arrive(self, now: int) -> None:
        for lived, turn in zip(self.lived, self.turns, strict=True):
            passes = turn.role is not Role.SYSTEM and turn.importance > self.rules.routing.cold_threshold
            if turn.said_us == now and passes:
                lived.item = self.stored(turn, turn.importance, now)

    def stored(self, turn: Turn, importance: float, now: int) -> Due:
        return Due("m", "u", self.curve.start(importance, now), turn.sensitivity)

    def cycle(self, now: int) -> list[int]:
        """Forget what is due; return when to look again."""
        coming = []
        for lived in self.lived:
            if lived.item is None or lived.purged:
                continue
            item = replace(lived.item, forgotten_at_us=lived.forgotten_at)
            (decision,) = plan_forgetting([item], now, self.rules, {"u": 1}, confirmed=True).decisions
            if isinstance(decision, Keep):
                coming.append(decision.recheck_at_us or NEVER)
            elif isinstance(decision, Forget):
                lived.forgotten_at, lived.rule = now, decision.reason
                coming.append(decision.purge_at_us)
            else:
                lived.purged, lived.purge_rule = True, decision.reason
                lived.rule = lived.rule or decision.reason
        return coming

    def serve(self, now: int) -> None:
        for need in self.needs:
            if need.at_us == now:
                self.met += self.served(self.lived[need.turn], need, now)

    def served(self, lived: Lived, need: Need, now: int) -> bool:
        turn = self.turns[need.turn]
        if lived.item is None:
            if now >= turn.said_us + self.rules.hot.ttl_seconds * 1_000_000:
                return False
            if need.used:
                lived.item = self.stored(turn, max(turn.importance, self.rules.routing.cold_threshold), now)
            return True
        if not lived.active:
            return False
        weight = 1.0 if need.used else self.rules.decay.retrieved_boost
        state = self.curve.use(dated(lived.item), now, weight)
        lived.item = replace(lived.item, state=state)
        return True


def dated(item: Due) -> StrengthState:
    assert item.state is not None
    return item.state
