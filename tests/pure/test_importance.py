from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.demo_lines import DEMO_LINES, DemoLine
from tiered_memory.model import Role
from tiered_memory.scoring.importance import Importance, score_importance

USER, ASSISTANT, TOOL = Role.USER, Role.ASSISTANT, Role.TOOL
BANDS = {
    "reports an error": (0.8, 1.0),
    "states a decision": (0.75, 1.0),
    "gives a metric": (0.75, 1.0),
    "action item or deadline": (0.75, 1.0),
    "states a preference": (0.85, 1.0),
    "asks to remember": (0.95, 1.0),
    "bare acknowledgement": (0.0, 0.2),
    "small talk": (0.0, 0.2),
    "generic question": (0.0, 0.2),
    "assistant's filler": (0.0, 0.2),
    "assistant's plan": (0.4, 0.7),
}
EXAMPLES = [
    (
        "reports an error",
        USER,
        [
            "Our build fails with exit code 137 since this morning.",
            "I keep getting a 502 and then my session crashes",
            "Why am I seeing a connection refused error?",
            "My login isn't working any more",
            "We had an outage on the payments service",
            'Traceback (most recent call last):\n  File "app.py", line 3\nKeyError: x',
            "java.lang.IllegalStateException: closed\n   at com.acme.Pool.take(Pool.java:42)",
        ],
    ),
    (
        "states a decision",
        USER,
        [
            "We decided to host everything in Frankfurt.",
            "Let's go with the second design.",
            "We've agreed on weekly releases.",
            "I've decided to leave my job and study law.",
            "The team settled on Rust for the parser.",
            "We're switching to Postgres.",
            "Final decision: no mobile app this year.",
        ],
    ),
    (
        "gives a metric",
        USER,
        [
            "Latency went down to 35 ms after the change.",
            "The model reaches 91.4 % on the held-out set.",
            "Storage is at 640 GB now",
            "That contract is worth $12,500 to us",
            "The service handles 4,000 requests per second",
            "p99 is now at 180",
        ],
    ),
    (
        "action item or deadline",
        USER,
        [
            "The report is due on Friday.",
            "Action item for Dana: rotate the certificates.",
            "We have to ship the fix by tomorrow.",
            "Please remind me to call the dentist.",
            "The deadline has moved to the end of June.",
            "I need to send the slides before 3 pm.",
            "TODO: update the runbook",
        ],
    ),
    (
        "states a preference",
        USER,
        [
            "I always drink my coffee black.",
            "I'd rather have bullet points than prose.",
            "I really prefer trains over planes",
            "I never work on Sundays.",
            "My favourite editor is Helix.",
            "I'm allergic to penicillin",
            "Please never use emoji in your answers",
            "I don't eat meat.",
        ],
    ),
    (
        "asks to remember",
        USER,
        [
            "Remember that my son is called Ivo.",
            "Please remember my badge number is on the blue card",
            "Don't forget that the office is closed in August.",
            "Also, remember to use metric units with me.",
            "Note that we never deploy without a second reviewer.",
            "For future reference, the bank details changed.",
        ],
    ),
    (
        "bare acknowledgement",
        USER,
        [
            "ok",
            "Thanks a lot!",
            "Got it, thank you so much.",
            "Hello there",
            "👍",
            "Hi Maya!",
            "Sounds good :)",
            "Yes.",
        ],
    ),
    (
        "small talk",
        USER,
        [
            "Hey, how are you?",
            "How's it going?",
            "Long time no see! What's up?",
            "Have a nice weekend!",
            "Hi Sam! Good to see you! How have you been?",
            "I'm good, thanks. And you?",
        ],
    ),
    (
        "generic question",
        USER,
        [
            "What is the boiling point of water?",
            "How does garbage collection work?",
            "Can you explain decorators?",
            "Is it going to rain tomorrow?",
            "What time is it?",
            "Which sorting algorithm is stable?",
        ],
    ),
    (
        "assistant's filler",
        ASSISTANT,
        [
            "Sure, I'll remember that.",
            "You're welcome! Let me know if you need anything else.",
            "Great question!",
            "I'm happy to help with that.",
            "Of course. How can I help you today?",
            "I hope this helps! Is there anything else you would like to know?",
        ],
    ),
    (
        "assistant's plan",
        ASSISTANT,
        [
            "Let's start with the logs.",
            "Here's the plan: measure, change one thing, measure again.",
            "First we check the pool, then the slow queries.",
            "1. Back up the table\n2. Run the migration\n3. Verify",
            "Step 1: open the settings.",
            "We'll begin by reproducing the bug locally.",
        ],
    ),
]


