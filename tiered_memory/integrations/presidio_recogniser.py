"""Names, places and whatever else needs a model, found by Microsoft Presidio (extra `presidio`).

    from presidio_analyzer import AnalyzerEngine
    TieredMemory.open("./data", recogniser=PresidioRecogniser(AnalyzerEngine()))

Presidio's models are its own affair: which it loads, and from where, is what the given engine was configured with.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Protocol

import anyio.to_thread

from tiered_memory.policy.pii_types import PiiType, Span

TYPES: Mapping[str, PiiType] = MappingProxyType(
    {
        "PERSON": PiiType.PERSON,
        "EMAIL_ADDRESS": PiiType.EMAIL,
        "PHONE_NUMBER": PiiType.PHONE,
        "CREDIT_CARD": PiiType.CARD,
        "IBAN_CODE": PiiType.IBAN,
        "US_BANK_NUMBER": PiiType.BANK_ACCOUNT,
        "US_SSN": PiiType.US_SSN,
        "US_ITIN": PiiType.US_ITIN,
        "US_PASSPORT": PiiType.PASSPORT,
        "US_DRIVER_LICENSE": PiiType.DRIVER_LICENSE,
        "UK_NHS": PiiType.UK_NHS,
        "UK_NINO": PiiType.UK_NINO,
        "IP_ADDRESS": PiiType.IP_ADDRESS,
        "MAC_ADDRESS": PiiType.MAC_ADDRESS,
        "CRYPTO": PiiType.CRYPTO_WALLET,
        "LOCATION": PiiType.STREET_ADDRESS,
    }
)
"""Presidio's entities, and what they are called here; others are left alone."""


class Found(Protocol):
    """One of Presidio's results: code points [`start`, `end`) and a score 0..1."""

    entity_type: str
    start: int
    end: int
    score: float


class Analyzer(Protocol):
    """What is asked of `presidio_analyzer.AnalyzerEngine`."""

    def analyze(self, text: str, language: str) -> Iterable[Found]:
        """Return what is found in `text`."""
        ...


class PresidioRecogniser:
    """A `PiiRecogniser` over an analyzer, in a worker thread.

    `types` maps entities to types. A place that is not an address is personal in a text about a person, so
    `LOCATION` counts as one; leave it out of `types` to keep places.
    """

    def __init__(
        self, analyzer: Analyzer, *, language: str = "en", types: Mapping[str, PiiType] = TYPES
    ) -> None:
        self._analyzer = analyzer
        self._language = language
        self._types = types

    async def find(self, text: str) -> Sequence[Span]:
        """Return spans of `text`; whatever Presidio raises, the caller gets, and nothing is stored."""
        return await anyio.to_thread.run_sync(self._found, text)

    def _found(self, text: str) -> list[Span]:
        return [
            Span(one.start, one.end, self._types[one.entity_type], one.score, "presidio")
            for one in self._analyzer.analyze(text=text, language=self._language)
            if one.entity_type in self._types
        ]
