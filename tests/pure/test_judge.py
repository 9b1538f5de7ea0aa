from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from judge_words import (
    ATTRIBUTE_NAMES,
    FIRST_PERSON,
    REASONS,
    relation,
    said,
    sentences,
    similarities,
    statements,
)

from tiered_memory.model import Role
from tiered_memory.scoring.supersession import (
    MOST_READ,
    SAME_VECTOR,
    Relation,
    Statement,
    judge,
    judge_all,
    worth_comparing,
)

# --- properties ------------------------------------------------------------------------------------------------


@given(statements(), statements(), similarities)
def test_every_judgement_is_deterministic_and_holds_no_content(
    new: Statement, old: Statement, similarity: float
) -> None:
    found = judge(new, old, similarity)
    assert found == judge(new, old, similarity)
    assert 0.0 <= found.confidence <= 1.0
    assert found.reason in REASONS
    assert found.attribute is None or found.attribute in ATTRIBUTE_NAMES


@given(statements())
def test_a_statement_repeats_itself(one: Statement) -> None:
    assert judge(one, one, 1.0).relation is Relation.DUPLICATE


@given(statements(), statements(), similarities)
def test_what_occurred_earlier_updates_nothing(new: Statement, old: Statement, similarity: float) -> None:
    assume(new.occurred_at_us < old.occurred_at_us)
    assert judge(new, old, similarity).relation in {Relation.UNRELATED, Relation.DUPLICATE}


@given(sentences, sentences, similarities)
def test_a_question_updates_nothing(new: str, old: str, similarity: float) -> None:
    asked = said(new.rstrip(".!?") + "?", day=2)
    units = [unit for unit in new.rstrip(".!?").replace(";", ".").split(". ") if unit]
    assume(len(units) == 1)
    assume(not any(end in new.rstrip(".!?") for end in "!?"))
    assert judge(asked, said(old), similarity).relation is not Relation.UPDATES


@given(st.sampled_from(FIRST_PERSON), st.sampled_from(FIRST_PERSON), similarities)
def test_nobody_updates_what_another_says_of_himself(new: str, old: str, similarity: float) -> None:
    found = judge(said(new, day=3, author="Ann"), said(old, author="Bo"), similarity)
    assert found.relation is Relation.UNRELATED


@given(statements(), statements(), similarities, st.sampled_from([Role.ASSISTANT, Role.SYSTEM, Role.TOOL]))
def test_only_people_update(new: Statement, old: Statement, similarity: float, role: Role) -> None:
    chatter = Statement(new.content, role, new.author, new.occurred_at_us, new.terms)
    assert judge(chatter, old, similarity).relation in {Relation.UNRELATED, Relation.DUPLICATE}
    assert judge(old, chatter, similarity).relation in {Relation.UNRELATED, Relation.DUPLICATE}


@given(statements(), st.lists(st.tuples(statements(), similarities), max_size=MOST_READ))
def test_judging_many_is_judging_each(new: Statement, candidates: list[tuple[Statement, float]]) -> None:
    assert judge_all(new, candidates) == [judge(new, *one) for one in candidates]


@given(statements(), statements(), similarities)
def test_what_is_not_worth_comparing_only_repeats(new: Statement, old: Statement, similarity: float) -> None:
    assume(not worth_comparing(new))
    assert judge(new, old, similarity).relation in {Relation.UNRELATED, Relation.DUPLICATE}


@given(sentences, sentences, st.floats(min_value=-1.0, max_value=SAME_VECTOR, exclude_max=True))
def test_nothing_repeats_what_is_not_near(new: str, old: str, similarity: float) -> None:
    assert judge(said(new, day=1), said(old), similarity).relation is not Relation.DUPLICATE


def test_of_many_candidates_the_likest_are_read() -> None:
    new = said("My phone number changed, call 555-0199 from now on.", day=9)
    rival = said("My phone number is 555-0142.")
    far = [(rival, 0.4 + place / 1000) for place in range(MOST_READ)]
    found = judge_all(new, [(rival, 0.2), *far])
    assert found[0].relation is Relation.UNRELATED
    assert all(one.relation is not Relation.UNRELATED for one in found[1:])


