"""Does a new statement bring an older one up to date? Judged from two statements, without a model.

The judge says what holds between two memories of one subject; who acts on it (closing the old one, flagging both,
strengthening in place of adding) is the shell's business. An update hides the old statement, so it is said only when
much speaks for it; a conflict merely puts the newer one first, so it is said of whatever looks like a change.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from tiered_memory.model import Role
from tiered_memory.scoring import change_cues as cues
from tiered_memory.scoring.attributes import BY_TERM, TOOLS
from tiered_memory.scoring.claims import Assertion, assertions
from tiered_memory.scoring.comparison import (
    ALIKE,
    MOST_OF_FRAME,
    SAME_HEAD_ALIKE,
    Comparison,
    compare,
    could_relate,
    speak_for_themselves,
)
from tiered_memory.scoring.text import is_question

SAME_VECTOR = 0.97
"""Least cosine of two texts that say the same; below it they are not read for being duplicates."""

MOST_TERMS = 14
"""A memory of more index terms than this says more than one thing: it is not closed for one of them."""

MOST_ASSERTIONS = 2
BRIEF_TERMS, BRIEF_NEW_TERMS = 9, 12
"""An older and a newer text of at most so many index terms say one thing only."""

MOST_NEW_TERMS = 20
MUCH_ALIKE = 0.5
FAINTLY_ALIKE = 0.25
MOST_READ = 10
"""So many of the candidates are read closely: those likest the new statement."""

_CHEAP_CHARACTERS = 600
_STATE_LIKE = frozenset({"relationship", "diet", "smoking", "expecting", "status", "commute"})
"""Attributes whose values are words of the attribute itself, seldom names or numbers."""


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
    """What the judge knows of one memory. `terms` are those of `text.analyze(content)`.

    `weighed` and `asserted` are filled in when they are first asked for: whoever keeps a statement has it read once.
    """

    content: str
    role: Role
    author: str | None
    occurred_at_us: int
    terms: Mapping[str, int]
    weighed: list[bool] = field(default_factory=list, repr=False, compare=False)
    asserted: list[Sequence[Assertion]] = field(default_factory=list, repr=False, compare=False)


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
    """Return what `new` is to each candidate, in their order.

    As `judge`, but `new` is read once, and of many candidates only the `MOST_READ` likest are read.
    """
    told = _told(new)
    likely = [place for place, one in enumerate(candidates) if _may_relate(new, told, *one)]
    likely.sort(key=lambda place: -candidates[place][1])
    read = frozenset(likely[:MOST_READ])
    return [
        _duplicate(new, *one) or (_relation(new, told, *one) if place in read else UNRELATED)
        for place, one in enumerate(candidates)
    ]


def worth_comparing(statement: Statement) -> bool:
    """Tell, cheaply, whether a statement may update or contradict an older one (it may repeat one in any case)."""
    if not statement.weighed:
        statement.weighed.append(_is_worth_comparing(statement))
    return statement.weighed[0]


def _is_worth_comparing(statement: Statement) -> bool:
    if statement.role is not Role.USER or not statement.terms:
        return False
    lowered = statement.content[:_CHEAP_CHARACTERS].lower().replace("\u2019", "'")
    if is_question(lowered) and not cues.UNIT_END.search(lowered[:-1]):
        return False
    if cues.EXPLICIT.search(lowered) or cues.CORRECTION.search(lowered):
        return True
    if len(statement.terms) > BRIEF_NEW_TERMS or cues.CHAT.search(lowered):
        return False
    return bool(
        any(map(str.isdigit, lowered))
        or any(term in BY_TERM for term in statement.terms)
        or cues.CHANGE.search(lowered)
        or cues.WEEKDAY.search(lowered)
        or cues.INSIDE_NAME.search(statement.content)
    )


# --- which are read --------------------------------------------------------------------------------------------


def _told(new: Statement) -> Sequence[Assertion]:
    """Return those of the new statement's assertions that may change what holds; of a brief one, all."""
    if not worth_comparing(new):
        return []
    told = _asserted(new)
    return told if len(new.terms) <= BRIEF_NEW_TERMS else [one for one in told if _tells(one)]


def _asserted(statement: Statement) -> Sequence[Assertion]:
    if not statement.asserted:
        statement.asserted.append(assertions(statement.content))
    return statement.asserted[0]


def _tells(one: Assertion) -> bool:
    return bool(one.states or one.signs.explicit or one.signs.corrects or (one.marks and one.signs.changes))


