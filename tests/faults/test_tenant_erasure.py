"""A tenant's erasure takes everything of it and nothing else, and a kill between any two of its steps changes nothing."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import json
import multiprocessing
import shutil
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support import (
    PURPOSE,
    consenting,
    contents,
    everything_at_rest,
    opened,
    parts_of,
    seen,
    sqlite_rows,
    state_of,
    until,
)

from tiered_memory import TieredMemory, failpoints
from tiered_memory.crypto.signing import verifies
from tiered_memory.errors import (
    ColdTierError,
    ConflictError,
    ErasureIncompleteError,
    KeyUnavailableError,
    SubjectErasedError,
    TenantUnavailableError,
    TenantUnknownError,
)
from tiered_memory.failpoints import TENANT_POINTS
from tiered_memory.privacy.tenancy import Isolation, TenantCertificate, TenantStatus, certificate_bytes

pytestmark = pytest.mark.anyio

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["tiered_memory.wiring", "tiered_memory.memory", "support", "lancedb"])
LOCAL: dict[str, Any] = {"redis_url": "local"}
SECRET, OTHERS = "zanzibar-ledgerbook", "marrakesh-ledgerbook"
USERS = 3
OWN_ONLY = {"tenant.after_keys", "tenant.after_directory"}


async def fill(memory: TieredMemory, isolation: Isolation) -> None:
    await memory.tenants.register("acme", isolation=isolation)
    await memory.tenants.register("other", isolation=isolation)
    for tenant, word in (("acme", SECRET), ("other", OTHERS)):
        for number in range(USERS):
            user = memory.user(f"u{number}", tenant=tenant)
            await user.consent.grant(PURPOSE, notice="n")
            await user.add(f"the {word} {number} is decided", importance=0.9, session="s")
    await memory.drain()
    await memory.user("u0", tenant="acme").add(f"the {SECRET} is on its way", importance=0.9)


def check(certificate: TenantCertificate, isolation: Isolation) -> None:
    assert certificate.subjects == len(certificate.subject_commitments) == USERS
    assert certificate.keys_destroyed == 2 * USERS + 1
    assert certificate.directory == ("shared" if isolation is Isolation.MINIMAL else "removed")
    named = hmac.digest(bytes.fromhex(certificate.salt), b"acme", "sha256").hex()
    assert certificate.tenant_commitment == named
    key, signature = bytes.fromhex(certificate.public_key), bytes.fromhex(certificate.signature)
    assert verifies(key, signature, certificate_bytes(certificate))
    altered = replace(certificate, subjects=certificate.subjects + 1)
    assert not verifies(key, signature, certificate_bytes(altered))


async def check_gone(data: Path, memory: TieredMemory, certificate: TenantCertificate) -> None:
    """Nothing of it is left, the ledger has the certificate, and the others are as they were."""
    with pytest.raises(TenantUnknownError):
        await memory.tenants.get("acme")
    digest = hashlib.sha256(certificate_bytes(certificate)).hexdigest()
    leaves = [json.loads(row["leaf"]) for row in sqlite_rows(data, "audit")]
    ends = [leaf for leaf in leaves if leaf["event"] == "tenant_erased"]
    assert [leaf["detail"]["certificate"] for leaf in ends] == [digest]
    assert (await memory.ledger.verify()).sound
    for number in range(USERS):
        assert await contents(memory.user(f"u{number}", tenant="other")) == [
            f"the {OTHERS} {number} is decided"
        ]
        assert await memory.user(f"u{number}", tenant="acme").list() == []


@pytest.mark.parametrize("isolation", list(Isolation))
async def test_everything_of_a_tenant_goes_and_nothing_else(tmp_path: Path, isolation: Isolation) -> None:
    async with opened(tmp_path, settings=LOCAL) as memory:
        await fill(memory, isolation)
        directory = memory.tenants.directory("acme") if isolation is not Isolation.MINIMAL else None
        face = memory.user("u1", tenant="acme")
        assert await face.search(SECRET)
        certificate = await memory.tenants.erase("acme", "the contract ended")
        check(certificate, isolation)
        await check_gone(tmp_path, memory, certificate)
        assert directory is None or not directory.exists()
        assert await memory.tenants.erase("acme", "once more") == certificate
        with pytest.raises(TenantUnknownError):
            await memory.tenants.erase("nobody", "never there")
    assert not seen([SECRET], everything_at_rest(tmp_path))
    async with opened(tmp_path, settings=LOCAL) as memory:
        await check_gone(tmp_path, memory, certificate)
        again = await memory.tenants.register("acme", isolation=isolation)
        assert again.generation == 1
        user = await consenting(memory, "u1")
        await user.add("a new beginning", importance=0.9)
        assert await contents(user) == ["a new beginning"]


async def _erase(data: Path, isolation: Isolation, point: str) -> None:
    async with opened(data, settings=LOCAL) as memory:
        await fill(memory, isolation)
        failpoints.arm(failpoints.killing(point))
        await memory.tenants.erase("acme", "the contract ended")


def _erase_and_die(data: Path, isolation: Isolation, point: str) -> None:
    asyncio.run(_erase(data, isolation, point))


CASES = [
    (isolation, point)
    for isolation in Isolation
    for point in (*TENANT_POINTS, "erase.after_cold", "erase.after_purge", "erase.after_close")
    if isolation is not Isolation.MINIMAL or point not in OWN_ONLY
]


@pytest.mark.parametrize(("isolation", "point"), CASES)
async def test_killed_anywhere_it_is_finished_when_the_store_opens(
    tmp_path: Path, isolation: Isolation, point: str
) -> None:
    writer = CONTEXT.Process(target=_erase_and_die, args=(tmp_path, isolation, point), daemon=True)
    writer.start()
    await asyncio.to_thread(writer.join)
    assert writer.exitcode == -signal.SIGKILL
    async with opened(tmp_path, settings=LOCAL) as memory:
        certificate = await memory.tenants.erase("acme", "asked again")
        assert certificate.reason == "the contract ended"
        check(certificate, isolation)
        await check_gone(tmp_path, memory, certificate)
    assert not seen([SECRET], everything_at_rest(tmp_path))
    assert len(list(tmp_path.glob("tenants/*"))) == (0 if isolation is Isolation.MINIMAL else 1)


async def _backed_up_and_erased(data: Path, isolation: Isolation, archive: Path, point: str) -> None:
    async with opened(data, settings=LOCAL) as memory:
        await fill(memory, isolation)
        await memory.drain()
        if isolation is Isolation.MINIMAL:
            await memory.backup(archive)
        else:
            await memory.tenants.backup("acme", archive)
        if point:
            failpoints.arm(failpoints.killing(point))
        await memory.tenants.erase("acme", "the contract ended")


def _back_up_and_erase(data: Path, isolation: Isolation, archive: Path, point: str) -> None:
    asyncio.run(_backed_up_and_erased(data, isolation, archive, point))


@pytest.mark.parametrize("point", ["", "tenant.before_fence", "tenant.after_fence", "tenant.after_guards"])
@pytest.mark.parametrize("isolation", [Isolation.MINIMAL, Isolation.MODERATE])
async def test_a_backup_from_before_reveals_nothing_with_the_root_key(
    tmp_path: Path, isolation: Isolation, point: str
) -> None:
    """What can be had afterwards: the archive, the root key, and every guard that lives. The erased list is withheld."""
    data, archive, fresh = tmp_path / "data", tmp_path / "archive", tmp_path / "fresh"
    writer = CONTEXT.Process(target=_back_up_and_erase, args=(data, isolation, archive, point), daemon=True)
    writer.start()
    await asyncio.to_thread(writer.join)
    assert writer.exitcode == (-signal.SIGKILL if point else 0)
    async with opened(data, settings=LOCAL) as memory:
        check(await memory.tenants.erase("acme", "asked again"), isolation)
        assert len(parts_of(memory).core.guards.every()) == 1
    await TieredMemory.restore(archive, fresh)
    shutil.copytree(data / "keys", fresh / "keys")
    async with opened(fresh, settings=LOCAL) as memory:
        for number in range(USERS):
            with pytest.raises(KeyUnavailableError, match="has ended"):
                await memory.user(f"u{number}", tenant="acme").list()
        [dead] = [one for one in await memory.keys.status() if one.state == "unreadable"]
        assert dead.keys == 2 * USERS
        if isolation is Isolation.MINIMAL:
            assert await contents(memory.user("u0", tenant="other")) == [f"the {OTHERS} 0 is decided"]


async def test_it_is_no_success_while_something_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(tmp_path, settings=LOCAL) as memory:
        await fill(memory, Isolation.MINIMAL)
        cold = parts_of(memory).core.cold
        drop = cold.drop

        async def failing(ref: Any) -> int:
            raise ColdTierError

        monkeypatch.setattr(cold, "drop", failing)
        with pytest.raises(ErasureIncompleteError):
            await memory.tenants.erase("acme", "the contract ended")
        assert (await memory.tenants.get("acme")).status is TenantStatus.ERASING
        with pytest.raises(TenantUnavailableError):
            await memory.user("u0", tenant="acme").list()
        with pytest.raises(TenantUnavailableError):
            await memory.tenants.register("acme")
        monkeypatch.setattr(cold, "drop", drop)
        certificate = await memory.tenants.erase("acme", "once more")
        check(certificate, Isolation.MINIMAL)
        await check_gone(tmp_path, memory, certificate)


async def test_what_runs_meanwhile_leaves_nothing_behind(tmp_path: Path) -> None:
    """Writers hold faces from before; whatever they try during the erasure is refused or erased with the rest."""
    policy = tmp_path / "registered.toml"
    policy.write_text('schema = 1\nname = "registered"\n[tenancy]\nrequire_registration = true\n')
    data, outcomes, stop = tmp_path / "data", set[str](), asyncio.Event()

    async def write(memory: TieredMemory, number: int) -> None:
        user = memory.user(f"u{number}", tenant="acme")
        while not stop.is_set():
            try:
                await user.consent.grant(PURPOSE, notice="n")
                await user.add(f"late {SECRET}", importance=0.9)
                outcomes.add("written")
            except (SubjectErasedError, TenantUnavailableError, TenantUnknownError) as error:
                outcomes.add(type(error).__name__)
                await asyncio.sleep(0)

    async with opened(data, settings={**LOCAL, "policy": str(policy)}) as memory:
        await fill(memory, Isolation.MINIMAL)
        writers = [asyncio.create_task(write(memory, number)) for number in range(2 * USERS)]
        await until(lambda: "written" in outcomes)
        certificate = await memory.tenants.erase("acme", "the contract ended")
        await until(lambda: "TenantUnknownError" in outcomes)
        stop.set()
        await asyncio.gather(*writers)
        assert certificate.subjects == 2 * USERS
        states = [row["state"] for row in sqlite_rows(data, "subjects")]
        assert sorted(states) == ["active"] * USERS + ["erased"] * 2 * USERS
    assert not seen([SECRET], everything_at_rest(data))


async def test_what_is_under_a_hold_keeps_its_tenant(tmp_path: Path) -> None:
    async with opened(tmp_path, settings=LOCAL) as memory:
        await fill(memory, Isolation.MINIMAL)
    with contextlib.closing(state_of(tmp_path)) as db:
        db.execute("UPDATE memories SET held = 1 WHERE memory_id IN (SELECT MIN(memory_id) FROM memories)")
        held = db.execute(
            "SELECT hex(s.tenant) FROM memories m JOIN subjects s USING (subject) WHERE m.held"
        ).get
    async with opened(tmp_path, settings=LOCAL) as memory:
        names = parts_of(memory).core.names
        tenant = next(one for one in ("acme", "other") if names.tenant(one).hex().upper() == held)
        with pytest.raises(ConflictError, match="hold"):
            await memory.tenants.erase(tenant, "the contract ended")
        assert (await memory.tenants.get(tenant)).status is TenantStatus.ACTIVE
        assert await contents(memory.user("u0", tenant=tenant))


async def test_two_who_erase_get_one_certificate_and_listeners_hear_nothing_more(tmp_path: Path) -> None:
    async with opened(tmp_path, settings=LOCAL) as memory:
        await fill(memory, Isolation.MINIMAL)
        events = memory.events()
        user = memory.user("u0", tenant="acme")
        other = memory.user("u0", tenant="other")
        for one in (user, other):
            first = (await one.list())[0].id
            parts_of(memory).announcer.restored(one.subject, first, 0)
        found = await asyncio.gather(*(memory.tenants.erase("acme", "the contract ended") for _ in range(2)))
        assert found[0] == found[1]
    heard = [event.subject async for event in events]
    assert heard == [other.subject]


async def test_a_directory_that_does_not_open_is_removed_all_the_same(tmp_path: Path) -> None:
    async with opened(tmp_path, settings=LOCAL) as memory:
        await fill(memory, Isolation.STRICT)
        directory = memory.tenants.directory("acme")
    (directory / "state.key").unlink()
    async with opened(tmp_path, settings=LOCAL) as memory:
        assert not (await memory.tenants.get("acme")).available
        certificate = await memory.tenants.erase("acme", "damaged")
        assert (certificate.directory, certificate.subjects) == ("removed unopened", 0)
        assert not directory.exists()
