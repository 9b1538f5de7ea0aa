"""What an earlier release left of rights and duties is opened by this one: everything stands, and everything goes on."""

from __future__ import annotations

import contextlib
import json
import re
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "golden"))

import make_rights_store as writing
import rights_answers as golden
from support import state_of
from test_golden_store import LONG_ENOUGH, NAMES, holds

from tiered_memory import TieredMemory
from tiered_memory.caller import Caller
from tiered_memory.errors import (
    AgentNotAllowedError,
    InvalidInputError,
    NotFoundError,
    RestrictedError,
    RootKeyError,
    TenantUnavailableError,
)
from tiered_memory.metrics import CorruptionDetected, RecordingObserver
from tiered_memory.model import Durability
from tiered_memory.privacy.merkle import leaf_hash, tree_root
from tiered_memory.state import commands as c

pytestmark = pytest.mark.anyio

MOST_BYTES = 400_000
KINDS = {
    *("decision", "request", "erasure", "notice", "restriction", "objection", "placeholders", "trigger"),
    *("shared_acl", "memberships", "hold", "hold_key", "held_record", "tenant", "epoch", "purge_run"),
}
DRAWN = re.compile(r"[0-9a-f]{32,}")


@pytest.fixture(scope="module")
def answered() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(golden.ANSWERS.read_text(encoding="utf-8"))
    return loaded


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return golden.copied(golden.STORE, tmp_path / "store")


async def held(memory: TieredMemory, name: str) -> list[str]:
    return [one.content for one in await golden.person(memory, name).list()]


async def in_space(memory: TieredMemory, name: str) -> list[str]:
    return [one.content for one in await golden.space(memory, name).list()]


def flip(folder: Path, kind: str) -> int:
    """Change one byte of each sealed entry of a kind; return how many there are."""
    with contextlib.closing(state_of(folder)) as db:
        rows = db.execute("SELECT owner, entry_id, sealed FROM register WHERE kind = ?", (kind,)).fetchall()
        for owner, entry_id, sealed in rows:
            changed = bytearray(sealed)
            changed[-1] ^= 1
            db.execute(
                "UPDATE register SET sealed = ? WHERE owner = ? AND kind = ? AND entry_id = ?",
                (bytes(changed), owner, kind, entry_id),
            )
        return len(rows)


def kept_records(folder: Path) -> int:
    with contextlib.closing(state_of(folder)) as db:
        return int(db.execute("SELECT COUNT(*) FROM register WHERE kind = 'held_record'").get)


# --- reading -----------------------------------------------------------------------------------------------------


async def test_everything_is_read_as_it_was_written(store: Path, answered: dict[str, Any]) -> None:
    async with golden.opened(store, golden.ASKED_AT) as memory:
        read = await golden.answers(memory, answered["made"])
    for name, listed in answered["people"].items():
        for question, answer in listed.items():
            assert holds(read["people"][name][question], answer), (name, question)
    for question in ("history", "decided", "explained", "shared", "placeholders"):
        assert holds(read[question], answered[question]), question
    for question, answer in answered["store"].items():
        assert holds(read["store"][question], answer), question


async def test_the_answers_tell_of_every_right(answered: dict[str, Any]) -> None:
    """What is compared is there to be compared."""
    alice, store = answered["people"]["alice"], answered["store"]
    counted = ("forgotten", "quarantined", "consents", "receipts", "objections", "requests", "decisions")
    assert all(alice[question] for question in counted)
    assert {one["action"] for one in alice["consents"]} == {"given", "renewed", "refused"}
    assert [one["text_kept"] for one in answered["history"]["doctor"]] == [False, True, True]
    assert answered["placeholders"] == "Write to <EMAIL_1> or <EMAIL_2>, and <EMAIL_1> first."
    assert answered["people"]["rita"]["restrictions"]
    assert {one["status"] for one in answered["people"]["bob"]["objections"]} == {"restricted"}
    assert [one["content"] for one in store["held"][golden.HOLD]] == [golden.EVIDENCE]
    assert {one["state"] for one in store["epochs"]} == {"current", "ended"}
    assert {one["status"] for one in store["holds"]} == {"active", "released"}
    assert {purpose for *_, purpose in store["listed"][golden.TENANT]} > {""}
    assert all(store[question] for question in ("notices", "tenants", "purges", "erasures", "due"))