def _may_relate(new: Statement, told: Sequence[Assertion], old: Statement, similarity: float) -> bool:
    """Tell, cheaply, whether an older statement is worth reading."""
    if old.role is not Role.USER or old.occurred_at_us > new.occurred_at_us:
        return False
    return any(_touches(one, old.terms) for one in told) or (
        bool(told) and similarity >= MUCH_ALIKE and _is_brief(new, old)
    )


def _is_brief(new: Statement, old: Statement) -> bool:
    """Tell whether both say one thing only, and are no talk for talk's sake."""
    if len(old.terms) > BRIEF_TERMS or len(new.terms) > BRIEF_NEW_TERMS:
        return False
    return not (cues.CHAT.search(new.content.lower()) or cues.CHAT.search(old.content.lower()))


def _touches(after: Assertion, terms: Mapping[str, int]) -> bool:
    if len(terms) <= MOST_TERMS and not after.frame.isdisjoint(terms):
        return True
    attributes = after.hints.union(after.states)
    return bool(attributes) and any(one.name in attributes for term in terms for one in BY_TERM.get(term, ()))


# --- what they come to -----------------------------------------------------------------------------------------


def _relation(new: Statement, told: Sequence[Assertion], old: Statement, similarity: float) -> Judgement:
    brief, earlier = _is_brief(new, old), _asserted(old)
    compact = len(old.terms) <= MOST_TERMS and len(new.terms) <= MOST_NEW_TERMS
    alike = similarity if compact else 0.0
    found = [
        compare(after, before, alike, brief=brief)
        for before in earlier
        for after in told
        if could_relate(after, before, alike, brief=brief)
        and (new.author == old.author or not speak_for_themselves(after, before))
    ]
    best = max(map(_verdict, found), key=_weight, default=UNRELATED)
    if best.relation is Relation.UPDATES and _says_more(old, earlier):
        return Judgement(Relation.CONFLICTS, best.confidence * 0.7, "the old one says more", best.attribute)
    return best


def _says_more(old: Statement, earlier: Sequence[Assertion]) -> bool:
    return len(old.terms) > MOST_TERMS or sum(len(one.terms) > 1 for one in earlier) > MOST_ASSERTIONS


def _weight(one: Judgement) -> tuple[bool, bool, float]:
    return one.relation is Relation.UPDATES, one.relation is Relation.CONFLICTS, one.confidence


def _verdict(found: Comparison | None) -> Judgement:
    """Return what the first rule that applies says."""
    if found is not None:
        for rule in _RULES:
            if rule.applies(found):
                return Judgement(rule.relation, rule.confidence, rule.reason, found.attribute or found.hinted)
    return UNRELATED


@dataclass(frozen=True, slots=True)
class _Rule:
    relation: Relation
    confidence: float
    reason: str
    applies: Callable[[Comparison], bool]


def _may_update(found: Comparison) -> bool:
    return found.certain and (not found.eventful or found.left or found.corrects or bool(found.attribute))


def _names_the_old_as_left(found: Comparison) -> bool:
    if not (found.left and _may_update(found)):
        return False
    if found.attribute or (found.shared and found.covered >= MOST_OF_FRAME):
        return True
    return bool(found.shared) and found.similarity >= (_LEFT_ALIKE if found.brief else ALIKE)


def _corrects(found: Comparison) -> bool:
    told_anew = (found.differs and found.framed) or (found.retold and found.brief)
    return found.corrects and told_anew and _may_update(found)


def _changes_attribute(found: Comparison) -> bool:
    if not (found.attribute and found.changes and _may_update(found)):
        return False
    if found.other_value or (found.other_name and found.named_before):
        return True
    return found.brief and found.fresh and found.attribute in _STATE_LIKE


def _changes_value(found: Comparison) -> bool:
    if not (found.explicit and found.framed and _may_update(found)):
        return False
    return found.differs or (
        found.brief and found.fresh and len(found.shared) > 1 and found.similarity >= ALIKE
    )


def _changes_person(found: Comparison) -> bool:
    return found.changes and found.other_name and found.same_role and _may_update(found)


def _gives_attribute(found: Comparison) -> bool:
    if not found.attribute:
        return False
    return found.differs or (found.brief and found.explicit) or (found.changes and _is_alike(found))


def _shares_topic(found: Comparison) -> bool:
    if not (found.shared and _is_alike(found)):
        return False
    return found.cued or found.other_value or (found.other_name and (found.changes or found.brief))


def _hints_attribute(found: Comparison) -> bool:
    if found.hinted in TOOLS and found.brief and found.explicit and found.certain:
        return True
    return bool(found.hinted) and (found.cued or found.changes) and _is_alike(found)


