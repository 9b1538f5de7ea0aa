"""What the application may keep when it is asked before something is forgotten, and what it may not."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace

from tiered_memory.forgetting.decay import DAY_US
from tiered_memory.forgetting.placement import (
    CEILING,
    HOUR_US,
    UNDATED,
    UNDO_WINDOW,
    Decision,
    Due,
    Forget,
    Keep,
    Plan,
    Purge,
    kept_of,
)
from tiered_memory.policy.rules import Policy

VETO, UNASKED = "veto", "not asked"
BEYOND_VETO = frozenset({CEILING, UNDATED, UNDO_WINDOW})
"""Rules nobody is asked about: a date that passed, one that cannot be read, and what was asked about before."""


def disputable(plan: Plan) -> list[Forget | Purge]:
    """Return the decisions that the application may veto: those of decay, grace and floors that ended."""
    found = [one for one in plan.decisions if not isinstance(one, Keep)]
    return [one for one in found if one.reason not in BEYOND_VETO]


def veto_until_us(item: Due, now_us: int, policy: Policy) -> int:
    """Return when a memory that the application keeps is looked at again: at its ceiling at the latest."""
    at_us = now_us + round(policy.forgetting.veto_recheck_hours * HOUR_US)
    ceiling_days = kept_of(item, policy).ceiling_days
    if ceiling_days is None or item.state is None:
        return at_us
    return min(at_us, item.state.ingested_at_us + round(ceiling_days * DAY_US))


def with_veto(plan: Plan, asked: Collection[str], kept_until: Mapping[str, int]) -> Plan:
    """Return the plan after the application was asked about the memories `asked`.

    `kept_until` has those it keeps, with the moment at which each is looked at again. What could be vetoed and
    was not asked about stays, and stays due.
    """

    def judged(decision: Forget | Purge) -> Decision:
        if decision.id not in asked:
            return Keep(decision.id, None, UNASKED)
        until_us = kept_until.get(decision.id)
        return decision if until_us is None else Keep(decision.id, until_us, VETO)

    return _revised(plan, judged)


def unheard(plan: Plan) -> Plan:
    """Return the plan when the application could not be asked: what it might have kept stays, and stays due."""
    return with_veto(plan, (), {})


def _revised(plan: Plan, judge: Callable[[Forget | Purge], Decision]) -> Plan:
    revised = {one.id: judge(one) for one in disputable(plan)}
    return replace(plan, decisions=tuple(revised.get(one.id, one) for one in plan.decisions))
