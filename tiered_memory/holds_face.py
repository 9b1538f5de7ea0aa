"""Legal holds and retention events, as callers see them."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from tiered_memory.clock import from_us, to_us
from tiered_memory.errors import InvalidInputError
from tiered_memory.hold_model import Hold, HoldScope
from tiered_memory.holds import Wish, checked_ids
from tiered_memory.intake import REASON_BYTES, check_id, check_memory_id, check_moment, check_text
from tiered_memory.metrics import timed
from tiered_memory.policy.retention_rules import INGESTED
from tiered_memory.privacy.holds import EVIDENCE, GROUNDS
from tiered_memory.runtimes import Runtimes
from tiered_memory.scope import Scope
from tiered_memory.store_holds import StoreHolds

HoldList = list[Hold]


class HoldsFace:
    """Legal holds of one memory: each suspends deletion within its scope until it is released."""

    def __init__(self, runtimes: Runtimes) -> None:
        self._runtimes = runtimes
        self._holds = StoreHolds(runtimes)

    async def place(
        self,
        name: str,
        *,
        scope: HoldScope,
        owner: str,
        reason: str,
        review_at: datetime,
        ground: str = EVIDENCE,
    ) -> Hold:
        """Put a hold in force: decay, ceilings, quotas and purges leave alone what it covers, now and as it comes.

        Who deletes, withdraws or erases is obeyed all the same: the memory is out of retrieval at once, and stays
        sealed until the release; after an erasure under the hold's own key, on the `ground` "b", "c", "d" or "e" of
        GDPR Art. 17(3). `review_at` is when somebody has to look at it again. ConflictError when the name is in force.
        It is in force in every tenant's own directory that it may concern, TenantUnavailableError when that of the
        `scope`'s tenant is not open; without a tenant, a directory that is not open takes it up when it is.
        """
        core = self._runtimes.main.core
        if ground not in GROUNDS:
            raise InvalidInputError(f"ground must be a letter of GDPR Art. 17(3): {', '.join(GROUNDS)}")
        review = check_moment(review_at, "review_at", from_us(core.now_us()), future=True)
        wish = Wish(
            name=check_id(name, "name"),
            scope=_checked(scope),
            owner=check_id(owner, "owner"),
            reason=check_text(reason, "reason", REASON_BYTES),
            ground=ground,
            review_us=to_us(review),
        )
        with timed(core.observer, "hold"):
            return await self._holds.place(wish)

    async def release(self, name: str, reason: str) -> Hold:
        """End a hold: what it alone kept is destroyed with its key, and what became overdue under it goes at once."""
        check_id(name, "name")
        check_text(reason, "reason", REASON_BYTES)
        with timed(self._runtimes.main.core.observer, "hold"):
            return await self._holds.release(name, reason)

    async def list(self, *, released: bool = False) -> HoldList:
        """Return the holds in force, oldest first; with `released` those that ended as well."""
        found = await self._holds.all()
        return [one for one in found if released or one.released_at is None]

    async def due_for_review(self) -> HoldList:
        """Return the holds in force whose review is due now."""
        return await self._holds.due_for_review()

    async def export(self, name: str, path: str | Path) -> int:
        """Write to a new file, one JSON object a line, what a hold keeps of persons who were erased or withdrew.

        For the hold's owner, and for nobody else: it is content, of tenants with directories of their own too. Returns
        how many records.
        """
        with timed(self._runtimes.main.core.observer, "hold_export"):
            return await self._holds.export(check_id(name, "name"), Path(path))


def _checked(scope: HoldScope) -> HoldScope:
    if not isinstance(scope, HoldScope):
        raise InvalidInputError(f"scope must be a HoldScope, got {type(scope).__name__}")
    for value, what in ((scope.tenant, "tenant"), (scope.user, "user"), (scope.purpose, "purpose")):
        if value is not None:
            check_id(value, what)
    ids = frozenset(map(check_memory_id, checked_ids(scope.memory_ids)))
    if ids and scope.user is None:
        raise InvalidInputError("memory_ids need the user whose memories they are")
    if not (ids or scope.tenant or scope.user or scope.purpose):
        raise InvalidInputError("a hold needs a scope: a tenant, a user, memory ids, or a purpose")
    return HoldScope(tenant=scope.tenant, user=scope.user, memory_ids=ids, purpose=scope.purpose)


class Retention:
    """What happened to a user that retention rules count from."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope

    async def event(self, name: str, *, at: datetime | None = None) -> None:
        """Record that the event `name` of the policy's rules happened (`at`: now); deadlines follow at once.

        A later call for the same event replaces it. The user must be one of whom something is kept.
        """
        check_id(name, "name")
        if name == INGESTED:
            raise InvalidInputError(f"'{INGESTED}' is no event: it is when a memory came")
        now = self._scope.parts().core.clock.now()
        moment = now if at is None else check_moment(at, "at", now)
        async with self._scope.using("update", called="retention_event") as (parts, active):
            await parts.directory.establish(active)
            await parts.holds.event(active, name, to_us(moment))
