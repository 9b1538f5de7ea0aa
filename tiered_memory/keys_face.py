"""The keys of a store, as its operator sees them."""

from __future__ import annotations

from tiered_memory.intake import check_id
from tiered_memory.key_epochs import EpochStatus, Progress, RotationReport
from tiered_memory.metrics import timed
from tiered_memory.runtime import PartsNow


class Keys:
    """The key epochs of all tenants: every rotation ends what was wrapped before it, in old backups as well."""

    def __init__(self, parts: PartsNow) -> None:
        self._parts = parts

    async def rotate(
        self,
        tenant: str | None = None,
        *,
        progress: Progress | None = None,
        discard_damaged: bool = False,
    ) -> RotationReport:
        """End the key epochs of a tenant, or of all, while reads and writes go on; memories are not sealed anew.

        Afterwards no backup taken before this call reveals anything of these tenants, to nobody and with any key.
        `progress` hears of keys wrapped again and in all. Keys that do not open keep their epoch alive, unless
        `discard_damaged` gives up what they sealed. Cut short, it is finished when the store is open again.

        Raises:
            NotFoundError: this tenant holds nothing.
            StorageError: an engine failed; the same call goes on from there.
        """
        parts = self._parts()
        name = None if tenant is None else parts.core.names.tenant(check_id(tenant, "tenant"))
        with timed(parts.core.observer, "rights"):
            return await parts.key_epochs.rotate(name, progress, discard=discard_damaged)

    async def status(self) -> list[EpochStatus]:
        """Return every key epoch there is or was, by tenant (a pseudonym), oldest first."""
        return await self._parts().key_epochs.status()
