"""The check digits of card, bank, tax, health and identity numbers. Each takes the bare characters of one number.

Digits are ASCII, letters upper case; a number of another length or alphabet is not valid.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence

_LUHN_DOUBLED = str.maketrans("0123456789", "0246813579")
_NIF_LETTERS = "TRWAGMYFPDXBNJZSQVHLCKE"
_BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_BECH32 = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
_BECH32_GENERATOR = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)
_BECH32_CONSTANTS = frozenset({1, 0x2BC830A3})
_FISCAL_TENS = (1, 0, 5, 7, 9, 13, 15, 17, 19, 21)
_FISCAL_REST = (2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23)
_FISCAL_ODD = dict(
    zip("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ", (*_FISCAL_TENS, *_FISCAL_TENS, *_FISCAL_REST), strict=True)
)


def _dihedral(left: int, right: int) -> int:
    """Multiply in the dihedral group of order ten: 0..4 turn, 5..9 mirror."""
    turned = left % 5 + (right % 5 if left < 5 else -(right % 5))  # noqa: PLR2004
    return turned % 5 + (0 if (left < 5) == (right < 5) else 5)  # noqa: PLR2004


def _permutations() -> tuple[tuple[int, ...], ...]:
    """Return the eight powers of Verhoeff's permutation of the digits."""
    first = (1, 5, 7, 6, 2, 8, 3, 0, 9, 4)
    powers = [tuple(range(10))]
    for _ in range(7):
        powers.append(tuple(first[digit] for digit in powers[-1]))
    return tuple(powers)


_VERHOEFF_PRODUCT = tuple(tuple(_dihedral(left, right) for right in range(10)) for left in range(10))
_VERHOEFF_POWERS = _permutations()


def _weighted(digits: str, weights: Sequence[int]) -> int:
    return sum(int(digit) * weight for digit, weight in zip(digits, weights, strict=True))


def luhn(digits: str) -> bool:
    """Check ISO/IEC 7812-1 annex B (cards, Canadian SIN): detects every single wrong digit."""
    return sum(map(int, digits[::-2] + digits[-2::-2].translate(_LUHN_DOUBLED))) % 10 == 0


def mod97(characters: str) -> bool:
    """Check ISO 7064 MOD 97-10 of an IBAN (ISO 13616): country and check digits moved to the end."""
    moved = characters[4:] + characters[:4]
    return int("".join(str(int(character, 36)) for character in moved)) % 97 == 1


def verhoeff(digits: str) -> bool:
    """Check Verhoeff's dihedral code (1969), used by Aadhaar."""
    check = 0
    for place, digit in enumerate(reversed(digits)):
        check = _VERHOEFF_PRODUCT[check][_VERHOEFF_POWERS[place % 8][int(digit)]]
    return check == 0


def aba_routing(digits: str) -> bool:
    """Check an American routing number: weights 3, 7, 1, and a first pair in use (ABA, 1911)."""
    prefix = int(digits[:2])
    in_use = 1 <= prefix <= 12 or 21 <= prefix <= 32 or 61 <= prefix <= 72 or prefix == 80  # noqa: PLR2004
    return in_use and _weighted(digits, (3, 7, 1) * 3) % 10 == 0


def nhs(digits: str) -> bool:
    """Check a British health number (NHS Data Dictionary): weights 10 to 2, modulo 11, 10 is unused."""
    return 11 - _weighted(digits[:9], range(10, 1, -1)) % 11 == (int(digits[9]) or 11)


def german_tax_id(digits: str) -> bool:
    """Check a German tax number (section 139b AO): ISO 7064 MOD 11,10, and digits repeated as the rule wants."""
    product = 10
    for digit in digits[:10]:
        total = (int(digit) + product) % 10 or 10
        product = total * 2 % 11
    most = max(digits[:10].count(digit) for digit in set(digits[:10]))
    return digits[0] != "0" and most in {2, 3} and (11 - product) % 10 == int(digits[10])


