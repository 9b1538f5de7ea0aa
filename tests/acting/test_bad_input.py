"""Bad input gets a typed error and loses nothing; odd but honest input works end to end."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from support import PURPOSE, consenting, contents

from tiered_memory import Filter, Interaction, TieredMemory, User
from tiered_memory.errors import InvalidInputError
from tiered_memory.model import Provenance
from tiered_memory.testing import ManualClock

pytestmark = pytest.mark.anyio

START = datetime(2026, 1, 1, tzinfo=UTC)
BAD_CONTENT = [
    "",
    " ",
    "\n\t",
    "a\x00b",
    "\x00",
    "\ud800",
    "ok \udfff",
    "x" * (1 << 20),
    b"bytes",
    None,
    5,
    ["a"],
]
ODD_CONTENT = [
    "!!!", "\u200b", "🙂", "的", "a", "\u202eabc", "x" * 100_000, "\r\nline\r\n", "'; DROP TABLE memories; --", "{}", "%s",
    "e\u0301", "ﷺ" * 50, "\x01\x02", " ".join(["word"] * 20_000), "\ufeffbom", "?",
]  # fmt: skip
ODD_IDS = [
    "../x", "../../etc/passwd", "'; DROP TABLE memories; --", '"quoted"', "ünïcödé", "名前", "\u202ertl", "🙂🙃", " ", ".", "..",
    "a/b\\c", "con", "x" * 256, "名" * 256, "{tag}", "*", "%00", "e\u0301", "é", "A", "a", "-rf", "$(id)", "\ufeff",
]  # fmt: skip
BAD_IDS = [
    "",
    "x" * 257,
    "x" * 10_240,
    "a\x00b",
    "a\nb",
    "\x1b[31m",
    "\x85",
    "\u2028",
    "\ud800",
    b"a",
    None,
    5,
    ["a"],
]
BAD_DETAILS: list[dict[str, Any]] = [
    *({"importance": value} for value in (float("nan"), float("inf"), -0.1, 1.1, True, False, "0.5", 10**400)),
    {"occurred_at": datetime(2026, 1, 1)},  # noqa: DTZ001 - naive on purpose
    {"occurred_at": START + timedelta(days=2)},
    {"occurred_at": datetime.max.replace(tzinfo=UTC)},
    {"occurred_at": datetime.min.replace(tzinfo=UTC)},
    {"occurred_at": datetime(1899, 12, 31, tzinfo=UTC)},
    {"occurred_at": "2026-01-01T00:00:00Z"},
    {"occurred_at": 0},
    *({"metadata": {"k": value}} for value in (object(), {1}, b"b", float("nan"), START, 2**70, -(2**70), "\ud800")),
    {"metadata": {1: "x"}},
    {"metadata": {"k": {None: 1}}},
    {"metadata": {"\ud800": 1}},
    {"metadata": {"k": "x" * 20_000}},
    {"metadata": {"a": {"b": {"c": {"d": {"e": {"f": {"g": 1}}}}}}}},
    {"metadata": [("k", 1)]},
    {"metadata": None},
    *({"role": value} for value in ("owner", "", None, 5, ["user"])),
    *({"kind": value} for value in ("fact", None)),
    *({"sensitivity": value} for value in ("secret", None)),
    {"provenance": "somewhere"},
    {"provenance": {"channel": "mail"}},
    {"provenance": Provenance(channel="\ud800")},
    {"provenance": Provenance(channel="x" * 10_000)},
    {"provenance": Provenance(model=5)},  # type: ignore[arg-type]
    {"provenance": Provenance(source="user's")},  # type: ignore[arg-type]
    {"provenance": Provenance(derived_from=(object(),))},  # type: ignore[arg-type]
    {"provenance": Provenance(derived_from=("a",) * 100_000)},
    *({field: value} for field in ("author", "session", "agent") for value in BAD_IDS if value is not None),
]  # fmt: skip


def _named(value: object) -> str:
    return ascii(value)[:40]


@pytest.fixture
async def alice_with_one(alice: User) -> User:
    await alice.add("the one before", importance=0.9)
    return alice


async def _nothing_changed(alice: User) -> None:
    assert await contents(alice) == ["the one before"]
    await alice.add("the one after", importance=0.9)
    assert await contents(alice) == ["the one after", "the one before"]


async def test_bad_content(alice_with_one: User) -> None:
    for content in BAD_CONTENT:
        with pytest.raises(InvalidInputError, match="content"):
            await alice_with_one.add(content)  # type: ignore[arg-type]
        with pytest.raises(InvalidInputError, match="question"):
            await alice_with_one.search(content)  # type: ignore[arg-type]
        with pytest.raises(InvalidInputError, match="question"):
            await alice_with_one.context(content)  # type: ignore[arg-type]
    await _nothing_changed(alice_with_one)


@pytest.mark.parametrize("details", BAD_DETAILS, ids=_named)
async def test_bad_details(alice_with_one: User, details: dict[str, Any]) -> None:
    with pytest.raises(InvalidInputError):
        await alice_with_one.add("words", **details)
    await _nothing_changed(alice_with_one)


async def test_unknown_arguments(alice_with_one: User, memory: TieredMemory) -> None:
    with pytest.raises(TypeError):
        await alice_with_one.add("words", colour="red")  # type: ignore[call-arg]
    with pytest.raises(TypeError):
        await alice_with_one.search("words", top_k=5)  # type: ignore[call-arg]
    with pytest.raises(TypeError):
        TieredMemory.open("./data", colour="red")
    await _nothing_changed(alice_with_one)


async def test_what_is_no_interaction(alice_with_one: User) -> None:
    for group in ("text", [None], [{"content": "x"}], ["x"]):
        with pytest.raises(InvalidInputError):
            await alice_with_one.add_many(group)  # type: ignore[arg-type]
    with pytest.raises(InvalidInputError):
        await alice_with_one.add_many([Interaction(content="x")] * 10_001)
    await _nothing_changed(alice_with_one)


async def test_bad_subjects(memory: TieredMemory) -> None:
    for bad in BAD_IDS:
        with pytest.raises(InvalidInputError):
            memory.user(bad)  # type: ignore[arg-type]
        with pytest.raises(InvalidInputError):
            memory.user("alice", tenant=bad)  # type: ignore[arg-type]


async def test_odd_content_goes_all_the_way(memory: TieredMemory, alice: User) -> None:
    for content in ODD_CONTENT:
        await alice.add(content, importance=0.9, session="s1", author="x")
        found = [hit.memory.content for hit in await alice.search(content, limit=50)]
        assert content in found or not any(map(str.isalnum, content))
        await alice.context(content, session="s1")
    await memory.drain()
    assert (await contents(alice))[::-1] == ODD_CONTENT
    parts = memory._runtime.parts  # type: ignore[union-attr]
    parts.directory.forget(parts.directory.residents()[0])
    assert (await contents(alice))[::-1] == ODD_CONTENT


async def test_odd_ids_go_all_the_way_and_stay_apart(memory: TieredMemory) -> None:
    users = [await consenting(memory, odd, tenant) for odd in ODD_IDS for tenant in ("t", odd)]
    marks = [f"mark {number}" for number in range(len(users))]
    for user, mark, odd in zip(users, marks, [odd for odd in ODD_IDS for _ in "ab"], strict=True):
        await user.add(mark, importance=0.9, session=odd, author=odd, agent=odd, operation_id=odd)
    await memory.drain()
    assert [await contents(user) for user in users] == [[mark] for mark in marks]
    parts = memory._runtime.parts  # type: ignore[union-attr]
    for active in parts.directory.residents():
        parts.directory.forget(active)
    for user, odd, mark in zip(users, [odd for odd in ODD_IDS for _ in "ab"], marks, strict=True):
        where = Filter(sessions=frozenset({odd}), agents=frozenset({odd}))
        assert [one.content for one in await user.list(where=where)] == [mark]
        assert mark in (await user.context("x", session=odd)).render()
    assert (await users[0].erase(reason="request")).verified
    assert await contents(users[1]) == [marks[1]]


@pytest.mark.parametrize(
    "zone",
    [
        timezone(timedelta(hours=23, minutes=59, seconds=59)),
        timezone(-timedelta(hours=23, minutes=59, seconds=59)),
        timezone(timedelta(minutes=53, seconds=28)),
        timezone(timedelta(hours=-3, minutes=-30)),
    ],
    ids=str,
)
async def test_odd_time_zones(alice: User, zone: timezone) -> None:
    moment = datetime(2025, 6, 1, 12, 0, 0, 1, tzinfo=zone)
    one = await alice.add("at an odd hour", occurred_at=moment, importance=0.9)
    assert (await alice.get(one.id)).occurred_at == moment
    assert len(await alice.search("odd hour")) == 1


async def test_the_earliest_date(alice: User) -> None:
    east = datetime(1900, 1, 1, tzinfo=timezone(timedelta(hours=14)))
    one = await alice.add("long ago", occurred_at=east, importance=0.9)
    assert (await alice.get(one.id)).occurred_at == east
    assert await alice.list(where=Filter(until=datetime.max.replace(tzinfo=UTC))) == await alice.list()


async def test_bad_queries(alice_with_one: User) -> None:
    for limit in (0, -1, 1.5, "5", True, None, 10**9):
        with pytest.raises(InvalidInputError):
            await alice_with_one.search("words", limit=limit)  # type: ignore[arg-type]
        with pytest.raises(InvalidInputError):
            await alice_with_one.list(limit=limit)  # type: ignore[arg-type]
    for budget in (0, -1, 1.5, True, 10**12):
        with pytest.raises(InvalidInputError):
            await alice_with_one.context("words", token_budget=budget)  # type: ignore[arg-type]
    for where in ({}, "x", Filter(since=datetime(2026, 1, 1)), Filter(min_importance=float("nan"))):  # noqa: DTZ001
        with pytest.raises(InvalidInputError):
            await alice_with_one.search("words", where=where)  # type: ignore[arg-type]
    for bad in ("", "x", "A" * 32, "0" * 33, None, 5, "' OR '1'='1"):
        with pytest.raises(InvalidInputError):
            await alice_with_one.get(bad)  # type: ignore[arg-type]
    await _nothing_changed(alice_with_one)


@pytest.mark.parametrize(
    "where",
    [
        Filter(kinds="episodic"),  # type: ignore[arg-type]
        Filter(sessions="s1"),  # type: ignore[arg-type]
        Filter(agents=5),  # type: ignore[arg-type]
        Filter(roles={"boss"}),  # type: ignore[arg-type]
        Filter(metadata=5),  # type: ignore[arg-type]
        Filter(since="yesterday"),  # type: ignore[arg-type]
    ],
    ids=_named,
)
async def test_bad_filters(alice_with_one: User, where: Filter) -> None:
    with pytest.raises(InvalidInputError):
        await alice_with_one.search("words", where=where)


async def test_a_bad_durability(alice_with_one: User) -> None:
    with pytest.raises(InvalidInputError):
        await alice_with_one.add("words", durability="forever")  # type: ignore[arg-type]
    await _nothing_changed(alice_with_one)


async def test_metadata_comes_back_as_json(alice: User, clock: ManualClock) -> None:
    given = {
        "n": 2**63 - 1,
        "f": 0.1,
        "t": (1, [2]),
        "u": "é🙂",
        "none": None,
        "nul": "\x00",
        "deep": {"a": {"b": [True]}},
    }
    one = await alice.add("words", metadata=given, importance=0.9, purpose=PURPOSE)
    held = (await alice.get(one.id)).metadata
    assert held == {**given, "t": [1, [2]]}
    found = await alice.search("words", where=Filter(metadata={"u": "é🙂"}))
    assert [hit.memory.id for hit in found] == [one.id]


async def test_what_the_caller_changes_later_does_not_matter(alice: User) -> None:
    given: dict[str, Any] = {"list": [1]}
    one = await alice.add("words", metadata=given, importance=0.9)
    given["list"].append(2)
    given["new"] = 3
    assert (await alice.get(one.id)).metadata == {"list": [1]}
