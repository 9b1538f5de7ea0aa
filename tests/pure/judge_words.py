from __future__ import annotations

import string

from hypothesis import strategies as st

from benchmarks.pairs import load_pairs
from tiered_memory.model import Role
from tiered_memory.scoring.attributes import ATTRIBUTES
from tiered_memory.scoring.supersession import (
    Relation,
    Statement,
    judge,
)
from tiered_memory.scoring.text import analyze

DAY_US = 86_400_000_000
PAIRS = load_pairs()
SENTENCES = sorted(
    {said.content for pair in PAIRS.pairs for said in (pair.stale, pair.current, *pair.distractors)}
)
FIRST_PERSON = [
    "I live in Madrid.",
    "I moved to Lisbon.",
    "My phone number is 555-0142.",
    "We switched from Slack to Teams.",
    "I'm no longer vegetarian.",
    "Correction: my birthday is April 21.",
    "My favourite band is Radiohead now.",
    "I quit my job and joined Stripe.",
]
ATTRIBUTE_NAMES = {one.name for one in ATTRIBUTES}
REASONS = {
    "nothing in common",
    "says the same",
    "names the old value as left",
    "corrects",
    "same attribute, changed",
    "same role, another person",
    "same frame, changed value",
    "same attribute, another value",
    "same topic, changed",
    "touches the same attribute",
    "much alike, changed",
    "another name, changed",
    "much alike, not the same",
    "the old one says more",
}


def said(content: str, *, day: float = 0, author: str | None = None, role: Role = Role.USER) -> Statement:
    return Statement(content, role, author, int(day * DAY_US), analyze(content).terms)


def relation(old: str, new: str, similarity: float = 0.6) -> Relation:
    return judge(said(new, day=30), said(old), similarity).relation


sentences = st.sampled_from(SENTENCES)
texts = sentences | st.text(max_size=120) | st.text(alphabet=string.printable, max_size=200)
authors = st.sampled_from([None, "Ann", "Bo"])
similarities = st.floats(min_value=-1.0, max_value=1.0)


@st.composite
def statements(draw: st.DrawFn) -> Statement:
    return said(
        draw(texts),
        day=draw(st.integers(min_value=0, max_value=400)),
        author=draw(authors),
        role=draw(st.sampled_from(Role)),
    )