def test_its_register_has_every_kind_of_entry(store: Path) -> None:
    with contextlib.closing(state_of(store)) as db:
        found = {kind for (kind,) in db.execute("SELECT DISTINCT kind FROM register")}
    assert found >= KINDS, KINDS - found


async def test_the_ledgers_are_the_same_trees(store: Path, answered: dict[str, Any]) -> None:
    async with golden.opened(store, golden.ASKED_AT) as memory:
        await golden.person(memory, "alice").erase(reason="a later request")
        await golden.person(memory, "nora").erase(reason="a later request")
        for tenant, stood in answered["ledgers"].items():
            leaves = await golden.parts(memory, tenant).core.state.read(c.Leaves())
            first = stood["leaves"]
            assert len(leaves) > first
            assert all(leaf_hash(leaf) == stored for _, leaf, stored in leaves)
            assert tree_root([stored for _, _, stored in leaves[:first]]).hex() == stood["root"]
            assert (await memory.tenants.ledger(tenant).verify()).sound


# --- going on ----------------------------------------------------------------------------------------------------


async def test_a_memory_is_corrected_again(store: Path, answered: dict[str, Any]) -> None:
    doctor, now = answered["made"]["doctor"], "My doctor is Ada Brandt."
    async with golden.opened(store, golden.ASKED_AT) as memory:
        done = await golden.person(memory, "alice").update(doctor, now, reason="a third name")
        assert done.memory.version == len(answered["history"]["doctor"]) + 1
    async with golden.opened(store, golden.ASKED_AT) as memory:
        history = await golden.person(memory, "alice").history(doctor)
        assert [one.memory.content for one in history] == ["", *golden.DOCTOR[1:], now]
        [first, _] = await golden.person(memory, "alice").decisions.list()
        explained = await golden.person(memory, "alice").decisions.explain(first.id)
        assert [one.content for one in explained.used] == [golden.DOCTOR[2]]


async def test_placeholders_are_counted_on(store: Path) -> None:
    async with golden.opened(store, golden.ASKED_AT) as memory:
        alice = golden.person(memory, "alice")
        said = await alice.add("ines@home.example moved to ines@sea.example.", importance=0.9)
        assert (await alice.get(said.id)).content == "<EMAIL_2> moved to <EMAIL_3>."


async def test_consent_goes_on_from_where_it_stood(store: Path) -> None:
    async with golden.opened(store, golden.ASKED_AT) as memory:
        alice = golden.person(memory, "alice")
        before = await alice.consent.receipt(golden.OFFERED)
        await alice.consent.grant(golden.OFFERED, notice=golden.NOTICE)
        after = await alice.consent.receipt(golden.OFFERED)
        assert (after.record_id, after.notice_version) == (before.record_id, "2")
        late = await alice.add(golden.HABIT, importance=0.9, purpose=golden.INSIGHT)
        assert late.durability is Durability.EPHEMERAL
        assert await alice.lift_objection(golden.INSIGHT)
        late = await alice.add(golden.HABIT, importance=0.9, purpose=golden.INSIGHT)
        assert late.durability is not Durability.EPHEMERAL


async def test_a_consent_ends_on_the_day_that_was_set(store: Path) -> None:
    async with golden.opened(store, golden.REVIEW_AT + timedelta(days=1)) as memory:
        await memory.forget(confirmed=True)
        alice = golden.person(memory, "alice")
        assert await alice.consent.current() == {}
        assert [one.action.value for one in await alice.consent.history(golden.PURPOSE)][-1] == "expired"


