"""What gives access: keys by the prefixes their issuers print, tokens, private keys, and values named as secret."""

from __future__ import annotations

import binascii
import json
import math
import re
from base64 import urlsafe_b64decode
from collections import Counter
from collections.abc import Iterator

from tiered_memory.policy.pii_types import BLANK, PiiType, Span
from tiered_memory.privacy.pii_context import at_words

_PREFIXED = re.compile(
    r"(?<![A-Za-z0-9_])(?:A(?:KIA|SIA)[0-9A-Z]{16}|AIza[0-9A-Za-z_\-]{35}|gh[pousr]_[A-Za-z0-9]{36,255}"
    r"|github_pat_[A-Za-z0-9_]{22,255}|glpat-[A-Za-z0-9_\-]{20,64}|sk-[A-Za-z0-9_\-]{20,220}"
    r"|[spr]k_(?:live|test)_[A-Za-z0-9]{16,247}|whsec_[A-Za-z0-9]{16,64}|xox[abeoprs]-[A-Za-z0-9\-]{10,250}"
    r"|ya29\.[A-Za-z0-9_\-]{20,250}|hf_[A-Za-z0-9]{30,64}|npm_[A-Za-z0-9]{36}|shp(?:at|ca|pa|ss)_[a-fA-F0-9]{32}"
    r"|dop_v1_[a-f0-9]{64}|SG\.[A-Za-z0-9_\-]{16,32}\.[A-Za-z0-9_\-]{16,64}|SK[a-f0-9]{32}|key-[a-f0-9]{32}"
    r"|\d{8,10}:AA[A-Za-z0-9_\-]{33}|EAA[A-Za-z0-9]{40,250})(?![A-Za-z0-9_])"
)
_JWT = re.compile(r"(?<![A-Za-z0-9_\-.])(eyJ[A-Za-z0-9_\-]+)\.[A-Za-z0-9_\-]+\.[A-Za-z0-9_\-]*")
_LONGEST_HEADER = 4096
_PRIVATE_KEY = re.compile(
    r"-----BEGIN [A-Z0-9 ]{0,32}PRIVATE KEY(?: BLOCK)?-----"
    rf"(?:[^\-{BLANK}]|-(?!----))*+(?:-----END [A-Z0-9 ]{{0,48}}-----)?"
)
_USER_INFO = re.compile(rf"://([^\s/@:<>{BLANK}]{{0,128}}:[^\s/@<>{BLANK}]{{1,256}})@")
_QUERY = re.compile(
    r"[?&;](?:access_token|refresh_token|id_token|token|api[_\-]?key|key|auth|authkey|code|secret|client_secret"
    r"|password|passwd|pwd|sig|signature|session|session_?id|sid|jwt|x-amz-signature|x-amz-security-token)="
    rf"([^&\s#\"'<>{BLANK}]{{6,4096}})",
    re.IGNORECASE,
)
_NAMED = re.compile(
    r"(?<![A-Za-z])(?:(?P<word>pass(?:word|wd|phrase|code)|pwd|passwort|mot de passe|contrase\u00f1a|kennwort)"
    r"|(?P<key>(?:api|access|secret|private|client|auth|account|master|encryption|signing|aws|db|app)"
    r"[ _\-]?(?:key|secret|token|id_secret)|secret(?:[ _\-]access[ _\-]key)?|token|bearer|credentials?|apikey))"
    r"(?![A-Za-z])[\"']?(?P<link>\s{0,3}(?:=>?|:=?)\s{0,3}|\s(?:is|was|ist|es|est)(?::|\s)\s{0,2}|(?<=[Bb]earer)\s)"
    rf"[\"'`]?(?P<value>[^\s\"'`<>{BLANK}]{{4,512}})",
    re.IGNORECASE,
)
NAMES = ("pass", "pwd", "secret", "token", "bearer", "key", "credential", "contrase", "kennwort")
_NAME_WORDS = re.compile(
    "pass|pwd|mot de|contrase|kennwort|api|access|secret|private|client|auth|account|master|encryption|signing|aws|db|app"
    "|token|bearer|credential"
)
PIN_NAMES = ("pin", "cv", "code", "otp", "password")
_PIN_WORDS = re.compile("pin|cv[vc]|security|door|alarm|access|gate|pass|otp|one|verification")
_EMPTY = re.compile(
    r"(?:none|null|nil|true|false|undefined|required|optional|redacted|changeme|x+|\*+|\.+)[.,;!?)]*",
    re.IGNORECASE,
)
_REFERENCE = re.compile(r"[$%{(\[\\]")
_PIN = re.compile(
    r"(?<![A-Za-z])(?:pin(?: code| number)?|cv[vc]2?(?: code)?|(?:security|door|alarm|access|gate|pass) ?code|otp|one[ -]time (?:code|password)"
    r"|verification code)(?: is| was)?\s{0,2}[:=]?\s{0,2}(\d{3,8})(?![\w.])",
    re.IGNORECASE,
)
_TRAILING = ".,;:!?)]}"
_BITS_PER_CHARACTER = 2.8
_KEY_LENGTH = 12
_PASSWORD_LENGTH = 6


