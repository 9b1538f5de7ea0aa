"""Sentences in which personal data is marked: read from a file, or drawn from patterns of the project's own."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tiered_memory.privacy import checksums


@dataclass(frozen=True, slots=True)
class Gold:
    """A marked stretch: code points [`start`, `end`), and the type that the set gives it."""

    start: int
    end: int
    type: str


@dataclass(frozen=True, slots=True)
class Sentence:
    """A text with everything personal in it marked."""

    text: str
    spans: tuple[Gold, ...]


def read(path: Path) -> list[Sentence]:
    """Read a JSON list of {full_text, spans: [{entity_type, start_position, end_position}]}.

    Raises `ValueError` when it is something else.
    """
    raw = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(raw, list) or not all(isinstance(one, dict) and "full_text" in one for one in raw):
        raise ValueError(f"{path.name} is no list of sentences with full_text and spans")
    return [
        Sentence(
            str(one["full_text"]),
            tuple(
                Gold(int(span["start_position"]), int(span["end_position"]), str(span["entity_type"]))
                for span in one["spans"]
            ),
        )
        for one in raw
    ]


def drawn(count: int, seed: int) -> list[Sentence]:
    """Return `count` sentences, one in four of them with numbers that are nobody's."""
    chance = random.Random(seed)
    return [_sentence(chance) for _ in range(count)]


def _sentence(chance: random.Random) -> Sentence:
    if chance.random() < 0.25:
        return Sentence(_filled(chance, chance.choice(_INNOCENT)), ())
    kind = chance.choice(list(_FRAMES))
    lead, _, rest = chance.choice(_FRAMES[kind]).partition("{}")
    value = _VALUES[kind](chance)
    return Sentence(f"{lead}{value}{rest}", (Gold(len(lead), len(lead) + len(value), kind),))


def _filled(chance: random.Random, pattern: str) -> str:
    return "".join(str(chance.randrange(10)) if character == "9" else character for character in pattern)


def _with_check_digit(body: str, check: Callable[[str], bool]) -> str:
    return next(body + digit for digit in "0123456789" if check(body + digit))


def _card(chance: random.Random) -> str:
    pattern, groups = chance.choice(_CARDS)
    digits = _with_check_digit(_filled(chance, pattern), checksums.luhn)
    gap = chance.choice(("", " ", "-"))
    return gap.join(_cut(digits, groups))


def _cut(digits: str, groups: tuple[int, ...]) -> Iterator[str]:
    at = 0
    for length in groups:
        yield digits[at : at + length]
        at += length


def _iban(chance: random.Random) -> str:
    country, pattern = chance.choice(
        (("DE", "999999999999999999"), ("NL", "INGB9999999999"), ("FR", "9" * 23))
    )
    account = _filled(chance, pattern)
    number = int("".join(str(int(one, 36)) for one in f"{account}{country}00"))
    whole = f"{country}{98 - number % 97:02}{account}"
    return whole if chance.random() < 0.5 else " ".join(_cut(whole, (4,) * 9)).strip()


def _email(chance: random.Random) -> str:
    name = chance.choice(("jo", "Ann.Lee", "k_m+list", "d.o-b"))
    host = chance.choice(("mail", "post", "office-9", "m\u00fcller"))
    return f"{name}{chance.randrange(99)}@{host}.{chance.choice(('example', 'co.uk', 'museum'))}"


def _phone(chance: random.Random) -> str:
    return _filled(chance, chance.choice(_PHONES))


def _social(chance: random.Random) -> str:
    return f"{chance.randrange(700, 900)}-{chance.randrange(1, 100):02}-{chance.randrange(1, 10_000):04}"


def _address(chance: random.Random) -> str:
    if chance.random() < 0.3:
        return ":".join(f"{chance.randrange(0x1000, 0x10000):x}" for _ in range(8))
    return ".".join(str(chance.randrange(1, 255)) for _ in range(4))


def _license(chance: random.Random) -> str:
    return chance.choice("ABDFGHMRSW") + _filled(chance, "999999999999"[: chance.randrange(7, 13)])


_CARDS = (
    ("411199999999999", (4, 4, 4, 4)),
    ("527599999999999", (4, 4, 4, 4)),
    ("37199999999999", (4, 6, 5)),
    ("601199999999999", (4, 4, 4, 4)),
)
_PHONES = (
    "+1 (415) 999-9999", "415-999-9999", "(212) 999-9999", "646.999.9999", "+44 20 7999 9999", "07999 999999",
    "+49 30 99999999", "0171 9999999", "+33 6 99 99 99 99", "06 99 99 99 99", "+91 98999 99999", "+61 2 9999 9999",
    "1-800-999-9999", "0041 44 999 99 99", "+5511999999999", "555-9999", "4159999999", "+46 70 999 99 99 ext. 99",
)  # fmt: skip
_VALUES: dict[str, Callable[[random.Random], str]] = {
    "CREDIT_CARD": _card,
    "EMAIL_ADDRESS": _email,
    "IBAN_CODE": _iban,
    "IP_ADDRESS": _address,
    "PHONE_NUMBER": _phone,
    "US_DRIVER_LICENSE": _license,
    "US_SSN": _social,
}
_FRAMES = {
    "CREDIT_CARD": ("Charge {} for the two tickets.", "my Visa is {}, it expires in May", "Card: {}"),
    "EMAIL_ADDRESS": ("Write to {}.", "<{}> said no", "cc {}, please", "is {} still right?"),
    "IBAN_CODE": ("Please pay to {}.", "IBAN {}", "(account {})"),
    "IP_ADDRESS": ("I was logged in from {} at noon.", "ping {} fails", "host={};"),
    "PHONE_NUMBER": (
        "Call me at {} after six.",
        "Tel. {}",
        "her mobile number is {}, ask for Jo",
        "text {} now!",
    ),
    "US_DRIVER_LICENSE": (
        "My driver's license is {}.",
        "Driving licence no: {}",
        "driver license number {} please",
    ),
    "US_SSN": ("My SSN is {}.", "social security {}, if you need it", "It says {} on the form."),
}
_INNOCENT = (
    "Order 999-999-9999 has shipped.", "It cost $9,999.99 in 2019-2021.", "See ISBN 978-9-99-999999-9.",
    "We met on 2023-09-19 at 19:39:59.", "Version 9.19.9 was built on 09.09.2019.", "The commit is 9f9e9d9c9b9a.",
    "Ticket 99999999 waits.", "It is 99 999 999 km away.", "Pages 999-999 of volume 9.", "Invoice no. 9999999999 is open.",
    "id 9a9b9c9d-9999-4999-9999-9e9f99999999", "Tracking number 1Z999AA19999999999.", "The score was 99-99 after 99 minutes.",
)  # fmt: skip
