"""All runtimes of a store, as what acts on the whole of it sees them."""

from __future__ import annotations

from typing import Protocol

from tiered_memory.root_keys import RootReport
from tiered_memory.runtime import Parts


class Runtimes(Protocol):
    """The main runtime, and those of the tenants that have a data directory of their own."""

    @property
    def main(self) -> Parts:
        """The parts of the main runtime; raises ClosedError."""
        ...

    @property
    def unavailable(self) -> int:
        """How many tenants' own directories are not open."""
        ...

    async def rotate_root(self) -> RootReport:
        """Put new root keys in the place of those of every directory."""
        ...

    def every(self) -> list[Parts]:
        """Return the parts of every runtime that is open, the main one's first; raises ClosedError."""
        ...

    def parts_of(self, tenant: str) -> Parts:
        """Return the parts of the runtime that a tenant's data is in; raises TenantUnavailableError."""
        ...
