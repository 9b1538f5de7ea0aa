"""Identity, tax, health and bank numbers made of digits: a check, and the word or the grouping that it needs."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tiered_memory.policy.pii_types import PiiType
from tiered_memory.privacy import checksums
from tiered_memory.privacy.pii_context import says


@dataclass(frozen=True, slots=True)
class Identity:
    """A number that passes `check`; one of `phrases` stands before it, or it has the grouping `alone`."""

    type: PiiType
    check: Callable[[str], bool]
    phrases: tuple[str, ...]
    alone: re.Pattern[str] | None = None

    def certainty(self, written: str, digits: str, words: Sequence[str]) -> float:
        """Return how sure it is (0: not at all) that `written` is one, `words` standing before it."""
        if not self.check(digits):
            return 0.0
        if says(words, self.phrases):
            return 0.95
        return 0.85 if self.alone is not None and self.alone.fullmatch(written) else 0.0


def _aadhaar(digits: str) -> bool:
    return digits[0] > "1" and checksums.verhoeff(digits)


def _any(_digits: str) -> bool:
    """Take what is called one, though it cannot have been issued: a mistyped number is personal too."""
    return True


_SOCIAL = ("ssn", "itin", "social security", "taxpayer")
_HYPHENS = re.compile(r"\d{3}-\d\d-\d{4}")
BY_LENGTH: dict[int, tuple[Identity, ...]] = {
    9: (
        Identity(PiiType.US_SSN, checksums.social_security, _SOCIAL, _HYPHENS),
        Identity(PiiType.US_ITIN, checksums.taxpayer, _SOCIAL, _HYPHENS),
        Identity(PiiType.US_SSN, _any, _SOCIAL[:1] + _SOCIAL[2:]),
        Identity(PiiType.US_BANK_ROUTING, checksums.aba_routing, ("routing", "aba", "rtn", "transit")),
        Identity(PiiType.CA_SIN, checksums.luhn, ("sin", "social insurance", "nas")),
        Identity(PiiType.NL_BSN, checksums.dutch_bsn, ("bsn", "burgerservicenummer", "sofinummer")),
    ),
    10: (Identity(PiiType.UK_NHS, checksums.nhs, ("nhs", "health service")),),
    11: (
        Identity(
            PiiType.DE_TAX_ID,
            checksums.german_tax_id,
            (
                "steuer id",
                "steuernummer",
                "steueridentifikationsnummer",
                "idnr",
                "tin",
                "tax id",
                "tax number",
            ),
        ),
        Identity(PiiType.PL_PESEL, checksums.polish_pesel, ("pesel",)),
        Identity(PiiType.BR_CPF, checksums.brazilian_cpf, ("cpf",), re.compile(r"\d{3}\.\d{3}\.\d{3}-\d\d")),
    ),
    12: (
        Identity(
            PiiType.IN_AADHAAR,
            _aadhaar,
            ("aadhaar", "aadhar", "adhaar", "uidai"),
            re.compile(r"\d{4}([ \-])\d{4}\1\d{4}"),
        ),
    ),
    15: (
        Identity(
            PiiType.FR_NIR,
            checksums.french_nir,
            ("nir", "s\u00e9curit\u00e9 sociale", "insee", "carte vitale"),
            re.compile(r"\d \d\d \d\d \d\d \d{3} \d{3} \d\d"),
        ),
    ),
}
"""By the number of digits; the first that fits is taken."""
