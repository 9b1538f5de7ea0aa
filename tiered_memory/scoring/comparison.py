"""Two assertions side by side: what speaks for the later one giving the same attribute another value. No verdict yet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tiered_memory.scoring import change_cues as cues
from tiered_memory.scoring.attributes import OF_SEVERAL, ROLES, TOOLS
from tiered_memory.scoring.claims import CALENDAR, OWN, SELF, Assertion, root
from tiered_memory.scoring.text import analyze

MOST_OF_FRAME = 0.6
ALIKE = 0.6
"""From this cosine on two texts that share one term are about the same."""

SAME_HEAD_ALIKE = 0.4

_COUPLE = "relationship"
_PARTNERS = frozenset(analyze("girlfriend boyfriend husband wife partner fiance fiancé fiancée spouse").terms)
"""Who has a partner has a relationship: what one says of the one, one says of the other."""
_SHORT = 2
_WEAK = frozenset(
    """
    the is are was my our we in on at to of and for it its he she they you your with by as an be am have has had do
    does from that this not no so or but if up out me us his her their there here now new every each all one two
    week month year day time monthly
    """.split()  # noqa: SIM905 - prose wraps better than a list
)
"""Words that stand beside words of leaving without being what is left."""

_OVER_AFTER = frozenset(map(root, cues.OVER_AFTER))
_LEFT_BEFORE = frozenset(map(root, cues.LEFT_BEFORE))
_FINISHED_BEFORE = frozenset(map(root, cues.FINISHED_BEFORE))


@dataclass(frozen=True, slots=True)
class Comparison:
    """What speaks for two assertions giving one attribute two values.

    Attributes:
        shared: The terms both are about.
        covered: The share (0..1) of the older one's frame among them.
        attribute: The attribute both give a value, if any.
        hinted: An attribute that one gives a value and the other touches, if any.
        other_value: Both name numbers, times or addresses, and each has one the other has not.
        retold: The later one repeats the older one's number or time beside another.
        other_name: The later one names someone or something new.
        named_before: The older one names someone or something.
        fresh: The later one speaks of something the older one does not.
        left: The later one says that what the older one names is left behind.
        corrects: The later one takes something back.
        explicit: It says that something changed.
        changes: It may say so: "now", "new", "just".
        eventful: The older one tells of a taste, kin or a single event: another does not end it.
        certain: Nothing speaks for two different subjects, nor for the change not having happened.
        brief: Both texts are short enough to say one thing only.
        similarity: Cosine of the texts they come from, 0 where these say too much for it to mean anything.
        same_head: Both say what one thing is or does: "the meeting is", "the meeting will".
    """

    shared: frozenset[str]
    covered: float
    attribute: str | None
    hinted: str | None
    other_value: bool
    retold: bool
    other_name: bool
    named_before: bool
    fresh: bool
    left: bool
    corrects: bool
    explicit: bool
    changes: bool
    eventful: bool
    certain: bool
    brief: bool
    similarity: float
    same_head: bool

    @property
    def differs(self) -> bool:
        """Whether the later one gives a value of its own."""
        return self.other_value or self.other_name

    @property
    def cued(self) -> bool:
        """Whether the later one says that something is not as it was."""
        return self.left or self.corrects or self.explicit

    @property
    def framed(self) -> bool:
        """Whether the later one speaks of most of what the older one is about."""
        if len(self.shared) > 1:
            return self.covered >= MOST_OF_FRAME
        return bool(self.shared) and self.covered == 1.0 and self.similarity >= ALIKE

    @property
    def same_role(self) -> bool:
        """Whether both speak of someone one usually has one of: a landlord, a dentist."""
        return not self.shared.isdisjoint(ROLES)


def could_relate(after: Assertion, before: Assertion, similarity: float, *, brief: bool) -> bool:
    """Tell, cheaply, whether two assertions are about one term or attribute, or brief and alike: else no rule applies.

    Who adds a rule to the judge that asks for none of these has to let its assertions through here.
    """
    if not after.frame.isdisjoint(before.frame) or not after.hints.isdisjoint(before.states):
        return True
    if not before.hints.isdisjoint(after.states) or any(one in before.states for one in after.states):
        return True
    kinds = zip(after.values.kinds(), before.values.kinds(), strict=True)
    return brief and (similarity >= SAME_HEAD_ALIKE or any(not ours.isdisjoint(olds) for ours, olds in kinds))


def speak_for_themselves(after: Assertion, before: Assertion) -> bool:
    """Tell whether two people's assertions need not be about the same: only a named subject is."""
    first_person = (
        SELF in after.subject.terms | before.subject.terms or after.subject.kin or before.subject.kin
    )
    return first_person or after.subject.terms.isdisjoint(before.subject.terms)


def compare(after: Assertion, before: Assertion, similarity: float, *, brief: bool) -> Comparison | None:
    """Return what speaks for `after` updating `before`; None when they are not about the same, or one adds to the other.

    `similarity` is the cosine of the texts they come from; `brief` whether these are short enough to say one thing.
    """
    sure = _sure_of_subject(after, before)
    if sure is None:
        return None
    left = _leaves(after, before, brief=brief)
    certain = sure and not _is_denied(after, left=left) and not _is_another(after, before, left=left)
    found = _compared(after, before, _Frame(similarity, certain, brief, left))
    if after.signs.additive and not (found.left or found.corrects):
        return None
    says_something = (
        found.left
        or found.explicit
        or found.differs
        or found.fresh
        or found.retold
        or (brief and found.changes)
    )
    return found if says_something else None


