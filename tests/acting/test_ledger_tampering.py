"""Whatever is done to a store's ledger or its checkpoints is found at opening; going on from there is recorded."""

from __future__ import annotations

import contextlib
import logging
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from ledger_store import LOCAL, leaves_in, live, log_of, notary_of, opens, sizes_of, tampered
from support import consenting, opened, parts_of, state_of

from tiered_memory import TieredMemory
from tiered_memory.crypto.signing import Signer
from tiered_memory.erasure import verify_certificate
from tiered_memory.errors import CorruptionError, RolledBackError
from tiered_memory.highwater import decode_mark, encode_mark
from tiered_memory.notary import sign_checkpoint
from tiered_memory.privacy.checkpoint import encode_entry, parse_log
from tiered_memory.privacy.merkle import leaf_hash
from tiered_memory.state import commands as c

pytestmark = pytest.mark.anyio


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "store"


TAMPERINGS = {
    "edit": ("UPDATE audit SET leaf = CAST(leaf || ' ' AS BLOB) WHERE leaf_index = 2",),
    "edit a hash": ("UPDATE audit SET hash = zeroblob(32) WHERE leaf_index = 1",),
    "drop": ("DELETE FROM audit WHERE leaf_index = 2",),
    "swap": (
        "UPDATE audit SET leaf_index = -1 WHERE leaf_index = 2",
        "UPDATE audit SET leaf_index = 2 WHERE leaf_index = 3",
        "UPDATE audit SET leaf_index = 3 WHERE leaf_index = -1",
    ),
    "close the gap": (
        "DELETE FROM audit WHERE leaf_index = 2",
        "UPDATE audit SET leaf_index = leaf_index - 1 WHERE leaf_index > 2",
        "INSERT INTO audit SELECT MAX(leaf_index) + 1, 1, leaf, hash FROM audit",
    ),
}


@pytest.mark.parametrize("sort", TAMPERINGS)
async def test_a_ledger_that_was_altered_is_found_at_opening(store: Path, sort: str) -> None:
    await live(store, "alice", "bob")
    tampered(store, *TAMPERINGS[sort])
    for _ in range(2):
        with pytest.raises(CorruptionError, match="not the one its checkpoints were signed for"):
            await opens(store)


async def test_an_edit_with_a_fitting_hash_is_found(store: Path) -> None:
    await live(store, "alice", "bob")
    with contextlib.closing(state_of(store)) as db:
        [(leaf,)] = db.execute("SELECT leaf FROM audit WHERE leaf_index = 2")
        forged = bytes(leaf).replace(b"consent_given", b"consent_taken")
        assert forged != leaf
        db.execute("UPDATE audit SET leaf = ?, hash = ? WHERE leaf_index = 2", (forged, leaf_hash(forged)))
    with pytest.raises(CorruptionError, match="entries 0 to"):
        await opens(store)


async def test_a_truncated_ledger_is_found_without_the_marks(store: Path) -> None:
    await live(store, "alice", "bob")
    tampered(store, "DELETE FROM audit WHERE leaf_index = (SELECT MAX(leaf_index) FROM audit)")
    for mark in store.glob("highwater*"):
        mark.unlink()
    with pytest.raises(RolledBackError):
        await opens(store)


async def test_an_older_store_put_back_with_its_marks_is_found(store: Path, tmp_path: Path) -> None:
    """Whoever puts everything back but the file of checkpoints is found out."""
    await live(store, "alice")
    shutil.copytree(store, tmp_path / "older")
    await live(store, "bob")
    newest = (store / "checkpoints.log").read_bytes()
    shutil.rmtree(store)
    shutil.copytree(tmp_path / "older", store)
    (store / "checkpoints.log").write_bytes(newest)
    with pytest.raises(RolledBackError):
        await opens(store)


async def test_a_fork_of_the_same_length_is_found(store: Path, tmp_path: Path) -> None:
    await live(store, "alice")
    shutil.copytree(store, tmp_path / "fork")
    await live(store, "bob")
    await live(tmp_path / "fork", "mallory")
    assert leaves_in(store) == leaves_in(tmp_path / "fork")
    (tmp_path / "fork" / "checkpoints.log").write_bytes((store / "checkpoints.log").read_bytes())
    with pytest.raises(CorruptionError):
        await opens(tmp_path / "fork")


Change = Callable[[bytes], bytes]


def _resigned(data: bytes) -> bytes:
    notes = [one for one in parse_log(data).notes if one]
    last = sign_checkpoint(notes[-1].checkpoint, Signer(bytes(32)))
    return b"".join(map(encode_entry, [*notes[:-1], last]))


@pytest.mark.parametrize(
    "change",
    [
        _resigned,
        lambda data: data.replace(b"format 1", b"format 7", 1),
        lambda data: b"junk\n\njunk\n\n" + data,
    ],
    ids=["re-signed", "edited", "prefixed"],
)
async def test_altered_checkpoints_are_refused_and_set_aside_when_that_is_accepted(
    store: Path, change: Change
) -> None:
    await live(store, "alice")
    await live(store, "bob")
    path = store / "checkpoints.log"
    altered = change(path.read_bytes())
    path.write_bytes(altered)
    with pytest.raises(CorruptionError, match=r"checkpoints.log\) were altered or taken away"):
        await opens(store)
    await opens(store, accept_rollback=True)
    assert (store / "checkpoints.rejected").read_bytes() == altered
    await opens(store)
    async with opened(store, settings=LOCAL) as memory:
        assert (await notary_of(memory).verify()).sound


