"""A tenant's quota, kept where its users' writes are committed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from tiered_memory.core import Core
from tiered_memory.state.tenants import TenantBytes
from tiered_memory.tenant_book import Meter, beyond_quota


@dataclass(slots=True)
class Reservation:
    """What a write set aside; `stored` is set when it was committed."""

    stored: bool = False


class TenantQuotas:
    """Reserves room before a commit. The sum over a tenant's users is read only where it might be exceeded.

    It never lets a write go beyond the quota. At its edge one that would just fit may be refused while others of the
    same tenant are being committed.
    """

    def __init__(self, core: Core) -> None:
        self._core = core

    @asynccontextmanager
    async def reserved(self, tenant: bytes, size: int) -> AsyncIterator[Reservation]:
        """Set `size` bytes aside while a write is committed; raises QuotaExceededError when they do not fit."""
        reservation, book = Reservation(), self._core.tenancy
        quota = book.quota_bytes(tenant)
        if quota is None or size <= 0:
            yield reservation
            return
        if not book.reserve(tenant, size, quota):
            await self._look_again(tenant, size, quota)
        try:
            yield reservation
        finally:
            book.meters[tenant].settle(size, stored=reservation.stored)

    async def _look_again(self, tenant: bytes, size: int, quota: int) -> None:
        meter = self._core.tenancy.meters.setdefault(tenant, Meter())
        landed = meter.landed
        meter.reread(await self._core.state.read(TenantBytes(tenant)), landed)
        if not self._core.tenancy.reserve(tenant, size, quota):
            raise beyond_quota(meter.over(size, quota))
