from __future__ import annotations

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pii_values import VALUES, anything, cards, digits, emails, ibans, labelled, quiet

from tiered_memory.policy.pii_types import OPTIONAL, SECRETS, PiiType, Span
from tiered_memory.privacy.pii import PLACEHOLDER, find, resolve

JWT = ".".join(
    base64.urlsafe_b64encode(part).rstrip(b"=").decode()
    for part in (json.dumps({"alg": "HS256"}).encode(), b'{"sub":"9"}', b"signature")
)
PEM = "-----BEGIN RSA PRIVATE KEY-----\nMIIEow==\nabc/+1\n-----END RSA PRIVATE KEY-----"

FOUND = [
    ("write to joe.o'neil+tag@mail.example.co.uk.", "EMAIL", "joe.o'neil+tag@mail.example.co.uk"),
    ("'jo@mail.example'", "EMAIL", "jo@mail.example"),
    ("\u00fcmit@m\u00fcnchen.example, bitte", "EMAIL", "\u00fcmit@m\u00fcnchen.example"),
    ("call 555-0134", "PHONE", "555-0134"),
    ("(555) 555-0134 x12 is it", "PHONE", "(555) 555-0134 x12"),
    ("415.555.0134", "PHONE", "415.555.0134"),
    ("+49 (0) 30 1234567", "PHONE", "+49 (0) 30 1234567"),
    ("+33 (0)3 63 01 66 13 is mine", "PHONE", "+33 (0)3 63 01 66 13"),
    ("Is 29306826 still your number?", "PHONE", "29306826"),
    ("738 372 616 is my new mobile", "PHONE", "738 372 616"),
    ("my number is 5 5 5 0 1 3 4", "PHONE", "5 5 5 0 1 3 4"),
    ("8 (014) 126-9060", "PHONE", "8 (014) 126-9060"),
    ("188-969-2913", "PHONE", "188-969-2913"),
    ("acct +44 20 7946 0958", "PHONE", "+44 20 7946 0958"),
    ("08-90 83 01", "PHONE", "08-90 83 01"),
    ("try (+44) 20 7946 0958", "PHONE", "(+44) 20 7946 0958"),
    ("0049-30-1234567", "PHONE", "0049-30-1234567"),
    ("it rings: 0171 1234567", "PHONE", "0171 1234567"),
    ("my number is 9876543210", "PHONE", "9876543210"),
    ("60-56-85-91 (mobile)", "PHONE", "60-56-85-91"),
    ("Tel\u00e9fono 699 956 915", "PHONE", "699 956 915"),
    ("phone \uff14\uff11\uff15-\uff15\uff15\uff15-\uff10\uff11\uff13\uff14", "PHONE", "\uff14\uff11\uff15-\uff15\uff15\uff15-\uff10\uff11\uff13\uff14"),
    ("4111 1111 1111 1111 12/26", "CARD", "4111 1111 1111 1111"),
    ("3782 822463 10005", "CARD", "3782 822463 10005"),
    ("my card 63049506000000007", "CARD", "63049506000000007"),
    ("to DE89 3704 0044 0532 0130 00 please", "IBAN", "DE89 3704 0044 0532 0130 00"),
    ("gb29nwbk60161331926819", "IBAN", "gb29nwbk60161331926819"),
    ("my IBAN is GB73ERDS4821993518190", "IBAN", "GB73ERDS4821993518190"),
    ("pay with 503851678006", "CARD", "503851678006"),
    ("my SSN is 928-41-4078", "US_SSN", "928-41-4078"),
    ("dev ca:ba:f1:f8:2a:ac", "MAC_ADDRESS", "ca:ba:f1:f8:2a:ac"),
    ("SSN 078051120", "US_SSN", "078051120"),
    ("it says 912-70-3456", "US_ITIN", "912-70-3456"),
    ("routing number 021000021", "US_BANK_ROUTING", "021000021"),
    ("account number is 000123456780", "BANK_ACCOUNT", "000123456780"),
    ("NHS number 943 476 5919", "UK_NHS", "943 476 5919"),
    ("NI: QQ no, AB123456C yes", "UK_NINO", "AB123456C"),
    ("AB 12 34 56 C", "UK_NINO", "AB 12 34 56 C"),
    ("Steuer-ID 86095742719", "DE_TAX_ID", "86095742719"),
    ("DNI 12345678Z", "ES_NIF", "12345678Z"),
    ("NIE X1234567L.", "ES_NIF", "X1234567L"),
    ("cf RSSMRA85T10A562S", "IT_FISCAL_CODE", "RSSMRA85T10A562S"),
    ("NIR 2 55 08 14 168 025 38", "FR_NIR", "2 55 08 14 168 025 38"),
    ("BSN 111222333", "NL_BSN", "111222333"),
    ("PESEL: 44051401359", "PL_PESEL", "44051401359"),
    ("529.982.247-25", "BR_CPF", "529.982.247-25"),
    ("my SIN is 046 454 286", "CA_SIN", "046 454 286"),
    ("2341 2341 2346", "IN_AADHAAR", "2341 2341 2346"),
    ("Passport number: X1234567", "PASSPORT", "X1234567"),
    ("my driver's license is D123 4567", "DRIVER_LICENSE", "D123 4567"),
    ("DL# S123-4567-8901", "DRIVER_LICENSE", "S123-4567-8901"),
    ("She was born on 2/8/1985", "DATE_OF_BIRTH", "2/8/1985"),
    ("DOB: 1985-08-02", "DATE_OF_BIRTH", "1985-08-02"),
    ("my birthday: May 3rd, 1979", "DATE_OF_BIRTH", "May 3rd, 1979"),
    ("12 Old Mill Road, Apt. 4b", "STREET_ADDRESS", "12 Old Mill Road, Apt. 4b"),
    ("Hauptstra\u00dfe 12, 10115 Berlin", "STREET_ADDRESS", "Hauptstra\u00dfe 12, 10115 Berlin"),
    ("P.O. Box 149", "STREET_ADDRESS", "P.O. Box 149"),
    ("Springfield, IL 62704-1234", "POSTAL_CODE", "62704-1234"),
    ("in SW1A 1AA now", "POSTAL_CODE", "SW1A 1AA"),
    ("K1A 0B1", "POSTAL_CODE", "K1A 0B1"),
    ("zip code is 53650", "POSTAL_CODE", "53650"),
    ("from 198.51.100.7:8080", "IP_ADDRESS", "198.51.100.7"),
    ("at 2001:db8::8a2e:370:7334.", "IP_ADDRESS", "2001:db8::8a2e:370:7334"),
    ("::ffff:192.0.2.128", "IP_ADDRESS", "::ffff:192.0.2.128"),
    ("00:1B:44:11:3A:B7", "MAC_ADDRESS", "00:1B:44:11:3A:B7"),
    ("1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa", "CRYPTO_WALLET", "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa"),
    ("bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdq", "CRYPTO_WALLET", "bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdq"),
    ("0x52908400098527886E0F7030069857D2E4169EE7", "CRYPTO_WALLET", "0x52908400098527886E0F7030069857D2E4169EE7"),
    ("key sk-proj-abcdEFGH1234ijklMNOP5678", "API_KEY", "sk-proj-abcdEFGH1234ijklMNOP5678"),
    ("AKIAIOSFODNNQEXAMPLE", "API_KEY", "AKIAIOSFODNNQEXAMPLE"),
    ("xoxb-1234567890-abcdef", "API_KEY", "xoxb-1234567890-abcdef"),
    ('api_key = "9f8b7c6d5e4f3a2b1c0d"', "API_KEY", "9f8b7c6d5e4f3a2b1c0d"),
    ("Authorization: Bearer abcdefgh.ijklmnop1234567890", "API_KEY", "abcdefgh.ijklmnop1234567890"),
    ("http://localhost/cb?access_token=abcdef123456&x=1", "API_KEY", "abcdef123456"),
    ("postgres://admin:s3cr3t@db.internal:5432/app", "PASSWORD", "admin:s3cr3t"),
    ("my password is hunter2!", "PASSWORD", "hunter2"),
    ("password=opensesame", "PASSWORD", "opensesame"),
    ("Passwort: Tr0ub4dor&3", "PASSWORD", "Tr0ub4dor&3"),
    ("the pin code is 4321", "PIN", "4321"),
    ("CVV: 123", "PIN", "123"),
    (f"it is {JWT} here", "JWT", JWT),
    (f"x {PEM} y", "PRIVATE_KEY", PEM),
]  # fmt: skip

