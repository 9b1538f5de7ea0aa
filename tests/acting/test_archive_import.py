"""What was taken out can be taken in again: whole, once, on lawful grounds, and never to be kept for longer."""

from __future__ import annotations

import tempfile
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import anyio
import pytest
from archive_tools import every_problem, lines
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support import PURPOSE, TWO_PURPOSES, consenting, contents, opened, parts_of

from tiered_memory import Filter, Interaction, TieredMemory, User
from tiered_memory.archive_import import DELETED_HERE, PAST_CEILING
from tiered_memory.archive_lines import EPHEMERAL_THERE, FORGOTTEN_THERE
from tiered_memory.errors import (
    ConsentRequiredError,
    InvalidInputError,
    QuotaExceededError,
    SubjectErasedError,
)
from tiered_memory.model import Kind, Memory, Role, Sensitivity, SourceKind
from tiered_memory.testing import ManualClock

pytestmark = pytest.mark.anyio
EVERY = Filter(include_superseded=True)


async def facts(user: User, count: int = 3) -> None:
    await user.add_many([Interaction(content=f"fact number {n}", importance=0.9) for n in range(count)])


async def everything(user: User) -> list[Memory]:
    return sorted(await user.list(where=EVERY, limit=10_000), key=lambda one: one.order)


async def test_an_erased_person_comes_back_as_they_left(
    memory: TieredMemory, alice: User, clock: ManualClock, tmp_path: Path
) -> None:
    old = await alice.add("I live in Leipzig", session="s1", importance=0.9, metadata={"channel": "chat"})
    new = await alice.add("I moved to Hamburg, I live in Hamburg now", session="s1", importance=0.9)
    before = await everything(alice)
    made = await alice.export(tmp_path)
    await alice.erase(reason="request")
    clock.advance(timedelta(days=5))
    alice = await consenting(memory)
    report = await alice.import_archive(made.path)
    assert (report.added, report.skipped, report.refused) == (2, 0, {})
    after = await everything(alice)
    assert [same(one, after) for one in after] == [same(one, before) for one in before]
    assert [one.provenance.origin_id for one in after] == [old.id, new.id]
    assert {one.provenance.source for one in after} == {SourceKind.IMPORT}
    assert [hit.memory.content for hit in await alice.search("where do I live?")][:1] == [before[1].content]
    history = await alice.history(after[0].id)
    assert [one.memory.id for one in history] == [one.id for one in after]


def same(memory: Memory, among: list[Memory]) -> dict[str, Any]:
    """Return what must not change of a memory; what it names is named by its content."""
    by_id = {one.id: one.content for one in among}
    fields = (
        "content",
        "role",
        "kind",
        "sensitivity",
        "purpose",
        "lawful_basis",
        "occurred_at",
        "ingested_at",
    )
    more = (
        "author",
        "session",
        "agent",
        "metadata",
        "importance",
        "reasons",
        "valid_from",
        "valid_to",
        "language",
    )
    linked = {
        "superseded_by": memory.superseded_by and by_id[memory.superseded_by],
        "supersedes": [by_id[one] for one in memory.supersedes],
        "conflicts": [by_id[one] for one in memory.conflicts_with],
        "repeats": [(one.id, one.occurred_at, one.session) for one in memory.repeats],
        "offset": memory.occurred_at.utcoffset(),
    }
    return {name: getattr(memory, name) for name in (*fields, *more)} | linked


EARLY = datetime(2025, 6, 1, tzinfo=timezone(timedelta(hours=2)))
WORDS = st.sampled_from(
    ["I live in Leipzig", "I live in Hamburg", "My dog is Rex", "会議は九時", "Tea, not coffee", "🙂"]
)
SAID = st.builds(
    Interaction,
    content=st.builds(lambda words, n: f"{words} {n}", WORDS, st.integers(0, 3)),
    role=st.sampled_from([Role.USER, Role.ASSISTANT]),
    author=st.none() | st.sampled_from(["Ada", "Bo"]),
    session=st.none() | st.sampled_from(["s1", "s2"]),
    occurred_at=st.integers(0, 300_000).map(lambda n: EARLY + timedelta(minutes=n)),
    kind=st.sampled_from([Kind.EPISODIC, Kind.SEMANTIC]),
    sensitivity=st.sampled_from(Sensitivity),
    importance=st.floats(0.5, 1),
    metadata=st.dictionaries(
        st.sampled_from(["a", "b"]), st.integers().filter(lambda n: abs(n) < 2**60), max_size=2
    ),
)


@settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(SAID, min_size=1, max_size=6))
async def test_out_and_in_again_is_the_same(said: list[Interaction]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        async with opened(
            Path(folder) / "data", settings={"redis_url": "local"}, clock=ManualClock()
        ) as memory:
            alice = await consenting(memory)
            for one in said:
                await alice.add_many([one])
            before = await everything(alice)
            first = await alice.export(Path(folder) / "first.zip")
            await alice.erase(reason="request")
            alice = await consenting(memory)
            await alice.import_archive(first.path)
            after = await everything(alice)
            assert [same(one, after) for one in after] == [same(one, before) for one in before]
            second = await alice.export(Path(folder) / "second.zip")
            assert every_problem(second.path) == []
            kept = ("content", "occurred_at", "ingested_at", "metadata", "state")
            out, again = (lines(one.path, "memories.jsonl") for one in (first, second))
            assert [[one.get(key) for key in kept] for one in out] == [
                [one.get(key) for key in kept] for one in again
            ]


async def test_repeating_an_import_adds_nothing(memory: TieredMemory, alice: User, tmp_path: Path) -> None:
    await facts(alice)
    made = await alice.export(tmp_path)
    assert (await alice.import_archive(made.path)).skipped == 3
    await alice.erase(reason="request")
    alice = await consenting(memory)
    assert (await alice.import_archive(made.path)).added == 3
    report = await alice.import_archive(made.path)
    assert (report.added, report.skipped) == (0, 3)
    later = await alice.export(tmp_path / "later.zip")
    assert (await alice.import_archive(later.path)).skipped == 3
    assert len(await contents(alice)) == 3


async def test_what_was_deleted_here_stays_deleted(memory: TieredMemory, alice: User, tmp_path: Path) -> None:
    await facts(alice)
    made = await alice.export(tmp_path)
    await alice.delete((await alice.list())[0].id)
    report = await alice.import_archive(made.path)
    assert (report.added, report.skipped, report.refused) == (0, 2, {DELETED_HERE: 1})
    assert len(await contents(alice)) == 2


async def test_without_consent_nothing_is_taken_in(memory: TieredMemory, alice: User, tmp_path: Path) -> None:
    await facts(alice)
    made = await alice.export(tmp_path)
    await alice.erase(reason="request")
    with pytest.raises(ConsentRequiredError, match="grant"):
        await alice.import_archive(made.path)
    assert await contents(alice) == []


async def test_too_sensitive_ones_are_refused_by_themselves(
    memory: TieredMemory, alice: User, tmp_path: Path
) -> None:
    await facts(alice)
    secret = await alice.add("my diagnosis", sensitivity="restricted", importance=0.9)
    made = await alice.export(tmp_path)
    await alice.erase(reason="request")
    await alice.consent.grant(PURPOSE, notice="notice 2")
    report = await alice.import_archive(made.path)
    assert report.added == 3
    assert report.refused == {"restricted data needs explicit consent": 1}
    assert [one.id for one in report.listed] == [secret.id]


async def test_a_ceiling_counts_from_the_first_day_it_was_held(
    memory: TieredMemory, alice: User, clock: ManualClock, tmp_path: Path
) -> None:
    await alice.add("secret", sensitivity="restricted", importance=1.0)
    since = (await alice.list())[0].ingested_at
    made = await alice.export(tmp_path)
    await alice.erase(reason="request")
    clock.advance(timedelta(days=29))
    alice = await consenting(memory)
    assert (await alice.import_archive(made.path)).added == 1
    kept = (await alice.list())[0]
    assert kept.ingested_at == since
    assert (await alice.explain(kept.id)).deadline == since + timedelta(days=30)
    await alice.erase(reason="request")
    clock.advance(timedelta(days=2))
    alice = await consenting(memory)
    assert (await alice.import_archive(made.path)).refused == {PAST_CEILING: 1}


async def test_what_had_faded_or_was_never_kept_is_not_brought_back(
    memory: TieredMemory, alice: User, clock: ManualClock, tmp_path: Path
) -> None:
    await alice.add("The old bike was green", importance=0.25)
    clock.advance(timedelta(days=120))
    await alice.forget(confirmed=True)
    await alice.add("hello there", session="s2")
    made = await alice.export(tmp_path)
    await alice.erase(reason="request")
    alice = await consenting(memory)
    assert (await alice.import_archive(made.path)).refused == {FORGOTTEN_THERE: 1, EPHEMERAL_THERE: 1}
    assert await contents(alice) == []


async def test_portable_data_is_scored_anew(memory: TieredMemory, alice: User, tmp_path: Path) -> None:
    await alice.add("My sister Ines moved to Lisbon in May", importance=0.31)
    made = await alice.export(tmp_path, kind="portability")
    await alice.erase(reason="request")
    alice = await consenting(memory)
    assert (await alice.import_archive(made.path)).added == 1
    found = (await alice.list())[0]
    assert found.importance != 0.31
    assert found.reasons
    again = await alice.export(tmp_path / "again.zip", kind="portability")
    assert again.memories == 1


async def test_another_purpose_can_be_chosen(data: Path, tmp_path: Path) -> None:
    (tmp_path / "two.toml").write_text(TWO_PURPOSES)
    async with opened(data, settings={"policy": str(tmp_path / "two.toml")}) as memory:
        alice = memory.user("alice")
        await alice.consent.grant("advice", notice="n")
        await facts(alice)
        made = await alice.export(tmp_path)
        await alice.erase(reason="request")
        with pytest.raises(ConsentRequiredError):
            await alice.import_archive(made.path)
        with pytest.raises(InvalidInputError, match="policy knows no such purpose"):
            await alice.import_archive(made.path, purpose="fun")
        assert (await alice.import_archive(made.path, purpose="service")).added == 3
        assert {one.lawful_basis for one in await alice.list()} == {"contract"}


async def test_an_archive_of_somebody_else_is_refused_unless_asked_for(
    memory: TieredMemory, alice: User, tmp_path: Path
) -> None:
    await facts(alice)
    made = await alice.export(tmp_path)
    bob = await consenting(memory, "bob")
    with pytest.raises(InvalidInputError, match="somebody else"):
        await bob.import_archive(made.path)
    assert await contents(bob) == []
    assert (await bob.import_archive(made.path, accept_other_subject=True)).added == 3


async def test_an_archive_of_another_store_needs_its_key(data: Path, tmp_path: Path) -> None:
    async with opened(data) as there:
        alice = await consenting(there)
        await facts(alice)
        made = await alice.export(tmp_path)
    async with opened(tmp_path / "other") as here:
        alice = await consenting(here)
        for key in (None, "00" * 32):
            with pytest.raises(InvalidInputError, match="public key"):
                await alice.import_archive(made.path, public_key=key)
        with pytest.raises(InvalidInputError, match="64 hex"):
            await alice.import_archive(made.path, public_key="abc")
        assert await contents(alice) == []
        assert (await alice.import_archive(made.path, public_key=made.public_key)).added == 3
        assert {one.trust for one in await alice.list()} == {0.5}
        await here.drain()
    async with opened(tmp_path / "other") as here:
        assert len(await contents(here.user("alice", tenant="acme"))) == 3


async def test_who_is_erased_during_an_import_stays_erased(
    memory: TieredMemory, alice: User, tmp_path: Path
) -> None:
    await facts(alice, 250)
    made = await alice.export(tmp_path)
    await alice.erase(reason="request")
    alice = await consenting(memory)
    async with anyio.create_task_group() as tasks:

        async def erase() -> None:
            await alice.erase(reason="again")

        with pytest.raises(SubjectErasedError):
            await alice.import_archive(
                made.path, progress=lambda done, _: done == 100 and tasks.start_soon(erase)
            )
    assert await contents(alice) == []
    held = await parts_of(memory).core.state.read(held_of(memory))
    assert held.total == 0


def held_of(memory: TieredMemory) -> Any:
    from tiered_memory.model import Subject
    from tiered_memory.state.commands import HeldOf

    return HeldOf(parts_of(memory).core.names.subject(Subject("acme", "alice")))


async def test_a_quota_holds_for_imports(data: Path, tmp_path: Path) -> None:
    async with opened(data) as memory:
        alice = await consenting(memory)
        await facts(alice, 5)
        made = await alice.export(tmp_path)
    rules = parts_policy(tmp_path)
    async with opened(tmp_path / "small", settings={"policy": str(rules)}) as memory:
        alice = await consenting(memory)
        with pytest.raises(QuotaExceededError):
            await alice.import_archive(made.path, public_key=made.public_key)
        assert await contents(alice) == []


def parts_policy(folder: Path) -> Path:
    path = folder / "small.toml"
    path.write_text('schema = 1\nname = "small"\n[quota]\nmax_items = 3\n')
    return path


async def test_an_import_is_in_the_ledger(memory: TieredMemory, alice: User, tmp_path: Path) -> None:
    await facts(alice)
    made = await alice.export(tmp_path)
    await alice.erase(reason="request")
    alice = await consenting(memory)
    await alice.import_archive(made.path)
    assert {one.event: one.count for one in (await alice.about()).recorded}["imported"] == 1
    assert (await memory.ledger.verify()).sound


async def test_the_import_counts_up_to_all(memory: TieredMemory, alice: User, tmp_path: Path) -> None:
    await facts(alice, 250)
    made = await alice.export(tmp_path)
    await alice.erase(reason="request")
    alice = await consenting(memory)
    told: list[tuple[int, int]] = []
    await alice.import_archive(made.path, progress=lambda done, total: told.append((done, total)))
    assert told == [(100, 250), (200, 250), (250, 250)]
