"""What the ranking knows reaches a search through the whole runtime: time, related words, passages."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from support import consenting, opened

from tiered_memory import TieredMemory, User
from tiered_memory.testing import ManualClock

pytestmark = pytest.mark.anyio

TOKYO = timezone(timedelta(hours=9))
LONG = "We went on about the harbour wall and who is to pay for it. " * 15


async def best(user: User, question: str) -> str:
    return (await user.search(question, limit=1))[0].memory.content


async def test_a_question_about_yesterday_finds_what_was_said_then(alice: User, clock: ManualClock) -> None:
    for day in range(4):
        await alice.add(f"We had soup, round {'abcd'[day]}", session=f"s{day}", importance=0.9)
        clock.set(clock.now() + timedelta(days=1))
    assert await best(alice, "What did we have yesterday?") == "We had soup, round d"
    assert await best(alice, "What did we have two days ago?") == "We had soup, round c"


async def test_days_are_those_of_the_user(alice: User, clock: ManualClock) -> None:
    clock.set(datetime(2026, 12, 9, 20, 0, tzinfo=TOKYO))
    late = datetime(2026, 12, 9, 0, 30, tzinfo=TOKYO)
    early = datetime(2026, 12, 8, 9, 0, tzinfo=TOKYO)
    await alice.add("We had soup, early", session="a", occurred_at=early, importance=0.9)
    await alice.add("We had soup, late", session="b", occurred_at=late, importance=0.9)
    assert await best(alice, "soup on 9 December 2026") == "We had soup, late"
    assert await best(alice, "soup yesterday") == "We had soup, early"


async def test_other_words_for_the_same_are_found(alice: User) -> None:
    await alice.add("She purchased a cello", session="a", importance=0.9)
    await alice.add("The garden fence is green", session="b", importance=0.9)
    hit = (await alice.search("Which instrument was bought?", limit=1))[0]
    assert hit.memory.content == "She purchased a cello"
    assert hit.terms["lexical"] > 0


async def test_a_detail_of_a_long_message_is_found_again_after_opening(
    data: Path, clock: ManualClock
) -> None:
    long = f"{LONG}The violin was repaired in Cremona. {LONG}"
    async with opened(data, clock=clock) as memory:
        user = await consenting(memory)
        await user.add(long, session="a", importance=0.9)
        for place in range(5):
            await user.add(f"No news of the violin {place}", session=f"b{place}", importance=0.9)
        fresh = await user.search("Was the violin repaired in Cremona?", limit=6)
        await memory.drain()
    async with opened(data, clock=clock) as memory:
        again = await user_of(memory).search("Was the violin repaired in Cremona?", limit=6)
    assert fresh[0].memory.content == long
    assert again[0].memory.content == long
    assert again[0].score == pytest.approx(fresh[0].score, abs=0.02)


def user_of(memory: TieredMemory) -> User:
    return memory.user("alice", tenant="acme")
