from __future__ import annotations

import re
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiered_memory.scoring.attributes import ATTRIBUTES, BY_TERM
from tiered_memory.scoring.claims import HEAD_CHARACTERS, OWN, SELF, assertions, asserts, read, root
from tiered_memory.scoring.text import analyze

KNOWN = {one.name for one in ATTRIBUTES} | {OWN + one.name for one in ATTRIBUTES}


@pytest.mark.parametrize(
    ("content", "count"),
    [
        ("I live in Madrid. I work at Stripe.", 2),
        ("My therapist is Dr. Levin.", 1),
        ("Rent is 900; deposit is 1800.", 2),
        ("Do you live here? I live in Madrid.", 1),
        ("pill 5 mg\nvitamin D 1000", 2),
        ("", 0),
        ("Hey Ann! Thanks, Bo!", 0),
        ("Ok. Yes. Sure.", 0),
    ],
)
def test_a_text_is_read_one_assertion_at_a_time(content: str, count: int) -> None:
    assert len(assertions(content)) == count


@pytest.mark.parametrize(
    "unit",
    [
        "Do I live in Madrid?",
        "I might move to Lisbon.",
        "I would live in Lisbon.",
        "If it works out, Lisbon is next.",
        "I hope to live in Lisbon.",
        "We're thinking of moving.",
        "I used to live in Lisbon.",
        "I grew up in Lisbon.",
        "He said he lives in Lisbon.",
        "Tom says: the meeting moved.",
        "According to the news the bridge is closed.",
        '"I live in Lisbon", she sang.',
        "You live in Lisbon.",
        "Keep going.",
    ],
)
def test_what_asserts_nothing_of_the_present(unit: str) -> None:
    assert not asserts(unit)


@pytest.mark.parametrize(
    "unit",
    [
        "I live in Lisbon.",
        "I'd say Lisbon is home.",
        "I told you it's Lisbon.",
        "Bakery says cake is ready.",
        "I said 48.",
        "Dana wrote the report.",
    ],
)
def test_what_asserts(unit: str) -> None:
    assert asserts(unit)


@pytest.mark.parametrize(
    ("unit", "subject", "kin"),
    [
        ("I live in Madrid.", {SELF}, False),
        ("Lately we live in Madrid.", {SELF}, False),
        ("My favourite band is Radiohead.", {SELF}, False),
        ("My sister lives in Madrid.", {"sister"}, True),
        ("My daughter Lea goes to school.", {"daughter", "lea"}, True),
        ("Elena's husband teaches.", {"husband"}, True),
        ("our dog sleeps all day", {"dog"}, True),
        ("Maria works here.", {"maria"}, False),
        ("She works here.", set(), True),
        ("gym closes at 22", set(), False),
        ("Please call the plumber.", set(), False),
    ],
)
def test_whom_or_what_it_is_about(unit: str, subject: set[str], kin: bool) -> None:
    found = read(unit).subject
    assert found.terms == subject
    assert found.kin is kin


@pytest.mark.parametrize(
    ("unit", "numbers", "times"),
    [
        ("Dinner is at 7 pm on Friday.", {"7"}, {"fri"}),
        ("Departure is 15:25 now.", {"15 25"}, set()),
        ("It is due on June 15.", set(), {"jun 15"}),
        ("the visit is on 3 October", set(), {"3 oct"}),
        ("on the 22nd", set(), {"22"}),
        ("The rent is 1,150 a month.", {"1,150"}, set()),
        ("It costs $12.", {"12"}, set()),
        ("sprints are three weeks", {"three"}, set()),
        ("now gym in the mornings", set(), {"morning"}),
        ("keys are rotated weekly", set(), {"weekly"}),
        ("released in Q3", set(), {"q3"}),
        ("We have no numbers here.", set(), set()),
    ],
)
def test_the_values_of_an_assertion(unit: str, numbers: set[str], times: set[str]) -> None:
    values = read(unit).values
    assert values.numbers == numbers
    assert values.times == times


def test_addresses_and_names_are_values() -> None:
    found = read("Mail goes to ann@example.org for Radiohead and Bo.")
    assert found.values.emails == {"ann@example.org"}
    assert found.values.names == {"radiohead", "bo"}
    assert {"radiohead", "bo"} <= found.marks


@pytest.mark.parametrize(
    ("unit", "attribute"),
    [
        ("I live in Madrid.", "residence"),
        ("We finally unpacked in our new flat.", "residence"),
        ("I signed the lease.", "residence"),
        ("I work at Stripe.", "employment"),
        ("I'm a product manager.", "employment"),
        ("I joined the clinic.", "employment"),
        ("We broke up.", "relationship"),
        ("I'm vegan.", "diet"),
        ("I take the bus to work.", "commute"),
        ("Call me on my number 555-0142.", "phone number"),
        ("We have a dog.", "pet"),
        ("Lea goes to the Montessori school.", "school"),
        ("My manager is Wei.", "manager"),
        ("It is 20 mg of the pill.", "dosage"),
        ("My favourite band is Radiohead.", "favourite"),
        ("I earn a salary of 52k.", "salary"),
        ("The service uses PostgreSQL.", "database"),
        ("The project is on hold, the status is bad.", "status"),
    ],
)
def test_the_attributes_of_an_assertion(unit: str, attribute: str) -> None:
    assert attribute in read(unit).states


def test_what_a_named_one_has_is_not_the_speakers() -> None:
    assert OWN + "residence" not in read("Sunny lives with my ex.").states
    assert OWN + "residence" in read("I live with my ex.").states


@pytest.mark.parametrize(
    ("one", "other"), [("teaches", "teaching"), ("moved", "move"), ("dogs", "dog"), ("Ann's", "Ann")]
)
def test_two_forms_have_one_root(one: str, other: str) -> None:
    assert root(one.lower()) == root(other.lower())


def test_what_is_said_late_in_a_long_text_is_not_read() -> None:
    late = "word " * (HEAD_CHARACTERS // 5) + "\nI live in Madrid."
    assert all("residence" not in one.states for one in assertions(late))


def test_every_hint_names_an_attribute() -> None:
    assert {one.name for found in BY_TERM.values() for one in found} <= {one.name for one in ATTRIBUTES}
    assert len({one.name for one in ATTRIBUTES}) == len(ATTRIBUTES)


@given(st.text(max_size=300) | st.text(alphabet=string.printable, max_size=300))
def test_any_text_can_be_read(content: str) -> None:
    for one in assertions(content):
        assert one.frame <= one.terms
        assert set(one.states) <= KNOWN
        assert one.frame or any(one.values.kinds())
        as_written = one.text.isascii() and content == content.lower()
        assert not as_written or one.terms >= frozenset(analyze(one.text).terms)


def test_every_repetition_in_the_patterns_is_bounded_as_written() -> None:
    for one in ATTRIBUTES:
        assert "(0, " not in one.states.pattern
        assert "{" not in re.sub(r"\{\d+(?:,\d*)?\}", "", one.states.pattern)
