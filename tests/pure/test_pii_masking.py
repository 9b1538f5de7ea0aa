from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pii_values import anything, labelled, quiet

from tiered_memory.errors import InvalidInputError
from tiered_memory.policy.pii_rules import PiiMode
from tiered_memory.policy.pii_types import SECRETS, PiiType, Span
from tiered_memory.privacy.pii import find
from tiered_memory.privacy.pii_masking import (
    Masked,
    PiiRefusedError,
    Placeholders,
    apply,
    normalised,
)

KEY = b"k" * 32
EMPTY = Placeholders(KEY)
TEXT = "mail jo@mail.example or call 555-123-4567, password=opensesame"
WRITTEN = [PiiMode.MASK, PiiMode.REDACT, PiiMode.KEEP_SEALED]


def treated(text: str, mode: PiiMode, table: Placeholders = EMPTY) -> Masked:
    return apply(text, find(text), mode, table)


@pytest.mark.parametrize(
    ("mode", "text"),
    [
        (PiiMode.MASK, "mail <EMAIL_1> or call <PHONE_1>, password=<PASSWORD>"),
        (PiiMode.REDACT, "mail <EMAIL> or call <PHONE>, password=<PASSWORD>"),
        (PiiMode.KEEP_SEALED, "mail jo@mail.example or call 555-123-4567, password=<PASSWORD>"),
    ],
)
def test_each_mode_does_its_own_and_secrets_always_go(mode: PiiMode, text: str) -> None:
    masked = treated(TEXT, mode)
    assert masked.text == text
    assert masked.spans == find(TEXT)


def test_refusing_names_the_types_and_nothing_else() -> None:
    with pytest.raises(PiiRefusedError) as raised:
        treated(TEXT, PiiMode.REFUSE)
    assert raised.value.types == (PiiType.EMAIL, PiiType.PASSWORD, PiiType.PHONE)
    assert isinstance(raised.value, InvalidInputError)
    assert all(value not in str(raised.value) for value in ("jo", "555", "opensesame"))
    assert treated("nothing here", PiiMode.REFUSE).text == "nothing here"


def test_a_type_s_own_mode_goes_before_the_general_one() -> None:
    overrides = {PiiType.EMAIL: PiiMode.REDACT, PiiType.PASSWORD: PiiMode.KEEP_SEALED}
    masked = apply(TEXT, find(TEXT), PiiMode.MASK, EMPTY, overrides)
    assert masked.text == "mail <EMAIL> or call <PHONE_1>, password=<PASSWORD>"
    with pytest.raises(PiiRefusedError, match="PASSWORD"):
        apply(TEXT, find(TEXT), PiiMode.MASK, EMPTY, {PiiType.PASSWORD: PiiMode.REFUSE})


def test_the_same_value_keeps_its_placeholder_however_it_is_written() -> None:
    first = treated("a@b.example, (415) 555-0134", PiiMode.MASK)
    second = treated("415.555.0134 and c@b.example and A@B.Example", PiiMode.MASK, first.placeholders)
    assert first.text == "<EMAIL_1>, <PHONE_1>"
    assert second.text == "<PHONE_1> and <EMAIL_2> and <EMAIL_1>"
    assert first.placeholders.entries.keys() < second.placeholders.entries.keys()


@pytest.mark.parametrize(
    ("kind", "one", "other"),
    [
        (PiiType.PHONE, "+49 30 1234567", "0049-30-1234567"),
        (PiiType.PHONE, "555-1234 x12", "555 1234"),
        (PiiType.CARD, "4111 1111 1111 1111", "4111-1111-1111-1111"),
        (PiiType.IBAN, "gb29nwbk60161331926819", "GB29 NWBK 6016 1331 9268 19"),
        (PiiType.IP_ADDRESS, "2001:DB8::1", "2001:db8:0:0:0:0:0:1"),
        (PiiType.STREET_ADDRESS, "12  Main\nStreet", "12 main street"),
    ],
)
def test_equal_values_have_one_form(kind: PiiType, one: str, other: str) -> None:
    assert normalised(kind, one) == normalised(kind, other)


def test_a_secret_and_a_wallet_keep_their_case() -> None:
    assert normalised(PiiType.PASSWORD, "Ab c") == "Ab c"
    assert normalised(PiiType.CRYPTO_WALLET, "1Aa") != normalised(PiiType.CRYPTO_WALLET, "1aA")


def test_the_table_holds_no_value_and_hides_its_key() -> None:
    table = treated("jo@mail.example", PiiMode.MASK).placeholders
    assert list(table.entries.values()) == ["<EMAIL_1>"]
    assert "mail" not in repr(table.entries)
    assert repr(KEY) not in repr(table)


def test_another_user_s_key_gives_other_digests() -> None:
    tables = [
        treated("jo@mail.example", PiiMode.MASK, Placeholders(key)).placeholders for key in (KEY, b"o" * 32)
    ]
    assert tables[0].entries.keys().isdisjoint(tables[1].entries)


def test_the_table_given_is_not_changed() -> None:
    given_table = Placeholders(KEY, {})
    treated(TEXT, PiiMode.MASK, given_table)
    assert given_table.entries == {}


@given(anything, st.sampled_from(WRITTEN))
def test_nothing_outside_the_spans_changes(text: str, mode: PiiMode) -> None:
    masked = treated(text, mode)
    at = shown = 0
    for span in masked.spans:
        lead = text[at : span.start]
        assert masked.text[shown : shown + len(lead)] == lead
        rest = masked.text[shown + len(lead) :]
        value = text[span.start : span.end]
        kept = mode is PiiMode.KEEP_SEALED and span.type not in SECRETS
        shown += len(lead) + (len(value) if kept else rest.index(">") + 1)
        at = span.end
    assert masked.text[shown:] == text[at:]


@given(anything)
def test_redacting_twice_is_redacting_once(text: str) -> None:
    once = treated(text, PiiMode.REDACT).text
    assert treated(once, PiiMode.REDACT).text == once


@given(anything)
def test_masking_twice_is_masking_once(text: str) -> None:
    once = treated(text, PiiMode.MASK)
    twice = treated(once.text, PiiMode.MASK, once.placeholders)
    assert twice.text == once.text
    assert twice.placeholders == once.placeholders


@given(labelled, quiet)
def test_a_value_is_gone_from_what_is_stored(one: tuple[PiiType, str], lead: str) -> None:
    kind, value = one
    text = f"{lead} {value}"
    for mode in (PiiMode.MASK, PiiMode.REDACT):
        assert treated(text, mode).text.startswith(f"{lead} <{kind.value}")


@given(labelled)
def test_secrets_go_whatever_is_kept(one: tuple[PiiType, str]) -> None:
    kind, value = one
    kept = treated(f"it is {value}", PiiMode.KEEP_SEALED).text
    assert (value in kept) == (kind not in SECRETS)


@pytest.mark.parametrize("places", [[(0, 3), (2, 4)], [(2, 9)], [(1, 1)], [(-1, 2)]])
def test_spans_that_are_not_of_the_text_are_refused(places: list[tuple[int, int]]) -> None:
    spans = [Span(start, end, PiiType.EMAIL, 1.0, "test") for start, end in places]
    with pytest.raises(ValueError, match="spans"):
        apply("abcdef", spans, PiiMode.MASK, EMPTY)