NOT_FOUND = [
    "Order 123-456-7890 has shipped",
    "ISBN 978-3-16-148410-0",
    "on 2023-05-08 13:45:10 and 2006-04-07",
    "call me between 2019-2020 or 10-12",
    "the 12.05.2023, 14:30-15:45",
    "1,234,567,890 people; 123456789 items; at 1699999999",
    "id 550e8400-e29b-41d4-a716-446655440000",
    "commit 4b825dc642cb6eb9a060e54bf8d69288fbee4904",
    "$4155550134 and \u20ac123 456 789",
    "lat 52.520008, lon 13.404954",
    "1 2 3 4 5 6 7 8 9 10 11 12",
    "version 1.2.3.4 on 127.0.0.1",
    "4111 1111 1111 1112",
    "0000 0000 0000 0000",
    "1234567812345670 in my notes",
    "DE89 3704 0044 0532 0130 01",
    "it says 666-12-1234",
    "std::vector<a::b> at 12:30:45",
    "@handle, a@b, and x@y@z",
    "the password is forgotten, the token is expired",
    "password: required",
    "password=$SECRET token=${TOKEN} pwd=<none>",
    "The key is to be patient; secret: the sauce is garlic",
    "During 1971 we met. Spring 2020 too.",
    "5551234567 is number one",
    "978-0-05-552667-0 and 0-09-732821-9",
    "2015-09-12 16:02:00.136693",
    "INV-0843-94177 and 4.0.0649.33",
    "Mobile Safari/6533.37.7, rv:1.9.6.20, Chrome/13.0.44.0",
    "72efcf01-6d1c-4144-be85-1ac70aa0a230",
    "I scored 100 200 300 400 on 5 Dr",
    "eyJub3QiOiJqd3QifQ.abc.def",
    "http://localhost/page?code=1&q=abcdef",
    "3 born in 1990, 5 pass by",
    "\u00b2\u00b3\u2460 \u0663",
]


