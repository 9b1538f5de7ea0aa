"""Named retention rules at work: explained by name, counted from events, and every purge run logged without content."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from support import consenting, contents, opened, parts_of, sqlite_rows, state_pages

from tiered_memory import TieredMemory, User
from tiered_memory.errors import ConsentRequiredError, InvalidInputError, SubjectErasedError
from tiered_memory.failpoints import arm
from tiered_memory.model import Durability
from tiered_memory.purge_log import NEWEST, PurgeLog
from tiered_memory.state.holds import UnsettleTenant
from tiered_memory.testing import ManualClock

pytestmark = pytest.mark.anyio
HEAD = """
schema = 1
name = "rules"
jurisdiction = "EU"
[forgetting]
undo_days = 0
max_share_per_cycle = 1
[retention.internal]
ceiling_days = "none"
[retention.public]
ceiling_days = "none"
[retention.confidential]
ceiling_days = "none"
[retention.restricted]
ceiling_days = "none"
"""
RULES = (
    HEAD
    + """
[[retention_rules]]
name = "contract"
record_class = "memory"
basis = "the sales contract, § 4"
trigger = "contract_end"
min_keep_days = 10
max_keep_days = 30

[[retention_rules]]
name = "profiles"
record_class = "profile"
jurisdiction = "EU"
basis = "the records of processing, no 3"
trigger = "contract_end"
max_keep_days = 12

