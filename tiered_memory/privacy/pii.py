"""Personal data and secrets in a text, by pattern, check digit and context. Pure; works in linear time.

Names, most addresses, and anything else that only meaning gives away need a model: they are not found here.
Idempotent by construction: placeholders, and what was found, are walls that no pattern and no context crosses.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Collection, Iterable, Iterator, Sequence

from tiered_memory.policy.pii_rules import PiiMode
from tiered_memory.policy.pii_types import BLANK, OPTIONAL, SECRETS, PiiType, Span
from tiered_memory.privacy import pii_documents as documents
from tiered_memory.privacy import pii_names as names
from tiered_memory.privacy import pii_network as network
from tiered_memory.privacy import pii_phone
from tiered_memory.privacy import pii_places as places
from tiered_memory.privacy import pii_secrets as secret
from tiered_memory.privacy.pii_context import has, lowered
from tiered_memory.privacy.pii_masking import Placeholders, apply
from tiered_memory.privacy.pii_numbers import find_numbers
from tiered_memory.privacy.pii_plain import in_original, plain

PLACEHOLDER = re.compile(rf"<(?:{'|'.join(PiiType)})(?:_\d{{1,9}})?>")
_DIGITS = re.compile(r"\d+")
_NO_DIGITS = str.maketrans("", "", "0123456789")
_ROUNDS = 4
_SHORTEST_KEY = 16
_CODE_DIGITS = 3
_DATE_DIGITS = 4


def find(text: str, *, region_hint: str | None = None, also: Collection[PiiType] = ()) -> tuple[Span, ...]:
    """Return what was found in `text`, by position, no span overlapping another; offsets are code points.

    `region_hint` is an ISO 3166-1 alpha-2 code whose ungrouped national telephone numbers count; `also` names
    optional types to look for. Placeholders such as `<EMAIL_1>` are never part of a span.
    """
    found: list[Span] = []
    rest = plain(text)
    rest = PLACEHOLDER.sub(_wall, rest) if "<" in rest else rest
    region = region_hint.upper() if region_hint is not None else None
    for _ in range(_ROUNDS):
        new = resolve(_candidates(rest, region, OPTIONAL.intersection(also)))
        if not new:
            break
        found += new
        rest = _blanked(rest, new)
    return in_original(text, tuple(sorted(found, key=lambda span: span.start)))


def without_secrets(text: str) -> str:
    """Return `text` with a placeholder of its type for each secret, as what is written of a memory has it."""
    found = tuple(one for one in find(text) if one.type in SECRETS)
    return apply(text, found, PiiMode.REDACT, Placeholders(b"")).text if found else text


def resolve(candidates: Iterable[Span]) -> list[Span]:
    """Return spans that do not overlap, by position.

    Of overlapping ones the most certain stays, then the longest, then the first, then the first by type's name.
    """
    chosen: list[Span] = []
    group: list[Span] = []
    reach = 0
    for span in sorted(candidates, key=lambda one: (one.start, one.end)):
        if group and span.start >= reach:
            chosen += _winners(group)
            group = []
        group.append(span)
        reach = max(reach, span.end)
    return sorted(chosen + _winners(group), key=lambda span: span.start)


def _winners(group: list[Span]) -> list[Span]:
    if len(group) == 1:
        return group
    kept: list[Span] = []
    for span in sorted(group, key=lambda one: (-one.confidence, one.start - one.end, one.start, one.type)):
        place = bisect_left(kept, span.start, key=_start)
        is_free = (place == len(kept) or span.end <= kept[place].start) and (
            place == 0 or kept[place - 1].end <= span.start
        )
        if is_free:
            kept.insert(place, span)
    return kept


def _start(span: Span) -> int:
    return span.start


def _wall(match: re.Match[str]) -> str:
    return BLANK * len(match[0])


def _blanked(text: str, spans: Iterable[Span]) -> str:
    pieces, at = [], 0
    for span in spans:
        pieces += [text[at : span.start], BLANK * (span.end - span.start)]
        at = span.end
    return "".join([*pieces, text[at:]])


def _candidates(text: str, region: str | None, optional: frozenset[PiiType]) -> Iterator[Span]:
    """Run the recognisers that `text` can have anything for; the cheap questions come first."""
    lower = lowered(text)
    if "@" in text:
        yield from network.find_mail(text)
    if "://" in text or "=" in text:
        yield from secret.find_in_urls(text)
    if has(lower, secret.NAMES):
        yield from secret.find_named(text, lower)
    if "PRIVATE KEY" in text:
        yield from secret.find_private_keys(text)
    words = text.split()
    if max(map(len, words), default=0) >= _SHORTEST_KEY:
        yield from _long_words(text, words)
    digits = _count_digits(text)
    if digits:
        yield from _with_digits(text, lower, digits, region)
    if optional:
        yield from _optional(text, optional)


def _count_digits(text: str) -> int:
    if text.isascii():
        return len(text) - len(text.translate(_NO_DIGITS))
    return sum(map(len, _DIGITS.findall(text)))


def _with_digits(text: str, lower: str, digits: int, region: str | None) -> Iterator[Span]:
    yield from _hosts(text)
    yield from _places(text, lower, digits)
    if has(lower, secret.PIN_NAMES) and digits >= _CODE_DIGITS:
        yield from secret.find_pins(text, lower)
    if digits >= _DATE_DIGITS:
        yield from _documents(text, lower)
    if digits >= pii_phone.SHORTEST:
        yield from find_numbers(text, region)


def _long_words(text: str, words: Sequence[str]) -> Iterator[Span]:
    end = 0
    for word in words:
        if len(word) >= _SHORTEST_KEY:
            start = text.index(word, end)
            end = start + len(word)
            yield from secret.find_keys(text, start, end)
            yield from network.find_wallets(text, start, end)


def _places(text: str, lower: str, digits: int) -> Iterator[Span]:
    if places.AMERICAN.search(text):
        yield from places.find_addresses(text)
    if places.HOUSE_NUMBER.search(text):
        yield from places.find_german_addresses(text)
    if "box" in lower or "postfach" in lower:
        yield from places.find_boxes(text, lower)
    if places.SHOWN_CODE.search(text):
        yield from places.find_codes(text)
    if digits >= _CODE_DIGITS and has(lower, places.CODE_NAMES):
        yield from places.find_named_codes(text, lower)


def _hosts(text: str) -> Iterator[Span]:
    if network.OCTETS.search(text):
        yield from network.find_ipv4(text)
    if network.COLONS.search(text):
        yield from network.find_ipv6(text)
    if network.PAIRS.search(text):
        yield from network.find_mac(text)


def _documents(text: str, lower: str) -> Iterator[Span]:
    if documents.IBAN.search(text):
        yield from documents.find_ibans(text)
    if documents.END_OF_CODE.search(text):
        yield from documents.find_codes(text)
    if has(lower, documents.BIRTH_NAMES):
        yield from documents.find_births(text, lower)
    if "pass" in lower or "pasa" in lower:
        yield from documents.find_passports(text, lower)
    if has(lower, documents.LICENSE_NAMES):
        yield from documents.find_licenses(text, lower)


def _optional(text: str, optional: frozenset[PiiType]) -> Iterator[Span]:
    if PiiType.URL in optional:
        yield from network.find_urls(text)
    if PiiType.AGE in optional:
        yield from documents.find_ages(text)
    if PiiType.PERSON in optional:
        yield from names.find_names(text)
