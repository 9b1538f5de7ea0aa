"""What happens to found spans: masked, redacted, kept as they are, or the whole text refused. Pure."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from ipaddress import ip_address
from types import MappingProxyType

from tiered_memory.errors import InvalidInputError
from tiered_memory.policy.pii_rules import PiiMode
from tiered_memory.policy.pii_types import SECRETS, PiiType, Span
from tiered_memory.privacy.pii_numbers import ascii_digits
from tiered_memory.privacy.pii_plain import plain

_SPACE = re.compile(r"\s+")
_KEEPS_ITS_CASE = SECRETS | {PiiType.CRYPTO_WALLET}
_BY_ITS_CHARACTERS = frozenset(
    {
        PiiType.CARD,
        PiiType.IBAN,
        PiiType.BANK_ACCOUNT,
        PiiType.US_BANK_ROUTING,
        PiiType.US_SSN,
        PiiType.US_ITIN,
        PiiType.UK_NHS,
        PiiType.UK_NINO,
        PiiType.DE_TAX_ID,
        PiiType.ES_NIF,
        PiiType.IT_FISCAL_CODE,
        PiiType.FR_NIR,
        PiiType.NL_BSN,
        PiiType.PL_PESEL,
        PiiType.BR_CPF,
        PiiType.CA_SIN,
        PiiType.IN_AADHAAR,
        PiiType.PASSPORT,
        PiiType.DRIVER_LICENSE,
        PiiType.POSTAL_CODE,
        PiiType.MAC_ADDRESS,
    }
)


class PiiRefusedError(InvalidInputError):
    """The text holds personal data or secrets of a sort that the policy refuses; nothing was stored."""

    def __init__(self, types: Iterable[PiiType]) -> None:
        self.types = tuple(sorted(set(types)))
        super().__init__(f"The policy refuses text with {', '.join(self.types)}; nothing was stored.")


@dataclass(frozen=True, slots=True)
class Placeholders:
    """One user's placeholders: keyed digests (HMAC-SHA-256, 32 hex digits) to numbers, never a value.

    `key` is a secret of the user (16 bytes or more). `entries` shows which values are equal, so the caller seals it.
    """

    key: bytes = field(repr=False)
    entries: Mapping[str, str] = field(default_factory=dict)
    most: int = 100_000
    """How many values are numbered; what comes beyond is shown as its type alone."""

    def known(self, kind: PiiType, value: str) -> str:
        """Return the placeholder that stands for `value`, or nothing."""
        return self.entries.get(self._digest(kind, value), "")

    def number(self, kind: PiiType, value: str) -> tuple[str, Placeholders]:
        """Return the placeholder of `value`, and the table that knows it."""
        digest = self._digest(kind, value)
        known = self.entries.get(digest)
        if known is not None:
            return known, self
        if len(self.entries) >= self.most:
            return f"<{kind.value}>", self
        taken = sum(placeholder.startswith(f"<{kind.value}_") for placeholder in self.entries.values())
        fresh = f"<{kind.value}_{taken + 1}>"
        return fresh, replace(self, entries=MappingProxyType({**self.entries, digest: fresh}))

    def _digest(self, kind: PiiType, value: str) -> str:
        message = f"{kind.value}\0{normalised(kind, value)}".encode("utf-8", "surrogatepass")
        return hmac.new(self.key, message, hashlib.sha256).hexdigest()[:32]


@dataclass(frozen=True, slots=True)
class Masked:
    """The text to store, what was found in the text as it came, and the table for the user's next text."""

    text: str
    spans: tuple[Span, ...]
    placeholders: Placeholders


def apply(
    text: str,
    spans: Collection[Span],
    mode: PiiMode,
    placeholders: Placeholders,
    overrides: Mapping[PiiType, PiiMode] = MappingProxyType({}),
) -> Masked:
    """Return `text` with its `spans` (as `find` returns them) treated by `mode`, or by their type's override.

    MASK puts `<EMAIL_1>`, the same for the same value; REDACT puts `<EMAIL>`; KEEP_SEALED leaves the text.
    Secrets are redacted unless refused. Raises `PiiRefusedError`, naming types only, if any mode is REFUSE;
    ValueError if spans overlap or reach outside.
    """
    ordered = tuple(sorted(spans, key=lambda span: (span.start, span.end)))
    _check(text, ordered)
    modes = [_mode(span.type, mode, overrides) for span in ordered]
    refused = [span.type for span, one in zip(ordered, modes, strict=True) if one is PiiMode.REFUSE]
    if refused:
        raise PiiRefusedError(refused)
    pieces, at = [], 0
    for span, one in zip(ordered, modes, strict=True):
        shown, placeholders = _shown(text[span.start : span.end], span.type, one, placeholders)
        pieces += [text[at : span.start], shown]
        at = span.end
    return Masked("".join([*pieces, text[at:]]), ordered, placeholders)


def normalised(kind: PiiType, value: str) -> str:
    """Return the form in which equal values are equal: digits of a telephone, a mail address in lower case.

    A telephone number's international prefix may be written 00 or +. Secrets keep every character that is seen.
    """
    value = plain(value)
    if kind is PiiType.PHONE:
        return ascii_digits(value.casefold().partition("x")[0]).removeprefix("00")
    if kind is PiiType.IP_ADDRESS:
        return ip_address(value).compressed
    if kind in _BY_ITS_CHARACTERS:
        return "".join(filter(str.isalnum, value)).upper()
    return value if kind in _KEEPS_ITS_CASE else _SPACE.sub(" ", value).strip().casefold()


def _mode(kind: PiiType, mode: PiiMode, overrides: Mapping[PiiType, PiiMode]) -> PiiMode:
    chosen = overrides.get(kind, mode)
    return PiiMode.REDACT if kind in SECRETS and chosen is not PiiMode.REFUSE else chosen


def _shown(value: str, kind: PiiType, mode: PiiMode, table: Placeholders) -> tuple[str, Placeholders]:
    if mode is PiiMode.MASK:
        return table.number(kind, value)
    return (value if mode is PiiMode.KEEP_SEALED else f"<{kind.value}>"), table


def _check(text: str, ordered: tuple[Span, ...]) -> None:
    at = 0
    for span in ordered:
        if not at <= span.start < span.end <= len(text):
            raise ValueError("spans must lie inside the text, in order, without overlap")
        at = span.end