[[retention_rules]]
name = "elsewhere"
record_class = "memory"
jurisdiction = "US"
basis = "a law of another place"
max_keep_days = 1
"""
)


def under(data: Path, clock: ManualClock, text: str = RULES) -> Any:
    path = data.parent / "rules.toml"
    path.write_text(text)
    return opened(data, clock=clock, settings={"policy": str(path)})


@pytest.fixture
async def ruled(data: Path, clock: ManualClock) -> Any:
    async with under(data, clock) as memory:
        yield memory


async def two(alice: User) -> tuple[str, str]:
    said = await alice.add("the quagga is ours", importance=0.9)
    told = await alice.add("my name is Alice", importance=0.9, kind="profile", metadata={"key": "name"})
    return said.id, told.id


async def test_an_explanation_names_the_rule_and_its_basis(memory: TieredMemory) -> None:
    alice = await consenting(memory)
    receipt = await alice.add("I will always remember this", importance=1.0)
    found = await alice.explain(receipt.id)
    assert found.deadline_rule == "ceiling"
    assert (found.retention_rule, found.retention_basis) == ("retention.internal", None)


async def test_until_the_event_the_floor_keeps_everything(ruled: TieredMemory, clock: ManualClock) -> None:
    alice = await consenting(ruled)
    said, _ = await two(alice)
    clock.advance(timedelta(days=3000))
    assert (await ruled.forget(confirmed=True)).removed == ()
    found = await alice.explain(said)
    assert (found.deadline, found.deadline_rule) == (None, "floor")
    assert (found.retention_rule, found.retention_basis) == ("contract", "the sales contract, § 4")


async def test_after_the_event_the_strictest_ceiling_of_each_class_counts_from_it(
    ruled: TieredMemory, clock: ManualClock
) -> None:
    alice = await consenting(ruled)
    said, told = await two(alice)
    clock.advance(timedelta(days=100))
    await alice.used([said, told])
    ended = clock.now()
    await alice.retention.event("contract_end")
    later = await alice.explain(said)
    assert (later.deadline, later.retention_rule) == (ended + timedelta(days=30), "contract")
    sooner = await alice.explain(told)
    assert (sooner.deadline, sooner.retention_rule) == (ended + timedelta(days=12), "profiles")
    clock.advance(timedelta(days=12))
    assert (await ruled.forget()).removed == (told,)
    clock.advance(timedelta(days=18))
    assert (await ruled.forget()).removed == (said,)


async def test_what_comes_after_the_event_counts_from_its_own_ingestion(
    ruled: TieredMemory, clock: ManualClock
) -> None:
    alice = await consenting(ruled)
    await two(alice)
    await alice.retention.event("contract_end")
    clock.advance(timedelta(days=20))
    receipt = await alice.add("the dodo is ours", importance=1.0)
    assert (await alice.explain(receipt.id)).deadline == clock.now() + timedelta(days=30)


async def test_a_corrected_event_moves_the_deadlines_again(ruled: TieredMemory, clock: ManualClock) -> None:
    alice = await consenting(ruled)
    said, _ = await two(alice)
    clock.advance(timedelta(days=50))
    await alice.retention.event("contract_end")
    await alice.retention.event("contract_end", at=clock.now() - timedelta(days=10))
    assert (await alice.explain(said)).deadline == clock.now() + timedelta(days=20)


async def test_an_event_outlives_the_process_and_another_user_is_not_meant(
    data: Path, clock: ManualClock
) -> None:
    async with under(data, clock) as memory:
        alice, bob = await consenting(memory), await consenting(memory, "bob")
        await two(alice)
        await two(bob)
        await memory.drain()
        await alice.retention.event("contract_end")
    clock.advance(timedelta(days=40))
    async with under(data, clock) as memory:
        assert len((await memory.forget(confirmed=True)).removed) == 2
        assert await contents(memory.user("alice", tenant="acme")) == []
        assert len(await contents(memory.user("bob", tenant="acme"))) == 2


async def test_a_cut_between_the_event_and_its_deadlines_is_made_up_for(
    data: Path, clock: ManualClock
) -> None:
    class Cut(Exception):  # noqa: N818 - it stands for a power cut
        pass

    def cut(point: str) -> None:
        if point == "event.after_entry":
            raise Cut

    async with under(data, clock) as memory:
        alice = await consenting(memory)
        await two(alice)
        await memory.drain()
        arm(cut)
        with pytest.raises(Cut):
            await alice.retention.event("contract_end")
        arm(None)
        clock.advance(timedelta(days=31))
        assert len((await memory.forget(confirmed=True)).removed) == 2


async def test_an_erasure_forgets_the_events_as_well(ruled: TieredMemory) -> None:
    alice = await consenting(ruled)
    said, _ = await two(alice)
    await alice.retention.event("contract_end")
    await alice.erase(reason="asked")
    alice = await consenting(ruled)
    said, _ = await two(alice)
    assert (await alice.explain(said)).deadline is None


@pytest.mark.parametrize("name", ["", "ingested", "x" * 300])
async def test_what_is_no_event_is_refused(ruled: TieredMemory, name: str) -> None:
    alice = await consenting(ruled)
    with pytest.raises(InvalidInputError):
        await alice.retention.event(name)


async def test_a_tenants_ceiling_shortens_and_is_named(memory: TieredMemory, clock: ManualClock) -> None:
    """The seam for tenants: a ceiling by a tenant's pseudonym, for whoever's tenant is known."""
    core = parts_of(memory).core
    acme = core.names.tenant("acme")
    core.terms.tenant_ceiling_days = {acme: 5.0}.get
    alice = await consenting(memory)
    receipt = await alice.add("the quagga is ours", importance=1.0)
    found = await alice.explain(receipt.id)
    assert (found.deadline, found.retention_rule) == (clock.now() + timedelta(days=5), "tenant ceiling")
    core.terms.tenant_ceiling_days = {acme: 3.0}.get
    await core.state.write(UnsettleTenant(acme))
    await parts_of(memory).sweeper.settle_deadlines()
    assert (await alice.explain(receipt.id)).deadline == clock.now() + timedelta(days=3)
    core.terms.forget(core.names.subject(alice.subject))
    clock.advance(timedelta(days=3))
    assert (await memory.forget(confirmed=True)).removed == (receipt.id,)
    other = await consenting(memory, "bob", "umbrella")
    receipt = await other.add("the dodo is ours", importance=1.0)
    assert (await other.explain(receipt.id)).retention_rule == "retention.internal"


async def test_a_purpose_that_keeps_nothing_keeps_nothing(data: Path, clock: ManualClock) -> None:
    async with opened(data, clock=clock, settings={"policy": "ephemeral"}) as memory:
        alice = memory.user("alice", tenant="acme")
        with pytest.raises(InvalidInputError, match="nothing to consent to"):
            await alice.consent.grant("session", notice="n")
        receipt = await alice.add("the quagga is ours", importance=1.0)
        assert receipt.durability is Durability.EPHEMERAL
        with pytest.raises(ConsentRequiredError):
            await alice.add("the dodo is ours", durability=Durability.JOURNALED)
        await memory.drain()
    assert sqlite_rows(data, "memories") == []
    assert sqlite_rows(data, "subjects") == []


# --- purge runs ----------------------------------------------------------------------------------------------


async def test_a_purge_run_is_logged_with_counts_and_nothing_else(data: Path, clock: ManualClock) -> None:
    async with under(data, clock, HEAD.replace('ceiling_days = "none"', "ceiling_days = 9", 1)) as memory:
        alice = await consenting(memory)
        for number in range(3):
            await alice.add(f"the quagga {number} is ours", importance=1.0)
        await alice.add("it rains", importance=0.3, sensitivity="public")
        assert await memory.purge_runs() == []
        await memory.forget()
        assert await memory.purge_runs() == []
        clock.advance(timedelta(days=100))
        await memory.forget(dry_run=True)
        assert await memory.purge_runs() == []
        await memory.forget(confirmed=True)
        (one,) = await memory.purge_runs()
        assert one.at == clock.now()
        assert one.counts == {"purged/internal/ceiling": 3, "purged/public/decay": 1}
        leaves = [bytes(row["leaf"]) for row in sqlite_rows(data, "audit")]
        told = [leaf for leaf in leaves if b"purge_run" in leaf]
        assert len(told) == 1
        assert b'"purged/internal/ceiling":3' in told[0]
        assert b'"subject":""' in told[0]
    assert b"quagga" not in state_pages(data)


async def test_the_newest_runs_are_kept(memory: TieredMemory, clock: ManualClock) -> None:
    log = PurgeLog(parts_of(memory).core)
    for number in range(NEWEST + 3):
        clock.advance(timedelta(seconds=1))
        await log.note({"purged/internal/decay": number + 1})
    found = await memory.purge_runs()
    assert [one.counts["purged/internal/decay"] for one in found] == list(range(4, NEWEST + 4))


async def test_an_event_of_an_erased_user_is_refused(memory: TieredMemory) -> None:
    alice = await consenting(memory)
    async with alice._using("rights") as (parts, active):
        await alice.erase(reason="asked")
        with pytest.raises(SubjectErasedError):
            await parts.holds.event(active, "contract_end", 1)
        active.alive = True