@pytest.mark.parametrize("line", DEMO_LINES, ids=lambda line: line.text[:24])
def test_demo_lines_fall_into_their_bands(line: DemoLine) -> None:
    for novelty in (None, 0.0, 1.0):
        assert line.low <= score_importance(line.text, line.role, novelty).value <= line.high


@pytest.mark.parametrize("novelty", [None, 0.0, 0.5, 1.0])
@pytest.mark.parametrize(
    ("reason", "role", "text"), [(reason, role, text) for reason, role, texts in EXAMPLES for text in texts]
)
def test_rules_keep_their_bands(reason: str, role: Role, text: str, novelty: float | None) -> None:
    low, high = BANDS[reason]
    importance = score_importance(text, role, novelty)
    assert importance.reasons[0] == reason
    assert low <= importance.value <= high


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("Should we switch to Kafka?", "states a decision"),
        ("Did we decide anything about the budget yet?", "states a decision"),
        ("Do you prefer tea?", "states a preference"),
        ("Do you remember that restaurant by the lake?", "asks to remember"),
        ("What is a stack overflow error?", "reports an error"),
        ("It took some trial and error but I managed.", "reports an error"),
        ("Never give up!", "states a preference"),
        ("Is 200 ms a good latency?", "gives a metric"),
        ("These pictures remind me of home.", "action item or deadline"),
        ("Thanks, the interview went well and they offered me the job", "bare acknowledgement"),
        ("How is your sister Clara doing in Berlin?", "generic question"),
    ],
)
def test_rules_do_not_overreach(text: str, reason: str) -> None:
    assert reason not in score_importance(text, USER, None).reasons


def test_what_an_assistant_says_of_itself_is_no_preference_or_error() -> None:
    assert score_importance("I prefer to keep answers short.", ASSISTANT, None).value < 0.75
    assert score_importance("I see an error in my last answer.", ASSISTANT, None).value < 0.8


def test_a_tools_traceback_counts() -> None:
    text = "Traceback (most recent call last):\n  boom\nValueError: bad input"
    assert score_importance(text, TOOL, None).value >= 0.8


def test_telling_turns_beat_chatter() -> None:
    story = "Last weekend I went to Lisbon with my sister Clara and we visited the old aquarium together."
    chatter = "That is so cool, it must have been such a nice thing to see, wow."
    assert score_importance(story, USER, None).value > score_importance(chatter, USER, None).value + 0.2


def test_new_words_count() -> None:
    text = "The greenhouse in the back needs glass for two panes and fresh putty along the frame"
    known, unknown, new = (score_importance(text, USER, novelty).value for novelty in (0.0, None, 1.0))
    assert known < unknown < new


def value(content: str, *, answers: bool = False) -> float:
    return score_importance(content, USER, None, answers=answers).value


def test_what_is_asked_tells_nothing() -> None:
    told = "My brother Karl opened a bakery in Ghent."
    asked_too = f"{told} Did your aunt Maud go to Paris in August 2019, and were you ever in Rome?"
    assert value(asked_too) <= value(told)
    assert (
        "names someone or something"
        not in score_importance("Was Karl in Ghent, with Maud?", USER, None).reasons
    )


