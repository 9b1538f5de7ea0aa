"""Does a new statement bring an older one up to date? Judged from two statements, without a model.

The judge says what holds between two memories of one subject; who acts on it (closing the old one, flagging both,
strengthening in place of adding) is the shell's business.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from tiered_memory.model import Role
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


def judge(new: Statement, old: Statement, similarity: float) -> Judgement:
    """Return what `new` is to `old`, two different memories of one subject.

    Args:
        new: The statement just made.
        old: One made before; an `old` that occurred later than `new` is never updated.
        similarity: Cosine of the two statements' vectors, -1..1.
    """
    if _says_the_same(new, old, similarity):
        return Judgement(Relation.DUPLICATE, min(1.0, similarity), "says the same", None)
    return UNRELATED


def worth_comparing(statement: Statement) -> bool:
    """Tell, cheaply, whether a statement may update, contradict or repeat any other."""
    return bool(statement.terms) and not is_question(statement.content)


def _says_the_same(new: Statement, old: Statement, similarity: float) -> bool:
    return (
        similarity >= SAME_VECTOR
        and new.author == old.author
        and new.role == old.role
        and new.terms == old.terms
        and is_question(new.content) == is_question(old.content)
        and _negations(new.content) == _negations(old.content)
    )


def _negations(content: str) -> int:
    return len(_FLIPPING.findall(content.lower().replace("\u2019", "'")))
