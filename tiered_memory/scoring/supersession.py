"""Does a new statement bring an older one up to date? Judged from two statements, without a model.

The judge says what holds between two memories of one subject; who acts on it (closing the old one, flagging both,
strengthening in place of adding) is the shell's business.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from tiered_memory.model import Role
from tiered_memory.scoring import change_cues as cues
from tiered_memory.scoring.attributes import BY_TERM, ROLES
from tiered_memory.scoring.claims import SELF, Assertion, assertions, root
from tiered_memory.scoring.text import is_question

SAME_VECTOR = 0.97
"""Least cosine of two texts that say the same; below it they are not read for being duplicates."""

_FLIPPING = re.compile(r"n't\b|\b(?:no|not|never|none|without|cannot|cant|dont|doesnt|isnt|wont)\b")


class Relation(StrEnum):
    """What a new statement is to an older one."""

    UNRELATED = "unrelated"
    DUPLICATE = "duplicate"
    """It says the same: it strengthens the old one in place of standing beside it."""
    UPDATES = "updates"
    """It takes the old one's place, which is no longer so."""
    CONFLICTS = "conflicts"
    """It seems to give the same attribute another value: both stay, the newer one goes first."""


@dataclass(frozen=True, slots=True)
class Statement:
    """What the judge knows of one memory. `terms` are those of `text.analyze(content)`."""

    content: str
    role: Role
    author: str | None
    occurred_at_us: int
    terms: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Judgement:
    """The relation, how sure it is (0..1), and why.

    `reason` is one of a closed set of short phrases and `attribute` one of a closed vocabulary, or None: neither
    holds content.
    """

    relation: Relation
    confidence: float
    reason: str
    attribute: str | None


UNRELATED = Judgement(Relation.UNRELATED, 0.0, "nothing in common", None)

Candidate = tuple[Statement, float]
"""An older statement, and the cosine of its vector and the new one's."""


def judge(new: Statement, old: Statement, similarity: float) -> Judgement:
    """Return what `new` is to `old`, two different memories of one subject.

    Args:
        new: The statement just made.
        old: One made before; an `old` that occurred later than `new` is never updated.
        similarity: Cosine of the two statements' vectors, -1..1.
    """
    return judge_all(new, [(old, similarity)])[0]


def judge_all(new: Statement, candidates: Sequence[Candidate]) -> list[Judgement]:
    """Return what `new` is to each candidate, in their order: as `judge`, reading `new` once."""
    if not worth_comparing(new):
        told = list[Assertion]()
    elif len(new.terms) <= BRIEF_NEW_TERMS:
        told = assertions(new.content)
    else:
        told = [one for one in assertions(new.content) if _tells(one)]
    return [_relation(new, told, old, similarity) for old, similarity in candidates]


def worth_comparing(statement: Statement) -> bool:
    """Tell, cheaply, whether a statement may update or contradict an older one (it may repeat one in any case)."""
    if statement.role is not Role.USER or not statement.terms:
        return False
    lowered = statement.content[:_CHEAP_CHARACTERS].lower().replace("\u2019", "'")
    return bool(cues.CHANGE.search(lowered) or cues.CORRECTION.search(lowered) or _gives_value(statement, lowered))


def _tells(one: Assertion) -> bool:
    """Tell whether an assertion may change what holds: it says so, or it names a value or an attribute's state."""
    return bool(
        one.states
        or any(one.values.kinds())
        or cues.EXPLICIT.search(one.text)
        or cues.CORRECTION.search(one.text)
        or (one.values.names and cues.CHANGE.search(one.text))
        or any(word in LEFT_BEFORE or word in OVER_AFTER for word in one.words)
    )


def _gives_value(statement: Statement, lowered: str) -> bool:
    if is_question(lowered):
        return False
    if any(map(str.isdigit, lowered)) or any(term in BY_TERM for term in statement.terms):
        return True
    return len(statement.terms) <= BRIEF_NEW_TERMS and bool(
        cues.WEEKDAY.search(lowered) or cues.MONTH_DAY.search(lowered) or cues.INSIDE_NAME.search(statement.content)
    )


_CHEAP_CHARACTERS = 600


def _relation(new: Statement, told: Sequence[Assertion], old: Statement, similarity: float) -> Judgement:
    if _says_the_same(new, old, similarity):
        return Judgement(Relation.DUPLICATE, min(1.0, similarity), "says the same", None)
    if old.role is not Role.USER or old.occurred_at_us > new.occurred_at_us:
        return UNRELATED
    brief = len(old.terms) <= BRIEF_TERMS and len(new.terms) <= BRIEF_NEW_TERMS
    alike = brief and similarity >= MUCH_ALIKE
    nearby = [one for one in told if alike or _touches(one, old.terms)]
    if not nearby:
        return UNRELATED
    earlier = assertions(old.content)
    strangers = new.author != old.author
    compact = len(old.terms) <= MOST_TERMS and len(new.terms) <= MOST_NEW_TERMS
    found = [
        _compared(after, before, similarity if compact else 0.0, brief=brief)
        for before in earlier
        for after in nearby
        if not (strangers and _own(after, before))
    ]
    best = max(found, key=lambda one: (_RANK[one.relation], one.confidence), default=UNRELATED)
    if best.relation is Relation.UPDATES and _says_more(old, earlier):
        return Judgement(Relation.CONFLICTS, best.confidence * 0.7, "the old one says more", best.attribute)
    return best


