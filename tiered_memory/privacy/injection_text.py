"""A text as the instruction scan reads it: folded to one spelling, with what is hidden in it brought out. Pure.

Every step is linear in the text's length, and what is decoded is bounded.
"""

from __future__ import annotations

import base64
import binascii
import re
import unicodedata
from urllib.parse import unquote

DECODED_MOST = 65_536
"""Characters that are brought out of disguises of one text, at most."""
BLOBS_MOST = 64
PRINTABLE_LEAST = 0.9
TAG_FIRST, TAG_LAST = 0xE0020, 0xE007E
TAG_BASE = 0xE0000
LETTERS_LEAST = 4
LEET_MOST = 24

INVISIBLE = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u206f\ufeff\U000e0000-\U000e007f]"
)
WITHIN_WORD = re.compile("[A-Za-z][\u00ad\u200b-\u200d\u2060\ufeff]+(?=[A-Za-z])")
BIDI = re.compile("[\u202a-\u202e\u2066-\u2069]")
TAGS = re.compile("[\U000e0020-\U000e007e]+")
FLAG = re.compile("\U0001f3f4[\U000e0030-\U000e007a]{1,6}\U000e007f")
BLOB = re.compile(r"(?<![A-Za-z0-9+/_=-])[A-Za-z0-9+/_-]{20,20000}={0,2}(?![A-Za-z0-9+/_=-])")
LONG_WORD = re.compile(r"[A-Za-z0-9+/_-]{20}")
HEX = re.compile(r"(?<![0-9A-Za-z])(?:[0-9a-fA-F]{2}){12,10000}(?![0-9A-Za-z])")
PERCENT = re.compile(r"(?:%[0-9a-fA-F]{2}[A-Za-z0-9.,!-]{0,3}){8,4000}")
SPELT = re.compile(r"(?<![^\W_])(?:[^\W\d_][ .*_-]){4,400}[^\W\d_](?![^\W_])")
STYLED = re.compile(
    r"<[a-z]{1,10}\s[^<>]{0,300}(?:display\s*:\s*none|visibility\s*:\s*hidden|font-size\s*:\s*0|opacity\s*:\s*0(?![.\d]*[1-9])"
    r"|color\s*:\s*(?:white|#fff(?:fff)?|transparent)\b|\shidden[\s>])",
    re.IGNORECASE,
)

_LOOKALIKES = str.maketrans("аеорсухіјѕԁԛԝһӏκαοερτυινϲɑɡıⅼ", "aeopcyxijsdqwhlkaoeptuivcagil")
_DIGITS = str.maketrans("013457", "oieast")
_WORD = re.compile(r"[^\W_]+")
_MIXED = re.compile(r"(?=[^\W\d_]*[a-z])(?=[^\W\d_]*[\u0370-\u03ff\u0400-\u052f])[^\W\d_]+")
_WIDE = re.compile("[\uff21-\uff3a\uff41-\uff5a]{2,}")
_LONELY = re.compile(r"\b[^\W\d_][ .*_-][^\W\d_][ .*_-][^\W\d_]\b")
_NON_ASCII_LETTERS = re.compile(r"[\u0370-\u03ff\u0400-\u052f\u0251\u0261\u0131\u217c]")


def folded(text: str) -> str:
    """Return `text` in one spelling: compatibility forms, lower case, no accents, no invisible characters."""
    if text.isascii():
        return text.lower()
    plain = unicodedata.normalize("NFKC", INVISIBLE.sub("", text)).casefold()
    if plain.isascii():
        return plain
    if _NON_ASCII_LETTERS.search(plain):
        plain = _MIXED.sub(lambda found: found.group().translate(_LOOKALIKES), plain)
    apart = unicodedata.normalize("NFD", plain)
    return "".join(one for one in apart if not unicodedata.combining(one))


def words_of(folded_text: str) -> list[str]:
    """Return the words of a folded text, in order; letters spelt one by one are joined, digits for letters read so."""
    straight = folded_text.replace("\u2019", "'").replace("n't", "nt").replace("'", " ")
    words = _WORD.findall(straight)
    if _LONELY.search(straight):
        words = _WORD.findall(SPELT.sub(lambda found: _joined(found.group()), straight))
    return [_unleet(word) if not word.isalpha() else word for word in words]


def _unleet(word: str) -> str:
    letters = sum(map(str.isalpha, word))
    return word.translate(_DIGITS) if letters >= len(word) / 2 and len(word) <= LEET_MOST else word


def tagged(text: str) -> str:
    """Return what is written in tag characters, which no screen shows; flags of regions are none of it."""
    if text.isascii() or max(text) < chr(TAG_BASE):
        return ""
    runs = TAGS.findall(FLAG.sub("", text))
    return "".join(chr(ord(one) - TAG_BASE) for run in runs for one in run)[:DECODED_MOST]


def hidden_within_words(text: str) -> int:
    """Return how many words have characters inside that no screen shows."""
    return 0 if text.isascii() else sum(1 for _ in WITHIN_WORD.finditer(text))


def disguised_words(text: str) -> int:
    """Return how many words mix Latin letters with lookalikes of other scripts, or are of full width Latin letters."""
    if text.isascii():
        return 0
    mixed = sum(1 for _ in _MIXED.finditer(text.casefold())) if _NON_ASCII_LETTERS.search(text) else 0
    return mixed + sum(1 for _ in _WIDE.finditer(text))


def comments(text: str) -> list[str]:
    """Return what stands in comments of markup; one that never ends goes to the end."""
    return [part.partition("-->")[0] for part in text.split("<!--")[1:]]


def decoded(text: str) -> list[str]:
    """Return the texts that stand in `text` encoded: Base64, hex, percent signs, letters spelt one by one."""
    found, room = list[str](), DECODED_MOST
    ways = [(_from_base64, BLOB), (_from_hex, HEX)] if LONG_WORD.search(text) else []
    if "%" in text:
        ways.append((_from_percent, PERCENT))
    for way, pattern in ways:
        for number, match in enumerate(pattern.finditer(text)):
            if room <= 0 or number >= BLOBS_MOST:
                break
            plain = way(match.group())[:room]
            if _is_text(plain):
                found.append(plain)
                room -= len(plain)
    return found


def _from_base64(blob: str) -> str:
    body = blob.rstrip("=").replace("-", "+").replace("_", "/")
    body = body[: len(body) - (len(body) % 4 == 1)]
    try:
        return base64.b64decode(body + "=" * (-len(body) % 4)).decode("utf-8")
    except (binascii.Error, ValueError):
        return ""


def _from_hex(blob: str) -> str:
    try:
        return bytes.fromhex(blob).decode("utf-8")
    except ValueError:
        return ""


def _from_percent(blob: str) -> str:
    return unquote(blob, errors="ignore")


def _joined(spelt: str) -> str:
    return re.sub(r"[ .*_-]", "", spelt)


def _is_text(plain: str) -> bool:
    letters = sum(one.isprintable() or one.isspace() for one in plain)
    return len(plain) >= LETTERS_LEAST and letters >= PRINTABLE_LEAST * len(plain)
