"""Stored bytes are a contract: today's code writes what the golden files hold, and reads it."""

from __future__ import annotations

import hashlib
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parents[1] / "golden"))

import frozen

from tiered_memory.clock import SeededEntropy
from tiered_memory.crypto.envelope import Place, SealContext, SealingKey, key_id_of
from tiered_memory.crypto.keyring import EpochRecord, KeyRecord, Keyring, Pseudonyms
from tiered_memory.errors import CorruptionError, KeyUnavailableError, RootKeyError
from tiered_memory.formats.record import decode_fields, encode_record, memory_of, passages_of, vectors_of
from tiered_memory.highwater import Listed, Mark, decode_erased, decode_latest, decode_mark
from tiered_memory.model import Subject
from tiered_memory.state.queries import load_sql

LISTED = Listed(446, "52695905dbc90f0b41ab4472e625cc62e4530e9730bada08b3e69cc5995e0168")
SCHEMA_1_SHA256 = "b3ed04695706c8d152dfa9cf85b07ab7ce8e292f26fe78063102d65d37d5ea32"


@pytest.mark.parametrize("name", sorted(frozen.SPECIMENS))
def test_what_is_written_today_is_what_was_frozen(name: str) -> None:
    assert frozen.SPECIMENS[name]() == frozen.stored(name)


def test_the_schema_file_is_never_edited() -> None:
    digest = hashlib.sha256(load_sql("schema_1.sql").encode()).hexdigest()
    assert digest == SCHEMA_1_SHA256


def test_a_frozen_envelope_opens() -> None:
    envelope = bytes.fromhex(frozen.stored("envelope_v1")["envelope"])
    assert key_id_of(envelope) == frozen.KEY.key_id
    assert frozen.KEY.open(envelope, frozen.CONTEXT) == b"plaintext"


def test_a_frozen_record_reads_back_whole() -> None:
    fields = decode_fields(bytes.fromhex(frozen.stored("record_v1")["plaintext"]))
    memory = memory_of(fields, record_id="0a" * 16, order=17, version=4)
    assert memory == frozen.memory()
    assert fields["terms"] == {"move": 1, "standup": 2}
    vector = vectors_of([fields], 16)[0]
    assert np.abs(vector - frozen.features().vector).max() <= 2.0 / 127


def test_a_frozen_records_passages_and_signs_decode() -> None:
    fields = decode_fields(bytes.fromhex(frozen.stored("record_passages_v1")["plaintext"]))
    read = passages_of(fields)
    assert fields["signs"] == ["d-1", "time"]
    assert [terms for terms, _ in read] == [terms for terms, _ in frozen.passages()]
    for (_, vector), (_, expected) in zip(read, frozen.passages(), strict=True):
        assert vector.dtype == np.float32
        assert np.abs(vector - expected).max() <= 3.0 / 127


def test_a_record_without_passages_has_none() -> None:
    fields = decode_fields(bytes.fromhex(frozen.stored("record_v1")["plaintext"]))
    assert fields.keys().isdisjoint({"passages", "signs"})
    assert passages_of(fields) == ()


def test_a_frozen_key_record_opens() -> None:
    golden = frozen.stored("key_record_v1")
    keyring = Keyring(frozen.ROOT, SeededEntropy(9))
    epoch = keyring.open_epoch(EpochRecord(**_bytes(golden["epoch"])))
    key = keyring.open_data_key(epoch, frozen.TENANT, KeyRecord(**_bytes(golden["record"])))
    assert key.epoch == 3
    names = Pseudonyms(bytes(range(64, 96)))
    assert names.subject(Subject("acme", "alice")).hex() == golden["pseudonym"]


def test_a_frozen_tail_opens() -> None:
    row = _bytes(frozen.stored("session_tail_v1")["row"])
    context = SealContext(
        frozen.TENANT, frozen.SUBJECT, Place.TAIL, "0a" * 16, "personalization", order=17, version=1
    )
    fields = decode_fields(frozen.KEY.open(row["sealed"], context))
    assert fields["content"] == frozen.memory().content
    assert fields["volatile"] is True


@pytest.mark.parametrize(("name", "erased"), [("highwater_v1", None), ("highwater_v2", LISTED)])
def test_a_frozen_mark_reads_back(name: str, erased: Listed | None) -> None:
    golden = frozen.stored(name)
    read = decode_mark(golden["file"].encode(), bytes.fromhex(golden["key"]))
    assert read == replace(frozen.MARK, erased=erased)


def test_a_frozen_mark_of_the_latest_commit_reads_back() -> None:
    golden = frozen.stored("highwater_latest_v1")
    read = decode_latest(bytes.fromhex(golden["file"]), bytes.fromhex(golden["key"]))
    assert read == Mark(frozen.MARK.incarnation, commits=frozen.MARK.commits)


def test_a_frozen_erased_list_reads_back() -> None:
    golden = frozen.stored("erased_v1")
    key, lines = bytes.fromhex(golden["key"]), "".join(golden["lines"]).encode()
    assert decode_erased(lines, key) == list(frozen.ERASED)
    assert decode_erased(lines[:-1], key) == list(frozen.ERASED[:1])


def test_a_frozen_list_of_ended_purposes_reads_back() -> None:
    golden = frozen.stored("erased_purposes_v1")
    lines = "".join(golden["lines"]).encode()
    assert decode_erased(lines, bytes.fromhex(golden["key"])) == list(frozen.ENDED)
    assert not any(one.whole for one in frozen.ENDED)
    assert [one.whole for one in frozen.ERASED] == [True, False]