# --- updates ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("I live in Madrid.", "We finally unpacked in our new flat in Lisbon."),
        ("I'm living in Oslo.", "I moved to Bergen last week."),
        ("My therapist is Dr. Levin.", "I'm seeing a new therapist, Dr. Osei."),
        ("I work at Deloitte as an analyst.", "I'm a product manager at Stripe now."),
        ("I'm single.", "I'm engaged now!"),
        ("I'm vegetarian.", "I'm vegan now."),
        ("My landlord is Mr Okafor.", "Our new landlord is Ms Lindqvist."),
        ("Dinner is on Friday.", "Dinner is on Sunday instead of Friday."),
        ("The meeting code is 4471.", "Correction: the meeting code is 4417."),
        ("The house number is 48.", "I told you 48, but it is 84."),
        ("Her flight lands at terminal 1.", "Not terminal 1, it's terminal 3."),
        ("The order service uses MongoDB.", "The order service moved from MongoDB to Postgres."),
        ("My favourite café is Bean There.", "Bean There closed, so Kupa is my favourite café."),
        ("The cache timeout is 30 seconds.", "We lowered the cache timeout to 10 seconds."),
        ("Maria works at a law firm.", "Maria quit the law firm and runs a bakery."),
        ("plumber: Gino", "new plumber Alvarez, Gino retired"),
        ("metformin 500 mg", "metformin now 850 mg"),
        ("i live in Izmir", "now i live in Ankara"),
    ],
)
def test_a_change_that_is_plain_updates(old: str, new: str) -> None:
    assert relation(old, new, 0.65) is Relation.UPDATES


@pytest.mark.parametrize(
    ("old", "new", "attribute"),
    [
        ("I live in Madrid.", "I live in Lisbon now.", "residence"),
        ("My email is ann@old.example.", "My email is ann@new.example now.", "email"),
        ("I bike to work.", "I take the bus to work now.", "commute"),
        ("We have a dog called Sunny.", "We have a cat named Pepper now.", "pet"),
        ("I take 20 mg of the statin.", "I take 10 mg of the statin now.", "dosage"),
    ],
)
def test_the_attribute_is_named(old: str, new: str, attribute: str) -> None:
    found = judge(said(new, day=1), said(old), 0.6)
    assert found.relation is Relation.UPDATES
    assert found.attribute == attribute
    assert found.confidence >= 0.8


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("I rent a studio in Seattle.", "Signed the lease in Portland, the moving truck comes tomorrow!"),
        ("Deploys go out on Thursdays.", "To avoid weekend fires we deploy on Tuesdays."),
        ("My salary is 52k.", "Got the raise, I'm at 58k."),
        ("I report to Angela.", "After the reorg my manager is Wei."),
        ("The API key is rotated weekly.", "We rotate the API key daily."),
        ("Release is planned for Q2.", "Release slipped to Q3."),
        ("I teach third grade.", "I'm teaching fifth grade this school year."),
        ("We use Slack.", "The company migrated to Teams."),
        ("Felix is the captain of the team.", "The captain's armband went to Luca."),
    ],
)
def test_a_likely_change_stands_against_or_updates(old: str, new: str) -> None:
    assert relation(old, new) in {Relation.CONFLICTS, Relation.UPDATES}


# --- what stays ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("I like hiking.", "I like swimming."),
        ("I visited Rome in spring.", "I visited Oslo in autumn."),
        ("I speak French.", "I also speak Dutch now."),
        ("I have a sister named Julia.", "I have a brother named Leon."),
        ("I'm allergic to nuts.", "I'm also allergic to pollen."),
        ("I play the guitar.", "I started learning the drums."),
        ("We released version 2.1 in March.", "We released version 2.2 in May."),
        ("I ran 5 km on Monday.", "I ran 8 km on Thursday."),
    ],
)
def test_what_can_have_several_values_stays(old: str, new: str) -> None:
    assert relation(old, new) is not Relation.UPDATES


