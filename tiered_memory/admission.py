"""Whether a line of an archive may come in, and how, decided before anything is stored: roles, agents, the guard."""

from __future__ import annotations

from dataclasses import replace

from tiered_memory.active import ActiveSubject
from tiered_memory.archive_lines import Incoming
from tiered_memory.archive_plan import ImportOptions, Plan
from tiered_memory.core import Core
from tiered_memory.errors import AgentNotAllowedError
from tiered_memory.guard import DERIVED, scanned
from tiered_memory.model import Memory
from tiered_memory.quarantine import RELEASED

BEYOND_ROLE = "the caller's role may not write memories of its level"
STRANGE_AGENT = "its agent is not on the tenant's list of allowed agents"


class Admission:
    """Judges the lines of one archive, in their order: what derives from others comes after them.

    What this store signed is trusted as it was; what another did, at most as the policy trusts an import.
    """

    def __init__(
        self, core: Core, active: ActiveSubject, plan: Plan, options: ImportOptions, *, own: bool
    ) -> None:
        self._core = core
        self._active = active
        self._plan = plan
        self._levels = options.levels
        self._own = own

    def judge(self, incoming: Incoming) -> None:
        """Refuse a line of the plan, or note what becomes of it."""
        memory, plan = incoming.memory, self._plan
        if memory.sensitivity not in self._levels:
            plan.refuse(memory.id, BEYOND_ROLE)
        elif not self._is_allowed(memory.agent):
            plan.refuse(memory.id, STRANGE_AGENT)
        if incoming.settled:
            plan.settled[memory.id] = incoming.settled
        self._guard(memory)

    def trust(self, memory: Memory) -> float:
        """Return how far a memory is trusted here."""
        return memory.trust if self._own else min(memory.trust, self._core.policy.guard.trust_import)

    def _is_allowed(self, agent: str | None) -> bool:
        try:
            self._core.tenancy.check_agent(self._active.tenant, agent)
        except AgentNotAllowedError:
            return False
        return True

    def _guard(self, memory: Memory) -> None:
        """What somebody looked at and released in this store is not judged again."""
        if memory.quarantined:
            self._plan.quarantined.add(memory.id)
        elif not (self._own and RELEASED in memory.reasons):
            because = self._suspicion(replace(memory, trust=self.trust(memory)))
            if because is not None:
                self._plan.apart[memory.id] = because
                self._plan.quarantined.add(memory.id)

    def _suspicion(self, memory: Memory) -> str | None:
        known = (self._active.known(one) for one in memory.provenance.derived_from)
        if any(one is not None and one.quarantined for one in known) or not self._plan.quarantined.isdisjoint(
            memory.provenance.derived_from
        ):
            return f"quarantined: {DERIVED}"
        judged = scanned(self._core.policy.guard, memory)
        return judged.reasons[-1] if judged.quarantined else None
