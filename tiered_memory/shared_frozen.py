"""What people contributed to shared memories whose processing is restricted: there, too, it is stored and nothing else.

A space knows its members by references that lead to nobody; who is restricted is asked which of them are theirs.
"""

from __future__ import annotations

from tiered_memory.core import Core
from tiered_memory.crypto.keyring import SUBJECT_PURPOSE
from tiered_memory.errors import SubjectErasedError
from tiered_memory.model import Subject
from tiered_memory.register import Register
from tiered_memory.restricting import IN_FORCE, KIND
from tiered_memory.shared import MEMBERSHIPS
from tiered_memory.state import commands as c
from tiered_memory.state.base import SubjectRow, SubjectState
from tiered_memory.state.register import EntriesOfKind
from tiered_memory.subjects import SubjectDirectory


class SharedFrozen:
    """Tells whose contributions are frozen."""

    def __init__(self, core: Core, directory: SubjectDirectory) -> None:
        self._core = core
        self._directory = directory
        self._register = Register(core)

    async def authors(self, space: Subject) -> frozenset[str]:
        """Return the references, in a space, of people whose processing is restricted now (GDPR Art. 18)."""
        tenant, found = self._core.names.tenant(space.tenant), set[str]()
        # By the restrictions in force: they are few and have an index, the people are neither.
        for entry in await self._core.state.read(EntriesOfKind(KIND, IN_FORCE)):
            row = await self._core.state.read(c.GetSubject(entry.owner))
            if row is not None and row.tenant == tenant and row.state == SubjectState.RESTRICTED:
                found |= await self._references(row, space)
        return frozenset(found)

    async def _references(self, row: SubjectRow, space: Subject) -> set[str]:
        try:
            person = await self._directory.peek(row)
            if SUBJECT_PURPOSE not in person.keys:
                return set()
            joined = await self._register.of(person, MEMBERSHIPS)
        except SubjectErasedError:
            return set()
        return {one.fields["reference"] for one in joined if one.fields["space"] == space.user}