def _touches(after: Assertion, terms: Mapping[str, int]) -> bool:
    """Tell, cheaply, whether an assertion and a text of these terms have a topic in common."""
    if len(terms) <= MOST_TERMS and not after.frame.isdisjoint(terms):
        return True
    return bool(after.hints) and any(one.name in after.hints for term in terms for one in BY_TERM.get(term, ()))


MOST_NEW_TERMS = 20
BRIEF_TERMS, BRIEF_NEW_TERMS = 9, 12
LEAST_SIMILARITY = 0.2
_RANK = {Relation.UNRELATED: 0, Relation.DUPLICATE: 0, Relation.CONFLICTS: 1, Relation.UPDATES: 2}
MOST_TERMS = 14
"""A memory of more index terms than this says more than one thing: it is not closed for one of them."""


def _own(after: Assertion, before: Assertion) -> bool:
    """Tell whether two people's assertions need not be about the same: only a named subject is."""
    first_person = SELF in after.subject.terms | before.subject.terms or after.subject.kin or before.subject.kin
    return first_person or after.subject.terms.isdisjoint(before.subject.terms)


def _says_more(old: Statement, earlier: Sequence[Assertion]) -> bool:
    return len(old.terms) > MOST_TERMS or sum(len(one.terms) > 1 for one in earlier) > 2


@dataclass(frozen=True, slots=True)
class _Comparison:
    """What speaks for two assertions giving one attribute two values.

    `shared` are the terms both are about, `covered` the share of the older one's frame among them. `certain` tells
    that nothing speaks for two different subjects, `brief` that both texts say one thing only.
    """

    shared: frozenset[str]
    covered: float
    attribute: str | None
    hinted: str | None
    other_value: bool
    other_name: bool
    fresh: bool
    left: bool
    corrects: bool
    explicit: bool
    changes: bool
    certain: bool
    brief: bool
    similarity: float

    @property
    def differs(self) -> bool:
        return self.other_value or self.other_name

    @property
    def framed(self) -> bool:
        """Whether the new one speaks of what the older one is about, and of little else."""
        if len(self.shared) > 1:
            return self.covered >= MOST_OF_FRAME
        return bool(self.shared) and self.covered == 1.0 and self.similarity >= ALIKE


MOST_OF_FRAME = 0.6
ALIKE = 0.6


def _compared(after: Assertion, before: Assertion, similarity: float, *, brief: bool) -> Judgement:
    certain = _sure_of_subject(after, before)
    if certain is None:
        return UNRELATED
    found = _comparison(after, before, similarity, certain=certain, brief=brief)
    if cues.ADDITIVE.search(after.text) and not (found.left or found.corrects):
        return UNRELATED
    if not (found.left or found.explicit or found.differs or found.fresh):
        return UNRELATED
    return _updates(found, before) or _conflicts(found) or UNRELATED


def _comparison(after: Assertion, before: Assertion, similarity: float, *, certain: bool, brief: bool) -> _Comparison:
    shared = after.frame & before.frame
    values, older = after.values, before.values
    about = before.frame - (older.names - shared)
    states = [one for one in after.states if one in before.states]
    hinted = sorted(after.hints.intersection(before.states) | before.hints.intersection(after.states))
    return _Comparison(
        shared=shared,
        covered=len(shared) / max(1, len(about)),
        attribute=states[0] if states else None,
        hinted=hinted[0] if hinted else None,
        other_value=any(a - b and b - a for a, b in zip(values.kinds(), older.kinds(), strict=True)),
        other_name=bool(values.names - before.terms) and not older.names & values.names,
        fresh=bool(after.frame - before.frame),
        left=_leaves(after, before, brief=brief),
        corrects=bool(cues.CORRECTION.search(after.text)),
        explicit=bool(cues.EXPLICIT.search(after.text)),
        changes=bool(cues.CHANGE.search(after.text)),
        certain=certain,
        brief=brief,
        similarity=similarity,
    )


def _sure_of_subject(after: Assertion, before: Assertion) -> bool | None:
    """Tell whether both are about the same for certain (True), perhaps (False), or not (None)."""
    ours, theirs = after.subject, before.subject
    if not ours.terms.isdisjoint(theirs.terms):
        return True
    if not ours.terms.isdisjoint(before.terms) or not theirs.terms.isdisjoint(after.terms):
        return True
    if ours.kin != theirs.kin and (SELF in ours.terms | theirs.terms or not (ours.terms and theirs.terms)):
        return None if SELF in ours.terms | theirs.terms else False
    if not ours.terms or not theirs.terms:
        return True
    if ours.speaker and SELF in theirs.terms:
        return True
    return False


