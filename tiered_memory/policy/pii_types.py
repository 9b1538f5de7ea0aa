"""What personal data and secrets are called, and where one was found."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

BLANK = "\ufffc"
"""Stands where something was found or masked already: no pattern and no context reaches across it."""


class PiiType(StrEnum):
    """A sort of personal data or secret; its name is the one in placeholders."""

    EMAIL = "EMAIL"
    PHONE = "PHONE"
    CARD = "CARD"
    IBAN = "IBAN"
    BANK_ACCOUNT = "BANK_ACCOUNT"
    US_BANK_ROUTING = "US_BANK_ROUTING"
    US_SSN = "US_SSN"
    US_ITIN = "US_ITIN"
    UK_NHS = "UK_NHS"
    UK_NINO = "UK_NINO"
    DE_TAX_ID = "DE_TAX_ID"
    ES_NIF = "ES_NIF"
    IT_FISCAL_CODE = "IT_FISCAL_CODE"
    FR_NIR = "FR_NIR"
    NL_BSN = "NL_BSN"
    PL_PESEL = "PL_PESEL"
    BR_CPF = "BR_CPF"
    CA_SIN = "CA_SIN"
    IN_AADHAAR = "IN_AADHAAR"
    PASSPORT = "PASSPORT"
    DRIVER_LICENSE = "DRIVER_LICENSE"
    DATE_OF_BIRTH = "DATE_OF_BIRTH"
    STREET_ADDRESS = "STREET_ADDRESS"
    POSTAL_CODE = "POSTAL_CODE"
    IP_ADDRESS = "IP_ADDRESS"
    MAC_ADDRESS = "MAC_ADDRESS"
    CRYPTO_WALLET = "CRYPTO_WALLET"
    URL = "URL"
    AGE = "AGE"
    PERSON = "PERSON"
    API_KEY = "API_KEY"
    JWT = "JWT"
    PRIVATE_KEY = "PRIVATE_KEY"
    PASSWORD = "PASSWORD"  # noqa: S105  # the name of a type
    PIN = "PIN"


SECRETS = frozenset({PiiType.API_KEY, PiiType.JWT, PiiType.PRIVATE_KEY, PiiType.PASSWORD, PiiType.PIN})
"""What gives access. It is never stored, whatever the mode."""

OPTIONAL = frozenset({PiiType.URL, PiiType.AGE, PiiType.PERSON})
"""Looked for only when asked: mostly not personal (a web page), or not to be told by a pattern (a name)."""


@dataclass(frozen=True, slots=True)
class Span:
    """Something found in a text: code points [`start`, `end`), how sure it is (0..1), and which rule found it."""

    start: int
    end: int
    type: PiiType
    confidence: float
    recogniser: str
