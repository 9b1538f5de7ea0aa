"""Holds over all runtimes of a store: each is in force wherever what it covers lies, and is one hold to its owner.

A hold on a tenant with a data directory of its own is placed there and nowhere else. One without a tenant is placed in
the main runtime and copied into every other; so is one that was placed on a tenant before it got its directory. The
main runtime's entry is what counts: whatever a copy lacks, or has too much, is made good when its directory opens.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TypeVar

from tiered_memory.clock import from_us, to_us
from tiered_memory.errors import ConflictError, NotFoundError, StorageError, TenantUnavailableError
from tiered_memory.failpoints import reach
from tiered_memory.hold_keys import ACTIVE
from tiered_memory.hold_model import Hold, HoldScope
from tiered_memory.holds import NONE_SUCH, Wish, write_lines
from tiered_memory.runtime import Parts
from tiered_memory.runtimes import Runtimes

logger = logging.getLogger("tiered_memory")

MARK = "\x1f"
"""Begins the name of a copy: no name that a caller gives holds it."""
ATTEMPTS = 8
ENDED_IN_THE_STORE = "the store's hold was released"
Key = tuple[str, datetime]
T = TypeVar("T")


class StoreHolds:
    """Places, releases and shows the holds of a store."""

    def __init__(self, runtimes: Runtimes) -> None:
        self._runtimes = runtimes

    async def place(self, wish: Wish) -> Hold:
        """Put a hold in force wherever what it covers lies.

        Raises:
            ConflictError: a hold of this name is in force.
            TenantUnavailableError: the tenant's own directory is not open.
            StorageError: an engine failed; where it is in force already it stays, and opening the store completes it.
        """
        every = self._runtimes.every()
        if any([await _standing(parts, wish.name) for parts in every]):
            raise ConflictError("a hold of this name is in force already; nothing was changed")
        tenant = _tenant_of(wish.scope)
        if tenant is not None:
            return await self._runtimes.parts_of(tenant).holds.place(wish)
        placed = await every[0].holds.place(wish)
        reach("hold.after_main")
        # Again: a directory that was opened meanwhile has looked at the main runtime, or is among these.
        copies = await _each(self._runtimes.every()[1:], lambda own: _copied(own, placed))
        return replace(placed, memories=(placed.memories or 0) + sum(copies))

    async def release(self, name: str, reason: str) -> Hold:
        """End a hold everywhere.

        Raises:
            NotFoundError: no hold of this name is in force.
            TenantUnavailableError: none is where the store is open; it may be in a directory that is not.
            StorageError: an engine failed; where it ended already it has, and opening the store completes it.
        """
        ended = []
        main, *_ = self._runtimes.every()
        if name in await main.holds.names():
            # The main runtime's entry counts: from here on the copies are left-overs.
            ended.append(await main.holds.release(name, reason))
            reach("hold.after_main_release")
        found = await _each(self._runtimes.every()[1:], lambda own: _ended(own, name, reason))
        ended += [hold for holds in found for hold in holds]
        if not ended:
            raise TenantUnavailableError if self._runtimes.unavailable else NotFoundError(NONE_SUCH)
        return replace(ended[0], name=name, memories=sum(one.memories or 0 for one in ended))

    async def all(self) -> list[Hold]:
        """Return every hold that was ever placed, oldest first, each once; `kept` counts what all its copies keep."""
        main, *others = self._runtimes.every()
        found = {(one.name, one.placed_at): one for one in await main.holds.all()}
        for own in others:
            for hold in await own.holds.all():
                _add(found, hold)
        return sorted(found.values(), key=lambda one: one.placed_at)

    async def due_for_review(self) -> list[Hold]:
        """Return the holds in force whose review is due now."""
        now = from_us(self._runtimes.main.core.now_us())
        return [one for one in await self.all() if one.status == ACTIVE and one.review_at <= now]

    async def export(self, name: str, path: Path) -> int:
        """Write what a hold keeps anywhere to one new file; see `HoldsFace.export`.

        Raises:
            NotFoundError: no hold of this name is in force.
            InvalidInputError: the file exists, or cannot be written.
        """
        standing = [(parts, one) for parts in self._runtimes.every() for one in await _standing(parts, name)]
        if not standing:
            raise NotFoundError(NONE_SUCH)
        lines = [await parts.holds.lines(one) for parts, one in standing]
        await write_lines(path, [line for some in lines for line in some])
        for (parts, one), some in zip(standing, lines, strict=True):
            await parts.holds.exported(one, len(some))
        return sum(map(len, lines))


async def follow(main: Parts, own: Parts, tenant: str) -> None:
    """Have a tenant's own runtime follow the holds of the main one that may cover something of it.

    A copy of which the main runtime knows nothing stays in force: a store restored from before must end no hold.
    """
    for _ in range(ATTEMPTS):
        holds = {one.name: one for one in await main.holds.all()}
        names = await own.holds.names()
        stale = [one for one in names if _is_stale(one, holds)]
        missing = [
            hold
            for hold in holds.values()
            if hold.status == ACTIVE and _tenant_of(hold.scope) in {None, tenant} and _copy(hold) not in names
        ]
        if not (stale or missing):
            return
        for one in stale:
            because = holds[_plain(one)].released_because or ENDED_IN_THE_STORE
            await own.holds.release(one, because, at_once=False)
        for hold in missing:
            await _copied(own, hold)
    logger.warning("the store's holds kept changing while a tenant's directory was opened")


def _tenant_of(scope: HoldScope) -> str | None:
    """Return whose data a hold covers; None: everybody's."""
    return "default" if scope.tenant is None and scope.user is not None else scope.tenant


