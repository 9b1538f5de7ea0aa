"""What an API key looks like, what is kept of it, and when it is good."""

from __future__ import annotations

import base64
from dataclasses import replace

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiered_memory.caller import AGENT
from tiered_memory.principals import Grant
from tiered_memory.privacy.api_keys import (
    DAY_US,
    REMEMBERED_DAYS,
    KeyTerms,
    NewApiKey,
    StoredKey,
    day_of,
    id_in,
    key_text,
    stored_key,
)

ID = "00ff" * 4
TERMS = KeyTerms(name="bot", grants=frozenset({Grant.READ}), roles=frozenset({AGENT}))
KEPT = StoredKey(id=ID, terms=TERMS, digest=bytes(32), at_us=5)
moments = st.integers(0, 2**50)
words = st.text(max_size=20)
terms = st.builds(
    KeyTerms,
    name=words,
    grants=st.frozensets(st.sampled_from(Grant), min_size=1),
    tenant=st.none() | words,
    user=st.none() | words,
    roles=st.frozensets(words, max_size=3),
    actor=words,
    expires_us=st.none() | moments,
)
stored = st.builds(
    StoredKey,
    id=st.just(ID),
    terms=terms,
    digest=st.binary(min_size=32, max_size=32),
    at_us=moments,
    tenant_generation=st.integers(0, 9),
    user_generation=st.integers(0, 9),
    revoked_us=st.none() | moments,
    revoked_because=words,
    replaced_by=st.none() | words,
    used_day=st.none() | st.integers(0, 99_999),
    version=st.integers(0, 9),
)


@given(st.binary(min_size=8, max_size=8), st.binary(min_size=32, max_size=32))
def test_a_key_s_text_has_its_id_and_its_whole_secret(key_id: bytes, secret: bytes) -> None:
    text = key_text(key_id.hex(), secret)
    assert id_in(text) == key_id.hex()
    assert len(text) == 63
    assert base64.urlsafe_b64decode(text[-43:] + "=") == secret


GOOD = key_text(ID, bytes(range(32)))


@pytest.mark.parametrize(
    "presented",
    [
        "",
        GOOD[:-1],
        GOOD + "A",
        GOOD + "\n",
        " " + GOOD,
        GOOD.upper(),
        GOOD.replace("tm_", "sk_"),
        GOOD[:-1] + "=",
        GOOD[:-1] + "é",
        GOOD.replace("0", "\u0660", 1),
        GOOD.encode(),
        None,
        7,
        "x" * 1_000_000,
    ],
)
def test_what_has_not_the_form_names_nobody(presented: object) -> None:
    assert id_in(presented) is None


@given(stored)
def test_what_is_sealed_is_read_as_it_was(one: StoredKey) -> None:
    fields = msgpack.unpackb(msgpack.packb(one.fields()))
    assert stored_key(one.id, one.at_us, one.version, fields) == one


def test_a_grant_of_a_later_release_grants_nothing() -> None:
    fields = {**KEPT.fields(), "grants": ["memories:read", "memories:dream"]}
    assert stored_key(ID, 5, 1, fields).terms.grants == {Grant.READ}


@given(stored, moments)
def test_it_is_good_until_it_expires_or_is_revoked_and_never_after(one: StoredKey, now_us: int) -> None:
    ends = [end for end in (one.terms.expires_us, one.revoked_us) if end is not None]
    assert one.good_at(now_us) == all(now_us < end for end in ends)
    if not one.good_at(now_us):
        assert not one.good_at(now_us + 1)


@given(stored, moments)
def test_it_is_listed_for_ninety_days_after_its_end(one: StoredKey, now_us: int) -> None:
    if one.forgotten_at(now_us):
        assert not one.good_at(now_us - REMEMBERED_DAYS * DAY_US)
    else:
        assert one.good_at(now_us - REMEMBERED_DAYS * DAY_US)


def test_its_status_says_whether_it_was_revoked() -> None:
    assert (KEPT.status, replace(KEPT, revoked_us=9).status) == ("active", "revoked")


def test_its_principal_is_bound_as_it_is() -> None:
    bound = replace(TERMS, tenant="acme", user="alice", actor="helper")
    found = replace(KEPT, terms=bound).principal()
    assert (found.name, found.tenant, found.user, found.actor) == (ID, "acme", "alice", "helper")
    assert (found.grants, found.roles) == ({Grant.READ}, {AGENT})


def test_neither_secret_nor_digest_is_printed() -> None:
    made = NewApiKey(key=None, secret="tm_secret")  # type: ignore[arg-type]
    assert "tm_secret" not in repr(made)
    assert repr(bytes(32)) not in repr(KEPT)


@pytest.mark.parametrize(("now_us", "day"), [(0, 0), (DAY_US - 1, 0), (DAY_US, 1)])
def test_a_day_is_counted_from_1970(now_us: int, day: int) -> None:
    assert day_of(now_us) == day