@pytest.mark.parametrize("kept", [0.0, 0.3, 0.5, 0.999])
async def test_checkpoints_that_were_taken_away_are_missed(store: Path, kept: float) -> None:
    """Else whoever takes them away could edit the ledger below them."""
    await live(store, "alice")
    await live(store, "bob")
    path = store / "checkpoints.log"
    whole = path.read_bytes()
    path.write_bytes(whole[: int(kept * len(whole))])
    with pytest.raises(CorruptionError, match="taken away"):
        await opens(store)
    path.unlink()
    with pytest.raises(CorruptionError, match="taken away"):
        await opens(store)
    await opens(store, accept_rollback=True)
    await opens(store)
    path.write_bytes(whole)
    with pytest.raises(CorruptionError, match="altered"):
        await opens(store)


async def test_a_store_from_before_there_were_checkpoints_opens_and_is_marked(store: Path) -> None:
    await live(store, "alice")
    async with opened(store, settings=LOCAL) as memory:
        key = parts_of(memory).core.names.marks_key
    path = store / "highwater"
    old = replace(decode_mark(path.read_bytes(), key), checkpoints=None)
    path.write_bytes(encode_mark(old, key))
    (store / "checkpoints.log").unlink()
    await opens(store)
    marked = decode_mark(path.read_bytes(), key).checkpoints
    assert marked is not None
    assert marked.bytes == (store / "checkpoints.log").stat().st_size


async def test_going_on_from_an_altered_ledger_is_recorded_and_reported_ever_after(store: Path) -> None:
    await live(store, "alice", "bob")
    before = log_of(store).notes
    tampered(store, *TAMPERINGS["edit"])
    await opens(store, accept_rollback=True)
    async with opened(store, settings=LOCAL) as memory:
        notary = notary_of(memory)
        rows = await parts_of(memory).core.state.read(c.Leaves())
        assert any(notary.incarnation.encode() in leaf and b"store_restored" in leaf for _, leaf, _ in rows)
        assert before[0] is not None
        assert notary.incarnation != before[0].checkpoint.incarnation
        found = await notary.verify()
        assert not found.sound
        assert any("are not those of the checkpoint" in problem for problem in found.problems)


async def test_an_erasure_goes_on_in_a_ledger_with_a_gap_without_a_proof_that_does_not_hold(
    store: Path,
) -> None:
    await live(store, "alice", "bob")
    tampered(store, *TAMPERINGS["drop"])
    async with opened(store, settings={**LOCAL, "accept_rollback": True}) as memory:
        certificate = await memory.user("alice", tenant="acme").erase(reason="request")
        verify_certificate(certificate)
        assert certificate.verified
        assert certificate.ledger_checkpoint == ""
    await opens(store)


async def test_going_on_from_an_older_ledger_is_sound_and_known(store: Path, tmp_path: Path) -> None:
    await live(store, "alice")
    shutil.copytree(store, tmp_path / "older")
    await live(store, "bob")
    shutil.copyfile(tmp_path / "older" / "state.db", store / "state.db")
    with pytest.raises(RolledBackError):
        await opens(store)
    await opens(store, accept_rollback=True)
    async with opened(store, settings=LOCAL) as memory:
        found = await notary_of(memory).verify()
        assert found.sound, found.problems
        assert any("beyond the restore" in notice for notice in found.notices)


async def test_a_restored_store_signs_a_log_of_its_own(store: Path, tmp_path: Path) -> None:
    async with opened(store, settings=LOCAL) as memory:
        await consenting(memory)
        await memory.backup(tmp_path / "archive")
    await live(store, "bob")
    fresh = tmp_path / "fresh"
    await TieredMemory.restore(tmp_path / "archive", fresh, erased_list=None)
    shutil.copytree(store / "keys", fresh / "keys")
    shutil.copyfile(store / "checkpoints.log", fresh / "checkpoints.log")
    await live(fresh, "carol")
    async with opened(fresh, settings=LOCAL) as memory:
        found = await notary_of(memory).verify()
        assert found.sound, found.problems
        assert found.covered == found.entries
    origins = {one.checkpoint.origin for one in log_of(fresh).notes if one}
    assert len(origins) == 2


async def test_a_ledger_that_is_altered_while_it_runs_is_not_signed(
    store: Path, caplog: pytest.LogCaptureFixture
) -> None:
    await live(store, "alice")
    signed = sizes_of(store)
    with caplog.at_level(logging.WARNING, "tiered_memory"):
        async with opened(store, settings=LOCAL) as memory:
            await consenting(memory, "bob")
            tampered(store, "UPDATE audit SET hash = zeroblob(32) WHERE leaf_index > 3")
            with pytest.raises(CorruptionError, match="does not have the hash"):
                await notary_of(memory).note()
    assert "closing" in caplog.text
    assert sizes_of(store) == signed