def _leaves(after: Assertion, before: Assertion, *, brief: bool) -> bool:
    """Tell whether `after` names something of `before` as left behind: not X, instead of X, X closed.

    Among long texts any word may stand beside such a word by chance; there only names and numbers count.
    """
    known = before.marks if not brief else before.marks.union(_long(before.words)) - _WEAK
    words = after.words
    if "never" in words:
        return False
    for place, word in enumerate(words):
        if word in known and (
            not OVER_AFTER.isdisjoint(words[place + 1 : place + 4])
            or not LEFT_BEFORE.isdisjoint(words[max(0, place - 3) : place])
            or (words[place - 1 : place] == ("from",) and "to" in words[place + 1 : place + 4])
        ):
            return True
    return False


def _long(words: Sequence[str]) -> frozenset[str]:
    return frozenset(word for word in words if len(word) > _SHORT)


_SHORT = 2
OVER_AFTER = frozenset(map(root, cues.OVER_AFTER))
LEFT_BEFORE = frozenset(map(root, cues.LEFT_BEFORE))


def _updates(found: _Comparison, before: Assertion) -> Judgement | None:
    if not found.certain or (
        cues.EVENTFUL.search(before.text) and not (found.left or found.corrects or found.attribute)
    ):
        return None
    if found.left and _left_for_sure(found):
        return _verdict(Relation.UPDATES, 0.9, "names the old value as left", found)
    if found.corrects and found.differs and found.framed:
        return _verdict(Relation.UPDATES, 0.9, "corrects", found)
    if found.attribute and found.changes and found.differs:
        return _verdict(Relation.UPDATES, 0.85, "same attribute, changed", found)
    if found.brief and found.attribute in STATE_LIKE and found.changes and found.fresh:
        return _verdict(Relation.UPDATES, 0.8, "same attribute, changed", found)
    if found.brief and found.changes and found.fresh and found.framed and found.similarity >= ALIKE:
        return _verdict(Relation.UPDATES, 0.8, "same frame, changed value", found)
    if found.explicit and found.differs and found.framed:
        return _verdict(Relation.UPDATES, 0.8, "same frame, changed value", found)
    if found.changes and found.other_name and found.shared & ROLES:
        return _verdict(Relation.UPDATES, 0.85, "same role, another person", found)
    return None


def _left_for_sure(found: _Comparison) -> bool:
    if found.attribute or (found.shared and found.covered >= MOST_OF_FRAME):
        return True
    return bool(found.shared) and found.similarity >= (LEAST_ALIKE if found.brief else ALIKE)


STATE_LIKE = frozenset({"relationship", "diet", "smoking", "expecting", "status", "commute"})
"""Attributes whose values are words of the attribute itself, seldom names or numbers."""

LEAST_ALIKE = 0.35


def _conflicts(found: _Comparison) -> Judgement | None:
    cue = found.left or found.corrects or found.explicit
    alike = found.similarity >= (LEAST_ALIKE_BRIEF if found.brief else LEAST_ALIKE)
    if found.attribute and (found.differs or (found.changes and alike)):
        return _verdict(Relation.CONFLICTS, 0.6, "same attribute, another value", found)
    if found.shared and (cue or found.other_value or (found.other_name and (found.changes or found.brief))) and alike:
        return _verdict(Relation.CONFLICTS, 0.5, "same topic, changed", found)
    if found.hinted and (cue or found.changes) and alike:
        return _verdict(Relation.CONFLICTS, 0.4, "same topic, changed", found)
    if found.similarity >= MUCH_ALIKE and (cue or found.changes or found.differs):
        return _verdict(Relation.CONFLICTS, 0.4, "much alike, changed", found)
    return None


MUCH_ALIKE = 0.5
LEAST_ALIKE_BRIEF = 0.25


def _verdict(relation: Relation, confidence: float, reason: str, found: _Comparison) -> Judgement:
    return Judgement(relation, confidence, reason, found.attribute or found.hinted)


_WEAK = frozenset(
    "the is are was my our we in on at to of and for it its he she they you your with by as an be am have has had do does "
    "from that this not no so or but if up out me us his her their there here now new every each all one two "
    "week month year day time monthly".split()
)


def _says_the_same(new: Statement, old: Statement, similarity: float) -> bool:
    return (
        similarity >= SAME_VECTOR
        and new.author == old.author
        and new.role == old.role
        and new.terms == old.terms
        and (bool(new.terms) or new.content == old.content)
        and is_question(new.content) == is_question(old.content)
        and _negations(new.content) == _negations(old.content)
    )


def _negations(content: str) -> int:
    return len(_FLIPPING.findall(content.lower().replace("\u2019", "'")))
