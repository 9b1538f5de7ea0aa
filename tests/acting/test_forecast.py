"""A forecast of the whole runtime comes true, and asking for one changes nothing."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

import pytest
from cli_shell import Shell, shell_in
from support import consenting, opened, parts_of

from tiered_memory import TieredMemory, User
from tiered_memory.cli.foreseeing import sparkline
from tiered_memory.errors import InvalidInputError, PolicyError
from tiered_memory.forecast_model import Forecast, ForgettingForecast
from tiered_memory.metrics import RecordingObserver
from tiered_memory.policy.rules import DecayRules, ForgettingRules, Policy
from tiered_memory.state import commands as c
from tiered_memory.testing import ManualClock

DAY = timedelta(days=1)


async def fill(memory: TieredMemory, clock: ManualClock) -> None:
    for number in range(3):
        user = await consenting(memory, f"user{number}")
        for importance in (0.25, 0.27, 0.3, 0.5, 1.0):
            receipt = await user.add(f"says {importance}", importance=importance)
            await user.add(f"secret {importance}", importance=importance, sensitivity="restricted")
            if importance == 0.3:
                await user.pin(receipt.id)
            clock.advance(timedelta(hours=5))


def total(forecast: Forecast, what: str) -> Counter[str]:
    found = Counter[str]()
    for bucket in forecast.buckets:
        counts: Mapping[str, int] = getattr(bucket, what)
        found.update(counts)
    return found


@pytest.mark.anyio
async def test_what_is_foreseen_comes_true_day_by_day(memory: TieredMemory, clock: ManualClock) -> None:
    await fill(memory, clock)
    foreseen = await memory.forecast(31)
    before = await parts_of(memory).core.state.read(c.Position())
    assert await memory.forecast(31) == foreseen
    assert await parts_of(memory).core.state.read(c.Position()) == before
    assert (foreseen.memories, foreseen.present.at_once, len(foreseen.present.buckets)) == (30, 0, 31)
    for bucket in foreseen.present.buckets:
        assert bucket.start == clock.now()
        forgotten = removed = 0
        for _ in range(6):
            clock.advance(DAY / 6 - timedelta(microseconds=1))
            report = await memory.forget(confirmed=True)
            clock.advance(timedelta(microseconds=1))
            forgotten, removed = forgotten + len(report.forgotten), removed + len(report.removed)
        assert (forgotten, removed) == (sum(bucket.forgotten.values()), sum(bucket.purged.values()))
    assert sum(map(sum, ((*b.forgotten.values(), *b.purged.values()) for b in foreseen.present.buckets))) > 20


@pytest.mark.anyio
async def test_one_users_forecast_is_a_part_of_all(memory: TieredMemory, clock: ManualClock) -> None:
    await fill(memory, clock)
    users = [memory.user(f"user{number}", tenant="acme") for number in range(3)]
    single = [(await user.forecast(90)).present for user in users]
    whole = (await memory.forecast(90)).present
    for what in ("forgotten", "purged"):
        assert sum((total(one, what) for one in single), Counter[str]()) == total(whole, what)
    assert (
        sum(one.never + one.later + one.at_once for one in single)
        == whole.never + whole.later + whole.at_once
    )
    assert await memory.user("nobody").forecast() == ForgettingForecast(
        taken_at=clock.now(), days=90, memories=0, present=(await memory.user("nobody").forecast()).present
    )


@pytest.mark.anyio
async def test_uses_count_at_once(memory: TieredMemory, alice: User, clock: ManualClock) -> None:
    used = (await alice.add("used", importance=0.25)).id
    clock.advance(timedelta(days=20))
    assert total((await alice.forecast(10)).present, "forgotten") == {"decay": 1}
    await alice.used([used])
    assert total((await alice.forecast(10)).present, "forgotten") == {}


@pytest.mark.anyio
async def test_a_candidate_policy_is_tried_without_effect(memory: TieredMemory, clock: ManualClock) -> None:
    await fill(memory, clock)
    clock.advance(timedelta(days=20))
    fast = Policy(name="fast", decay=DecayRules(daily_rate=0.3), forgetting=ForgettingRules(undo_days=1))
    found = await memory.forecast(30, policy=fast)
    assert found.shift is not None
    assert found.candidate is not None
    assert found.present == (await memory.forecast(30)).present
    assert found.candidate.policy.startswith("fast@")
    assert found.shift.at_once == found.candidate.at_once > 0
    assert found.shift.earlier + found.shift.later + found.shift.same == found.memories == 30
    assert (await memory.forget(dry_run=True)).forgotten == ()
    same = await memory.forecast(30, policy="default")
    assert same.shift is not None
    assert same.shift.same == 30


@pytest.mark.anyio
@pytest.mark.parametrize("days", [0, -1, 3651, 1.5, True])
async def test_how_far_it_looks_is_bounded(memory: TieredMemory, days: int) -> None:
    with pytest.raises(InvalidInputError):
        await memory.forecast(days)
    with pytest.raises(InvalidInputError):
        await memory.user("alice").forecast(days)


@pytest.mark.anyio
async def test_a_policy_that_is_wrong_is_refused(memory: TieredMemory, tmp_path: Path) -> None:
    with pytest.raises(PolicyError):
        await memory.forecast(policy="nonesuch")
    with pytest.raises(PolicyError):
        await memory.user("alice").forecast(policy=tmp_path / "missing.toml")


@pytest.mark.anyio
async def test_a_forecast_is_a_request_like_others(data: Path, clock: ManualClock) -> None:
    heard = RecordingObserver()
    async with opened(data, clock=clock, observer=heard) as memory:
        await memory.forecast()
        await memory.user("alice").forecast()
    assert [fact.op for fact in heard.facts if type(fact).__name__ == "RequestDone"] == [
        "forecast",
        "forecast",
    ]


# --- the command ---------------------------------------------------------------------------------------------


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shell:
    made = shell_in(tmp_path, monkeypatch)
    made.document("consent", "grant", "personalization", "--notice", "n1")
    for importance in ("0.25", "0.9"):
        made.document("add", f"says {importance}", "--importance", importance)
    return made


def test_the_command_tells_people_and_programs(shell: Shell, tmp_path: Path) -> None:
    document = shell.document("forecast", "--days", "60")
    assert (document["memories"], document["candidate"], document["present"]["later"]) == (2, None, 1)
    assert sum(sum(bucket["forgotten"].values()) for bucket in document["present"]["buckets"]) == 1
    of_me = shell.document("forecast", "--days", "60", "--user", "me")["present"]
    assert [bucket["forgotten"] for bucket in of_me["buckets"]] == [
        bucket["forgotten"] for bucket in document["present"]["buckets"]
    ]
    words = shell.words("forecast", "--days", "60")
    assert "1 decay" in words
    assert "█" in words
    fast = tmp_path / "fast.toml"
    fast.write_text('schema = 1\nname = "fast"\n[decay]\ndaily_rate = 0.5\n')
    words = shell.words("forecast", "--policy", str(fast))
    assert "under the other policy" in words
    assert "2, 0 of them at once" in words
    assert "error" in json.loads(shell.on_store("forecast", "--days", "0", "--json").stderr)


def test_a_dry_run_lists_its_plan(shell: Shell) -> None:
    assert shell.document("forget", "--dry-run")["planned"] == []


@pytest.mark.parametrize(
    ("counts", "line"), [([], ""), ([0, 0], "  "), ([1, 0, 8], "▂ █"), ([1000, 1], "█▂"), ([3, 3], "██")]
)
def test_a_sparkline_shows_the_least_and_the_most(counts: list[int], line: str) -> None:
    assert sparkline(counts) == line
