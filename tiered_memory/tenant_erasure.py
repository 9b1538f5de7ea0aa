"""Erasing a tenant: every user's keys and its own at once, then what was sealed under them, then its directory.

Each step is durable before the next one begins, and the register says "erasing" until the last is done: cut short
anywhere, opening the store or another call goes on. It never reports success when something is left.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import logging
import os
import shutil
import stat
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import anyio.to_thread

import tiered_memory
from tiered_memory.clock import from_us
from tiered_memory.core import Core
from tiered_memory.crypto.keyring import guard_of
from tiered_memory.errors import (
    ConflictError,
    CorruptionError,
    ErasureIncompleteError,
    StorageError,
    TenantUnknownError,
)
from tiered_memory.failpoints import reach
from tiered_memory.files import sync_path
from tiered_memory.formats.leaf import AuditEvent, AuditLeaf
from tiered_memory.privacy.tenancy import TenantCertificate, TenantStatus, certificate_bytes, certificate_of
from tiered_memory.runtime import Parts
from tiered_memory.state import commands as c
from tiered_memory.state.base import SubjectState
from tiered_memory.state.tenants import ErasedSince, FenceTenant, HeldMemories, SubjectsOfTenant, TenantKeys
from tiered_memory.tenant_book import Registered

logger = logging.getLogger("tiered_memory")

SALT_BYTES = 16
ROOTS = ("root.key", "root.key.next", "root.key.done")
KEY_FILES = (*(Path("keys") / name for name in ROOTS), Path("state.key"))
UNDER_HOLD = "this tenant, or something of it, is under a hold: release it first; nothing was erased"
LEFT = "the tenant's keys are destroyed, but not everything could be removed; erase it again, or reopen the store"


@dataclass(frozen=True, slots=True, kw_only=True)
class Begun:
    """What is kept of an erasure under way."""

    at_us: int
    reason: str
    salt: bytes
    keys: int
    subjects: tuple[bytes, ...] | None = None
    """Whose erasure finished; None until all are."""
    unopened: bool = False
    guards: tuple[bytes, ...] = ()
    """Names of the guards of its key epochs: destroyed, no backup of its keys can be opened."""

    def extra(self) -> dict[str, Any]:
        """Return it as the register keeps it."""
        subjects = None if self.subjects is None else list(self.subjects)
        return {"erasure": {**asdict(self), "subjects": subjects, "guards": list(self.guards)}}


def begun_of(fields: Any) -> Begun:
    """Return what the register kept."""
    kept = dict(fields["erasure"])
    subjects, guards = kept.pop("subjects"), kept.pop("guards", ())
    return Begun(**kept, subjects=None if subjects is None else tuple(subjects), guards=tuple(guards))


@dataclass(frozen=True, slots=True)
class Place:
    """Where a tenant's data lies: in which runtime (None: it does not open), and in which directory if its own."""

    parts: Parts | None
    directory: Path | None
    close: Callable[[], Awaitable[None]]


class TenantEraser:
    """Erases tenants of the store whose parts it is given."""

    def __init__(self, parts: Parts) -> None:
        self._parts, self._core, self._tenants = parts, parts.core, parts.tenants

    async def begin(self, tenant: str, reason: str, place: Place) -> Registered:
        """Enter that the tenant is being erased: from here on nobody is served.

        Raises:
            ConflictError: something of it is under a hold.
        """
        entry = self._tenants.get(tenant)
        if entry.status is TenantStatus.ERASING:
            return entry
        keys, guards = 0, tuple[bytes, ...]()
        if place.parts is not None:
            core = place.parts.core
            pseudonym = core.names.tenant(tenant)
            held = await core.state.read(HeldMemories(pseudonym))
            if held or await place.parts.holds.binds(tenant, whole=place.directory is not None):
                raise ConflictError(UNDER_HOLD)
            keys = await core.state.read(TenantKeys(pseudonym))
            guards = await guards_of(core, pseudonym)
        salt = self._core.entropy.token(SALT_BYTES)
        begun = Begun(at_us=self._core.now_us(), reason=reason, salt=salt, keys=keys, guards=guards)
        marked = replace(entry, status=TenantStatus.ERASING)
        marked = await self._tenants.enter(marked, AuditEvent.TENANT_CHANGED, begun.extra())
        reach("tenant.after_mark")
        return marked

    async def finish(self, entry: Registered, place: Place) -> TenantCertificate:
        """Carry out what is left of an erasure that was begun.

        Raises:
            ErasureIncompleteError: something could not be removed; the keys are gone.
        """
        stored = await self._tenants.stored(entry.id)
        if stored is None:
            raise TenantUnknownError
        begun = begun_of(stored.fields)
        try:
            if begun.subjects is None:
                begun = await self._empty(entry, begun, place)
                entry = await self._tenants.enter(entry, AuditEvent.TENANT_CHANGED, begun.extra())
                reach("tenant.after_emptied")
            if place.directory is not None:
                await place.close()
                await anyio.to_thread.run_sync(remove_directory, place.directory)
                reach("tenant.after_directory")
        except (StorageError, OSError) as error:
            raise ErasureIncompleteError(LEFT) from error
        return await self._end(entry, begun, place)

    async def certificate(self, tenant: str) -> TenantCertificate:
        """Return the proof of a tenant's latest erasure.

        Raises:
            TenantUnknownError: it was never erased, or is registered again.
        """
        stored = await self._tenants.stored(tenant)
        if stored is None or stored.status != TenantStatus.ERASED.value:
            raise TenantUnknownError
        return certificate_of(stored.fields["certificate"])

    async def _empty(self, entry: Registered, begun: Begun, place: Place) -> Begun:
        if place.parts is None:
            if place.directory is None:
                raise ErasureIncompleteError(LEFT)
            # Its guards may lie in the store's folder, which stays.
            await _destroy_guards(self._core, begun.guards)
            return replace(begun, subjects=(), unopened=True)
        subjects, keys = await _emptied(place.parts, entry.id, begun)
        return replace(begun, subjects=tuple(subjects), keys=max(keys, begun.keys))

    async def _end(self, entry: Registered, begun: Begun, place: Place) -> TenantCertificate:
        core, pseudonym = self._core, self._core.names.tenant(entry.id)
        subjects = begun.subjects or ()
        directory = "removed unopened" if begun.unopened else "removed"
        certificate = TenantCertificate(
            id=core.new_id(),
            requested_at=from_us(begun.at_us).isoformat(),
            finished_at=core.clock.now().isoformat(),
            reason=begun.reason,
            generation=entry.generation + 1,
            tenant_commitment=hmac.digest(begun.salt, entry.id.encode(), "sha256").hex(),
            salt=begun.salt.hex(),
            subjects=len(subjects),
            subject_commitments=tuple(hmac.digest(begun.salt, one, "sha256").hex() for one in subjects),
            keys_destroyed=begun.keys,
            directory="shared" if place.directory is None else directory,
            software_version=tiered_memory.__version__,
            public_key=core.notary.public_key.hex(),
        )
        certificate = replace(certificate, signature=core.notary.sign(certificate_bytes(certificate)).hex())
        leaf = AuditLeaf(
            AuditEvent.TENANT_ERASED,
            core.now_us(),
            pseudonym.hex(),
            "",
            certificate.generation,
            detail={
                "certificate": hashlib.sha256(certificate_bytes(certificate)).hexdigest(),
                "subjects": certificate.subjects,
                "keys": certificate.keys_destroyed,
            },
        )
        ended = replace(entry, status=TenantStatus.ERASED, generation=certificate.generation, folder="")
        await self._tenants.put(pseudonym, ended, leaf, {"certificate": asdict(certificate)})
        reach("tenant.after_end")
        await core.state.checkpoint()
        return certificate


