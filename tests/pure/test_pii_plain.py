"""Values are found however they look: wide letters, odd spaces and hyphens, and characters that no screen shows."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiered_memory.policy.pii_rules import PiiMode
from tiered_memory.policy.pii_types import PiiType, Span
from tiered_memory.privacy.pii import find
from tiered_memory.privacy.pii_masking import Placeholders, apply, normalised
from tiered_memory.privacy.pii_plain import in_original, plain

UNSEEN = "\u00ad\u200b\u200d\u2060\ufeff\ufe0f"
WIDE = {chr(code): chr(code + 0xFEE0) for code in range(0x21, 0x7F)}
VALUES = {
    "carla.quill@example.org": PiiType.EMAIL,
    "4111 1111 1111 1111": PiiType.CARD,
    "4111-1111-1111-1111": PiiType.CARD,
    "DE89 3704 0044 0532 0130 00": PiiType.IBAN,
    "sk_live_51H8xKLmnoPQRstuVWxyz0123456789": PiiType.API_KEY,
}
KEY = b"k" * 16


def disguised(value: str, draw: st.DataObject) -> str:
    """Write each character as it is, or as one that looks the same, with something unseen behind it or not."""
    pieces = []
    for one in value:
        alike = {
            " ": [" ", "\u00a0", "\u202f", "\u3000"],
            "-": ["-", "\u2010", "\u2011", "\u2212"],
        }.get(one, [one, WIDE[one]] if one in WIDE else [one])
        pieces += [draw.draw(st.sampled_from(alike)), draw.draw(st.sampled_from(["", "", *UNSEEN]))]
    return "".join(pieces).rstrip(UNSEEN)


@given(value=st.sampled_from(sorted(VALUES)), data=st.data())
def test_a_disguised_value_is_found_whole_and_is_the_same_value(value: str, data: st.DataObject) -> None:
    written = disguised(value, data)
    text = f"it is {written} as I said"
    assert [(text[one.start : one.end], one.type) for one in find(text)] == [(written, VALUES[value])]
    assert normalised(VALUES[value], written) == normalised(VALUES[value], value)


@given(value=st.sampled_from(sorted(VALUES)), data=st.data())
def test_nothing_of_it_is_left_and_masking_again_changes_nothing(value: str, data: st.DataObject) -> None:
    text = f"it is {disguised(value, data)} as I said"
    once = apply(text, find(text), PiiMode.MASK, Placeholders(KEY))
    assert once.text.startswith("it is <")
    assert once.text.endswith("> as I said")
    assert find(once.text) == ()


@given(st.text(st.characters(codec="utf-8") | st.sampled_from(UNSEEN)), st.data())
def test_places_are_those_of_the_original(text: str, data: st.DataObject) -> None:
    seen = plain(text)
    if not seen:
        return
    start = data.draw(st.integers(0, len(seen) - 1))
    end = data.draw(st.integers(start + 1, len(seen)))
    found = in_original(text, (Span(start, end, PiiType.EMAIL, 0.9, "drawn"),))[0]
    assert 0 <= found.start < found.end <= len(text)
    assert plain(text[found.start : found.end]) == seen[start:end]


@pytest.mark.parametrize("text", ["", "plain words", "caf\u00e9 at 5 pm", "\u4f60\u597d"])
def test_what_looks_like_nothing_else_stays_as_it_is(text: str) -> None:
    assert plain(text) == text


def test_only_what_is_not_seen_finds_nothing() -> None:
    assert find(UNSEEN) == ()