@pytest.mark.parametrize(
    "new",
    [
        "I might move to York next year.",
        "Should I move to York?",
        "If I got the job I would live in York now.",
        "I'm thinking of moving to York.",
        "I want to move to York.",
        "My sister moved to York.",
        "Tom said: I moved to York.",
        "He said he lives in York now.",
        "I used to live in York.",
        "I lived in York ten years ago, before I moved.",
        "You live in York now, don't you?",
    ],
)
def test_what_is_not_said_of_the_speakers_present_updates_nothing(new: str) -> None:
    assert relation("I live in Leeds.", new) is not Relation.UPDATES


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("Maria lives in Porto.", "Marco lives in Milan now."),
        ("Elena's husband teaches.", "Elena left teaching."),
        ("My brother lives in Berlin.", "I live in Hamburg now."),
        ("I work at Siemens.", "My wife started a job at Bosch."),
        ("Priya owns billing.", "Stefan owns search now."),
    ],
)
def test_another_person_updates_nothing(old: str, new: str) -> None:
    assert relation(old, new, 0.5) is not Relation.UPDATES


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("My employer is Acme.", "I met my new neighbour, she works at Globex."),
        ("I have a cat called Momo.", "The neighbours got a new dog named Rex."),
        ("I take 50 mg of sertraline.", "I started taking vitamin D, 1000 units."),
        ("I pay 60 for internet.", "I pay 25 for my new phone plan."),
        ("We use Slack.", "We use Zoom for calls now."),
        ("My favourite author is Murakami.", "My favourite dish is lasagna now."),
        ("The standup is at 9.", "The retro moved to 15:00."),
        ("Our marketing budget is 10k.", "The hiring budget is 40k now."),
        ("The web app is built with Vue.", "The mobile app was rewritten in Flutter."),
        ("My flight lands at 14:20.", "Dad's flight lands at 18:00 now."),
        ("The code for the door is 8812.", "The code for the garage changed to 9911."),
        ("My dog is called Rex.", "My new colleague is called Max."),
    ],
)
def test_the_same_attribute_of_another_thing_stays(old: str, new: str) -> None:
    assert relation(old, new, 0.5) is not Relation.UPDATES


