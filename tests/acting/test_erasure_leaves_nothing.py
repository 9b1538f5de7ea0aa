"""After an erasure nothing of the person can be read, not even with copies taken before and the root key."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from dataclasses import fields, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from support import (
    PURPOSE,
    consenting,
    contents,
    envelopes_in,
    lance_values,
    log_bytes,
    opened,
    parts_of,
    redis_bytes,
    sqlite_rows,
    sqlite_values,
    state_of,
    state_pages,
)

from tiered_memory import TieredMemory, User
from tiered_memory.crypto.envelope import Place, SealContext, SealingKey
from tiered_memory.crypto.keyring import Keyring
from tiered_memory.erasure import verify_certificate
from tiered_memory.errors import CorruptionError
from tiered_memory.model import Certificate, Subject
from tiered_memory.state import commands as c

pytestmark = pytest.mark.anyio

TABLES_OF_A_SUBJECT = (
    "data_keys", "journal", "memories", "session_tail", "consent_events", "operations", "tombstones",
)  # fmt: skip


async def _live(user: User, memory: TieredMemory) -> None:
    """Leave something in every store."""
    for number in range(3):
        await user.add(
            f"I moved to street {number}", session="s1", importance=0.9, operation_id=f"op {number}"
        )
    await user.add("hm", session="s1", importance=0.0)
    await memory.drain()
    doomed = await user.add("a slip of the tongue", importance=0.9)
    await user.delete(doomed.id)
    await user.add("still in the journal", session="s1", importance=0.9)
    await parts_of(memory).sessions.snapshot_all()


def _envelopes(copies: Iterable[bytes]) -> list[bytes]:
    return [sealed for copy in copies for sealed in envelopes_in(copy)]


async def _keys_left(memory: TieredMemory) -> list[SealingKey]:
    """Return every key that can be had from the root key and what the state store holds."""
    core = parts_of(memory).core
    keyring: Keyring = core.keyring
    keys = [keyring._root]
    for epoch in sqlite_rows(_path(memory), "epoch_keys"):
        records = await core.state.read(c.Epochs(epoch["tenant"]))
        wrapping = [keyring.open_epoch(record) for record in records]
        keys += wrapping
        for row in sqlite_rows(_path(memory), "data_keys"):
            record = next(
                r for r in await core.state.read(c.Keys(row["subject"])) if r.key_id == row["key_id"]
            )
            for one in wrapping:
                try:
                    keys.append(keyring.open_data_key(one, epoch["tenant"], record))
                except CorruptionError:
                    continue
    return keys


def _path(memory: TieredMemory) -> Path:
    return memory._settings.data_dir


def _opens(key: SealingKey, sealed: bytes, contexts: Iterable[SealContext]) -> bool:
    for context in contexts:
        try:
            key.open(sealed, context)
        except CorruptionError:
            continue
        return True
    return False


def _contexts(memory: TieredMemory, rows: Iterable[Any]) -> list[SealContext]:
    """Return where each of the rows' records may have been sealed."""
    core = parts_of(memory).core
    subject = Subject("acme", "alice")
    owner, tenant = core.names.subject(subject), core.names.tenant("acme")
    return [
        SealContext(tenant, owner, place, row["memory_id"], PURPOSE, order=row["record_order"], version=1)
        for row in rows
        for place in (Place.MEMORY, Place.HOT, Place.TAIL)
    ]


async def test_no_saved_copy_opens_with_what_is_left(memory: TieredMemory, alice: User, data: Path) -> None:
    await _live(alice, memory)
    bob = await consenting(memory, "bob")
    await bob.add("bob stays", importance=0.9)
    copies = [*lance_values(data), *sqlite_values(data), *redis_bytes(memory)]
    sealed = [one for one in _envelopes(copies) if len(one) > 150]
    contexts = _contexts(memory, sqlite_rows(data, "memories"))
    opened_before = [s for s in sealed if any(_opens(k, s, contexts) for k in await _keys_left(memory))]
    assert len(opened_before) >= 4
    await alice.erase(reason="request")
    keys = await _keys_left(memory)
    assert len(keys) >= 3
    assert [s for s in sealed if any(_opens(key, s, contexts) for key in keys)] == []


async def test_no_key_left_even_has_the_id_of_a_saved_copy(
    memory: TieredMemory, alice: User, data: Path
) -> None:
    """Whatever the context: an envelope names its key, and none of the keys left is it."""
    await _live(alice, memory)
    copies = [*lance_values(data), *sqlite_values(data), *redis_bytes(memory)]
    before = {key.key_id for key in await _keys_left(memory)}
    sealed = {one[4:20] for one in _envelopes(copies)}
    mine = {row["key_id"] for row in sqlite_rows(data, "data_keys")}
    assert mine <= before
    assert len(sealed & mine) == 2
    await alice.erase(reason="request")
    assert mine & {key.key_id for key in await _keys_left(memory)} == set()