async def test_what_is_restricted_stays_so_until_it_is_lifted(store: Path) -> None:
    async with golden.opened(store, golden.ASKED_AT) as memory:
        rita = golden.person(memory, "rita")
        with pytest.raises(RestrictedError):
            await rita.list()
        await rita.rights.lift_restriction(reason="it was accurate")
        assert await held(memory, "rita") == [golden.FROZEN]
        [request] = await rita.requests.list()
        await rita.requests.close(request.id)
    async with golden.opened(store, golden.ASKED_AT) as memory:
        assert await held(memory, "rita") == [golden.FROZEN]
        assert "rita" not in {one.subject.user for one in await memory.requests.due(within_days=100)}


async def test_quarantine_goes_on(store: Path, answered: dict[str, Any]) -> None:
    async with golden.opened(store, golden.ASKED_AT) as memory:
        alice = golden.person(memory, "alice")
        assert golden.SUSPECT in await held(memory, "alice")
        assert golden.POISON not in await held(memory, "alice")
        await alice.quarantine.release(answered["made"]["poison"], reason="it is quoted in a course")
        assert golden.POISON in await held(memory, "alice")


async def test_a_released_hold_leaves_nothing(store: Path, tmp_path: Path) -> None:
    assert kept_records(store) == 1
    async with golden.opened(store, golden.ASKED_AT) as memory:
        released = await memory.holds.release(golden.HOLD, "settled")
        assert released.released_because == "settled"
        with pytest.raises(NotFoundError):
            await memory.holds.export(golden.HOLD, tmp_path / "kept.jsonl")
    assert kept_records(store) == 0


async def test_keys_are_rotated_again(store: Path, answered: dict[str, Any]) -> None:
    guards = {path.name for path in (store / "keys" / "epochs").iterdir()}
    async with golden.opened(store, golden.ASKED_AT) as memory:
        report = await memory.keys.rotate()
        assert (report.left, report.unguarded) == (0, 0)
        assert report.epochs_ended >= len(golden.PEOPLE) // 3
        await memory.keys.rotate_root()
    assert guards.isdisjoint(path.name for path in (store / "keys" / "epochs").iterdir())
    async with golden.opened(store, golden.ASKED_AT) as memory:
        read = await golden.answers(memory, answered["made"])
    for name in golden.PEOPLE:
        assert read["people"][name].get("memories") == answered["people"][name].get("memories")
        assert read["people"][name]["consents"] == answered["people"][name]["consents"]
    assert read["store"]["held"] == answered["store"]["held"]
    assert read["shared"] == answered["shared"]


async def test_an_erased_member_takes_the_contributions_along(store: Path) -> None:
    async with golden.opened(store, golden.ASKED_AT) as memory:
        assert len(await in_space(memory, "alice")) == len(golden.PLANS)
        certificate = await golden.person(memory, "bob").erase(reason="asked")
        assert certificate.verified
        assert await in_space(memory, "alice") == [golden.PLANS["alice"]]
    async with golden.opened(store, golden.ASKED_AT) as memory:
        assert await in_space(memory, "alice") == [golden.PLANS["alice"]]
        assert len(await memory.requests.erasures()) > 1


async def test_who_was_erased_or_withdrew_stays_gone(store: Path) -> None:
    async with golden.opened(store, golden.ASKED_AT) as memory:
        assert await held(memory, "eric") == await held(memory, "dan") == []
        eric = golden.person(memory, "eric")
        await eric.consent.grant(golden.PURPOSE, notice=golden.NOTICE)
        await eric.add("a new beginning", importance=0.9)
    async with golden.opened(store, golden.ASKED_AT) as memory:
        assert await held(memory, "eric") == ["a new beginning"]


async def test_tenants_are_bound_as_agreed(store: Path) -> None:
    async with golden.opened(store, golden.ASKED_AT) as memory:
        stranger = memory.user("alice", golden.TENANT, caller=Caller(actor="stranger"))
        with pytest.raises(AgentNotAllowedError):
            await stranger.list()
        assert memory.tenants.directory(golden.APART).is_relative_to(store)
        with pytest.raises(InvalidInputError):
            memory.tenants.directory(golden.TENANT)
        assert (await memory.tenants.register(golden.GONE)).generation == 1
        assert await memory.user("gil", golden.GONE).list() == []
        directory = memory.tenants.directory(golden.APART)
        await memory.tenants.erase(golden.APART, "the contract ended")
        assert not directory.exists()


