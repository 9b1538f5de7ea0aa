"""Numbers made of digits and separators: telephones, cards, accounts, and identity numbers.

One pass finds the groups of digits; what a group of groups may be is decided by how many digits it has.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import islice

from tiered_memory.policy.pii_types import PiiType, Span
from tiered_memory.privacy import checksums, pii_identities, pii_phone
from tiered_memory.privacy.pii_context import after, before, words_of

_S = pii_phone.SEPARATOR
NUMBER = re.compile(rf"\d(?<!\w\d)(?:{_S}{{0,3}}\d){{6,20}}(?!\d)")
_GROUP = re.compile(r"\d+")
_LEAD = re.compile(r"(?<!\w)(?:\(?\+ ?\(?|\()$")
_PART_OF_A_CODE = re.compile(r"(?:(?:\d[A-Za-z]|[A-Za-z]\d)\w*[\-./:]|(?<!\w)[A-Z]{2}\d\d )$")
MOST_GROUPS = 10
"""No number is written in more groups of digits."""
_SURE = 0.9
_LONGEST_LEAD = 3
_LONGEST_CODE = 12

_CARD_WORDS = frozenset(
    {"card", "cards", "credit", "debit", "visa", "mastercard", "amex", "maestro", "cc", "pan"}
    | {"pay", "paid", "payment", "charge", "kreditkarte", "karte", "carte", "tarjeta", "carta"}
)
_CARD_LENGTHS = (
    (re.compile(r"4"), frozenset({13, 16, 19})),
    (re.compile(r"5[1-5]|2(?:2[2-9]|[3-6]|7[01]|720)"), frozenset({16})),
    (re.compile(r"3[47]"), frozenset({15})),
    (re.compile(r"3(?:0[0-59]|[689])"), frozenset({14, 16, 19})),
    (re.compile(r"6(?:011|4[4-9]|5)|35|62|81"), frozenset({16, 17, 18, 19})),
    (re.compile(r"50|5[6-8]|6[037]|0604"), frozenset({12, 13, 14, 15, 16, 17, 18, 19})),
    (re.compile(r"1800|2131|2014|2149"), frozenset({15})),
    (re.compile(r"220[0-4]|9792|65|60|508"), frozenset({16})),
)
"""Issuer prefixes (ISO/IEC 7812) with the lengths their cards have."""
_SURE_LENGTHS = frozenset({14, 15, 16})
_CARD_SHAPE = re.compile(
    r"\d{12,19}|\d{4}(?P<mark>[ \-])(?:\d{4}(?P=mark)){2}\d{1,7}|\d{4}[ \-]\d{6}[ \-]\d{4,5}"
)

SHORTEST_CARD = 12

_ACCOUNT_WORDS = frozenset({"account", "acct", "konto", "kontonummer", "compte", "cuenta"})
_BETWEEN = frozenset({"number", "no", "num", "nr", "is", "was", "the", "ist", "es", "my", "at", "id"})
_BANK_LENGTHS = range(7, 18)


def find_numbers(text: str, region: str | None) -> Iterator[Span]:
    """Yield every telephone, card and identity number of `text`, left to right, none overlapping another."""
    chunk = NUMBER.search(text)
    while chunk is not None:
        start, end = chunk.span()
        if _continues(text, start):
            chunk = NUMBER.search(text, end)
            continue
        stops = [group.end() for group in islice(_GROUP.finditer(text, start, end), MOST_GROUPS)]
        span = _best(text, start, stops, region)
        if span is not None:
            yield span
        chunk = NUMBER.search(text, max(stops[0], span.end if span is not None else 0))


def _continues(text: str, start: int) -> bool:
    """Tell whether the number at `start` goes on with a code of letters and digits before it."""
    joint = text[max(0, start - 2) : start]
    if not joint or (joint[-1] not in "-./:" and not (joint[-1] == " " and joint[0].isdecimal())):
        return False
    return _PART_OF_A_CODE.search(text[max(0, start - _LONGEST_CODE) : start]) is not None


def _best(text: str, start: int, stops: Sequence[int], region: str | None) -> Span | None:
    """Return what the groups from `start` to one of `stops` are: the most certain reading, of equal ones the longest."""
    words = words_of(before(text, start))
    told = pii_phone.told_before(text, start, words)
    best = None
    for groups in range(len(stops), 0, -1):
        stop = stops[groups - 1]
        digits = ascii_digits(text[start:stop])
        if len(digits) < pii_phone.SHORTEST or (told is None and len(digits) < 2 * groups - 3):
            break
        if text[stop : stop + 1].isalpha() and not pii_phone.EXTENSION.match(text, stop):
            continue
        span = _decide(text, (start, stop), digits, words) or _phone(text, (start, stop), told, region)
        if span is not None and (best is None or span.confidence > best.confidence):
            best = span
        if best is not None and best.confidence >= _SURE:
            break
    return best


def ascii_digits(text: str) -> str:
    """Return the decimal digits of `text`, of whatever script, as ASCII."""
    digits = "".join(filter(str.isdecimal, text))
    return digits if digits.isascii() else "".join(str(int(digit)) for digit in digits)


def _decide(text: str, place: tuple[int, int], digits: str, words: Sequence[str]) -> Span | None:
    start, end = place
    if len(digits) >= SHORTEST_CARD and (sure := _card(text, place, digits, words)):
        return Span(start, end, PiiType.CARD, sure, "luhn")
    for identity in pii_identities.BY_LENGTH.get(len(digits), ()):
        if sure := identity.certainty(text[start:end], digits, words):
            return Span(start, end, identity.type, sure, identity.type.value.lower())
    if len(digits) in _BANK_LENGTHS and text[start - 1 : start] != "+" and _is_account(words):
        return Span(start, end, PiiType.BANK_ACCOUNT, 0.7, "account words")
    return None


def _card(text: str, place: tuple[int, int], digits: str, words: Sequence[str]) -> float:
    start, end = place
    if not checksums.luhn(digits) or len(set(digits)) == 1 or not _CARD_SHAPE.fullmatch(text, start, end):
        return 0.0
    if not _CARD_WORDS.isdisjoint(words) or not _CARD_WORDS.isdisjoint(words_of(after(text, end))):
        return 0.99
    issued = any(prefix.match(digits) and len(digits) in lengths for prefix, lengths in _CARD_LENGTHS)
    return 0.9 if issued and (len(digits) in _SURE_LENGTHS or text[start:end] != digits) else 0.0


def _is_account(words: Sequence[str]) -> bool:
    for word in reversed(words):
        if word not in _BETWEEN:
            return word in _ACCOUNT_WORDS
    return False


def _phone(text: str, place: tuple[int, int], told: bool | None, region: str | None) -> Span | None:
    start, end = _led(text, *place)
    written = text[start:end]
    told = told or pii_phone.told_after(text, end) or told
    sure = pii_phone.confidence(written, ascii_digits(written), told, region)
    if not sure:
        return None
    extension = pii_phone.EXTENSION.match(text, end)
    return Span(start, extension.end() if extension is not None else end, PiiType.PHONE, sure, "phone")


def _led(text: str, start: int, end: int) -> tuple[int, int]:
    """Take in a plus sign, and an opening bracket that is closed inside."""
    lead = _LEAD.search(text[max(0, start - _LONGEST_LEAD) : start])
    if lead is None:
        return start, end
    if lead[0] == "(" and ")" not in text[start:end]:
        return start, end
    return start - len(lead[0]), end
