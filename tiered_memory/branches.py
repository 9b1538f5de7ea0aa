"""The runtimes of one store: the main one, and one for each tenant with a data directory of its own.

A directory that does not open makes its tenant unavailable and nobody else.
"""

from __future__ import annotations

import logging
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

import anyio

from tiered_memory.config import Settings
from tiered_memory.errors import (
    ClosedError,
    ConfigurationError,
    ConflictError,
    ErasureIncompleteError,
    TenantUnavailableError,
    TenantUnknownError,
    TieredMemoryError,
)
from tiered_memory.inflight import KeyedLocks
from tiered_memory.metrics import Observer
from tiered_memory.metrics.together import Together
from tiered_memory.privacy.tenancy import (
    Isolation,
    TenantCertificate,
    TenantRules,
    TenantStatus,
    check_residency,
)
from tiered_memory.root_keys import RootReport, grouped, rotate_all
from tiered_memory.runtime import Parts, Runtime
from tiered_memory.store_holds import follow
from tiered_memory.tenant_book import Registered
from tiered_memory.tenant_erasure import Place, TenantEraser
from tiered_memory.tenants import deadlines_anew
from tiered_memory.wiring import LOCAL, PRIVATE, Overrides, build

SHARED_SHUT = "a tenant's own directory that shares the store's root key is not open: repair it, or erase the tenant; nothing was changed"
OWN_SHUT = "a tenant's own directory is not open: its root key stays; the others' were changed"
logger = logging.getLogger("tiered_memory")

FOLDER = "tenants"
LEAST_USERS_MIB = 16
USERS_SHARE = 4
"""A tenant's own runtime may use the RAM for active users that the main one may, divided by this."""


