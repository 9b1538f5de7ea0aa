"""Addresses of the net: mail, IP, MAC, web pages, and the wallets of cryptocurrencies."""

from __future__ import annotations

import re
from collections.abc import Iterator
from ipaddress import AddressValueError, IPv4Address, IPv6Address

from tiered_memory.policy.pii_types import BLANK, PiiType, Span
from tiered_memory.privacy import checksums
from tiered_memory.privacy.pii_context import before

_LOCAL_BACKWARDS = re.compile(r"[\w%+\-'!#$&*/=?^`{|}~](?:\.?[\w%+\-'!#$&*/=?^`{|}~]){0,63}")
_DOMAIN = re.compile(r"(?:[^\W_](?:[\w\-]{0,62})\.){1,8}(?:[^\W\d_]{2,24}|xn--[a-z0-9\-]{2,59})(?![\w\-]*@)")
_LONGEST_LOCAL = 64
_QUOTES = "'`*{|~=/"

_IPV4 = re.compile(r"\d(?<![\w.]\d)\d{0,2}(?:\.\d{1,3}){3}(?![\w]|\.\d)")
_IPV6 = re.compile(
    r"(?<![\w:.])[0-9A-Fa-f]{0,4}(?::[0-9A-Fa-f]{0,4}){2,7}(?:(?<=:)\d{1,3}(?:\.\d{1,3}){3})?(?![\w:]|\.\d)"
)
_VERSION = re.compile(
    r"\b(?:v|ver|version|release|build|section|chapter|firmware)\.?\s?$|\brv:$|\w/$", re.IGNORECASE
)
_NOBODY = frozenset({"127.0.0.1", "0.0.0.0", "255.255.255.255", "255.255.255.0"})  # noqa: S104
_HEX_DIGITS_OF_AN_ADDRESS = 3

OCTETS = re.compile(r"\.\d{1,3}\.\d{1,3}\.\d")
COLONS = re.compile(r":[0-9A-Fa-f]{0,4}:[0-9A-Fa-f.:]")
PAIRS = re.compile(r"[:\-][0-9A-Fa-f]{2}[:\-][0-9A-Fa-f]{2}[:\-][0-9A-Fa-f]{2}[:\-]")
"""The middle of an address: quick to look for, and without it there is none."""

_MAC = re.compile(
    r"(?<![\w:\-])[0-9A-Fa-f]{2}(?P<mark>[:\-])(?:[0-9A-Fa-f]{2}(?P=mark)){4}[0-9A-Fa-f]{2}(?![\w:\-])"
)
_WALLET = re.compile(
    r"(?<!\w)(?:(?P<base58>[13][1-9A-HJ-NP-Za-km-z]{25,34})|(?P<bech32>[bB][cC]1[02-9AC-HJ-NP-Zac-hj-np-z]{11,71})"
    r"|(?P<hex>0x[0-9a-fA-F]{40}))(?!\w)"
)
_URL = re.compile(rf"https?://[^\s<>\"'{BLANK}]{{3,2000}}|www\.[^\s<>\"'{BLANK}]{{3,2000}}", re.IGNORECASE)


def find_mail(text: str) -> Iterator[Span]:
    """Yield every mail address (RFC 5321 without quoted local parts; Unicode letters are letters)."""
    at = text.find("@")
    while at >= 0:
        local = _LOCAL_BACKWARDS.match(text[max(0, at - _LONGEST_LOCAL) : at][::-1])
        domain = _DOMAIN.match(text, at + 1)
        if local is not None and domain is not None:
            name = local[0][::-1].lstrip(_QUOTES)
            if name:
                yield Span(at - len(name), domain.end(), PiiType.EMAIL, 0.95, "email")
        at = text.find("@", at + 1)


def find_ipv4(text: str) -> Iterator[Span]:
    """Yield IPv4 addresses but those of no one: loopback, unspecified, broadcast, a netmask."""
    for match in _IPV4.finditer(text):
        if (
            match[0] not in _NOBODY
            and _is_ipv4(match[0])
            and not _VERSION.search(before(text, match.start()))
        ):
            yield Span(match.start(), match.end(), PiiType.IP_ADDRESS, 0.9, "ipv4")


def _is_ipv4(written: str) -> bool:
    try:
        IPv4Address(written)
    except AddressValueError:
        return False
    return True


def find_ipv6(text: str) -> Iterator[Span]:
    """Yield IPv6 addresses (RFC 4291) with three hexadecimal digits or more."""
    for match in _IPV6.finditer(text):
        digits = sum(one != ":" for one in match[0])
        if digits >= _HEX_DIGITS_OF_AN_ADDRESS and _is_ipv6(match[0]):
            yield Span(match.start(), match.end(), PiiType.IP_ADDRESS, 0.95, "ipv6")


def _is_ipv6(written: str) -> bool:
    try:
        address = IPv6Address(written)
    except AddressValueError:
        return False
    return not address.is_loopback


def find_mac(text: str) -> Iterator[Span]:
    """Yield hardware addresses of six octets (IEEE 802), but all zeros and all ones."""
    for match in _MAC.finditer(text):
        if len(set(match[0].lower()) - {":", "-"}) > 1:
            yield Span(match.start(), match.end(), PiiType.MAC_ADDRESS, 0.9, "mac")


def find_wallets(text: str, start: int, end: int) -> Iterator[Span]:
    """Yield from `text[start:end]` Bitcoin addresses whose check sum is right, and Ethereum addresses by their shape."""
    for match in _WALLET.finditer(text, start, end):
        kind = str(match.lastgroup)
        if _is_wallet(kind, match[0]):
            yield Span(match.start(), match.end(), PiiType.CRYPTO_WALLET, 0.95, f"wallet {kind}")


def _is_wallet(kind: str, address: str) -> bool:
    if kind == "base58":
        return checksums.base58check(address)
    return kind == "hex" or checksums.bech32(address.lower())


def find_urls(text: str) -> Iterator[Span]:
    """Yield web addresses; an option, since most belong to no person."""
    for match in _URL.finditer(text):
        end = match.start() + len(match[0].rstrip(".,;:!?)]}"))
        yield Span(match.start(), end, PiiType.URL, 0.8, "url")
