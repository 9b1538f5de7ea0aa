"""Telephone numbers by their shape (ITU-T E.164, national habits of grouping) and by the words around them.

A number in international, North American or trunk-zero form speaks for itself; any other group of digits needs a
word that says it is a telephone. Whether a number is assigned is not asked: a mistyped number is personal too.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from tiered_memory.privacy.pii_context import after

SEPARATOR = r"[ .\-/()\u00a0\u2010-\u2013]"
LONGEST = 15
SHORTEST = 7
_DOUBLE = re.compile(r"2[07]|3[0-469]|4[013-9]|5[1-8]|6[0-6]|8[1246]|9[0-58]")
_TRIPLE = re.compile(
    r"2[1-9]\d|3[578]\d|42[013]|50\d|59\d|67[02-9]|68\d|69[0-2]|8[05789]\d|88\d|96\d|97\d|99\d"
)


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


_AGAINST = _set(
    "order orders invoice ticket tracking case isbn issn serial account acct ref reference id ids sku part model version "
    "build port passport license licence card tax claim policy flight room page pages rfc issue commit iban vin imei "
    "barcode nhs ssn zip postal parcel shipment shipping product item items receipt transaction population distance "
    "coordinates"
)
_FOR = _set(
    "phone phones phoned telephone telephones tel telno cell cellphone cellular mobile mobil handy "
    "landline fax whatsapp signal telegram viber sms text texts texted call calls called calling caller dial dialed "
    "dialled dialing ring reach reached hotline voicemail pager answer answers answered answering message messages "
    "messaging contact registered telefon telefonnummer telefono tel\u00e9fono telefone t\u00e9l\u00e9phone telephonique "
    "t\u00e9l m\u00f3vil movil celular numero n\u00famero num\u00e9ro rufnummer mobilnummer handynummer telefoon anrufen "
    "appeler appelez"
)
_NUMBER_WORDS = frozenset({"number", "no", "nr", "num"})
_WHOSE = _set("my his her their our your new old work home office emergency daytime direct personal private")
_CURRENCIES = frozenset("$\u20ac\u00a3\u00a5\u20b9")
_FOLLOWING = re.compile(
    r"[\s,;\-(]{0,3}(?:(?:is|was|still) ){0,2}(?:(?:my|his|her|your|our|their) )?(?:(?:new|old|work|home|office) )?"
    r"(?:mobile|cell|fax|phone|tel|landline|mobil|direct"
    r"|(?:(?<=my )|(?<= his )|(?<=her )|(?<=your )|(?<=our )|(?<=their )|(?<=new )|(?<=old ))number"
    r"|(?<=[\s,;\-(])(?:home|office|work|desk))\b",
    re.IGNORECASE,
)
_FOLLOWING_LENGTH = 40
EXTENSION = re.compile(r"\s?(?:x|ext\.?|extension|#)\s?\d{1,6}(?!\w)", re.IGNORECASE)
_NORTH_AMERICAN = re.compile(
    r"(?:1[ .\-]?)?(?:\([2-9]\d\d\)[ \-]?|[2-9]\d\d(?P<mark>[ .\-]))\d{3}(?(mark)(?P=mark)|[ .\-])\d{4}"
)
_AREA_IN_BRACKETS = re.compile(r"(?:\d{1,2}[ \-]?)?\((?!(?:19|20)\d\d\))\d{2,5}\)[ \-/]?\d[\d \-.]{3,9}\d")
_THREE_THREE_FOUR = re.compile(r"\d{3}(?P<mark>[.\-])\d{3}(?P=mark)\d{4}")
_TRUNK_ZERO = re.compile(r"\(?0[1-9]\d{0,5}\)?(?:[ \-/.]{1,2}\d{2,8}){1,5}")
_SHORT_TRUNK_ZERO = re.compile(r"0[1-9]\d{0,2}[\-/]\d{2,3}(?: \d\d){1,2}")
_OTHER = re.compile(
    r"(?:(?:19|20)\d\d[\-./ ][01]?\d[\-./ ][0-3]?\d(?!\d)|[0-3]?\d[\-./][0-3]?\d[\-./](?:19|20)\d\d(?!\d)).{0,12}"
    r"|(?:19|20)\d\d ?[\-\u2013/] ?(?:19|20)\d\d|(?=[\d.]{9,11}$)\d{1,4}(?:\.\d{1,4}){2,3}"
)
"""Dates, spans of years, and versions."""
_NATIONAL = {
    "US": re.compile(r"1?[2-9]\d\d[2-9]\d{6}"),
    "CA": re.compile(r"1?[2-9]\d\d[2-9]\d{6}"),
    "GB": re.compile(r"0[1-37]\d{8,9}"),
    "DE": re.compile(r"0[1-9]\d{7,10}"),
    "AT": re.compile(r"0[1-9]\d{7,10}"),
    "CH": re.compile(r"0[1-9]\d{8}"),
    "FR": re.compile(r"0[1-9]\d{8}"),
    "NL": re.compile(r"0[1-9]\d{8}"),
    "IT": re.compile(r"3\d{9}|0\d{8,9}"),
    "ES": re.compile(r"[679]\d{8}"),
    "PT": re.compile(r"[29]\d{8}"),
    "IN": re.compile(r"0?[6-9]\d{9}"),
    "AU": re.compile(r"0[2-478]\d{8}"),
    "BR": re.compile(r"\d\d9?[2-9]\d{7}"),
}
"""National numbers without any grouping, for a caller who knows the region (ISO 3166-1 alpha-2)."""


def confidence(written: str, digits: str, told: bool | None, region: str | None) -> float:
    """Return how sure it is (0: not at all) that `written`, whose digits are given, is a telephone number.

    `told` is what the words around say: it is one, it is another number, or (None) nothing.
    """
    if not SHORTEST <= len(digits) <= LONGEST + 2 or _OTHER.fullmatch(written):
        return 0.0
    if "+" in written[:2] and _country(digits) and len(digits) <= LONGEST:
        return 0.95
    if told is False:
        return 0.0
    shaped = _by_shape(written, digits, region)
    if told is None:
        return shaped
    return 0.95 if shaped else 0.8


def told_before(text: str, start: int, words: Sequence[str]) -> bool | None:
    """Return what stands before a number that begins at `start` says of it: a currency, or the nearest telling word."""
    joint = text[max(0, start - 2) : start]
    if joint.strip()[-1:] in _CURRENCIES:
        return False
    told = verdict(words)
    return False if told is None and _is_attached(joint) else told


def _is_attached(joint: str) -> bool:
    """Tell from the two characters before it whether a number is the end of a longer code, date or version."""
    if len(joint) < 2:  # noqa: PLR2004
        return False
    return joint[0].isdigit() if joint[1] in "./,:" else joint[1] == "-" and joint[0].isalnum()


def told_after(text: str, end: int) -> bool:
    """Tell whether the word that follows says that it is a telephone number."""
    return _FOLLOWING.match(after(text, end, _FOLLOWING_LENGTH)) is not None


def verdict(words: Sequence[str]) -> bool | None:
    """Return what the nearest telling word says: True for a telephone, False for another number, None without one."""
    for place in range(len(words) - 1, -1, -1):
        word = words[place]
        if word in _AGAINST:
            return False
        if word in _FOR or (word in _NUMBER_WORDS and place and words[place - 1] in _WHOSE):
            return True
    return None


def _by_shape(written: str, digits: str, region: str | None) -> float:
    national = _NATIONAL.get(region or "")
    if _NORTH_AMERICAN.fullmatch(written):
        return 0.85
    if written.startswith("00") and written != digits and _country(digits[2:]):
        return 0.8
    if _AREA_IN_BRACKETS.fullmatch(written) or _THREE_THREE_FOUR.fullmatch(written):
        return 0.7
    if 9 <= len(digits) <= 12 and _TRUNK_ZERO.fullmatch(written):  # noqa: PLR2004  # with its trunk zero
        return 0.65
    if _SHORT_TRUNK_ZERO.fullmatch(written):
        return 0.6
    return 0.6 if national is not None and national.fullmatch(digits) else 0.0


def _country(digits: str) -> bool:
    """Tell whether the digits begin with a country calling code (ITU-T E.164, list of assigned codes)."""
    return digits[0] in "17" or (_DOUBLE.match(digits) or _TRIPLE.match(digits)) is not None
