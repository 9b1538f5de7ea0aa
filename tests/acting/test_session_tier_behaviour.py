"""The warm tier's sessions: bounded, ended, resumed, and fenced by generation."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import msgpack
import pytest

from tiered_memory.clock import to_us
from tiered_memory.errors import ConfigurationError, CorruptionError, SubjectErasedError
from tiered_memory.model import Role
from tiered_memory.policy.rules import WarmRules
from tiered_memory.scoring.packing import BufferedTurn
from tiered_memory.testing import ManualClock, record_numbered, subject_named
from tiered_memory.tiers import session_buffer, session_tier
from tiered_memory.tiers.base import SubjectRef, TierRecord
from tiered_memory.tiers.session_buffer import TURN_MAGIC
from tiered_memory.tiers.session_tier import EndedSession, SessionTier, decode_turn, encode_turn

pytestmark = pytest.mark.anyio

ALICE = subject_named("alice")
BOB = subject_named("bob")
RULES = WarmRules(token_budget=100, session_idle_minutes=10, max_sessions_per_user=3)


def turn(order: int, role: Role = Role.USER, tokens: int = 10, memory_id: str | None = None) -> BufferedTurn:
    return BufferedTurn(
        id=f"t{order}",
        order=order,
        role=role,
        content=f"turn {order}",
        tokens=tokens,
        importance=0.5,
        occurred_at=datetime(2026, 1, 1, 9, tzinfo=timezone(timedelta(hours=2))),
        author="Ann",
        memory_id=memory_id,
    )


def risen(subject: SubjectRef) -> SubjectRef:
    return replace(subject, generation=subject.generation + 1)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def tier(clock: ManualClock) -> SessionTier:
    return SessionTier(RULES, clock, max_sessions=5)


def test_turns_come_back_in_order_whatever_order_they_came_in(tier: SessionTier) -> None:
    for order in (2, 0, 1):
        tier.append(ALICE, "s1", turn(order))
    assert tier.turns(ALICE, "s1") == (turn(0), turn(1), turn(2))
    assert tier.turns(ALICE, "s2") == ()
    assert tier.turns(BOB, "s1") == ()


def test_appending_twice_is_appending_once(tier: SessionTier) -> None:
    tier.append(ALICE, "s1", turn(1), version=2)
    tier.append(ALICE, "s1", turn(1), version=2)
    tier.append(ALICE, "s1", replace(turn(1), content="stale"), version=1)
    assert tier.turns(ALICE, "s1") == (turn(1),)


def test_a_buffer_stays_within_its_budget_and_says_what_it_dropped(tier: SessionTier) -> None:
    dropped: list[BufferedTurn] = []
    for order in range(50):
        role = Role.ASSISTANT if order % 2 else Role.USER
        dropped.extend(tier.append(ALICE, "s1", turn(order, role)).dropped)
        assert sum(held.tokens for held in tier.turns(ALICE, "s1")) <= RULES.token_budget
    assert sorted([*dropped, *tier.turns(ALICE, "s1")], key=lambda held: held.order) == [
        turn(order, Role.ASSISTANT if order % 2 else Role.USER) for order in range(50)
    ]


def test_a_users_sessions_are_bounded(tier: SessionTier) -> None:
    for name in ("s1", "s2", "s3"):
        tier.append(ALICE, name, turn(int(name[1])))
    tier.turns(ALICE, "s1")
    ended = tier.append(ALICE, "s4", turn(4)).ended
    assert [(gone.session, gone.turns, gone.reason) for gone in ended] == [("s2", (turn(2),), "evicted")]
    assert tier.sessions(ALICE) == ("s3", "s1", "s4")


def test_all_sessions_are_bounded_and_the_longest_untouched_leaves(tier: SessionTier) -> None:
    users = [subject_named(f"user {number}") for number in range(6)]
    ended = [gone for user in users for gone in tier.append(user, "s", turn(1)).ended]
    assert [(gone.subject, gone.session) for gone in ended] == [(users[0], "s")]
    assert tier.session_count == 5


async def test_what_put_pushes_out_is_reported(clock: ManualClock) -> None:
    gone: list[EndedSession] = []
    tier = SessionTier(RULES, clock, max_sessions=1, on_evicted=gone.append)
    tier.append(ALICE, "s1", turn(1))
    await tier.put(BOB, [TierRecord("b", 1, 1, encode_turn(turn(2), "s1"))])
    assert [(ended.subject, ended.turns) for ended in gone] == [(ALICE, (turn(1),))]


def test_idle_sessions_end_once(tier: SessionTier, clock: ManualClock) -> None:
    tier.append(ALICE, "old", turn(1))
    clock.advance(timedelta(minutes=6))
    tier.append(ALICE, "new", turn(2))
    clock.advance(timedelta(minutes=4))
    ended = tier.end_idle(to_us(clock.now()))
    assert [(gone.session, gone.turns, gone.reason) for gone in ended] == [("old", (turn(1),), "idle")]
    assert tier.end_idle(to_us(clock.now())) == []
    assert tier.sessions(ALICE) == ("new",)


def test_an_ended_session_can_be_resumed(tier: SessionTier, clock: ManualClock) -> None:
    tier.append(ALICE, "s1", turn(1))
    tier.append(ALICE, "s1", turn(2, Role.ASSISTANT))
    clock.advance(timedelta(hours=1))
    (ended,) = tier.end_idle(to_us(clock.now()))
    tier.append(ALICE, "s1", turn(9))
    tier.replace(ALICE, ended.session, ended.turns)
    assert tier.turns(ALICE, "s1") == ended.turns == (turn(1), turn(2, Role.ASSISTANT))


def test_resuming_with_nothing_leaves_nothing(tier: SessionTier) -> None:
    tier.append(ALICE, "s1", turn(1))
    tier.replace(ALICE, "s1", [])
    assert tier.sessions(ALICE) == ()
    assert tier.session_count == 0


def test_a_clock_that_goes_back_ends_nothing(tier: SessionTier, clock: ManualClock) -> None:
    tier.append(ALICE, "s1", turn(1))
    clock.set(datetime(2020, 1, 1, tzinfo=UTC))
    tier.append(ALICE, "s1", turn(2))
    assert tier.end_idle(to_us(clock.now())) == []
    assert len(tier.turns(ALICE, "s1")) == 2


def test_a_turn_whose_time_has_passed_is_not_shown(tier: SessionTier, clock: ManualClock) -> None:
    tier.append(ALICE, "s1", turn(1), expires_at_us=to_us(clock.now()) + 1_000_000)
    tier.append(ALICE, "s1", turn(2))
    clock.advance(1)
    assert tier.turns(ALICE, "s1") == (turn(2),)


def test_a_session_is_forgotten_alone(tier: SessionTier) -> None:
    tier.append(ALICE, "s1", turn(1))
    tier.append(ALICE, "s2", turn(2))
    assert tier.forget_session(ALICE, "s1") == 1
    assert tier.forget_session(ALICE, "s1") == 0
    assert tier.sessions(ALICE) == ("s2",)


async def test_a_removed_memory_leaves_every_session(tier: SessionTier) -> None:
    tier.append(ALICE, "s1", turn(1, memory_id="m1"))
    tier.append(ALICE, "s1", turn(2, memory_id="m2"))
    tier.append(ALICE, "s2", turn(3, memory_id="m1"))
    assert await tier.remove(ALICE, ["m1", "unknown"]) == 2
    assert await tier.remove(ALICE, ["t2"]) == 1
    assert await tier.scan(ALICE) == []
    assert tier.session_count == 0


async def test_a_dropped_generation_cannot_write_or_read(tier: SessionTier) -> None:
    tier.append(ALICE, "s1", turn(1))
    assert await tier.drop(risen(ALICE)) == 1
    with pytest.raises(SubjectErasedError):
        tier.append(ALICE, "s1", turn(2))
    with pytest.raises(SubjectErasedError):
        tier.replace(ALICE, "s1", [turn(2)])
    with pytest.raises(SubjectErasedError):
        await tier.put(ALICE, [record_numbered(1)])
    tier.append(risen(ALICE), "s1", turn(3))
    assert tier.turns(ALICE, "s1") == ()
    assert tier.sessions(ALICE) == ()
    assert await tier.scan(ALICE) == []
    assert await tier.remove(ALICE, ["t3"]) == 0
    assert tier.turns(risen(ALICE), "s1") == (turn(3),)


async def test_a_late_drop_spares_the_next_generation(tier: SessionTier) -> None:
    tier.append(risen(ALICE), "s1", turn(1))
    assert await tier.drop(ALICE) == 0
    assert tier.turns(risen(ALICE), "s1") == (turn(1),)


@pytest.mark.parametrize("write", [True, False])
def test_a_higher_generation_finds_nothing_of_the_lower(tier: SessionTier, write: bool) -> None:
    tier.append(ALICE, "s1", turn(1))
    if write:
        tier.append(risen(ALICE), "s1", turn(2))
    assert tier.turns(risen(ALICE), "s1") == ((turn(2),) if write else ())
    with pytest.raises(SubjectErasedError):
        tier.append(ALICE, "s1", turn(3))


def test_a_generation_is_remembered_when_its_sessions_are_gone(tier: SessionTier) -> None:
    tier.append(risen(ALICE), "s1", turn(1))
    tier.forget_session(risen(ALICE), "s1")
    with pytest.raises(SubjectErasedError):
        tier.append(ALICE, "s1", turn(2))


def test_a_turn_survives_encoding() -> None:
    before = replace(turn(7, memory_id="m7"), pinned=True, content="naïve 你好 🌱")
    session, after = decode_turn(encode_turn(before, "s1"))
    assert (session, after) == ("s1", before)
    assert after.occurred_at.utcoffset() == timedelta(hours=2)


@pytest.mark.parametrize(
    "payload", [b"", b"sealed", encode_turn(turn(1), "s1")[:-1], b"\xc1turn\x80", b"\xc1turn\x07"]
)
def test_damaged_turns_are_refused(payload: bytes) -> None:
    with pytest.raises(CorruptionError):
        decode_turn(payload)


async def test_a_damaged_turn_stores_nothing(tier: SessionTier) -> None:
    damaged = TierRecord("x", 2, 1, encode_turn(turn(2), "s1")[:-1])
    with pytest.raises(CorruptionError):
        await tier.put(ALICE, [TierRecord("t1", 1, 1, encode_turn(turn(1), "s1")), damaged])
    assert await tier.scan(ALICE) == []


def test_a_turn_of_a_later_format_is_refused() -> None:
    later = TURN_MAGIC + msgpack.packb({"f": 2})
    with pytest.raises(CorruptionError, match="a format this version does not know"):
        decode_turn(later)


async def test_records_that_are_no_turns_are_bounded(
    tier: SessionTier, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session_buffer, "MOST_LOOSE_RECORDS", 3)
    await tier.put(ALICE, [record_numbered(order) for order in (5, 1, 4, 2, 3)])
    assert [record.order for record in await tier.scan(ALICE)] == [5, 4, 3]


async def test_remembered_generations_are_bounded(tier: SessionTier, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session_tier, "MOST_FENCES", 2)
    users = [subject_named(f"user {number}") for number in range(3)]
    for user in users:
        await tier.drop(risen(user))
    tier.append(users[0], "s1", turn(1))
    for user in users[1:]:
        with pytest.raises(SubjectErasedError):
            tier.append(user, "s1", turn(1))


def test_a_bound_below_one_is_refused(clock: ManualClock) -> None:
    with pytest.raises(ConfigurationError):
        SessionTier(RULES, clock, max_sessions=0)