def test_who_is_spoken_to_is_no_news_but_who_is_spoken_of_is() -> None:
    to, of = (
        "The concert was long, Karl. Hey Maud, it went on and on.",
        "The concert with Karl was long and Maud left.",
    )
    assert "names someone or something" not in score_importance(to, USER, None).reasons
    assert "names someone or something" in score_importance(of, USER, None).reasons


@pytest.mark.parametrize("name", ["Lisbon, Paris and Rome", "Karl and Maud", "Ghent"])
def test_a_name_within_what_is_told_is_spoken_of(name: str) -> None:
    assert value(f"we were in {name} with them") > value("we were in there with them")


@pytest.mark.parametrize(
    ("less", "more"),
    [
        ("your garden and your house were painted", "my garden and my house were painted"),
        (
            "wow, that is such an awesome and inspiring garden",
            "well, that is such an ordinary and untended garden",
        ),
        ("the strength to believe in each journey", "the ladder to mend in each greenhouse"),
        ("the ladder could break in the greenhouse", "the ladder broke in the greenhouse"),
        ("the greenhouse has several panes", "the greenhouse has 24 panes"),
        ("the dog sleeps in the greenhouse", "the dog slept while the greenhouse was painted"),
    ],
)
def test_what_is_told_of_outweighs_talk(less: str, more: str) -> None:
    assert value(less) < value(more)


def test_an_answer_matters_more_and_keeps_its_band() -> None:
    content = "In the old mill by the canal"
    assert value(content, answers=True) > value(content)
    assert "answers a question" in score_importance(content, USER, None, answers=True).reasons
    assert value("yes, thanks", answers=True) <= 0.2


@pytest.mark.parametrize(
    "text", ["I never felt so tired", "I always thought so", "We've always wanted a dog"]
)
def test_a_feeling_is_no_preference(text: str) -> None:
    assert score_importance(text, USER, None).reasons[0] != "states a preference"


def test_scripts_without_spaces_are_read_to_their_questions_too() -> None:
    told = "\u79c1\u306f\u6771\u4eac\u306b\u4f4f\u3093\u3067\u3044\u307e\u3059\u3002"
    assert value(told) > value(told.replace("\u3002", "\uff1f"))


def test_long_texts_are_cheap_to_score_and_still_count() -> None:
    assert (
        score_importance("lorem ipsum " * 20_000, USER, None).value
        > score_importance("lorem", USER, None).value
    )


roles = st.sampled_from(Role)
novelties = st.none() | st.floats(0, 1)


@given(st.text(), roles, novelties)
def test_any_text_has_an_importance(content: str, role: Role, novelty: float | None) -> None:
    importance = score_importance(content, role, novelty)
    assert 0.0 <= importance.value <= 1.0
    assert importance.reasons
    assert importance == score_importance(content, role, novelty)


PIECES = """
I we please remember prefer never error by Friday 12 ms % ? . ! , ' Traceback thanks let's step 1. is my favourite not
working due go with
"""
pieces = st.sampled_from([*PIECES.split(), "\n"])


@given(st.lists(pieces, max_size=60), roles, novelties)
def test_any_mixture_of_cues_stays_in_some_band(words: list[str], role: Role, novelty: float | None) -> None:
    importance = score_importance(" ".join(words), role, novelty)
    low, high = BANDS.get(importance.reasons[0], (0.0, 1.0))
    assert low <= importance.value <= high


@given(st.text(min_size=1), roles)
def test_novelty_never_lowers_importance(content: str, role: Role) -> None:
    values = [score_importance(content, role, novelty).value for novelty in (0.0, 0.5, 1.0)]
    assert values == sorted(values)


@given(st.text(alphabet="zqxj", min_size=4, max_size=12), roles)
def test_reasons_hold_no_content(word: str, role: Role) -> None:
    importance: Importance = score_importance(f"I prefer {word} and my {word} crashed", role, None)
    assert not any(word in reason for reason in importance.reasons)
