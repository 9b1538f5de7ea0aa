"""Another root key in the place of a store's, while everything goes on.

The order bears the promise. The new key is kept beside the old one (`.next`); from then on both open, and the new one
wraps. What the old one wraps in each state store that uses it, the master key and the epochs' keys, is wrapped again in
one commit a store, then the store's page key in its file. Once nothing is left under the old key the file is renamed
(`.done`): from then on the old key is destroyed, and the new one put in its place. Killed anywhere, opening the store
goes on from there; at every moment the keys that are kept open all of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import anyio.to_thread

from tiered_memory.core import Core
from tiered_memory.crypto.envelope import KEY_BYTES
from tiered_memory.crypto.keyring import GUARDED_FORMAT, EpochRecord
from tiered_memory.errors import CorruptionError, RootKeyError, StateStoreError
from tiered_memory.failpoints import reach
from tiered_memory.files import replace_file
from tiered_memory.formats.leaf import AuditEvent, AuditLeaf
from tiered_memory.key_files import RootPlaces, root_places
from tiered_memory.runtime import Runtime
from tiered_memory.state import commands as c
from tiered_memory.state.epochs import EveryEpoch, RewrapRoot

STATE_KEY = "state.key"
NOT_KEPT = "the new root key does not come back from where it was put; nothing was changed"


@dataclass(frozen=True, slots=True, kw_only=True)
class RootReport:
    """What a rotation of the root key did: stores and key epochs wrapped anew.

    `guarded` counts epochs that were without a guard and have one now; `left` those that do not open: damaged ones, and
    those whose guard is not here. A guard that is put back later does not open them any more.
    """

    stores: int
    epochs: int
    guarded: int
    left: int


@dataclass(frozen=True, slots=True)
class RootGroup:
    """The runtimes whose stores one root key opens."""

    runtimes: Sequence[Runtime]

    @property
    def places(self) -> RootPlaces:
        """Where that key is kept; raises RootKeyError when it is given from outside."""
        return root_places(self.runtimes[0].settings)

    async def begin(self) -> None:
        """Keep a new root key beside the old one, unless one is there already.

        Raises:
            RootKeyError: it cannot be kept, or does not come back; nothing was changed.
        """
        entropy, places = self.runtimes[0].parts.core.entropy, self.places
        if places.done.exists():
            # The change before this one had come to its last step.
            await anyio.to_thread.run_sync(places.swap)
            self._settle()
        upcoming = places.upcoming
        if await anyio.to_thread.run_sync(upcoming.load) is None:
            fresh = entropy.token(KEY_BYTES)
            await anyio.to_thread.run_sync(upcoming.keep, fresh, entropy)
            if await anyio.to_thread.run_sync(upcoming.load) != fresh:
                await anyio.to_thread.run_sync(upcoming.remove)
                raise RootKeyError(NOT_KEPT)
        reach("root.after_next")

    def _settle(self) -> None:
        for runtime in self.runtimes:
            runtime.parts.core.keyring.settle()

    async def finish(self) -> RootReport:
        """Wrap with the new key what is left under the old one, then destroy that.

        Raises:
            StorageError: an engine failed; opening the store, or the same call, goes on.
        """
        places = self.places
        fresh = await anyio.to_thread.run_sync(places.upcoming.load)
        counts = [(0, 0, 0)]
        if fresh is None:
            await anyio.to_thread.run_sync(places.swap)
        else:
            for runtime in self.runtimes:
                await _turn(runtime, fresh)
            counts += [await _wrap_again(one) for one in self.runtimes]
            await anyio.to_thread.run_sync(places.settle)
        self._settle()
        epochs, guarded, left = (sum(column) for column in zip(*counts, strict=True))
        return RootReport(stores=len(self.runtimes), epochs=epochs, guarded=guarded, left=left)


def grouped(runtimes: Sequence[Runtime]) -> list[RootGroup]:
    """Return the runtimes by the place of their root key, the main one's group first."""
    found: dict[str, list[Runtime]] = {}
    for one in runtimes:
        found.setdefault(str(root_places(one.settings).path), []).append(one)
    return [RootGroup(tuple(some)) for some in found.values()]


async def rotate_all(runtimes: Sequence[Runtime]) -> RootReport:
    """Change the root keys of these runtimes, or finish what was begun.

    Raises:
        RootKeyError: one is given from outside, or a new one cannot be kept; nothing was changed.
        StorageError: an engine failed, or a key file cannot be written.
    """
    groups = grouped(runtimes)
    try:
        for one in groups:
            await one.begin()
        reports = [await one.finish() for one in groups]
    except OSError as error:
        raise StateStoreError(f"a key file cannot be written ({type(error).__name__})") from error
    names = [one.name for one in fields(RootReport)]
    return RootReport(**{name: sum(getattr(one, name) for one in reports) for name in names})


async def _turn(runtime: Runtime, fresh: bytes) -> None:
    """Whoever begins an epoch meanwhile has entered it by now, or does so under the new key."""
    async with runtime.parts.directory.epochs.beginning:
        runtime.parts.core.keyring.turn(fresh)


async def _wrap_again(runtime: Runtime) -> tuple[int, int, int]:
    """Return how many epochs were wrapped again, how many got a guard, and how many do not open."""
    core = runtime.parts.core
    # An archive's state store and its page key are of one moment, and so under one root key.
    async with runtime.parts.key_epochs.turning, core.rooting:
        return await _wrap_store(core, runtime.settings.data_dir / STATE_KEY)


async def _wrap_store(core: Core, page_key: Path) -> tuple[int, int, int]:
    records = await core.state.read(EveryEpoch())
    fresh, left = await anyio.to_thread.run_sync(_rewrapped, core, records)
    store_id, wrapped = (
        await core.state.read(c.GetMeta("store_id")),
        await core.state.read(c.GetMeta("master")),
    )
    if store_id is None or wrapped is None:
        raise StateStoreError
    master = core.keyring.wrap_master(store_id, core.keyring.open_master(store_id, wrapped))
    detail = {"epochs": len(fresh), "left": left}
    leaf = AuditLeaf(AuditEvent.ROOT_ROTATED, core.now_us(), "", "", 0, detail=detail)
    await core.state.write(RewrapRoot(master, tuple(fresh), leaf))
    reach("root.after_commit")
    await core.state.checkpoint()
    key = core.keyring.open_state_key(await anyio.to_thread.run_sync(page_key.read_bytes))
    await anyio.to_thread.run_sync(replace_file, page_key, core.keyring.wrap_state_key(key))
    reach("root.after_state_key")
    before = {(one.tenant, one.epoch): one.format for one in records}
    guarded = sum(before[one.tenant, one.epoch] != GUARDED_FORMAT for one in fresh)
    return len(fresh), guarded, left


def _rewrapped(core: Core, records: Sequence[EpochRecord]) -> tuple[list[EpochRecord], int]:
    fresh, left = list[EpochRecord](), 0
    for record in records:
        try:
            fresh.append(core.keyring.rewrap_epoch(record))
        except CorruptionError:
            left += 1
    return fresh, left