@dataclass(frozen=True, slots=True)
class _Frame:
    """What is known of two assertions before they are compared; see `Comparison`."""

    similarity: float
    certain: bool
    brief: bool
    left: bool


def _compared(after: Assertion, before: Assertion, frame: _Frame) -> Comparison:
    shared = after.frame & before.frame
    names, older = after.values.names, before.values.names
    kinds = list(zip(after.values.kinds(), before.values.kinds(), strict=True))
    states = _common_states(after, before)
    hinted = sorted(after.hints.intersection(before.states) | before.hints.intersection(after.states))
    return Comparison(
        shared=shared,
        covered=len(shared) / max(1, len(before.frame - (older - shared))),
        attribute=states[0] if states else None,
        hinted=hinted[0] if hinted else None,
        other_value=any(a - b and b - a for a, b in kinds),
        retold=any(a & b and a - b for a, b in kinds),
        other_name=bool(names - before.terms) and (not older or not older <= after.terms),
        named_before=bool(older),
        fresh=bool(after.frame - before.frame),
        left=frame.left,
        corrects=after.signs.corrects,
        explicit=after.signs.explicit,
        changes=after.signs.changes,
        eventful=bool(cues.EVENTFUL.search(before.text)),
        certain=frame.certain,
        brief=frame.brief,
        similarity=frame.similarity,
        same_head=bool(after.head) and after.head == before.head,
    )


def _common_states(after: Assertion, before: Assertion) -> list[str]:
    """Return the attributes both give a value to: the speaker's own where either is about the speaker."""
    given = [one for one in after.states if one in before.states and not one.startswith(OWN)]
    speaks = SELF in after.subject.terms | before.subject.terms
    return [one for one in given if _may_be_same(one, after, before, own=speaks)]


def _may_be_same(attribute: str, after: Assertion, before: Assertion, *, own: bool) -> bool:
    if attribute in OF_SEVERAL:
        named = (after.frame & before.frame) - OF_SEVERAL[attribute]
        return bool(named) and (attribute not in TOOLS or after.signs.explicit)
    return not own or (OWN + attribute in after.states and OWN + attribute in before.states)


def _sure_of_subject(after: Assertion, before: Assertion) -> bool | None:
    """Tell whether both are about the same for certain (True), perhaps (False), or not (None)."""
    ours, theirs = after.subject, before.subject
    if ours.kin != theirs.kin:
        kin, other = (ours, before) if ours.kin else (theirs, after)
        if not kin.terms.isdisjoint(other.terms):
            return True
        if SELF in other.subject.terms:
            couple = _COUPLE in after.states and _COUPLE in before.states
            return True if couple and not kin.terms.isdisjoint(_PARTNERS) else None
        return not (kin.terms or other.subject.terms or other.subject.speaker)
    return (
        not ours.terms
        or not theirs.terms
        or not ours.terms.isdisjoint(theirs.terms | before.terms)
        or not theirs.terms.isdisjoint(after.terms)
        or (ours.speaker and SELF in theirs.terms)
    )


def _is_denied(after: Assertion, *, left: bool) -> bool:
    """Tell whether what `after` says is that something is *not* so, other than what it leaves behind."""
    if after.signs.denied:
        return True
    if not after.signs.negated or after.signs.corrects or left:
        return False
    told = (one for one in cues.CLAUSE.split(after.text) if not cues.NEGATION.search(one))
    return not any(map(cues.CHANGE.search, told))


def _is_another(after: Assertion, before: Assertion, *, left: bool) -> bool:
    """Tell whether one is of another thing of the kind: the work number, the other deadline, the meeting with Bob."""
    ours = after.qualifiers.difference(before.qualifiers, before.words)
    theirs = before.qualifiers.difference(after.qualifiers, after.words)
    if ours and ours <= cues.FORMER and left:
        ours = frozenset()
    return bool(ours or theirs) or _other_head(after, before)


def _other_head(after: Assertion, before: Assertion) -> bool:
    """Tell whether what the two begin with are two of a kind: the tax deadline and the deadline."""
    apart = (after.head - before.terms) | (before.head - after.terms)
    return not after.head.isdisjoint(before.head) and not apart <= cues.FILLERS | CALENDAR


def _leaves(after: Assertion, before: Assertion, *, brief: bool) -> bool:
    """Tell whether `after` names something of `before` as left behind: not X, instead of X, X closed.

    Among long texts any word may stand beside such a word by chance; there only names and numbers count. Nor does a
    mere word count where `before` has names or numbers of which `after` has none.
    """
    words = after.words
    if "never" in words:
        return False
    known = before.marks
    if brief and (not known or not known.isdisjoint(words)):
        known = known.union(word for word in before.words if len(word) > _SHORT) - _WEAK
    return any(_is_left(place, words, before) for place, word in enumerate(words) if word in known)


def _is_left(place: int, words: Sequence[str], before: Assertion) -> bool:
    if not _OVER_AFTER.isdisjoint(words[place + 1 : place + 4]):
        return True
    if words[place - 1 : place] == ("from",) and "to" in words[place + 1 : place + 4]:
        return True
    if words[place] in before.words[:2]:
        return False
    gone = _LEFT_BEFORE | _FINISHED_BEFORE if words[place] in before.marks else _LEFT_BEFORE
    return not gone.isdisjoint(words[max(0, place - 3) : place])
