"""The keys of a store, as its operator sees them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields

from tiered_memory.errors import TenantUnavailableError
from tiered_memory.intake import check_id
from tiered_memory.key_epochs import EpochStatus, Progress, RotationReport
from tiered_memory.metrics import timed
from tiered_memory.root_keys import RootReport
from tiered_memory.runtimes import Runtimes

NOT_ALL = "a tenant's own directory is not open: its key epochs go on; the others' have ended. Repair it and rotate it again"


class Keys:
    """The key epochs of all tenants: every rotation ends what was wrapped before it, in old backups as well."""

    def __init__(self, runtimes: Runtimes) -> None:
        self._runtimes = runtimes

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
            TenantUnavailableError: a tenant's own directory is not open; those of all others were rotated.
            StorageError: an engine failed; the same call goes on from there.
        """
        chosen = None if tenant is None else check_id(tenant, "tenant")
        every = self._runtimes.every() if chosen is None else [self._runtimes.parts_of(chosen)]
        reports, sums = list[RotationReport](), _Sums(progress)
        with timed(every[0].core.observer, "keys"):
            for parts in every:
                name = None if chosen is None else parts.core.names.tenant(chosen)
                reports.append(await parts.key_epochs.rotate(name, sums.hear, discard=discard_damaged))
                sums.close()
        if chosen is None and self._runtimes.unavailable:
            raise TenantUnavailableError(NOT_ALL)
        return _merged(reports)

    async def rotate_root(self) -> RootReport:
        """Put a new root key in the place of the old, and destroy that, while reads and writes go on.

        What it wrapped is wrapped again: the stores' page keys, their master keys, the key epochs; one that had no guard
        gets one. No backup from before opens afterwards: take one, and write an escrow file anew. Tenants under strict
        isolation get new ones of their own. Cut short anywhere, it is finished when the store is opened again.

        Raises:
            RootKeyError: the root key is given from outside, or the new one cannot be kept; nothing was changed.
            TenantUnavailableError: a directory is not open. If it shares the store's root key nothing was changed,
                else the others' were.
            StorageError: an engine failed; opening the store, or the same call, goes on.
        """
        with timed(self._runtimes.main.core.observer, "keys"):
            return await self._runtimes.rotate_root()

    async def status(self) -> list[EpochStatus]:
        """Return every key epoch there is or was, by tenant (a pseudonym), oldest first."""
        found = [one for parts in self._runtimes.every() for one in await parts.key_epochs.status()]
        return sorted(found, key=lambda one: (one.tenant, one.epoch))


class _Sums:
    """Progress in several runtimes, one after the other, as one: it never falls."""

    def __init__(self, hear: Progress | None) -> None:
        self._hear = hear
        self._before = (0, 0)
        self._last = (0, 0)

    def hear(self, done: int, of: int) -> None:
        """Hear of one runtime, and say it of all so far."""
        self._last = (self._before[0] + done, self._before[1] + of)
        if self._hear is not None:
            self._hear(*self._last)

    def close(self) -> None:
        """Begin with the next runtime."""
        self._before = self._last


def _merged(reports: Sequence[RotationReport]) -> RotationReport:
    names = [one.name for one in fields(RotationReport)]
    return RotationReport(**{name: sum(getattr(one, name) for one in reports) for name in names})
