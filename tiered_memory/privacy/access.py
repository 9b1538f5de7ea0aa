"""Whether a caller may do something with memories of a level. Pure; whatever the table does not know is refused."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from tiered_memory.caller import Caller
from tiered_memory.model import Sensitivity
from tiered_memory.policy.access_rules import CEILINGS, NOTHING, AccessAction, AccessRole
from tiered_memory.policy.rules import Policy

_A = AccessAction
ACTION_OF: Mapping[str, AccessAction] = MappingProxyType(
    {
        **dict.fromkeys(("search", "context", "use"), _A.SEARCH),
        **dict.fromkeys(("get", "list", "history", "explain", "damaged", "profile"), _A.READ),
        **dict.fromkeys(("add", "add_many", "import", "decide"), _A.WRITE),
        **dict.fromkeys(("update", "pin", "restore"), _A.CORRECT),
        **dict.fromkeys(("export",), _A.EXPORT),
        **dict.fromkeys(("delete", "erase", "forget"), _A.ERASE),
        **dict.fromkeys(("consent_grant", "consent_withdraw", "hold", "rights"), _A.RIGHTS),
        **dict.fromkeys(("about", "consents"), _A.AUDIT),
    }
)
"""What each call of the public face is, by its name in the metrics."""
BY_LEVEL = frozenset({"search", "context", "list", "damaged", "add", "add_many", "export", "import"})
"""Calls that keep to the levels they are given; those that name memories are held to them by `Scope`."""
LEVELLESS = frozenset({_A.RIGHTS, _A.AUDIT})
EVERY_LEVEL = frozenset(Sensitivity)
_ROLES: Mapping[str, AccessRole] = MappingProxyType({role.value: role for role in AccessRole})
_REACHED: Mapping[str, frozenset[Sensitivity]] = MappingProxyType(
    {
        ceiling: frozenset(level for level in Sensitivity if level in CEILINGS[: number + 1])
        for number, ceiling in enumerate(CEILINGS)
    }
)
"""The levels up to each ceiling."""
UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Allowed:
    """It may be done with memories of these levels."""

    levels: frozenset[Sensitivity]

    @property
    def limited(self) -> bool:
        """Whether there are memories it may not be done with."""
        return self.levels != EVERY_LEVEL


@dataclass(frozen=True, slots=True)
class Refused:
    """It may not be done: which role, action and level, and the policy's key that decides it."""

    role: str
    action: str
    level: str
    key: str

    @property
    def reason(self) -> str:
        """Say so, and what to do."""
        if self.role == UNKNOWN:
            known = ", ".join(AccessRole)
            return f"the caller's role is none of the policy's ({known}): nothing is allowed to it; name one of them"
        return (
            f"the role '{self.role}' may not {self.action} memories of the level '{self.level}'; the policy's key "
            f"{self.key} decides that: raise it, or call in another role"
        )


def decide_access(
    policy: Policy, caller: Caller, action: AccessAction, sensitivity: Sensitivity
) -> Allowed | Refused:
    """Return whether `caller` may do `action` with memories of `sensitivity`, and then with which levels besides."""
    levels = levels_for(policy, caller, action)
    if sensitivity in levels:
        return Allowed(levels)
    return _refused(policy, caller, action, sensitivity)


def levels_for(policy: Policy, caller: Caller, action: AccessAction) -> frozenset[Sensitivity]:
    """Return the levels that the caller's role reaches with `action`; none for a role the policy does not know."""
    role = _role(caller)
    rule = policy.access.get(role) if role is not None else None
    ceiling = NOTHING if rule is None else rule.ceiling(action)
    return EVERY_LEVEL if ceiling != NOTHING and action in LEVELLESS else _REACHED[ceiling]


def decide_call(
    policy: Policy, caller: Caller, op: str, *, names_memories: bool = False
) -> Allowed | Refused:
    """Return whether `caller` may make the call `op` at all, and for which levels.

    A call that tells no levels apart, and names no memories, needs its action for all of them; one that the table
    of calls does not know needs every action.
    """
    action = ACTION_OF.get(op)
    if action is None:
        return _decide_everything(policy, caller)
    if op in BY_LEVEL or names_memories:
        return decide_access(policy, caller, action, Sensitivity.PUBLIC)
    return decide_access(policy, caller, action, Sensitivity.RESTRICTED)


def _decide_everything(policy: Policy, caller: Caller) -> Allowed | Refused:
    found = (decide_access(policy, caller, action, Sensitivity.RESTRICTED) for action in AccessAction)
    return next((one for one in found if isinstance(one, Refused)), Allowed(EVERY_LEVEL))


def _role(caller: Caller) -> AccessRole | None:
    return _ROLES.get(caller.role)


def _refused(policy: Policy, caller: Caller, action: AccessAction, level: Sensitivity) -> Refused:
    role = _role(caller)
    if role is None or role not in policy.access:
        return Refused(UNKNOWN, action.value, level.value, "access")
    return Refused(role.value, action.value, level.value, f"[access.{role.value}] {action.value}")