@pytest.mark.parametrize(("text", "kind", "value"), FOUND)
def test_what_is_personal_or_secret_is_found_as_what_it_is(text: str, kind: str, value: str) -> None:
    assert [(span.type.value, text[span.start : span.end]) for span in find(text)] == [(kind, value)]


@pytest.mark.parametrize("text", NOT_FOUND)
def test_what_only_looks_like_it_is_left_alone(text: str) -> None:
    assert find(text) == ()


@given(labelled, quiet, quiet)
def test_a_right_value_is_found_in_any_surrounding(one: tuple[PiiType, str], lead: str, rest: str) -> None:
    kind, value = one
    start = len(lead) + 1
    spans = find(f"{lead} {value} {rest}")
    held = [span for span in spans if span.start <= start and start + len(value) <= span.end]
    assert [span.type for span in held] == [kind]


@given(cards | ibans, st.data())
def test_a_value_with_one_wrong_digit_is_not_found(value: str, data: st.DataObject) -> None:
    place = data.draw(st.sampled_from([at for at, one in enumerate(value) if one.isdigit()]))
    wrong = data.draw(st.sampled_from([one for one in "0123456789" if one != value[place]]))
    spans = find(f"it is {value[:place]}{wrong}{value[place + 1 :]} today")
    assert {span.type for span in spans}.isdisjoint({PiiType.CARD, PiiType.IBAN})


@given(anything, st.sampled_from([None, "US", "de"]), st.frozensets(st.sampled_from(sorted(OPTIONAL))))
def test_spans_lie_in_order_inside_the_text_and_are_certain_to_a_degree(
    text: str, region: str | None, also: frozenset[PiiType]
) -> None:
    at = 0
    for span in find(text, region_hint=region, also=also):
        assert at <= span.start < span.end <= len(text)
        assert 0.5 <= span.confidence <= 1
        assert span.recogniser
        assert span.type not in OPTIONAL - also
        at = span.end
    assert find(text, region_hint=region, also=also) == find(text, region_hint=region, also=also)


