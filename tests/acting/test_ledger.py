"""The ledger of a running store: checkpoints are written, proofs hold, tampering is found, a kill is not tampering."""

from __future__ import annotations

import contextlib
import logging
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from support import consenting, opened, parts_of, state_of

from tiered_memory import TieredMemory
from tiered_memory.crypto.signing import Signer
from tiered_memory.erasure import verify_certificate
from tiered_memory.errors import CorruptionError, RolledBackError, StorageError
from tiered_memory.failpoints import arm
from tiered_memory.formats.leaf import AuditEvent, AuditLeaf
from tiered_memory.notary import EVERY_LEAVES, EVERY_SECONDS, Notary, proof_holds, sign_checkpoint
from tiered_memory.privacy.checkpoint import CheckpointLog, encode_entry, parse_log, parse_note
from tiered_memory.privacy.merkle import leaf_hash
from tiered_memory.state import commands as c
from tiered_memory.testing import ManualClock

pytestmark = pytest.mark.anyio

LOCAL = {"redis_url": "local", "ballast_mib": 0}


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "store"


def notary_of(memory: TieredMemory) -> Notary:
    return parts_of(memory).core.notary


async def add_leaves(memory: TieredMemory, count: int) -> None:
    leaves = tuple(AuditLeaf(AuditEvent.MEMORY_PURGED, number, "t", "s", 0) for number in range(count))
    await parts_of(memory).core.state.write(c.AppendLeaves(leaves))


async def live(store: Path, *users: str) -> None:
    async with opened(store, settings=LOCAL) as memory:
        for user in users:
            await consenting(memory, user)


def log_of(store: Path) -> CheckpointLog:
    path = store / "checkpoints.log"
    return parse_log(path.read_bytes() if path.exists() else b"")


def sizes_of(store: Path) -> list[int]:
    return [one.checkpoint.size for one in log_of(store).notes if one]


def leaves_in(store: Path) -> int:
    with contextlib.closing(state_of(store)) as db:
        [(count,)] = db.execute("SELECT COUNT(*) FROM audit")
    return int(count)


def tampered(store: Path, *statements: str) -> None:
    with contextlib.closing(state_of(store)) as db:
        for statement in statements:
            db.execute(statement)


async def opens(store: Path, **settings: object) -> None:
    async with opened(store, settings={**LOCAL, **settings}):
        pass


# --- writing -----------------------------------------------------------------------------------------------------


async def test_a_store_that_closes_signs_what_it_has(store: Path) -> None:
    await live(store, "alice", "bob")
    assert sizes_of(store) == [leaves_in(store)]
    assert (store / "checkpoints.log").stat().st_mode & 0o777 == 0o600
    await opens(store)
    assert len(sizes_of(store)) == 1
    await live(store, "carol")
    assert sizes_of(store)[-1] == leaves_in(store)
    assert len(sizes_of(store)) == 2


async def test_enough_leaves_or_enough_time_make_a_checkpoint(store: Path) -> None:
    clock = ManualClock()
    async with opened(store, settings=LOCAL, clock=clock) as memory:
        notary = notary_of(memory)
        await notary.tend()
        first = sizes_of(store)
        assert len(first) == 1
        await add_leaves(memory, EVERY_LEAVES - 1)
        await notary.tend()
        assert sizes_of(store) == first
        await add_leaves(memory, 1)
        await notary.tend()
        assert sizes_of(store)[1:] == [first[0] + EVERY_LEAVES]
        clock.advance(EVERY_SECONDS)
        await notary.tend()
        assert len(sizes_of(store)) == 2
        await add_leaves(memory, 1)
        await notary.tend()
        assert sizes_of(store)[2:] == [first[0] + EVERY_LEAVES + 1]


async def test_the_background_tends_the_ledger(store: Path) -> None:
    clock = ManualClock()
    async with opened(store, settings={**LOCAL, "background": True}, clock=clock) as memory:
        await consenting(memory)
        while not sizes_of(store):
            clock.advance(60.0)
            await parts_of(memory).core.state.read(c.Position())


async def test_any_leaf_can_be_proven(store: Path) -> None:
    async with opened(store, settings=LOCAL) as memory:
        await add_leaves(memory, 2_100)
        notary = notary_of(memory)
        rows = await parts_of(memory).core.state.read(c.Leaves())
        for index in (0, 1, 1_023, 1_024, 2_047, 2_048, len(rows) - 1):
            proof = await notary.prove(index)
            assert proof.leaf == rows[index][1]
            assert proof_holds(proof, notary.public_key)
            assert not proof_holds(replace(proof, index=index + 1), notary.public_key)
            assert not proof_holds(proof, Signer(bytes(32)).public_key)
        with pytest.raises(CorruptionError, match="no such entry"):
            await notary.prove(len(rows))


# --- certificates ------------------------------------------------------------------------------------------------


