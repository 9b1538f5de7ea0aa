"""Check digits: numbers that are known to be right, and every change of one digit that the rule must notice."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiered_memory.privacy import checksums as c

RIGHT: list[tuple[Callable[[str], bool], str]] = [
    (c.luhn, "4111111111111111"),
    (c.luhn, "378282246310005"),
    (c.luhn, "79927398713"),
    (c.mod97, "DE89370400440532013000"),
    (c.mod97, "GB29NWBK60161331926819"),
    (c.mod97, "MT84MALT011000012345MTLCAST001S"),
    (c.verhoeff, "2363"),
    (c.verhoeff, "234123412346"),
    (c.aba_routing, "021000021"),
    (c.aba_routing, "111000025"),
    (c.nhs, "9434765919"),
    (c.nhs, "4010232137"),
    (c.german_tax_id, "86095742719"),
    (c.german_tax_id, "65929970489"),
    (c.spanish_nif, "12345678Z"),
    (c.spanish_nif, "X1234567L"),
    (c.italian_fiscal_code, "RSSMRA85T10A562S"),
    (c.french_nir, "255081416802538"),
    (c.dutch_bsn, "111222333"),
    (c.polish_pesel, "44051401359"),
    (c.brazilian_cpf, "52998224725"),
    (c.social_security, "078051120"),
    (c.taxpayer, "912703456"),
    (c.base58check, "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa"),
    (c.base58check, "3J98t1WpEZ73CNmQviecrnyiWrnqRhWNLy"),
    (c.bech32, "bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdq"),
    (c.bech32, "bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqzk5jj0"),
]
NOTICES_EVERY_DIGIT = [
    one for one in RIGHT if one[0] not in {c.social_security, c.taxpayer, c.german_tax_id, c.french_nir}
]
WRONG = [
    (c.social_security, "000121234"),
    (c.social_security, "666121234"),
    (c.social_security, "900121234"),
    (c.social_security, "123001234"),
    (c.social_security, "123120000"),
    (c.taxpayer, "912493456"),
    (c.taxpayer, "812703456"),
    (c.aba_routing, "990000004"),
    (c.german_tax_id, "06095742719"),
    (c.french_nir, "955081416802538"),
    (c.dutch_bsn, "000000000"),
    (c.brazilian_cpf, "11111111111"),
    (c.polish_pesel, "44141401359"),
    (c.base58check, "1A1zP1eP5QGefi2DMPTfTL5SLmv7Divfzzzzz"),
]


@pytest.mark.parametrize(("check", "number"), RIGHT)
def test_numbers_known_to_be_right_pass(check: Callable[[str], bool], number: str) -> None:
    assert check(number)


@pytest.mark.parametrize(("check", "number"), NOTICES_EVERY_DIGIT)
def test_one_changed_digit_is_noticed(check: Callable[[str], bool], number: str) -> None:
    for place, character in enumerate(number):
        if not character.isdigit() or (check in {c.base58check, c.bech32} and place < 3):
            continue
        for other in "23456789" if check in {c.base58check, c.bech32} else "0123456789":
            changed = number[:place] + other + number[place + 1 :]
            assert other == character or not check(changed), changed


@pytest.mark.parametrize(("check", "number"), WRONG)
def test_numbers_that_cannot_be_issued_fail(check: Callable[[str], bool], number: str) -> None:
    assert not check(number)


@given(st.text("0123456789", min_size=1, max_size=18))
def test_luhn_admits_one_last_digit_for_any_number(body: str) -> None:
    assert sum(c.luhn(body + digit) for digit in "0123456789") == 1


@given(st.text("0123456789", min_size=1, max_size=18), st.data())
def test_verhoeff_admits_one_last_digit_and_notices_swapped_neighbours(
    body: str, data: st.DataObject
) -> None:
    number = next(body + digit for digit in "0123456789" if c.verhoeff(body + digit))
    assert sum(c.verhoeff(body + digit) for digit in "0123456789") == 1
    place = data.draw(st.integers(0, len(number) - 2))
    swapped = number[:place] + number[place + 1] + number[place] + number[place + 2 :]
    assert swapped == number or not c.verhoeff(swapped)


@given(st.text("0123456789", min_size=9, max_size=9))
def test_the_parts_of_an_american_number_decide_alone(digits: str) -> None:
    issued = (
        digits[:3] not in {"000", "666"} and digits[0] != "9" and digits[3:5] != "00" and digits[5:] != "0000"
    )
    assert c.social_security(digits) == issued
    assert not (c.social_security(digits) and c.taxpayer(digits))