def spanish_nif(characters: str) -> bool:
    """Check a Spanish NIF or NIE (RD 1065/2007): its letter is the number modulo 23."""
    number = characters[:-1].translate(str.maketrans("XYZ", "012"))
    return _NIF_LETTERS[int(number) % 23] == characters[-1]


def italian_fiscal_code(characters: str) -> bool:
    """Check the last letter of an Italian fiscal code (DM 23/12/1976)."""
    odd = sum(_FISCAL_ODD[character] for character in characters[:15:2])
    even = sum(int(one) if one.isdigit() else ord(one) - ord("A") for one in characters[1:15:2])
    return chr(ord("A") + (odd + even) % 26) == characters[15]


def french_nir(digits: str) -> bool:
    """Check a French NIR written in digits (INSEE): 97 less the first thirteen modulo 97; a month that can be."""
    month = int(digits[3:5])
    plausible = digits[0] in "1278" and (1 <= month <= 12 or 20 <= month <= 42 or month >= 50)  # noqa: PLR2004
    return plausible and 97 - int(digits[:13]) % 97 == int(digits[13:])


def dutch_bsn(digits: str) -> bool:
    """Check a Dutch BSN: the eleven test with weights 9 to 2 and -1."""
    return _weighted(digits, (9, 8, 7, 6, 5, 4, 3, 2, -1)) % 11 == 0 and int(digits) != 0


def polish_pesel(digits: str) -> bool:
    """Check a Polish PESEL: weights 1, 3, 7, 9, modulo 10, and a month of one of its five centuries."""
    month = int(digits[2:4]) % 20
    return 1 <= month <= 12 and _weighted(digits, (1, 3, 7, 9, 1, 3, 7, 9, 1, 3, 1)) % 10 == 0  # noqa: PLR2004


def brazilian_cpf(digits: str) -> bool:
    """Check both digits of a Brazilian CPF, modulo 11; eleven equal digits are none."""
    first = _weighted(digits[:9], range(10, 1, -1)) * 10 % 11 % 10
    second = _weighted(digits[:10], range(11, 1, -1)) * 10 % 11 % 10
    return len(set(digits)) > 1 and digits[9:] == f"{first}{second}"


def social_security(digits: str) -> bool:
    """Tell whether an American SSN can have been issued: areas 001 to 899 but 666, no part of zeros only."""
    area, group, serial = digits[:3], digits[3:5], digits[5:]
    return area not in {"000", "666"} and area < "900" and group != "00" and serial != "0000"


def taxpayer(digits: str) -> bool:
    """Tell whether an American ITIN can have been issued: 9xx with a group the IRS uses."""
    group = int(digits[3:5])
    used = 50 <= group <= 65 or 70 <= group <= 88 or 90 <= group <= 92 or group >= 94  # noqa: PLR2004
    return digits[0] == "9" and used


def base58check(address: str) -> bool:
    """Check the last four bytes of a Bitcoin-like address of 25 bytes: SHA-256 twice."""
    number = 0
    for character in address:
        number = number * 58 + _BASE58.index(character)
    if number.bit_length() > 200:  # noqa: PLR2004  # 25 bytes
        return False
    payload = number.to_bytes(25, "big")
    return hashlib.sha256(hashlib.sha256(payload[:21]).digest()).digest()[:4] == payload[21:]


def bech32(address: str) -> bool:
    """Check a Bitcoin segwit address in lower case (BIP 173, BIP 350)."""
    prefix, _, data = address.rpartition("1")
    values = [ord(one) >> 5 for one in prefix] + [0] + [ord(one) & 31 for one in prefix]
    check = 1
    for value in values + [_BECH32.index(one) for one in data]:
        top = check >> 25
        check = (check & 0x1FFFFFF) << 5 ^ value
        for bit, generator in enumerate(_BECH32_GENERATOR):
            check ^= generator if top >> bit & 1 else 0
    return check in _BECH32_CONSTANTS


Check = Callable[[str], bool]
