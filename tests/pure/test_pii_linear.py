"""Recognition takes time in proportion to the text, however it is made. Ratios of processor time, never seconds."""

from __future__ import annotations

import pytest
from growing import grows_less_than

from tiered_memory.policy.pii_types import OPTIONAL
from tiered_memory.privacy.pii import find

SMALL = 1 << 13
MEGABYTE = 1 << 20
PATTERNS = {
    "digits": "1",
    "spaced digits": "1 ",
    "grouped digits": "12 345-",
    "telephones": "phone 555-123-4567 ",
    "letters": "a",
    "capitals": "A",
    "capital and small": "Aa",
    "names": "Aa ",
    "at signs": "@",
    "half a mail address": "a.b@",
    "mail addresses": "a@b.cc ",
    "domain without an end": "@" + "a." * 40,
    "dots": ".",
    "octets": "1.",
    "colons": "a:1",
    "hyphens": "a-1-",
    "header of a token": "eyJ",
    "tokens": "eyJhbGciOiJIUzI1NiJ9.e.",
    "beginning of a key": "-----BEGIN PRIVATE KEY-----1",
    "names of secrets": "password=",
    "keys": "key: ",
    "query": "?key=a&",
    "user info": "://a:",
    "street": "1 Aa Bb ",
    "german street": "Aastra\u00dfe 1 ",
    "birth": "born on ",
    "licence": "license number D1 ",
    "iban": "DE89 3704 ",
    "brackets": "(1",
    "plus signs": "+1",
    "placeholder": "<EMAIL_1",
    "placeholders": "<EMAIL_1> 555-1234 phone ",
    "spaces": " ",
    "wallet": "bc1",
    "not ascii": "\u0130\u00df1",
    "walls": "\ufffc1",
}

LONG = (
    "digits",
    "letters",
    "half a mail address",
    "domain without an end",
    "header of a token",
    "beginning of a key",
    "names of secrets",
    "street",
)


def read(text: str) -> None:
    find(text, region_hint="US", also=OPTIONAL)


@pytest.mark.parametrize("name", PATTERNS)
def test_eight_times_the_text_takes_about_eight_times_as_long(name: str) -> None:
    """A quadratic pattern would take 64 times as long."""
    assert grows_less_than(5 * 8, read, PATTERNS[name], SMALL, 8 * SMALL)


@pytest.mark.parametrize("name", LONG)
def test_a_megabyte_takes_no_longer_than_its_length_says(name: str) -> None:
    assert grows_less_than(4 * 8, read, PATTERNS[name], MEGABYTE // 8, MEGABYTE)