@pytest.mark.parametrize(
    "new",
    [
        "I didn't move to Munich.",
        "I did not move to Munich in the end.",
        "I haven't moved to Munich.",
        "I never moved to Munich.",
        "I never actually moved to Munich.",
        "We won't be moving to Munich.",
        "I almost moved to Munich.",
        "I nearly moved to Munich.",
        "I very nearly got a flat in Munich.",
        "I dreamt I moved to Munich.",
        "I dreamed that I moved to Munich.",
        "I wish I lived in Munich.",
        "I wished I lived in Munich.",
        "I was going to move to Munich.",
        "We were about to move to Munich.",
        "I was supposed to move to Munich.",
        "I pretended I moved to Munich.",
        "I imagined I lived in Munich now.",
        "I decided against moving to Munich.",
        "I decided not to move to Munich.",
        "I refused to move to Munich.",
        "I failed to move to Munich.",
        "I tried to move to Munich.",
        "I was joking, I moved to Munich.",
        "I turned down the flat in Munich.",
        "I doubt I moved to Munich.",
        "I didnt move to Munich.",
        "I avoided moving to Munich.",
        "I'm afraid of moving to Munich.",
        "I cancelled my move to Munich.",
        "My move to Munich was cancelled.",
        "I came within a hair of moving to Munich.",
        "It is not true that I moved to Munich.",
        "It's false that I moved to Munich.",
        "In the novel I moved to Munich.",
        "I moved to Munich, in theory.",
        "I applied to move to Munich.",
    ],
)
@pytest.mark.parametrize("similarity", [0.3, 0.6, 0.9])
def test_a_change_that_did_not_happen_updates_nothing(new: str, similarity: float) -> None:
    assert relation("I live in Berlin.", new, similarity) is not Relation.UPDATES


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("My phone number is 555-1234.", "My work phone number is now 555-9999."),
        ("My work phone number is 555-1234.", "My phone number is now 555-9999."),
        ("My work phone number is 555-1234.", "My home phone number is now 555-9999."),
        ("My email is ann@one.example.", "My second email is ann@two.example now."),
        ("The deadline is Friday.", "The other deadline moved to Monday."),
        ("The deadline is Friday.", "Another deadline moved to Monday."),
        ("The deadline is Friday.", "A different deadline moved to Monday."),
        ("The deadline is Friday.", "The tax deadline moved to Monday."),
        ("The tax deadline is Friday.", "The deadline moved to Monday."),
        ("The deadline is Friday.", "Bob's deadline moved to Monday."),
        ("Lunch with Bob is on Monday.", "Lunch with Al moved to Tuesday."),
        ("My phone number is 555-1234.", "My fax number is now 555-9999."),
        ("My phone number is 555-1234.", "My phone number abroad is now 555-9999."),
        ("The first deadline is Friday.", "The second deadline moved to Monday."),
        ("The deadline for the report is Friday.", "The deadline for the talk moved to Monday."),
        ("My meeting with Bob is on Monday", "My meeting with Al moved to Tuesday"),
        ("My meeting with bob is on Monday", "my meeting with al moved to Tuesday"),
        ("My meeting is on Monday.", "My meeting with Al moved to Tuesday."),
        ("The price of milk is 2 euros.", "The price of bread is 3 euros now."),
        ("My flat is in Berlin.", "My old flat is now in Munich, says the map."),
        ("My dentist is Dr. Kim.", "My former dentist is Dr. Lee now."),
        ("My car is a Mazda.", "My other car is a Tesla now."),
        ("My spare key code is 4471.", "The key code changed to 9911."),
    ],
)
@pytest.mark.parametrize("similarity", [0.3, 0.6, 0.9])
def test_another_of_the_kind_updates_nothing(old: str, new: str, similarity: float) -> None:
    assert relation(old, new, similarity) is not Relation.UPDATES


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("My work phone number is 555-1234.", "My work phone number is now 555-9999."),
        ("My meeting with Bob is on Monday.", "My meeting with Bob moved to Tuesday."),
        ("The deadline for the report is Friday.", "The deadline for the report moved to Monday."),
        ("The deadline is Friday.", "The new deadline is Monday now."),
        ("My phone number is 555-1234.", "My new phone number is 555-9999."),
        ("Bob lives in Berlin.", "Bob's moved to Munich."),
        ("Maria works for Acme.", "Maria left Acme for Globex."),
        ("I work for Acme.", "I work for Globex now."),
        ("I live in Berlin.", "I don't live in Berlin anymore, I moved to Munich."),
        ("I live in Berlin.", "I no longer live in Berlin."),
        ("Dinner is on Friday.", "Dinner isn't on Friday, it's on Sunday now."),
    ],
)
def test_what_is_denied_or_qualified_alike_still_updates(old: str, new: str) -> None:
    assert relation(old, new, 0.7) is Relation.UPDATES


def test_a_named_person_is_the_same_whoever_tells() -> None:
    old = said("Maria works at a law firm.", author="Ann")
    new = said("Maria quit the law firm and runs a bakery.", day=4, author="Bo")
    assert judge(new, old, 0.6).relation is Relation.UPDATES


def test_a_memory_that_says_more_is_not_closed_for_one_thing() -> None:
    old = (
        "I live in Madrid with my two cats near the Retiro park, work as a nurse in the children's hospital, "
        "sing in a choir on Tuesdays and bake bread for the neighbours every weekend."
    )
    found = judge(said("I moved to Lisbon, we found a flat in Lisbon.", day=9), said(old), 0.6)
    assert found.relation is Relation.CONFLICTS
    assert found.reason == "the old one says more"
