"""Who may do what with memories of which level: for each role and action the highest level it reaches."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

from tiered_memory.model import Sensitivity
from tiered_memory.policy.specs import Checked, choice

NOTHING = "none"
CEILINGS = (NOTHING, *(level.value for level in Sensitivity))


class AccessRole(StrEnum):
    """In which roles memories are dealt with."""

    AGENT = "agent"
    """The application that serves the person: the role of a caller that names none."""
    ADMIN = "admin"
    EXPORT = "export"
    AUDITOR = "auditor"
    SUPPORT = "support"


class AccessAction(StrEnum):
    """What may be done with memories."""

    SEARCH = "search"
    """Find them by a question, alone or for a prompt, and confirm their use."""
    READ = "read"
    """Look at them one by one: get, list, history, explanation."""
    WRITE = "write"
    CORRECT = "correct"
    """Change, pin or bring back."""
    EXPORT = "export"
    ERASE = "erase"
    """Delete, forget, erase the person."""
    RIGHTS = "rights"
    """Consents, requests, restrictions and holds."""
    AUDIT = "audit"
    """What is held by kind and number, and what the ledger recorded; no content."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessRule(Checked):
    """The highest level that one role reaches with each action; "none" is not at all.

    Rights and audit show no memory: any level but "none" allows them.
    """

    search: str = choice(NOTHING, CEILINGS)
    read: str = choice(NOTHING, CEILINGS)
    write: str = choice(NOTHING, CEILINGS)
    correct: str = choice(NOTHING, CEILINGS)
    export: str = choice(NOTHING, CEILINGS)
    erase: str = choice(NOTHING, CEILINGS)
    rights: str = choice(NOTHING, CEILINGS)
    audit: str = choice(NOTHING, CEILINGS)

    def ceiling(self, action: AccessAction) -> str:
        """Return the highest level `action` reaches, or "none"."""
        found: str = getattr(self, action.value)
        return found


def default_access() -> Mapping[AccessRole, AccessRule]:
    """Return the default table: the agent may do everything, every other role what its name says."""
    everything = {action.value: Sensitivity.RESTRICTED.value for action in AccessAction}
    top, open_to_many = Sensitivity.RESTRICTED.value, Sensitivity.INTERNAL.value
    return MappingProxyType(
        {
            AccessRole.AGENT: AccessRule(**everything),
            AccessRole.ADMIN: AccessRule(**(everything | {"search": Sensitivity.CONFIDENTIAL.value})),
            AccessRole.EXPORT: AccessRule(export=top),
            AccessRole.AUDITOR: AccessRule(audit=top),
            AccessRole.SUPPORT: AccessRule(search=open_to_many, read=open_to_many),
        }
    )
