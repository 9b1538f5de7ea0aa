"""What bounds a person's memories besides the policy: events that retention rules count from, a tenant's ceiling.

Kept in RAM for every person of whom such a thing is known, because deadlines are computed where nobody can wait.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from tiered_memory.forgetting.retention import NO_TERMS, Terms

NONE: Mapping[str, int] = MappingProxyType({})


class TermsBook:
    """Terms by person. Owned by one event loop.

    `tenant_ceiling_days`, when it is set, returns a tenant's ceiling (days, >= 0) by the tenant's pseudonym, or None.
    It is asked only about persons whose tenant was told by `belongs`.
    """

    def __init__(self) -> None:
        self._events: dict[bytes, dict[str, int]] = {}
        self._tenants: dict[bytes, bytes] = {}
        self.tenant_ceiling_days: Callable[[bytes], float | None] | None = None

    def of(self, subject: bytes) -> Terms:
        """Return a person's terms."""
        events, ceiling = self._events.get(subject, NONE), self._ceiling(subject)
        return Terms(events, ceiling) if events or ceiling is not None else NO_TERMS

    def _ceiling(self, subject: bytes) -> float | None:
        tenant = self._tenants.get(subject)
        return (
            None if tenant is None or self.tenant_ceiling_days is None else self.tenant_ceiling_days(tenant)
        )

    def knows_tenant_of(self, subject: bytes) -> bool:
        """Tell whether there is nothing to look up before `of` is asked about a person."""
        return self.tenant_ceiling_days is None or subject in self._tenants

    def belongs(self, subject: bytes, tenant: bytes) -> None:
        """Note a person's tenant."""
        if self.tenant_ceiling_days is not None:
            self._tenants[subject] = tenant

    def happened(self, subject: bytes, event: str, at_us: int) -> None:
        """Note when an event of a person's happened."""
        self._events.setdefault(subject, {})[event] = at_us

    def forget(self, subject: bytes) -> None:
        """Forget what is known of a person who was erased."""
        self._events.pop(subject, None)
        self._tenants.pop(subject, None)