def _copy(hold: Hold) -> str:
    """A name that is used again begins another hold: the copies of both can be told apart."""
    return f"{MARK}{to_us(hold.placed_at)}{MARK}{hold.name}"


def _plain(name: str) -> str:
    return name.rpartition(MARK)[2]


def _placed_us(name: str) -> int:
    """Return when the hold was placed that a name is a copy's of."""
    return int(name.split(MARK)[1])


def _is_stale(name: str, holds: dict[str, Hold]) -> bool:
    hold = holds.get(_plain(name)) if name.startswith(MARK) else None
    if hold is None:
        return False
    placed_us = to_us(hold.placed_at)
    return placed_us > _placed_us(name) or (placed_us == _placed_us(name) and hold.status != ACTIVE)


async def _standing(parts: Parts, name: str) -> list[str]:
    """Return the names under which a hold is in force in one runtime."""
    return sorted(one for one in await parts.holds.names() if _plain(one) == name)


async def _copied(own: Parts, hold: Hold) -> int:
    """Place a copy of a hold; one that is there already is as good."""
    wish = Wish(
        name=_copy(hold),
        scope=hold.scope,
        owner=hold.owner,
        reason=hold.reason,
        ground=hold.ground,
        review_us=to_us(hold.review_at),
    )
    try:
        return (await own.holds.place(wish)).memories or 0
    except ConflictError:
        return 0


async def _ended(own: Parts, name: str, reason: str) -> list[Hold]:
    return [await own.holds.release(one, reason) for one in await _standing(own, name)]


async def _each(places: Sequence[Parts], work: Callable[[Parts], Awaitable[T]]) -> list[T]:
    """Do a work in each runtime; one that fails keeps it from none of the others."""
    done, failure = list[T](), None
    for parts in places:
        try:
            done.append(await work(parts))
        except StorageError as error:
            failure = failure or error
    if failure is not None:
        raise failure
    return done


def _add(found: dict[Key, Hold], hold: Hold) -> None:
    """Count a copy with the hold it is of; one whose hold the main runtime does not know stands for itself."""
    plain = replace(hold, name=_plain(hold.name))
    placed_at = from_us(_placed_us(hold.name)) if hold.name.startswith(MARK) else hold.placed_at
    known = found.get((plain.name, placed_at))
    found[plain.name, placed_at] = plain if known is None else replace(known, kept=known.kept + hold.kept)