async def guards_of(core: Core, tenant: bytes) -> tuple[bytes, ...]:
    """Return the names of the guards of a tenant's key epochs; one that is damaged has none."""
    found = []
    for record in await core.state.read(c.Epochs(tenant)):
        with contextlib.suppress(CorruptionError):
            found.append(guard_of(record))
    return tuple(one for one in found if one is not None)


async def _destroy_guards(core: Core, guards: Iterable[bytes]) -> None:
    for guard in guards:
        await anyio.to_thread.run_sync(core.guards.destroy, guard)


async def _emptied(parts: Parts, tenant: str, begun: Begun) -> tuple[Sequence[bytes], int]:
    """Erase every subject of a tenant in one runtime; return who that was, and how many keys went."""
    core, pseudonym = parts.core, parts.core.names.tenant(tenant)
    for subject in await parts.directory.expel(tenant):
        await parts.eraser.erase(subject, begun.reason)
    await parts.inflight.settle()
    reach("tenant.before_fence")
    leaf = AuditLeaf(AuditEvent.ERASURE_BEGUN, core.now_us(), pseudonym.hex(), "", 0, reason="tenant")
    guards = {*begun.guards, *await guards_of(core, pseudonym)}
    fenced = await core.ballast.spend(lambda: core.state.write(FenceTenant(pseudonym, leaf)))
    reach("tenant.after_fence")
    await parts.directory.expel(tenant)
    parts.announcer.events.drop_tenant(tenant)
    await core.state.checkpoint()
    await _destroy_guards(core, guards)
    reach("tenant.after_guards")
    await _finish_each(parts, pseudonym)
    return await core.state.read(ErasedSince(pseudonym, begun.at_us)), fenced.keys


async def _finish_each(parts: Parts, tenant: bytes) -> None:
    """One user whose bytes cannot be removed now does not keep the others'."""
    failure: StorageError | None = None
    for row in await parts.core.state.read(SubjectsOfTenant(tenant, SubjectState.ERASING)):
        try:
            await parts.eraser.finish(row)
        except StorageError as error:
            failure = error
        reach("tenant.after_subject")
    left = [
        row
        for state in (SubjectState.ACTIVE, SubjectState.RESTRICTED, SubjectState.ERASING)
        for row in await parts.core.state.read(SubjectsOfTenant(tenant, state))
    ]
    keys = await parts.core.state.read(TenantKeys(tenant))
    if failure is not None or left or keys:
        raise ErasureIncompleteError(LEFT) from failure


def remove_directory(directory: Path) -> None:
    """Remove a tenant's own directory: its key files first, overwritten, so that the rest cannot be read whatever comes."""
    if not directory.exists():
        return
    guards = sorted((directory / "keys" / "epochs").glob("*"))
    for path in (*(directory / name for name in KEY_FILES), *guards):
        _destroy(path)
    reach("tenant.after_keys")
    shutil.rmtree(directory)
    sync_path(directory.parent)


def _destroy(path: Path) -> None:
    if not path.exists():
        return
    path.chmod(stat.S_IRUSR | stat.S_IWUSR)
    with path.open("r+b") as file:
        file.write(bytes(path.stat().st_size))
        file.flush()
        os.fsync(file.fileno())
    path.unlink()
    sync_path(path.parent)