def find_keys(text: str, start: int, end: int) -> Iterator[Span]:
    """Yield from `text[start:end]` keys with a known prefix, and JSON web tokens (RFC 7519) whose header can be read."""
    for match in _PREFIXED.finditer(text, start, end):
        yield Span(match.start(), match.end(), PiiType.API_KEY, 0.99, "key prefix")
    for match in _JWT.finditer(text, start, end):
        if _is_header(match[1]):
            yield Span(match.start(), match.end(), PiiType.JWT, 0.99, "jwt")


def _is_header(part: str) -> bool:
    if len(part) > _LONGEST_HEADER:
        return False
    try:
        header = json.loads(urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    except (ValueError, binascii.Error, RecursionError):
        return False
    return isinstance(header, dict) and not header.keys().isdisjoint({"alg", "enc", "typ", "kid"})


def find_private_keys(text: str) -> Iterator[Span]:
    """Yield private keys in PEM (RFC 7468), to their end or, cut short, as far as they go."""
    for match in _PRIVATE_KEY.finditer(text):
        yield Span(match.start(), match.end(), PiiType.PRIVATE_KEY, 0.99, "pem")


def find_in_urls(text: str) -> Iterator[Span]:
    """Yield the user and password of a web address (RFC 3986, 3.2.1), and the tokens of its query."""
    for match in _USER_INFO.finditer(text):
        yield Span(match.start(1), match.end(1), PiiType.PASSWORD, 0.97, "url user info")
    for match in _QUERY.finditer(text):
        yield Span(match.start(1), match.end(1), PiiType.API_KEY, 0.85, "url query")


def find_named(text: str, lower: str) -> Iterator[Span]:
    """Yield values that the words before them call a password, a token or a key, unless they are plain words."""
    for match in at_words(_NAME_WORDS, _NAMED, text, lower):
        value = match["value"].rstrip(_TRAILING)
        if value and _is_secret(value, is_word=match["word"] is not None, assigned="=" in match["link"]):
            kind = PiiType.PASSWORD if match["word"] is not None else PiiType.API_KEY
            yield Span(match.start("value"), match.start("value") + len(value), kind, 0.8, "named secret")


def find_pins(text: str, lower: str) -> Iterator[Span]:
    """Yield PINs, card security codes and one-time codes after the words for them."""
    for match in at_words(_PIN_WORDS, _PIN, text, lower):
        yield Span(match.start(1), match.end(1), PiiType.PIN, 0.85, "pin")


def _is_secret(value: str, *, is_word: bool, assigned: bool) -> bool:
    """Tell a secret from prose: after `=` nearly anything is one, after "is" it must look like none of a word."""
    if _EMPTY.fullmatch(value) or _REFERENCE.match(value):
        return False
    if is_word:
        return assigned or (len(value) >= _PASSWORD_LENGTH and _is_mixed(value))
    return len(value) >= _KEY_LENGTH and _is_mixed(value) and entropy(value) >= _BITS_PER_CHARACTER


def _is_mixed(value: str) -> bool:
    letters = any(one.isalpha() for one in value)
    others = any(not one.isalpha() and one not in "-'\u2019/.," for one in value)
    return (letters and others) or (value[1:] != value[1:].lower() and value != value.upper())


def entropy(value: str) -> float:
    """Return the Shannon entropy of `value`'s characters, bits per character (0 for the empty text)."""
    counts = Counter(value).values()
    return -sum(count / len(value) * math.log2(count / len(value)) for count in counts)
