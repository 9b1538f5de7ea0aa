"""Identity papers, bank accounts and birthdays: by their check digits, or by the words that name them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from tiered_memory.policy.pii_types import BLANK, PiiType, Span
from tiered_memory.privacy import checksums
from tiered_memory.privacy.pii_context import at_words

IBAN = re.compile(r"\d\d(?<=[A-Za-z]{2}\d\d)(?<![\w\-][A-Za-z]{2}\d\d)")
_ONE_PIECE = re.compile(r"[A-Za-z]{2}\d\d[A-Za-z0-9]{11,30}(?![A-Za-z0-9])")
_COUNTRIES_BY_LENGTH = {
    15: "NO",
    16: "BE",
    18: "DK FI FK FO GL NL SD",
    19: "MK SI",
    20: "AT BA EE KZ LT LU MN XK",
    21: "CH HR LI LV",
    22: "BG BH CR DE GB GE IE ME RS VA",
    23: "AE GI IL IQ OM SO TL",
    24: "AD CZ ES MD PK RO SA SE SK TN VG",
    25: "LY PT ST",
    26: "IS TR",
    27: "BI DJ FR GR IT MC MR SM",
    28: "AL AZ BY CY DO GT HN HU LB NI PL SV",
    29: "BR EG PS QA UA",
    30: "JO KW MU YE",
    31: "MT SC",
    32: "LC",
    33: "RU",
}
_LENGTHS_OF_IBAN = {
    country: length for length, countries in _COUNTRIES_BY_LENGTH.items() for country in countries.split()
}
"""Characters of an IBAN by country (SWIFT IBAN registry)."""

END_OF_CODE = re.compile(r"\d[ \-]?[A-Z](?![\w\-])")
_CODES = re.compile(
    r"(?<![\w\-])(?:(?P<UK_NINO>[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z](?P<gap> ?)\d\d(?P=gap)\d\d(?P=gap)\d\d(?P=gap)[A-D])"
    r"|(?P<ES_NIF>(?:\d{8}|[XYZ]\d{7})-?[A-Z])"
    r"|(?P<IT_FISCAL_CODE>[A-Z]{6}\d\d[A-EHLMPR-T]\d\d[A-Z]\d{3}[A-Z]))$"
)
_LONGEST_CODE = 17
_NO_NINO = frozenset({"BG", "GB", "KN", "NK", "NT", "TN", "ZZ"})
_CODE_CHECKS = {"ES_NIF": checksums.spanish_nif, "IT_FISCAL_CODE": checksums.italian_fiscal_code}

_LINK = rf"(?:\s?(?:number|num|no|nr|code|id)\b)?[^\w\n{BLANK}]{{0,3}}(?:\s?(?:is|was|ist|es|:|=|#))?[^\w\n{BLANK}]{{0,4}}"
_PASSPORT = re.compile(
    rf"\b(?:passport|reisepass|passeport|pasaporte){_LINK}(?P<value>(?=\w{{0,4}}\d{{4}})[A-Z0-9]{{6,9}})(?!\w)",
    re.IGNORECASE,
)
_LICENSE = re.compile(
    r"\b(?<!software )(?<!product )(?:(?:driver'?s?|driving|drivers'?)[ \-]?(?:licen[cs]e|permit)|licen[cs]e(?= ?(?:number|no|#))"
    rf"|f\u00fchrerschein|permis de conduire|DL(?= ?(?:number|no|#))){_LINK}"
    r"(?P<value>(?=[A-Za-z0-9]{0,8}[\- ]?\d{3})[A-Za-z0-9]{1,18}(?:[\- ]\d[A-Za-z0-9]{0,7}){0,4})(?![A-Za-z0-9\-])",
    re.IGNORECASE,
)
MONTHS = (
    r"(?:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?|oct(?:ober)?"
    r"|nov(?:ember)?|dec(?:ember)?|januar|februar|m\u00e4rz|mai|juni|juli|oktober|dezember)\.?"
)
_DATE = (
    r"(?:\d{4}[\-./]\d{1,2}[\-./]\d{1,2}|\d{1,2}[\-./] ?\d{1,2}[\-./] ?(?:\d{4}|\d\d)"
    rf"|\d{{1,2}}(?:st|nd|rd|th|\.)? (?:of )?{MONTHS},? \d{{4}}|{MONTHS} \d{{1,2}}(?:st|nd|rd|th)?,? \d{{4}})(?!\w)"
)
_BIRTH = re.compile(
    r"\b(?:born|birth|birth ?date|birthday|d\.?o\.?b\.?|geboren|geburtsdatum|geb\.|n[\u00e9e]e?|naissance|nacimiento"
    rf"|nacid[oa]|nato|nata)(?![\w])[^\d\n{BLANK}]{{0,24}}?(?P<value>{_DATE})",
    re.IGNORECASE,
)
BIRTH_NAMES = ("bor", "birt", "dob", "d.o", "geb", "n\u00e9", "ne ", "nai", "naci", "nat")
_BIRTH_WORDS = re.compile(r"born|birth|d\.?o\.?b|geb|n[\u00e9e]|nai|naci|nat[oa]")
LICENSE_NAMES = ("licen", "permi", "driv", "f\u00fchrer", "dl")
_LICENSE_WORDS = re.compile("licen|driv|permis|f\u00fchrer|dl")
_PASSPORT_WORDS = re.compile("passport|reisepass|passeport|pasaporte")
_AGE = re.compile(
    r"\b(?:aged?(?: is| of|:)? |turn(?:s|ed|ing)? |i'm |i am |(?:he|she) (?:is|was) )(?P<value>1?\d{1,2})(?![\w:%/]|[.,]\d)"
    r"|\b(?P<years>1?\d{1,2})(?= ?(?:-|\s)?(?:years?|yrs?|y/?o)(?:-|\s)?(?:old\b|\b$))",
    re.IGNORECASE,
)


def find_ibans(text: str) -> Iterator[Span]:
    """Yield IBANs with right check digits: in one piece or in groups of the country's length, in one piece of any."""
    for match in IBAN.finditer(text):
        start = match.start() - 2
        length = _LENGTHS_OF_IBAN.get(text[start : start + 2].upper(), 0)
        end = _end_of(text, start, length)
        if end and checksums.mod97(_bare(text[start:end])):
            yield Span(start, end, PiiType.IBAN, 0.99, "iban")
        elif length and (piece := _ONE_PIECE.match(text, start)) and checksums.mod97(piece[0].upper()):
            yield Span(start, piece.end(), PiiType.IBAN, 0.85, "iban of another length")