async def test_a_backup_of_it_restores(store: Path, tmp_path: Path) -> None:
    async with golden.opened(store, golden.ASKED_AT) as memory:
        await memory.backup(tmp_path / "archive")
        before = await held(memory, "alice"), await in_space(memory, "bob")
    fresh = tmp_path / "fresh"
    await TieredMemory.restore(tmp_path / "archive", fresh, erased_list=store / "erased.log")
    golden.copied(store / "keys", fresh / "keys")
    for key in (path for path in (fresh / "keys").rglob("*") if path.is_file()):
        key.chmod(0o400)
    async with golden.opened(fresh, golden.ASKED_AT) as memory:
        assert (await held(memory, "alice"), await in_space(memory, "bob")) == before
        assert await golden.exported(memory, golden.HOLD)
        assert [one.content for one in await golden.person(memory, "dan").list()] == []


# --- what guards it ----------------------------------------------------------------------------------------------


async def test_a_changed_entry_is_counted_and_left_out(store: Path, answered: dict[str, Any]) -> None:
    """The comparison with what is listed can fail."""
    assert flip(store, "decision") == len(answered["made"]["decisions"])
    seen = RecordingObserver()
    async with golden.opened(store, golden.ASKED_AT, observer=seen) as memory:
        alice = golden.person(memory, "alice")
        assert await alice.decisions.list() == []
        assert len(await alice.requests.list()) == len(answered["people"]["alice"]["requests"])
    assert seen.facts.count(CorruptionDetected("state")) >= len(answered["made"]["decisions"])


async def test_without_one_of_its_guards_it_does_not_open(store: Path) -> None:
    """The main store does not, or else the tenant's directory whose keys are under the missing one."""
    for guard in sorted((store / "keys" / "epochs").iterdir()):
        whole = guard.read_bytes()
        guard.unlink()
        with pytest.raises((RootKeyError, TenantUnavailableError)):
            async with golden.opened(store, golden.ASKED_AT) as memory:
                await held(memory, "nora")
        guard.write_bytes(whole)
        guard.chmod(0o400)
    async with golden.opened(store, golden.ASKED_AT) as memory:
        assert await held(memory, "alice")
        assert await held(memory, "nora")


def test_it_is_small_and_names_no_machine() -> None:
    files = [path for path in golden.STORE.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < MOST_BYTES
    assert {path.name for path in files}.isdisjoint(golden.NOT_STORED)
    assert all(path.suffix not in {".sock", ".pid", ".lock", ".new"} for path in files)
    searched = [name for name in NAMES if len(name) >= LONG_ENOUGH]
    read = [path.read_bytes() for path in (*files, golden.ANSWERS)]
    assert [name for name in searched for data in read if name in data] == []


async def test_the_script_makes_such_a_store(tmp_path: Path, answered: dict[str, Any]) -> None:
    """Of a later release it may have other ids and other bytes, and it holds the same."""
    await writing.make(tmp_path / "store", tmp_path / "answers.json")
    made = json.loads((tmp_path / "answers.json").read_text(encoding="utf-8"))
    for name, said in answered["people"].items():
        for question, answer in said.items():
            assert holds(shape(made["people"][name][question]), shape(answer)), (name, question)
    for question in ("history", "decided", "shared", "placeholders", "store"):
        assert holds(shape(made[question]), shape(answered[question])), question


def shape(value: Any) -> Any:
    """Return a value without what is drawn by chance, and without the order that this gives."""
    match value:
        case str():
            return DRAWN.sub("#", value)
        case list():
            return sorted(map(shape, value), key=lambda one: json.dumps(one, sort_keys=True))
        case dict():
            return {key: shape(one) for key, one in value.items()}
        case _:
            return value


def test_what_is_compared_by_shape_can_differ() -> None:
    assert shape(["a" * 32, {"b": "c" * 64}]) == shape([{"b": "0" * 64}, "1" * 32])
    assert shape(["left"]) != shape(["right"])