@given(emails, st.text("\U0001f600\u00e9\u4e2d ", max_size=20))
def test_offsets_are_code_points(email: str, lead: str) -> None:
    text = f"{lead} {email}"
    assert [text[span.start : span.end] for span in find(text)] == [email]


def test_placeholders_are_never_found_and_stop_every_context() -> None:
    assert find("<PHONE_1> <IBAN> <EMAIL_22> password: <PASSWORD>") == ()
    assert find("phone <EMAIL_1> 5551234567") == ()
    assert [span.type for span in find("phone 5551234567")] == [PiiType.PHONE]
    assert all(
        PLACEHOLDER.fullmatch(f"<{kind}>") and PLACEHOLDER.fullmatch(f"<{kind}_7>") for kind in PiiType
    )


def test_a_number_without_grouping_needs_a_word_or_a_region() -> None:
    assert find("take 4155550134 with you") == ()
    assert [span.type for span in find("take 4155550134 with you", region_hint="us")] == [PiiType.PHONE]
    assert find("take 4155550134 with you", region_hint="DE") == ()
    assert [span.type for span in find("take 01711234567 with you", region_hint="DE")] == [PiiType.PHONE]


def test_the_nearest_word_decides() -> None:
    assert find("my phone has order 5551234567 on it") == ()
    assert [span.type for span in find("about the order, call 5551234567")] == [PiiType.PHONE]


def test_optional_types_are_found_only_when_asked_for() -> None:
    text = "My name is Ada Lovelace, I am 36, see http://localhost/ada. Ask Dr. Menabrea."
    assert find(text) == ()
    found = find(text, also=OPTIONAL)
    assert {text[span.start : span.end]: span.type for span in found} == {
        "Ada Lovelace": PiiType.PERSON,
        "36": PiiType.AGE,
        "http://localhost/ada": PiiType.URL,
        "Menabrea": PiiType.PERSON,
    }


def test_several_of_a_sort_are_told_apart() -> None:
    text = "call 555-123-4567 555-123-4568, card 4111 1111 1111 1111 or 5500 0000 0000 0004"
    values = [text[span.start : span.end] for span in find(text)]
    assert values == ["555-123-4567", "555-123-4568", "4111 1111 1111 1111", "5500 0000 0000 0004"]


def test_of_overlapping_spans_the_most_certain_stays_then_the_longest_then_the_first() -> None:
    def span(start: int, end: int, sure: float, kind: PiiType = PiiType.PHONE) -> Span:
        return Span(start, end, kind, sure, "test")

    assert resolve([span(0, 9, 0.5), span(3, 5, 0.9)]) == [span(3, 5, 0.9)]
    assert resolve([span(0, 4, 0.5), span(2, 9, 0.5)]) == [span(2, 9, 0.5)]
    assert resolve([span(2, 6, 0.5), span(0, 4, 0.5)]) == [span(0, 4, 0.5)]
    assert resolve([span(0, 4, 0.5), span(0, 4, 0.5, PiiType.CARD)]) == [span(0, 4, 0.5, PiiType.CARD)]
    assert resolve([span(0, 4, 0.5), span(4, 8, 0.5)]) == [span(0, 4, 0.5), span(4, 8, 0.5)]
    assert resolve([]) == []


@given(
    st.lists(
        st.builds(
            Span,
            st.integers(0, 9),
            st.integers(10, 20),
            st.sampled_from(PiiType),
            st.floats(0, 1),
            st.just("r"),
        ),
        max_size=6,
    ),
    st.randoms(),
)
def test_the_order_of_the_recognisers_does_not_matter(spans: list[Span], chance: object) -> None:
    shuffled = sorted(spans, key=lambda _: chance.random())  # type: ignore[attr-defined]
    assert resolve(spans) == resolve(shuffled)


@given(digits(3), digits(4))
def test_every_issuer_s_value_survives_punctuation(one: str, two: str) -> None:
    text = f'(+1-202-{one}-{two}), or "+1-202-{one}-{two}"!'
    assert [span.type for span in find(text)] == [PiiType.PHONE, PiiType.PHONE]


def test_secrets_and_options_are_types_apart() -> None:
    assert SECRETS.isdisjoint(OPTIONAL)
    assert VALUES.keys().isdisjoint(OPTIONAL)