async def test_a_certificate_is_proven_against_a_checkpoint_that_is_on_disk(store: Path) -> None:
    async with opened(store, settings=LOCAL) as memory:
        alice = await consenting(memory)
        await alice.add("I prefer tea", importance=0.9)
        certificate = await alice.erase(reason="request")
        verify_certificate(certificate)
        signed = parse_note(certificate.ledger_checkpoint)
        assert signed is not None
        assert encode_entry(signed) in (store / "checkpoints.log").read_bytes()
        assert certificate.format == 2
        assert '"event":"erasure_finished"' in certificate.ledger_entry
        assert "alice" not in repr(certificate)
        await add_leaves(memory, 50)
        later = await notary_of(memory).prove(int(certificate.ledger_leaf))
        assert later.leaf.decode() == certificate.ledger_entry


async def test_two_erasures_at_once_both_have_proofs(store: Path) -> None:
    import anyio

    async with opened(store, settings=LOCAL) as memory:
        users = [await consenting(memory, f"user{number}") for number in range(6)]
        found = []

        async def erase(number: int) -> None:
            found.append(await users[number].erase(reason="request"))

        async with anyio.create_task_group() as tasks:
            for number in range(6):
                tasks.start_soon(erase, number)
        for certificate in found:
            verify_certificate(certificate)
            assert certificate.ledger_path


async def test_a_checkpoint_that_cannot_be_written_does_not_stand_in_the_way_of_an_erasure(
    store: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with opened(store, settings=LOCAL) as memory:
        alice = await consenting(memory)
        await alice.add("I prefer tea", importance=0.9)
        (store / "checkpoints.log").mkdir()
        with pytest.raises(StorageError):
            await notary_of(memory).note()
        with caplog.at_level(logging.WARNING, "tiered_memory"):
            certificate = await alice.erase(reason="request")
        assert "no proof" in caplog.text
        verify_certificate(certificate)
        assert certificate.verified
        assert (certificate.ledger_entry, certificate.ledger_path, certificate.ledger_checkpoint) == (
            "",
            (),
            "",
        )


async def test_what_was_never_durable_has_no_place_in_the_ledger(store: Path) -> None:
    async with opened(store, settings=LOCAL) as memory:
        certificate = await memory.user("guest").erase(reason="request")
        verify_certificate(certificate)
        assert (certificate.ledger_leaf, certificate.ledger_checkpoint) == ("", "")


# --- a kill is no tampering --------------------------------------------------------------------------------------


async def test_a_kill_between_a_leaf_and_its_checkpoint_is_no_tampering(store: Path, tmp_path: Path) -> None:
    """The directory as a kill leaves it, at every point of an erasure."""
    images: list[Path] = []

    def photograph(point: str) -> None:
        if point.startswith("erase."):
            images.append(tmp_path / f"killed{len(images)}")
            shutil.copytree(store, images[-1], ignore=shutil.ignore_patterns("owner.*"))

    await live(store, "alice", "bob")
    async with opened(store, settings=LOCAL) as memory:
        alice = memory.user("alice", tenant="acme")
        await alice.add("I prefer tea", importance=0.9)
        arm(photograph)
        try:
            await alice.erase(reason="request")
        finally:
            arm(None)
    assert len(images) >= 6
    for image in images:
        async with opened(image, settings=LOCAL) as memory:
            found = await notary_of(memory).verify()
            assert found.sound, (image, found.problems)
        assert sizes_of(image)[-1] == leaves_in(image)


@pytest.mark.parametrize("kept", [0.0, 0.1, 0.5, 0.99])
async def test_a_checkpoint_that_a_power_cut_tore_is_cut_off(
    store: Path, kept: float, caplog: pytest.LogCaptureFixture
) -> None:
    await live(store, "alice")
    await live(store, "bob")
    path, entries = store / "checkpoints.log", log_of(store).notes
    assert len(entries) == 2
    assert entries[0] is not None
    first = encode_entry(entries[0])
    torn = path.read_bytes()[len(first) :]
    path.write_bytes(first + torn[: int(kept * len(torn))])
    with caplog.at_level(logging.WARNING, "tiered_memory"):
        async with opened(store, settings=LOCAL) as memory:
            assert (await notary_of(memory).verify()).sound
    assert ("what a crash left" in caplog.text) == (kept > 0)
    assert sizes_of(store) == [entries[0].checkpoint.size, leaves_in(store)]
    assert not log_of(store).torn


# --- tampering is found ------------------------------------------------------------------------------------------

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
    with pytest.raises(CorruptionError, match=r"checkpoints.log\) were altered"):
        await opens(store)
    await opens(store, accept_rollback=True)
    assert (store / "checkpoints.rejected").read_bytes() == altered
    await opens(store)
    async with opened(store, settings=LOCAL) as memory:
        assert (await notary_of(memory).verify()).sound


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