def _end_of(text: str, start: int, length: int) -> int:
    """Return where `length` letters or digits, with at most one space or hyphen between two, end; else 0."""
    at, seen = start, 0
    while seen < length and at < len(text):
        if text[at].isascii() and text[at].isalnum():
            seen += 1
        elif text[at] not in " -" or not text[at - 1].isalnum():
            return 0
        at += 1
    whole = length and seen == length and not text[at : at + 1].isalnum()
    return at if whole else 0


def _bare(written: str) -> str:
    return written.replace(" ", "").replace("-", "").upper()


def find_codes(text: str) -> Iterator[Span]:
    """Yield identity numbers of letters and digits: British NINO by shape, Spanish and Italian by check letter."""
    for end in END_OF_CODE.finditer(text):
        start = max(0, end.end() - _LONGEST_CODE)
        match = _CODES.search(text[start : end.end()])
        if match is not None and (kind := _code_type(match)) is not None:
            yield Span(start + match.start(), end.end(), kind, 0.85, kind.value.lower())


def _code_type(match: re.Match[str]) -> PiiType | None:
    name = next(name for name, value in match.groupdict().items() if value and name != "gap")
    check = _CODE_CHECKS.get(name, _is_nino)
    return PiiType(name) if check(_bare(match[0])) else None


def _is_nino(number: str) -> bool:
    return number[:2] not in _NO_NINO


def find_passports(text: str, lower: str) -> Iterator[Span]:
    """Yield what is called a passport number: six to nine letters and digits, four digits in a row."""
    return _values(at_words(_PASSPORT_WORDS, _PASSPORT, text, lower), PiiType.PASSPORT, 0.8)


def find_licenses(text: str, lower: str) -> Iterator[Span]:
    """Yield what is called a driver's licence, or a licence number that no product is named with."""
    return _values(at_words(_LICENSE_WORDS, _LICENSE, text, lower), PiiType.DRIVER_LICENSE, 0.75)


def find_births(text: str, lower: str) -> Iterator[Span]:
    """Yield full dates that the words before call a birthday."""
    return _values(at_words(_BIRTH_WORDS, _BIRTH, text, lower), PiiType.DATE_OF_BIRTH, 0.85)


def find_ages(text: str) -> Iterator[Span]:
    """Yield ages in years; an option, since an age alone tells little."""
    for match in _AGE.finditer(text):
        group = "value" if match["value"] else "years"
        yield Span(match.start(group), match.end(group), PiiType.AGE, 0.6, "age")


def _values(matches: Iterable[re.Match[str]], kind: PiiType, sure: float) -> Iterator[Span]:
    for match in matches:
        yield Span(match.start("value"), match.end("value"), kind, sure, f"{kind.value.lower()} words")
