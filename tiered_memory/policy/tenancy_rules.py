"""The policy's say on tenants."""

from __future__ import annotations

from dataclasses import dataclass

from tiered_memory.policy.specs import Checked, count, switch


@dataclass(frozen=True, slots=True)
class TenancyRules(Checked):
    """Whether a tenant must be registered before it is served, and how many may have a directory of their own.

    Each such directory is a runtime: a writer thread, an index of active users, for strict isolation a Redis server.
    """

    require_registration: bool = switch(default=False)
    max_own_directories: int = count(64, 0, 1000)
