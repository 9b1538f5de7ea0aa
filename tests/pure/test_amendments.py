"""A record's next version: only its links change, what nobody knows stays, repeats are bounded."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import msgpack
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiered_memory.formats.record import (
    REPEATS_KEPT,
    Features,
    amended,
    closed,
    decode_fields,
    encode_record,
    memory_of,
    repeated,
    settled,
)
from tiered_memory.model import Kind, Memory, Provenance, Repeat, Role, Sensitivity

WHEN = datetime(2026, 3, 1, 12, tzinfo=timezone(timedelta(hours=2)))
FEATURES = Features("en-porter-1", {"tea": 1}, "static", np.ones(4, np.float32))
PLAIN = Memory(
    id="a" * 32,
    order=7,
    version=1,
    content="I prefer tea.",
    role=Role.USER,
    kind=Kind.EPISODIC,
    importance=0.5,
    reasons=("preference",),
    sensitivity=Sensitivity.INTERNAL,
    purpose="p",
    lawful_basis=None,
    occurred_at=WHEN,
    ingested_at=WHEN.astimezone(UTC),
)


def read(plaintext: bytes, memory: Memory = PLAIN) -> Memory:
    return memory_of(
        decode_fields(plaintext), record_id=memory.id, order=memory.order, version=memory.version
    )


def repeat(number: int) -> Repeat:
    return Repeat(f"{number:032x}", number, WHEN + timedelta(days=number), f"s{number}")


def test_what_is_absent_is_the_default() -> None:
    fields = decode_fields(encode_record(PLAIN, FEATURES))
    assert not fields.keys() & {"because", "supersedes", "conflicts", "repeats", "superseded_by", "valid_to"}
    assert read(encode_record(PLAIN, FEATURES)) == PLAIN


@given(
    st.lists(st.uuids().map(lambda one: one.hex), max_size=3).map(tuple),
    st.lists(st.uuids().map(lambda one: one.hex), max_size=3).map(tuple),
    st.integers(0, 4),
)
def test_links_are_read_as_they_were_written(
    supersedes: tuple[str, ...], conflicts: tuple[str, ...], repeats: int
) -> None:
    memory = replace(
        PLAIN,
        supersedes=supersedes,
        conflicts_with=conflicts,
        repeats=tuple(repeat(one) for one in range(repeats)),
        superseded_by="b" * 32,
        superseded_because="same profile key",
        valid_from=WHEN.astimezone(UTC),
        valid_to=WHEN.astimezone(UTC) + timedelta(days=1),
    )
    assert read(encode_record(memory, FEATURES)) == memory


def test_closing_changes_nothing_else() -> None:
    ended = PLAIN.ingested_at + timedelta(days=3)
    found = read(closed(encode_record(PLAIN, FEATURES), "b" * 32, round(ended.timestamp() * 1e6), "corrects"))
    assert found == replace(PLAIN, valid_to=ended, superseded_by="b" * 32, superseded_because="corrects")


def test_a_repetition_is_kept_beside_given_parents() -> None:
    given_parents = replace(PLAIN, provenance=Provenance(channel="mail", merged_from=("older",)))
    found = read(repeated(encode_record(given_parents, FEATURES), repeat(9)))
    assert found.repeats == (repeat(9),)
    assert found.provenance == Provenance(channel="mail", merged_from=("older", repeat(9).id))


def test_the_newest_repetitions_are_kept() -> None:
    plaintext = encode_record(replace(PLAIN, provenance=Provenance(merged_from=("older",))), FEATURES)
    for number in range(REPEATS_KEPT + 5):
        plaintext = repeated(plaintext, repeat(number))
    found = read(plaintext)
    assert found.repeats == tuple(repeat(number) for number in range(5, REPEATS_KEPT + 5))
    assert found.provenance.merged_from == ("older", *(one.id for one in found.repeats))


@pytest.mark.parametrize(
    "amend", [lambda p: closed(p, "b", 1, "r"), lambda p: repeated(p, repeat(1)), settled]
)
def test_keys_of_a_later_version_survive(amend: Any) -> None:
    known = decode_fields(encode_record(PLAIN, FEATURES))
    later = msgpack.packb({**known, "of a later version": [1, 2]})
    assert decode_fields(amend(later))["of a later version"] == [1, 2]


def test_a_settled_record_is_volatile_no_more() -> None:
    volatile = encode_record(PLAIN, FEATURES, volatile=True)
    assert decode_fields(volatile)["volatile"]
    assert settled(volatile) == encode_record(PLAIN, FEATURES)
    assert settled(settled(volatile)) == settled(volatile)


def test_amending_takes_the_given_values() -> None:
    assert decode_fields(amended(encode_record(PLAIN, FEATURES), {"importance": 0.9}))["importance"] == 0.9