class Branches:
    """Opens, finds and closes the runtimes."""

    def __init__(self, settings: Settings, overrides: Overrides) -> None:
        self._settings = settings
        self._together = None if overrides.observer is None else Together(overrides.observer)
        self._overrides = replace(overrides, observer=self._heard_as())
        self.main_runtime: Runtime | None = None
        self._own: dict[str, Runtime] = {}
        self._turns = KeyedLocks[str]()
        self._rooting = anyio.Lock()
        """Held while directories come and go, and while root keys change: none is opened with a key that is leaving."""

    @property
    def main(self) -> Parts:
        """The parts of the main runtime; raises ClosedError."""
        if self.main_runtime is None or not self.main_runtime.open:
            raise ClosedError
        return self.main_runtime.parts

    def runtimes(self) -> list[Runtime]:
        """Return every runtime that is open, the main one first; raises ClosedError when that is not."""
        if self.main_runtime is None or not self.main_runtime.open:
            raise ClosedError
        return [self.main_runtime, *(one for one in self._own.values() if one.open)]

    def every(self) -> list[Parts]:
        """Return the parts of every runtime that is open; see `runtimes`."""
        return [one.parts for one in self.runtimes()]

    @property
    def unavailable(self) -> int:
        """How many tenants have a directory of their own that is not open."""
        own = (one for one in self.main.tenants.every() if one.folder and one.status is TenantStatus.ACTIVE)
        return sum(1 for one in own if not self.is_available(one))

    def parts_of(self, tenant: str) -> Parts:
        """Return the parts of the runtime that a tenant's data is in.

        Raises:
            TenantUnknownError: it is not registered, and the policy asks for that.
            TenantUnavailableError: its own directory did not open, or it is being erased.
        """
        main = self.main
        rules, book = main.core.policy.tenancy, main.core.tenancy
        if not (book.entries or book.unreadable or rules.require_registration):
            return main
        entry = book.serving(main.core.names.tenant(tenant))
        if entry is None and rules.require_registration:
            raise TenantUnknownError
        return main if entry is None else self._parts_for(main, entry)

    def directory_of(self, entry: Registered) -> Path | None:
        """Return a tenant's own data directory, if it has one.

        Raises:
            ConfigurationError: no directory is configured for its residency any more.
        """
        if not entry.folder:
            return None
        base = self._settings.data_dir
        if entry.rules.residency is not None:
            if entry.rules.residency not in self._settings.residencies:
                raise ConfigurationError(
                    "a tenant's residency has no directory: name it in the setting `residencies`"
                )
            base = self._settings.residencies[entry.rules.residency]
        return base / FOLDER / entry.folder

    async def own_settings(self) -> list[Settings]:
        """Return the settings of the tenants' own runtimes, those whose directories hold a store."""
        tenants, found = self.main.tenants, []
        await tenants.load()
        for entry in tenants.every():
            directory = self.directory_of(entry)
            if directory is not None and (directory / "state.db").exists():
                found.append(self._settings_of(entry, directory))
        return found

    async def open(self) -> None:
        """Open the main runtime, then the tenants' own; go on with erasures of tenants that were cut short."""
        self.main_runtime = await build(self._settings, self._overrides)
        await self.main_runtime.start()
        try:
            await self.take_up_tenants()
            await self._finish_roots()
        except BaseException:
            with anyio.CancelScope(shield=True):
                await self.close()
            raise

    async def take_up_tenants(self) -> None:
        """Open the tenants' own runtimes beside the main one, and go on with erasures of tenants."""
        await self.main.tenants.load()
        self.main.api_keys.core_of = lambda tenant: self.parts_of(tenant).core
        await self.main.api_keys.drop_ended_tenants()
        for entry in self.main.tenants.every():
            await self._open_or_report(entry)
            if entry.status is TenantStatus.ERASING:
                await self._resume(entry)

    async def rotate_root(self) -> RootReport:
        """Put new root keys in the place of those of every directory; see `root_keys`.

        Raises:
            RootKeyError: a root key is given from outside, or cannot be kept; nothing was changed.
            TenantUnavailableError: a directory is not open. If it shares the store's root key nothing was changed,
                else the others' were.
            StorageError: an engine failed; opening the store, or the same call, goes on.
        """
        async with self._rooting:
            if self._sharing_and_shut():
                raise TenantUnavailableError(SHARED_SHUT)
            report = await rotate_all(self.runtimes())
        if self.unavailable:
            raise TenantUnavailableError(OWN_SHUT)
        return report

    async def _finish_roots(self) -> None:
        """Go on with changes of root keys that were cut short; what fails waits for the next opening."""
        begun = [one for one in self.runtimes() if one.parts.core.keyring.turning]
        for group in grouped(begun) if begun else []:
            shared = self.main_runtime in group.runtimes
            if shared and self._sharing_and_shut():
                logger.warning(
                    "the root key is half changed: a tenant's directory that needs both is not open"
                )
                continue
            try:
                await group.finish()
            except (TieredMemoryError, OSError) as error:
                logger.warning("a change of the root key could not be finished: %s", error)

    def _sharing_and_shut(self) -> bool:
        """Tell whether a store that needs the main root key is not open."""
        return any(
            one.folder and one.rules.isolation is not Isolation.STRICT and not self.is_available(one)
            for one in self.main.tenants.every()
            if one.status is TenantStatus.ACTIVE
        )

    async def close(self) -> None:
        """Close every runtime, the main one last; one that fails keeps none of the others open."""
        async with AsyncExitStack() as stack:
            if self.main_runtime is not None:
                stack.push_async_callback(self.main_runtime.stop)
            for runtime in self._own.values():
                stack.push_async_callback(runtime.stop)

    async def add(self, tenant: str, rules: TenantRules) -> Registered:
        """Register a tenant, and open its directory if it gets one.

        Raises:
            InvalidInputError: no directory is configured for its residency.
            ConflictError: it is registered already, has data here, or there are too many directories.
            TenantUnavailableError: it is registered, but its directory did not open.
        """
        main = self.main
        check_residency(rules.residency, self._settings.residencies)
        most = main.core.policy.tenancy.max_own_directories
        if rules.own_directory and sum(bool(one.folder) for one in main.tenants.every()) >= most:
            raise ConflictError(f"the policy allows {most} tenants a directory of their own ([tenancy])")
        async with self._turns.held(tenant), self._rooting:
            entry = await main.tenants.add(tenant, rules)
            await self._open_or_report(entry)
        if not self.is_available(entry):
            raise TenantUnavailableError
        return entry

    async def change(self, tenant: str, rules: TenantRules) -> Registered:
        """Enter other rules for a tenant, in the main runtime and in its own."""
        check_residency(rules.residency, self._settings.residencies)
        async with self._turns.held(tenant):
            return await self._change(self.main, tenant, rules)

    async def _change(self, main: Parts, tenant: str, rules: TenantRules) -> Registered:
        entry = main.tenants.get(tenant)
        parts = self.parts_of(tenant)
        changed = await main.tenants.change(tenant, rules)
        self._take_up(parts, changed)
        if rules.retention_days != entry.rules.retention_days:
            await deadlines_anew(parts.core, parts.core.names.tenant(tenant))
        return changed

    def is_available(self, entry: Registered) -> bool:
        """Tell whether a tenant's data can be used now."""
        if entry.status is not TenantStatus.ACTIVE:
            return False
        runtime = self._own.get(entry.folder)
        return not entry.folder or (runtime is not None and runtime.open)

    async def erase(self, tenant: str, reason: str) -> TenantCertificate:
        """Erase a tenant, or finish an erasure of it; the certificate of one that is erased is given again."""
        async with self._turns.held(tenant), self._rooting:
            return await self._erase(TenantEraser(self.main), tenant, reason)

    async def _erase(self, eraser: TenantEraser, tenant: str, reason: str) -> TenantCertificate:
        try:
            entry = self.main.tenants.get(tenant)
        except TenantUnknownError:
            return await eraser.certificate(tenant)
        place = self._place(entry)
        entry = await eraser.begin(tenant, reason, place)
        await self.main.api_keys.drop_tenant(tenant)
        if place.parts is not None and place.directory is not None:
            self._take_up(place.parts, entry)
        return await eraser.finish(entry, place)

    async def _resume(self, entry: Registered) -> None:
        try:
            await TenantEraser(self.main).finish(entry, self._place(entry))
        except (ErasureIncompleteError, ConfigurationError) as error:
            logger.warning("an interrupted erasure of a tenant could not be finished: %s", error)

    def _place(self, entry: Registered) -> Place:
        directory = self.directory_of(entry)
        runtime = self._own.get(entry.folder) if entry.folder else self.main_runtime
        parts = runtime.parts if runtime is not None and runtime.open else None

        async def close() -> None:
            closing = self._own.pop(entry.folder, None)
            if closing is not None:
                await closing.stop()
                self._unheard(entry)

        return Place(parts, directory, close)

    def _parts_for(self, main: Parts, entry: Registered) -> Parts:
        if not entry.folder:
            return main
        runtime = self._own.get(entry.folder)
        if runtime is None or not runtime.open:
            raise TenantUnavailableError
        return runtime.parts

    async def _open_or_report(self, entry: Registered) -> None:
        try:
            directory = self.directory_of(entry)
            if directory is None or (entry.status is TenantStatus.ERASING and not directory.exists()):
                return
            await self._enter(entry, await self._opened(entry, directory))
        except (TieredMemoryError, OSError) as error:
            logger.error("a tenant's own directory could not be opened (%s); it is unavailable", error)  # noqa: TRY400

    async def _enter(self, entry: Registered, runtime: Runtime) -> None:
        """Nobody is served before it follows the store; what changed until it was listed is looked at once more."""
        try:
            await self._follow(entry, runtime.parts)
            self._own[entry.folder] = runtime
            await self._follow(entry, runtime.parts)
        except BaseException:
            self._own.pop(entry.folder, None)
            with anyio.CancelScope(shield=True):
                await runtime.stop()
            self._unheard(entry)
            raise

    async def _follow(self, entry: Registered, own: Parts) -> None:
        if entry.status is TenantStatus.ACTIVE:
            await follow(self.main, own, entry.id)
            await own.notices.take_up(await self.main.notices.all())

    async def _opened(self, entry: Registered, directory: Path) -> Runtime:
        runtime = await build(self._settings_of(entry, directory), self._overrides_of(entry))
        self._take_up(runtime.parts, entry)
        runtime.parts.api_keys.keeper = self.main.api_keys
        runtime.parts.eraser.drop_credentials = self.main.api_keys.drop_user
        await runtime.start()
        return runtime

    def _overrides_of(self, entry: Registered) -> Overrides:
        """The embedding model is read only and large: there is one."""
        observer = self._heard_as(entry)
        return replace(self._overrides, embedder=self.main.core.embedder, observer=observer)

    def _heard_as(self, entry: Registered | None = None) -> Observer | None:
        """Return what a runtime reports to: how several stand is told in one."""
        if self._together is None:
            return None
        if entry is None:
            return self._together.part()
        strict = entry.rules.isolation is Isolation.STRICT
        return self._together.part(entry.folder, own_hot=strict or self.main.core.hot_address == LOCAL)

    def _unheard(self, entry: Registered) -> None:
        if self._together is not None:
            self._together.leave(entry.folder)

    def _settings_of(self, entry: Registered, directory: Path) -> Settings:
        given, strict = self._settings, entry.rules.isolation is Isolation.STRICT
        root = given.root_key_file or given.data_dir / "keys" / "root.key"
        changed = {
            "data_dir": directory,
            "residencies": {},
            "active_users_mib": max(LEAST_USERS_MIB, given.active_users_mib // USERS_SHARE),
            "root_key": None if strict else given.root_key,
            "root_key_file": None if strict else root,
            "backup_dir": _backups_of(given.backup_dir, entry),
            "redis_url": _redis_of(given.redis_url, self.main.core.hot_address, strict=strict),
        }
        return given.model_copy(update=changed)

    @staticmethod
    def _take_up(parts: Parts, entry: Registered) -> None:
        """Its own runtime knows one tenant, by the name it has there."""
        parts.core.tenancy.put(parts.core.names.tenant(entry.id), entry)


def _backups_of(given: Path | None, entry: Registered) -> Path | None:
    """Return where a tenant's own backups go by themselves; what has a residency does not leave it."""
    return None if given is None or entry.rules.residency is not None else given / FOLDER / entry.folder


def _redis_of(given: str, address: str, *, strict: bool) -> str:
    """Return what a tenant's own runtime uses: the server there is, or, for strict isolation, one of its own."""
    if strict:
        return LOCAL if given == LOCAL else PRIVATE
    return address
