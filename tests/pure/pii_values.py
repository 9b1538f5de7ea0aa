"""Strategies for values that are right, and for text around them."""

from __future__ import annotations

import string
from collections.abc import Callable

from hypothesis import strategies as st

from tiered_memory.policy.pii_types import PiiType
from tiered_memory.privacy import checksums

DIGITS = "0123456789"


def completed(body: str, check: Callable[[str], bool]) -> str:
    """Return `body` with the last digit that makes it right, or with 0 if none does."""
    return next((body + digit for digit in DIGITS if check(body + digit)), body + "0")


def digits(count: int) -> st.SearchStrategy[str]:
    return st.text(DIGITS, min_size=count, max_size=count)


def _iban(country: str, account: str) -> str:
    number = int("".join(str(int(one, 36)) for one in f"{account}{country}00"))
    return f"{country}{98 - number % 97:02}{account}"


visa = st.builds(lambda rest: completed("4" + rest, checksums.luhn), digits(14)).filter(
    lambda n: len(set(n)) > 1
)
amex = st.builds(lambda rest: completed("37" + rest, checksums.luhn), digits(12))
cards = visa | amex | st.builds(lambda n: " ".join(n[at : at + 4] for at in range(0, 16, 4)), visa)
ibans = st.builds(_iban, st.just("DE"), digits(18)) | st.builds(
    lambda bank, account: _iban("GB", bank + account),
    st.text(string.ascii_uppercase, min_size=4, max_size=4),
    digits(14),
)
emails = st.builds(
    lambda name, host, top: f"{name}@{host}.{top}",
    st.text(string.ascii_letters + DIGITS, min_size=1, max_size=20),
    st.text(string.ascii_lowercase, min_size=1, max_size=12),
    st.sampled_from(["com", "org", "co.uk", "example", "m\u00fcnchen"]),
)
socials = digits(9).filter(checksums.social_security).map(lambda n: f"{n[:3]}-{n[3:5]}-{n[5:]}")
ipv4 = st.ip_addresses(v=4).map(str).filter(lambda a: not a.startswith(("127.", "0.", "255.")))
ipv6 = st.ip_addresses(v=6).map(lambda a: a.exploded).filter(lambda a: not a.startswith("0000"))
phones = (
    st.builds(lambda a, b, c: f"+1 2{a}-{b}-{c}", digits(2), digits(3), digits(4))
    | st.builds(lambda a, b, c: f"(3{a}) {b}-{c}", digits(2), digits(3), digits(4))
    | st.builds(lambda a, b: f"+44 20 {a} {b}", digits(4), digits(4))
)
keys = st.builds(
    lambda rest: f"AKIA{rest}", st.text(string.ascii_uppercase + DIGITS, min_size=16, max_size=16)
)
tokens = st.builds(
    lambda rest: f"ghp_{rest}", st.text(string.ascii_letters + DIGITS, min_size=36, max_size=36)
)

VALUES: dict[PiiType, st.SearchStrategy[str]] = {
    PiiType.CARD: cards,
    PiiType.IBAN: ibans,
    PiiType.EMAIL: emails,
    PiiType.US_SSN: socials,
    PiiType.IP_ADDRESS: ipv4 | ipv6,
    PiiType.PHONE: phones,
    PiiType.API_KEY: keys | tokens,
}
"""Values that are found in any surrounding that does not run into them."""
labelled = st.sampled_from(sorted(VALUES)).flatmap(lambda kind: st.tuples(st.just(kind), VALUES[kind]))
quiet = st.lists(
    st.text(
        st.characters(
            categories=("L", "Zs", "Po", "So"), exclude_characters=string.ascii_letters + "@:./'`*#&%\\\ufffc"
        ),
        max_size=20,
    )
    | st.sampled_from(["we saw", "Yes, and", "so", "in May", "Ann said"]),
    max_size=4,
).map(" ".join)
"""Text without digits, without what joins onto an address, and without a word that says what a number is."""
anything = st.text(max_size=200) | st.lists(
    labelled.map(lambda one: one[1])
    | st.sampled_from(["phone", "order", "my card", " ", "\n", "<EMAIL_1>", "5551234", "pin 1234"])
    | st.text(max_size=10),
    max_size=12,
).map(" ".join)
