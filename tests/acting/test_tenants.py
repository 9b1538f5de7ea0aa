"""Tenants: who is registered, what they may do, what they use, and that nobody sees another's."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import anyio
import pytest
from support import consenting, contents, opened, parts_of, state_of, state_pages

from tiered_memory import TieredMemory, User
from tiered_memory.caller import Caller
from tiered_memory.errors import (
    AgentNotAllowedError,
    ConflictError,
    CorruptionError,
    InvalidInputError,
    QuotaExceededError,
    TenantUnavailableError,
    TenantUnknownError,
)
from tiered_memory.model import Interaction, Subject
from tiered_memory.privacy.tenancy import Isolation, TenantStatus
from tiered_memory.state.forgetting import Reindex
from tiered_memory.state.tenants import TenantBytes
from tiered_memory.testing import ManualClock

pytestmark = pytest.mark.anyio

LOCAL: dict[str, Any] = {"redis_url": "local"}
REQUIRED = """
schema = 1
name = "registered"
[tenancy]
require_registration = true
"""


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """These tests need no Redis server."""
    return tmp_path / "data"


@pytest.fixture
async def memory(data: Path, clock: ManualClock) -> Any:
    async with opened(data, settings=LOCAL, clock=clock) as memory:
        yield memory


async def held_bytes(memory: TieredMemory, tenant: str) -> int:
    core = parts_of(memory).core
    return await core.state.read(TenantBytes(core.names.tenant(tenant)))


async def fill(*users: User) -> None:
    for number in range(100):
        await users[number % len(users)].add(f"{number} decided " + "long " * 100, importance=0.9)


# --- the register --------------------------------------------------------------------------------------------


async def test_a_tenant_is_registered_shown_and_changed_and_that_survives_a_restart(data: Path) -> None:
    async with opened(data, settings=LOCAL) as memory:
        made = await memory.tenants.register("acme", quota_mib=1.5, allowed_agents={"a1"}, audit=False)
        assert (made.id, made.status, made.generation, made.available) == (
            "acme",
            TenantStatus.ACTIVE,
            0,
            True,
        )
        await memory.tenants.register("zeta")
        changed = await memory.tenants.change("acme", quota_mib=None)
        assert changed.rules.quota_mib is None
        assert changed.rules.allowed_agents == {"a1"}
        with pytest.raises(ConflictError, match="change"):
            await memory.tenants.register("acme")
    async with opened(data, settings=LOCAL) as memory:
        assert await memory.tenants.get("acme") == changed
        assert [one.id for one in await memory.tenants.list()] == ["acme", "zeta"]
        with pytest.raises(TenantUnknownError):
            await memory.tenants.get("nobody")


@pytest.mark.parametrize(
    "wrong",
    [
        {"encryption": False},
        {"quota_mib": -1},
        {"quota_mib": True},
        {"retention_days": 40_000},
        {"isolation": "total"},
        {"allowed_agents": "agent"},
        {"audit": "yes"},
        {"residency": "moon"},
    ],
)
async def test_what_cannot_be_agreed_is_refused_and_nobody_is_registered(
    memory: TieredMemory, wrong: dict[str, Any]
) -> None:
    with pytest.raises(InvalidInputError):
        await memory.tenants.register("acme", **wrong)
    assert await memory.tenants.list() == []


async def test_a_tenants_id_is_nowhere_in_clear(data: Path) -> None:
    async with opened(data, settings=LOCAL) as memory:
        await memory.tenants.register(
            "a-very-telling-tenant", isolation="moderate", allowed_agents={"telling-agent"}
        )
        await memory.tenants.erase("a-very-telling-tenant", "contract ended")
    assert b"telling" not in state_pages(data)
    assert not any("telling" in str(path) for path in data.rglob("*"))


async def test_only_registered_tenants_are_served_where_the_policy_says_so(
    data: Path, tmp_path: Path
) -> None:
    policy = tmp_path / "policy.toml"
    policy.write_text(REQUIRED)
    async with opened(data, settings={**LOCAL, "policy": str(policy)}) as memory:
        with pytest.raises(TenantUnknownError):
            await memory.user("alice", tenant="acme").list()
        await memory.tenants.register("acme")
        assert await contents(await consenting(memory)) == []


async def test_an_entry_that_does_not_verify_makes_its_tenant_unavailable_not_unregistered(
    data: Path,
) -> None:
    async with opened(data, settings=LOCAL) as memory:
        await memory.tenants.register("acme", isolation="moderate")
    with contextlib.closing(state_of(data)) as db:
        db.execute("UPDATE register SET sealed = zeroblob(200) WHERE kind = 'tenant'")
    async with opened(data, settings=LOCAL) as memory:
        with pytest.raises(TenantUnavailableError, match="verify"):
            await memory.user("alice", tenant="acme").list()
        assert await memory.user("alice", tenant="other").list() == []


# --- agents, quota, retention --------------------------------------------------------------------------------


@pytest.mark.parametrize("isolation", list(Isolation))
async def test_only_allowed_agents_write(memory: TieredMemory, isolation: Isolation) -> None:
    await memory.tenants.register("acme", allowed_agents={"helper"}, isolation=isolation)
    alice = await consenting(memory)
    await alice.add("said to the right one", agent="helper")
    with pytest.raises(AgentNotAllowedError):
        await alice.add_many([Interaction(content="a"), Interaction(content="b", agent="stranger")])
    await memory.tenants.change("acme", allowed_agents=set())
    with pytest.raises(AgentNotAllowedError):
        await alice.add("said to the former one", agent="helper")
    assert await contents(alice) == ["said to the right one"]


@pytest.mark.parametrize("isolation", list(Isolation))
async def test_an_agent_that_is_not_allowed_may_not_read_either(
    memory: TieredMemory, isolation: Isolation
) -> None:
    await memory.tenants.register("acme", allowed_agents={"helper"}, isolation=isolation)
    await (await consenting(memory)).add("the plan is green", importance=0.9)
    helper = memory.user("alice", tenant="acme", caller=Caller(actor="helper"))
    assert await contents(helper) == ["the plan is green"]
    with pytest.raises(AgentNotAllowedError):
        await memory.user("alice", tenant="acme", caller=Caller(actor="stranger")).list()
    assert await memory.user("alice", tenant="other", caller=Caller(actor="stranger")).list() == []


async def test_reads_of_a_tenant_without_audit_are_not_logged(memory: TieredMemory) -> None:
    await memory.tenants.register("quiet", audit=False)
    quiet, loud = await consenting(memory, tenant="quiet"), await consenting(memory, tenant="loud")
    writer = parts_of(memory).accesses
    await writer.flush()
    await quiet.search("plan")
    assert await writer.flush() == 0
    await loud.search("plan")
    assert await writer.flush() == 1


@pytest.mark.parametrize("isolation", list(Isolation))
async def test_a_write_beyond_the_quota_is_refused_and_says_by_how_much(
    memory: TieredMemory, isolation: Isolation
) -> None:
    await memory.tenants.register("acme", quota_mib=0.01, isolation=isolation)
    alice, bob = await consenting(memory, "alice"), await consenting(memory, "bob")
    with pytest.raises(QuotaExceededError, match=r"exceeded by \d+ bytes"):
        await fill(alice, bob)
    usage = await memory.tenants.usage("acme")
    assert 0.9 < usage.bytes / usage.quota_bytes <= 1  # type: ignore[operator]
    held = await contents(alice)
    with pytest.raises(QuotaExceededError):
        await alice.add("one more " + "long " * 400, importance=0.9)
    assert await contents(alice) == held
    await alice.delete((await alice.list())[0].id)
    await alice.add("there is room again " + "w " * 100, importance=0.9)
    await memory.tenants.change("acme", quota_mib=1)
    await alice.add("and more " + "long " * 400, importance=0.9)


async def test_writes_side_by_side_never_exceed_the_quota(memory: TieredMemory) -> None:
    await memory.tenants.register("acme", quota_mib=0.01)
    users = [await consenting(memory, f"u{number}") for number in range(12)]
    refused = []

    async def write(user: User) -> None:
        for number in range(4):
            try:
                await user.add(f"plan {number} " + "word " * 100, importance=0.9)
            except QuotaExceededError:
                refused.append(number)

    async with anyio.create_task_group() as tasks:
        for user in users:
            tasks.start_soon(write, user)
    used = await held_bytes(memory, "acme")
    assert refused
    assert 0.8 * 10_486 < used <= 10_486


async def test_a_quota_that_is_far_costs_no_sum_over_the_users(
    memory: TieredMemory, monkeypatch: pytest.MonkeyPatch
) -> None:
    await memory.tenants.register("acme", quota_mib=10)
    users = [await consenting(memory, f"u{number}") for number in range(4)]
    state, sums = parts_of(memory).core.state, []
    read = state.read

    async def counting(query: Any) -> Any:
        if isinstance(query, TenantBytes):
            sums.append(query)
        return await read(query)

    monkeypatch.setattr(state, "read", counting)
    for number in range(40):
        await users[number % 4].add(f"plan {number} is decided", importance=0.9)
    assert len(sums) == 1


async def test_restoring_counts_as_writing(data: Path, clock: ManualClock) -> None:
    async with opened(data, settings=LOCAL, clock=clock) as memory:
        await memory.tenants.register("acme", quota_mib=0.01)
        alice = await consenting(memory)
        await alice.add("fades " + "long " * 900, importance=0.4)
        faded = (await alice.list())[0].id
        clock.advance(200 * 86_400)
        await memory.forget(confirmed=True)
        assert [one.id for one in await alice.forgotten()] == [faded]
        await alice.add("new " + "words " * 1000, importance=0.9)
        with pytest.raises(QuotaExceededError):
            await alice.restore(faded)
        await memory.tenants.change("acme", quota_mib=1)
        assert (await alice.restore(faded)).id == faded


async def test_another_tenants_quota_bounds_nobody_else(memory: TieredMemory) -> None:
    await memory.tenants.register("small", quota_mib=0.001)
    small, large = await consenting(memory, tenant="small"), await consenting(memory, tenant="large")
    with pytest.raises(QuotaExceededError):
        await small.add("x " * 1000, importance=0.9)
    await large.add("x " * 1000, importance=0.9)


async def test_retention_and_audit_are_known_to_whoever_asks(memory: TieredMemory) -> None:
    core = parts_of(memory).core
    acme = core.names.tenant("acme")
    assert core.tenancy.ceiling_days(acme) is None
    await memory.tenants.register("acme", retention_days=7, audit=False)
    assert core.tenancy.ceiling_days(acme) == 7
    assert not core.tenancy.audits(acme)
    assert core.tenancy.audits(core.names.tenant("other"))
    alice = await consenting(memory)
    await alice.add("kept for a while", importance=0.9)
    await memory.tenants.change("acme", retention_days=3)
    assert core.tenancy.ceiling_days(acme) == 3


@pytest.mark.parametrize("isolation", list(Isolation))
async def test_other_retention_days_date_every_memory_of_the_tenant_anew(
    memory: TieredMemory, isolation: Isolation, monkeypatch: pytest.MonkeyPatch
) -> None:
    await memory.tenants.register("acme", isolation=isolation)
    for tenant in ("acme", "other"):
        await (await consenting(memory, tenant=tenant)).add("kept for a while", importance=0.9)
    dated, state = [], memory._branches.parts_of("acme").core.state
    write = state.write

    async def noting(command: Any) -> Any:
        dated.extend(one.row.subject for one in command.updates)
        return await write(command)

    def only(command: Any) -> Any:
        return noting(command) if isinstance(command, Reindex) else write(command)

    monkeypatch.setattr(state, "write", only)
    await memory.tenants.change("acme", quota_mib=5)
    assert dated == []
    await memory.tenants.change("acme", retention_days=3)
    names = memory._branches.parts_of("acme").core.names
    assert dated == [names.subject(Subject("acme", "alice"))]


# --- what they use -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("isolation", list(Isolation))
async def test_usage_counts_what_a_tenant_holds_and_nobody_elses(
    memory: TieredMemory, clock: ManualClock, isolation: Isolation
) -> None:
    await memory.tenants.register("acme", quota_mib=1, isolation=isolation)
    await memory.tenants.register("idle")
    alice, bob = await consenting(memory, "alice"), await consenting(memory, "bob")
    other = await consenting(memory, "alice", tenant="other")
    await alice.add("the plan is green", importance=0.9, session="s1")
    clock.advance(60)
    since = clock.now()
    await bob.add("the plan is blue", importance=0.9)
    await other.add("the plan is red", importance=0.9)
    usage = await memory.tenants.usage("acme", since=since)
    assert (usage.users, usage.memories, usage.written, usage.sessions) == (2, 2, 1, 1)
    assert usage.last_written_at == since
    assert usage.quota_share is not None
    assert 0 < usage.quota_share < 0.01
    idle = await memory.tenants.usage("idle")
    assert (idle.users, idle.bytes, idle.last_written_at, idle.quota_share) == (0, 0, None, None)


# --- nobody sees another's -----------------------------------------------------------------------------------

HOSTILE = [
    ("a", "bc"),
    ("ab", "c"),
    ("abc", " "),
    ("a|b", "c"),
    ("a", "b|c"),
    ("acme", "alice"),
    ("acme", "\u0430lice"),
    ("\u0430cme", "alice"),
    ("ACME", "alice"),
    ("acme ", "alice"),
    ("caf\u00e9", "alice"),
    ("cafe\u0301", "alice"),
    ("\uff41cme", "alice"),
    ("acme/../acme", "alice"),
    ("tenant", "tenant"),
]


@pytest.mark.parametrize("isolation", [None, *Isolation])
async def test_ids_that_look_alike_never_cross(memory: TieredMemory, isolation: Isolation | None) -> None:
    tenants = {tenant for tenant, _ in HOSTILE}
    for tenant in tenants if isolation else ():
        await memory.tenants.register(tenant, isolation=isolation or "minimal")
    for number, (tenant, user) in enumerate(HOSTILE):
        person = await consenting(memory, user, tenant=tenant)
        await person.add(f"the secret code word is marker{number}", importance=0.9)
    for number, (tenant, user) in enumerate(HOSTILE):
        person = memory.user(user, tenant=tenant)
        hits = await person.search("secret code word marker", limit=100)
        assert [hit.memory.content for hit in hits] == [f"the secret code word is marker{number}"]


async def test_a_subject_row_of_another_tenant_is_not_loaded(data: Path) -> None:
    async with opened(data, settings=LOCAL) as memory:
        await (await consenting(memory)).add("mine", importance=0.9)
        await (await consenting(memory, tenant="other")).add("theirs", importance=0.9)
        names = parts_of(memory).core.names
        acme, other = names.tenant("acme"), names.tenant("other")
    with contextlib.closing(state_of(data)) as db:
        db.execute("UPDATE subjects SET tenant = ? WHERE tenant = ?", (other, acme))
    async with opened(data, settings=LOCAL) as memory:
        with pytest.raises(CorruptionError, match="another tenant"):
            await memory.user("alice", tenant="acme").list()
        assert await contents(memory.user("alice", tenant="other")) == ["theirs"]