def _is_much_alike(found: Comparison) -> bool:
    about_it = found.other_value or found.retold or found.covered >= _SOME_OF_FRAME
    return (
        found.brief
        and found.similarity >= MUCH_ALIKE
        and about_it
        and (found.changes or found.differs or found.retold)
    )


def _names_another(found: Comparison) -> bool:
    if not (found.brief and found.certain and found.explicit) or found.eventful:
        return False
    return found.other_name and found.named_before and found.similarity >= SAME_HEAD_ALIKE


def _says_otherwise(found: Comparison) -> bool:
    """Tell whether two brief texts are so alike that what differs is most likely the value."""
    if not (found.brief and found.certain and found.fresh and found.shared) or found.eventful:
        return False
    return found.similarity >= (SAME_HEAD_ALIKE if found.same_head else ALIKE)


def _is_alike(found: Comparison) -> bool:
    """Tell whether the texts are alike enough for their kind: chat of some length is always somewhat alike."""
    if found.brief:
        return found.similarity >= FAINTLY_ALIKE
    return found.similarity >= MUCH_ALIKE and (len(found.shared) > 1 or bool(found.attribute))


_LEFT_ALIKE = 0.35
_SOME_OF_FRAME = 0.3
_RULES = (
    _Rule(Relation.UPDATES, 0.9, "names the old value as left", _names_the_old_as_left),
    _Rule(Relation.UPDATES, 0.9, "corrects", _corrects),
    _Rule(Relation.UPDATES, 0.85, "same attribute, changed", _changes_attribute),
    _Rule(Relation.UPDATES, 0.85, "same role, another person", _changes_person),
    _Rule(Relation.UPDATES, 0.8, "same frame, changed value", _changes_value),
    _Rule(Relation.CONFLICTS, 0.6, "same attribute, another value", _gives_attribute),
    _Rule(Relation.CONFLICTS, 0.5, "same topic, changed", _shares_topic),
    _Rule(Relation.CONFLICTS, 0.4, "touches the same attribute", _hints_attribute),
    _Rule(Relation.CONFLICTS, 0.4, "much alike, changed", _is_much_alike),
    _Rule(Relation.CONFLICTS, 0.3, "another name, changed", _names_another),
    _Rule(Relation.CONFLICTS, 0.3, "much alike, not the same", _says_otherwise),
)
"""The first rule that applies decides: what is surest comes first."""


# --- duplicates ------------------------------------------------------------------------------------------------


def _duplicate(new: Statement, old: Statement, similarity: float) -> Judgement | None:
    if similarity < SAME_VECTOR or not _says_the_same(new, old):
        return None
    return Judgement(Relation.DUPLICATE, min(1.0, similarity), "says the same", None)


def _says_the_same(new: Statement, old: Statement) -> bool:
    return (
        new.author == old.author
        and new.role == old.role
        and new.terms == old.terms
        and is_question(new.content) == is_question(old.content)
        and (new.content == old.content or _telling(new.content) == _telling(old.content))
    )


def _telling(content: str) -> list[str]:
    """Return the words and signs as written, but for what changes nothing: spaces, how a sentence opens and ends.

    Sense may hang on any other mark ("-5", "x > y", "I'd go"), on the order and, of names in capitals, on the case.
    """
    plain = unicodedata.normalize("NFC", content).replace("\u2019", "'")
    words = [_lowered(word) for word in _without_end(plain).split()]
    while len(words) > 1 and words[0] in _OPENINGS:
        del words[0]
    return _CONTRACTED.sub(_in_full, " ".join(words)).split()


def _without_end(text: str) -> str:
    """Return `text` without the marks it ends in, but for an exclamation mark that may be a factorial's."""
    bare = text.rstrip(_ENDS)
    last = bare.split()[-1:]
    shouts = "!" in text[len(bare) :] and not all(len(word) > 1 and word.isalpha() for word in last)
    return bare if last and not shouts else text


def _lowered(word: str) -> str:
    """Return an ordinary word in lower case; capitals inside it or a letter by itself tell something."""
    ordinary = word == "I" or (len(word) > 1 and word[1:] == word[1:].lower())
    return word.lower() if ordinary else word


def _in_full(match: re.Match[str]) -> str:
    return _FULL[match[1]]


_ENDS = ".!\u2026\u3002 \t\r\n"
_OPENINGS = frozenset(("well,", "oh,", "so,"))
_FULL = {"m": " am", "re": " are", "ve": " have"}
_CONTRACTED = re.compile(r"(?<=[a-z])'(m|re|ve)(?= |$)")