@given(position=st.integers(0, 2**16), flip=st.integers(1, 255))
def test_no_flipped_byte_of_a_mark_goes_unnoticed(position: int, flip: int) -> None:
    for name, decode in (("highwater_v2", decode_mark), ("highwater_latest_v1", decode_latest)):
        golden = frozen.stored(name)
        text = golden["file"]
        data = bytearray(text.encode() if decode is decode_mark else bytes.fromhex(text))
        data[position % len(data)] ^= flip
        if bytes(data).rstrip(b"\n") != text.encode().rstrip(b"\n"):
            with pytest.raises(CorruptionError):
                decode(bytes(data), bytes.fromhex(golden["key"]))


def test_another_root_key_is_refused_by_name() -> None:
    master, wrapped = Keyring(frozen.ROOT, SeededEntropy(1)).new_master(b"store")
    with pytest.raises(RootKeyError, match="does not open this store"):
        Keyring(bytes(32), SeededEntropy(1)).open_master(b"store", wrapped)
    assert Keyring(frozen.ROOT, SeededEntropy(2)).open_master(b"store", wrapped) == master


OTHER_CONTEXTS = [
    replace(frozen.CONTEXT, tenant=b"u" * 32),
    replace(frozen.CONTEXT, subject=b"v" * 32),
    replace(frozen.CONTEXT, place=Place.HOT),
    replace(frozen.CONTEXT, record_id="0b" * 16),
    replace(frozen.CONTEXT, purpose="marketing"),
    replace(frozen.CONTEXT, field="summary"),
    replace(frozen.CONTEXT, schema=2),
    replace(frozen.CONTEXT, generation=3),
    replace(frozen.CONTEXT, order=18),
    replace(frozen.CONTEXT, version=5),
]


@pytest.mark.parametrize("context", OTHER_CONTEXTS)
def test_a_record_moved_elsewhere_does_not_open(context: SealContext) -> None:
    envelope = bytes.fromhex(frozen.stored("envelope_v1")["envelope"])
    with pytest.raises(CorruptionError):
        frozen.KEY.open(envelope, context)


@given(position=st.integers(0, 93), flip=st.integers(1, 255))
def test_no_flipped_byte_goes_unnoticed(position: int, flip: int) -> None:
    envelope = bytearray(bytes.fromhex(frozen.stored("envelope_v1")["envelope"]))
    envelope[position % len(envelope)] ^= flip
    with pytest.raises(CorruptionError):
        frozen.KEY.open(bytes(envelope), frozen.CONTEXT)


@given(length=st.integers(0, 92))
def test_no_truncation_goes_unnoticed(length: int) -> None:
    envelope = bytes.fromhex(frozen.stored("envelope_v1")["envelope"])
    with pytest.raises(CorruptionError):
        frozen.KEY.open(envelope[: min(length, len(envelope) - 1)], frozen.CONTEXT)


def test_a_key_of_the_same_id_but_another_secret_is_told_apart() -> None:
    envelope = bytes.fromhex(frozen.stored("envelope_v1")["envelope"])
    impostor = SealingKey(frozen.KEY.key_id, frozen.KEY.epoch, bytes(32))
    with pytest.raises(CorruptionError):
        impostor.open(envelope, frozen.CONTEXT)


def test_a_record_under_another_key_says_that_the_key_is_gone() -> None:
    other = SealingKey(b"z" * 16, 3, bytes(32))
    with pytest.raises(KeyUnavailableError):
        other.open(bytes.fromhex(frozen.stored("envelope_v1")["envelope"]), frozen.CONTEXT)


parts = st.binary(max_size=40)
words = st.text(max_size=20)


contexts = st.builds(
    SealContext, tenant=parts, subject=parts, place=st.just(Place.HOT), record_id=words, purpose=words
)


@given(one=contexts, two=contexts)
def test_no_two_contexts_share_an_encoding(one: SealContext, two: SealContext) -> None:
    assert (one == two) == (one.encode() == two.encode())


@given(tenant=words, user=words, other_tenant=words, other_user=words)
def test_no_two_subjects_share_a_pseudonym(
    tenant: str, user: str, other_tenant: str, other_user: str
) -> None:
    names = Pseudonyms(bytes(32))
    same = (tenant, user) == (other_tenant, other_user)
    one, two = names.subject(Subject(tenant, user)), names.subject(Subject(other_tenant, other_user))
    assert same == (one == two)


@given(st.lists(st.floats(-1e6, 1e6, width=32), min_size=16, max_size=16))
def test_a_quantised_vector_is_close(values: list[float]) -> None:
    vector = np.array(values, dtype=np.float32)
    plaintext = encode_record(frozen.memory(), replace(frozen.features(), vector=vector))
    read = vectors_of([decode_fields(plaintext)], 16)[0]
    assert np.abs(read - vector).max() <= np.abs(vector).max() / 127 * 0.51 + 1e-6


@pytest.mark.parametrize("plaintext", [b"", b"\xc1", b"\x80", b"\x81\xa1f\x02", b"not msgpack at all"])
def test_what_is_no_record_is_corruption(plaintext: bytes) -> None:
    with pytest.raises(CorruptionError):
        decode_fields(plaintext)


def _bytes(fields: dict[str, object]) -> dict[str, object]:
    return {
        key: bytes.fromhex(value[4:]) if isinstance(value, str) and value.startswith("hex:") else value
        for key, value in fields.items()
    }
