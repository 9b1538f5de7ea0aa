"""Checkpoints as signed notes: one spelling, one meaning; and a log of them that a crash may have cut short."""

from __future__ import annotations

import base64
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiered_memory.crypto.signing import Signer, verifies
from tiered_memory.notary import note_holds, sign_checkpoint
from tiered_memory.privacy.checkpoint import (
    Checkpoint,
    encode_entry,
    key_id,
    parse_log,
    parse_note,
    verifier_key,
)

SIGNER = Signer(bytes(range(32)))
SUM_DB = "sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8"
"""A well-known verifier key of the signed-note family."""

checkpoints = st.builds(
    Checkpoint,
    incarnation=st.binary(min_size=16, max_size=16).map(bytes.hex),
    size=st.integers(0, 10**15),
    root=st.binary(min_size=32, max_size=32),
    at_us=st.integers(0, 2**53),
    software=st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=20),
)
ONE = Checkpoint("0f" * 16, 7, bytes(range(32)), 1_795_161_600_000_000, "0.1.0")


def test_a_known_key_of_the_family_has_its_known_id() -> None:
    name, identity, encoded = SUM_DB.split("+", 2)
    public = base64.b64decode(encoded)[1:]
    assert key_id(name, public).hex() == identity
    assert verifier_key(name, public) == SUM_DB


def test_the_note_has_the_families_shape() -> None:
    note = sign_checkpoint(ONE, SIGNER).note()
    origin, size, root, *more, blank, signature, end = note.split("\n")
    assert (origin, size, base64.b64decode(root)) == (ONE.origin, "7", ONE.root)
    assert more == ["time 1795161600000000", "software 0.1.0", "format 1"]
    assert (blank, end) == ("", "")
    dash, name, signed = signature.split(" ")
    assert (dash, name) == ("—", ONE.origin)
    raw = base64.b64decode(signed)
    assert raw[:4] == key_id(ONE.origin, SIGNER.public_key)
    assert verifies(SIGNER.public_key, raw[4:], note[: note.index("\n\n") + 1].encode())


@given(checkpoints)
def test_what_is_signed_is_read_back_and_holds(given_one: Checkpoint) -> None:
    signed = sign_checkpoint(given_one, SIGNER)
    assert parse_note(signed.note()) == signed
    assert signed.checkpoint == given_one
    assert note_holds(signed, SIGNER.public_key)
    assert not note_holds(signed, Signer(bytes(32)).public_key)


@given(checkpoints, st.data())
def test_no_byte_of_a_note_can_be_changed(given_one: Checkpoint, data: st.DataObject) -> None:
    note = sign_checkpoint(given_one, SIGNER).note()
    at = data.draw(st.integers(0, len(note) - 1))
    other = data.draw(st.characters(max_codepoint=0x2100).filter(lambda one: one != note[at]))
    parsed = parse_note(note[:at] + other + note[at + 1 :])
    assert parsed is None or not note_holds(parsed, SIGNER.public_key)


@pytest.mark.parametrize(
    "altered",
    [
        replace(ONE, size=8),
        replace(ONE, root=bytes(32)),
        replace(ONE, at_us=0),
        replace(ONE, software="0.1.1"),
        replace(ONE, incarnation="0e" * 16),
    ],
    ids=["size", "root", "time", "software", "incarnation"],
)
def test_a_signature_is_for_one_checkpoint(altered: Checkpoint) -> None:
    signed = sign_checkpoint(ONE, SIGNER)
    assert not note_holds(replace(signed, checkpoint=altered), SIGNER.public_key)


@pytest.mark.parametrize(
    ("was", "becomes"),
    [
        ("format 1", "format 2"),
        ("\n7\n", "\n07\n"),
        ("\n7\n", "\n-7\n"),
        ("software 0.1.0", "software 0.1 0"),
        ("format 1\n", "format 1\nmore\n"),
        ("ledger/0f", "ledger/0F"),
        ("— tiered", "- tiered"),
        ("\n\n", "\n"),
    ],
)
def test_other_spellings_are_no_checkpoints(was: str, becomes: str) -> None:
    note = sign_checkpoint(ONE, SIGNER).note()
    assert was in note
    assert parse_note(note.replace(was, becomes, 1)) is None


# --- the log -----------------------------------------------------------------------------------------------------


@given(st.lists(checkpoints, max_size=4), st.data())
def test_a_log_cut_anywhere_gives_its_whole_entries(entries: list[Checkpoint], data: st.DataObject) -> None:
    signed = [sign_checkpoint(one, SIGNER) for one in entries]
    pieces = [encode_entry(one) for one in signed]
    whole = b"".join(pieces)
    cut = data.draw(st.integers(0, len(whole)))
    log = parse_log(whole[:cut])
    ends = [sum(map(len, pieces[: count + 1])) for count in range(len(pieces))]
    complete = sum(end <= cut for end in ends)
    assert log.notes == tuple(signed[:complete])
    assert log.whole_bytes == (ends[complete - 1] if complete else 0)
    assert log.torn == (log.whole_bytes < cut)


@given(st.binary(max_size=400))
def test_any_bytes_can_be_looked_at(junk: bytes) -> None:
    log = parse_log(junk)
    assert 0 <= log.whole_bytes <= len(junk)
    assert all(one is None for one in log.notes)


def test_a_damaged_entry_among_others_is_named_by_its_place() -> None:
    pieces = [encode_entry(sign_checkpoint(replace(ONE, size=size), SIGNER)) for size in (1, 2, 3)]
    log = parse_log(pieces[0] + pieces[1].replace(b"format 1", b"format x") + pieces[2])
    assert [one is None for one in log.notes] == [False, True, False]
    assert not log.torn
