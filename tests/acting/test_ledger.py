"""The ledger of a running store: checkpoints are written, proofs hold, and a kill is not tampering."""

from __future__ import annotations

import logging
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from ledger_store import LOCAL, add_leaves, leaves_in, live, log_of, notary_of, opens, sizes_of
from support import consenting, opened, parts_of

from tiered_memory.crypto.signing import Signer
from tiered_memory.erasure import verify_certificate
from tiered_memory.errors import CorruptionError, StorageError
from tiered_memory.failpoints import arm
from tiered_memory.notary import EVERY_LEAVES, EVERY_SECONDS, proof_holds
from tiered_memory.privacy.checkpoint import encode_entry, parse_note
from tiered_memory.state import commands as c
from tiered_memory.testing import ManualClock

pytestmark = pytest.mark.anyio


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "store"


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
        assert sizes_of(store) == [leaves_in(store)]


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
    noted = (store / "highwater").read_bytes()
    await live(store, "bob")
    (store / "highwater").write_bytes(noted)  # the power went before the mark that counts the second
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