async def test_no_row_and_no_byte_of_a_key_is_left(memory: TieredMemory, alice: User, data: Path) -> None:
    await _live(alice, memory)
    pseudonym = parts_of(memory).core.names.subject(Subject("acme", "alice"))
    wrapped = [row["wrapped"] for row in sqlite_rows(data, "data_keys")]
    journal = [row["sealed"] for row in sqlite_rows(data, "journal")]
    before = state_pages(data)
    assert all(any(piece in before for piece in group) for group in (wrapped, journal))
    await alice.erase(reason="request")
    rows = {
        table: [r for r in sqlite_rows(data, table) if r["subject"] == pseudonym]
        for table in TABLES_OF_A_SUBJECT
    }
    assert rows == {table: [] for table in TABLES_OF_A_SUBJECT}
    assert log_bytes(data) == 0
    after = state_pages(data)
    assert [piece for piece in (*wrapped, *journal) if piece in after] == []
    assert [one for one in wrapped if one[-48:] in after] == []
    assert list((data / "cold").iterdir()) == []
    assert redis_bytes(memory) == []


async def test_the_api_returns_nothing_and_the_user_can_begin_again(
    memory: TieredMemory, alice: User
) -> None:
    await _live(alice, memory)
    old = (await alice.list())[0]
    first = await alice.erase(reason="request")
    assert await alice.search("street") == []
    assert await alice.list() == []
    assert await alice.forgotten() == []
    assert await alice.consent.current() == {}
    assert (await alice.context("street", session="s1")).items == ()
    with pytest.raises(LookupError):
        await alice.get(old.id)
    await consenting(memory)
    assert (await alice.context("street", session="s1")).items == ()
    fresh = await alice.add("I live elsewhere now", session="s1", importance=0.9, operation_id="op 1")
    assert not fresh.repeated
    assert await contents(alice) == ["I live elsewhere now"]
    second = await alice.erase(reason="again")
    assert (first.generation, second.generation) == (1, 2)


async def test_it_stays_erased_after_a_restart(data: Path) -> None:
    async with opened(data) as memory:
        alice = await consenting(memory)
        await _live(alice, memory)
        await alice.erase(reason="request")
        await consenting(memory)
        await alice.add("new life", importance=0.9)
    async with opened(data) as memory:
        assert await contents(memory.user("alice", tenant="acme")) == ["new life"]


async def test_others_are_untouched(memory: TieredMemory, alice: User) -> None:
    bob = await consenting(memory, "bob")
    namesake = await consenting(memory, "alice", tenant="other")
    for user in (bob, namesake):
        await _live(user, memory)
    before = [await contents(user) for user in (bob, namesake)]
    await _live(alice, memory)
    await alice.erase(reason="request")
    assert [await contents(user) for user in (bob, namesake)] == before
    assert (await bob.context("street", session="s1")).items != ()


async def test_the_certificate_verifies_and_no_field_can_be_changed(
    memory: TieredMemory, alice: User
) -> None:
    await _live(alice, memory)
    certificate = await alice.erase(reason="request")
    verify_certificate(certificate)
    assert certificate.verified
    assert certificate.keys_destroyed == 2
    assert {tier.tier: tier.records for tier in certificate.tiers}["cold"] >= 3
    assert "alice" not in repr(certificate)
    for field in fields(Certificate):
        if field.name not in {"signature", "public_key"}:
            with pytest.raises(CorruptionError):
                verify_certificate(
                    replace(certificate, **{field.name: _other(getattr(certificate, field.name))})
                )
    flipped = bytes([bytes.fromhex(certificate.signature)[0] ^ 1]).hex() + certificate.signature[2:]
    with pytest.raises(CorruptionError):
        verify_certificate(replace(certificate, signature=flipped))


def _other(value: Any) -> Any:
    match value:
        case bool():
            return not value
        case int():
            return value + 1
        case str():
            return value + "x"
        case tuple():
            return (*value, "x") if not value else value[1:]
    return value + timedelta(microseconds=1)


async def test_a_stranger_gets_a_certificate_of_nothing(memory: TieredMemory) -> None:
    certificate = await memory.user("nobody").erase(reason="request")
    verify_certificate(certificate)
    assert certificate.keys_destroyed == 0
    assert sum(tier.records for tier in certificate.tiers) == 0


async def test_an_ephemeral_user_is_erased_too(memory: TieredMemory) -> None:
    user = memory.user("guest")
    await user.add("I prefer tea", session="s1")
    certificate = await user.erase(reason="request")
    assert {tier.tier: tier.records for tier in certificate.tiers} == {"hot": 1, "warm": 1}
    assert await user.search("tea") == []
    assert (await user.context("tea", session="s1")).items == ()


async def test_a_damaged_cold_table_does_not_stand_in_the_way(data: Path) -> None:
    async with opened(data) as memory:
        alice = await consenting(memory)
        await _live(alice, memory)
    for manifest in (data / "cold").rglob("*.manifest"):
        manifest.write_bytes(b"damaged")
    async with opened(data) as memory:
        certificate = await memory.user("alice", tenant="acme").erase(reason="request")
        assert certificate.verified
    assert list((data / "cold").iterdir()) == []


async def test_a_damaged_key_record_does_not_stand_in_the_way(data: Path) -> None:
    async with opened(data) as memory:
        await _live(await consenting(memory), memory)
    _spoil_keys(data)
    async with opened(data) as memory:
        certificate = await memory.user("alice", tenant="acme").erase(reason="request")
        assert certificate.keys_destroyed == 2


def _spoil_keys(data: Path) -> None:
    with contextlib.closing(state_of(data)) as db:
        db.execute("UPDATE data_keys SET wrapped = ?", (bytes(100),))
