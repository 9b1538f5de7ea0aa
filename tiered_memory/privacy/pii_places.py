"""Street addresses and postal codes in their American, British, Canadian and German forms.

Only a model finds addresses at large: other countries' forms, and places named without a number, pass by.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from tiered_memory.policy.pii_types import BLANK, PiiType, Span
from tiered_memory.privacy.pii_context import at_words

_STREET_WORDS = (
    "Street|St|Avenue|Ave|Road|Rd|Boulevard|Blvd|Lane|Ln|Drive|Dr|Court|Ct|Way|Place|Pl|Terrace|Ter|Square|Sq|Parkway"
    "|Pkwy|Highway|Hwy|Close|Crescent|Cres|Gardens|Mews|Grove|Row|Circle|Cir|Trail|Trl"
)
_UNIT = r"(?:,? (?:Apt|Apartment|Suite|Ste|Unit|Flat|Floor|#)\.? ?#?\w{1,6})?"
_STATES = "A[KLRZ]|C[AOT]|D[CE]|FL|GA|HI|I[ADLN]|K[SY]|LA|M[ADEINOST]|N[CDEHJMVY]|O[HKR]|P[AR]|RI|S[CD]|T[NX]|UT|V[AT]|W[AIVY]"
AMERICAN = re.compile(
    r"\d(?<![\w.,$\u20ac\u00a3]\d)\d{0,5}[A-Za-z]?,? (?:[NSEW]\.? )?(?:(?:[A-Z][\w'.\-]{0,24}|\d{1,3}(?:st|nd|rd|th)) ){1,4}"
    rf"(?:{_STREET_WORDS})\b\.?{_UNIT}"
)
HOUSE_NUMBER = re.compile(
    r"\d(?<=[egzmr.] \d)\d{0,3}(?: ?[a-z](?!\w))?(?!\w)(?:,? \d{5} [A-Z\u00c4\u00d6\u00dc]\w{2,24})?"
)
_GERMAN_STREET = re.compile(
    r"(?<!\w)(?:[A-Z\u00c4\u00d6\u00dc][\w\-]{1,30}(?:stra\u00dfe|strasse|str\.|weg|platz|allee|gasse|damm|ufer)"
    r"|[A-Z\u00c4\u00d6\u00dc][\w\-]{1,24} (?:Stra\u00dfe|Strasse|Str\.|Weg|Platz|Allee|Gasse|Damm|Ufer|Ring)) $"
)
_LONGEST_STREET = 40
_BOX_WORDS = re.compile(r"p\.? ?o\.? ?box|postfach")
_BOX = re.compile(
    r"(?<!\w)P\.? ?O\.? ?Box \d{1,6}(?!\w)|(?<!\w)Postfach \d{1,3}(?: \d\d){0,3}(?!\w)", re.IGNORECASE
)

_CODE = (
    r"(?:[A-Za-z]{1,2}\d[A-Za-z\d]? ?\d[A-Za-z]{2}|[A-Za-z]\d[A-Za-z] ?\d[A-Za-z]\d|\d{4} ?[A-Z]{2}|\d{5}-\d{3,4}"
    r"|\d{4}-\d{3}|\d\d-\d{3}|\d{3} \d\d|\d{3,7})"
)
_NAMED_CODE = re.compile(
    r"\b(?:zip|zip ?code|post ?code|postal code|postal|plz|postleitzahl|code postal|c[o\u00f3]digo postal|cap|pin ?code)"
    rf"\b[^\w\n{BLANK}]{{0,3}}(?:is|was|ist|:|=)?[^\w\n{BLANK}]{{0,3}}(?P<value>{_CODE})(?!\w)",
    re.IGNORECASE,
)
CODE_NAMES = ("zip", "post", "plz", "digo", "cap", "pin")
_CODE_WORDS = re.compile("zip|post|plz|code postal|c[o\u00f3]digo|cap|pin")
SHOWN_CODE = re.compile(
    r"\d(?:(?<=[A-Z]{2} \d)\d{4}(?:-\d{4})?(?![\w\-])|(?<=[A-Z\d] \d)[A-Z]{2}(?!\w)"
    r"|(?<=[ABCEGHJ-NPR-TVXY]\d)[A-Z][ \-]?\d[A-Z]\d(?!\w))"
)
"""The end of a postal code, found by a digit: what stands before decides."""
_BEFORE_CODE = (
    ("after a state", re.compile(rf"(?<!\w)[A-Z][\w.'\-]{{1,24}},? (?:{_STATES}) (?P<code>)$"), 0.8),
    ("british code", re.compile(r"(?<!\w)(?P<code>(?:[A-Z]{1,2}\d{1,2}|[A-Z]{1,2}\d[A-Z]) )$"), 0.7),
    ("canadian code", re.compile(r"(?<!\w)(?P<code>[A-Z])$"), 0.7),
)
_INWARD = 3
_REACH = 30


def find_addresses(text: str) -> Iterator[Span]:
    """Yield house number and street, with the flat where it follows."""
    for match in AMERICAN.finditer(text):
        yield Span(match.start(), match.end(), PiiType.STREET_ADDRESS, 0.7, "american address")


def find_boxes(text: str, lower: str) -> Iterator[Span]:
    """Yield post office boxes."""
    for match in at_words(_BOX_WORDS, _BOX, text, lower):
        yield Span(match.start(), match.end(), PiiType.STREET_ADDRESS, 0.75, "post box")


def find_german_addresses(text: str) -> Iterator[Span]:
    """Yield street and house number in German order, with the town where it follows."""
    for house in HOUSE_NUMBER.finditer(text):
        start = max(0, house.start() - _LONGEST_STREET)
        street = _GERMAN_STREET.search(text[start : house.start()])
        if street is not None:
            yield Span(start + street.start(), house.end(), PiiType.STREET_ADDRESS, 0.7, "german address")


def find_named_codes(text: str, lower: str) -> Iterator[Span]:
    """Yield what is called a postal code."""
    for match in at_words(_CODE_WORDS, _NAMED_CODE, text, lower):
        yield Span(match.start("value"), match.end("value"), PiiType.POSTAL_CODE, 0.8, "postal words")


def find_codes(text: str) -> Iterator[Span]:
    """Yield postal codes that show by their form: after a state's letters, British, Canadian."""
    for match in SHOWN_CODE.finditer(text):
        written = match[0]
        kind = 0 if written[1:].replace("-", "").isdecimal() else 1 if len(written) == _INWARD else 2
        name, pattern, sure = _BEFORE_CODE[kind]
        lead = pattern.search(text[max(0, match.start() - _REACH) : match.start()])
        if lead is not None:
            yield Span(match.start() - len(lead["code"]), match.end(), PiiType.POSTAL_CODE, sure, name)
