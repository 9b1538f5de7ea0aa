"""What a text asserts: its assertions one by one, each with its subject, its values and its signs of change.

Questions, hypotheses, other people's words and tales of long ago assert nothing about the present; they are left
out, so that nothing is brought up to date by them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from tiered_memory.scoring import change_cues as cues
from tiered_memory.scoring.attributes import BY_TERM, Attribute
from tiered_memory.scoring.text import STOP_WORDS, analyze

SELF = "\x00self"
"""The speaker, as a subject."""

OWN = "\x00own "
"""Before an attribute among `states`: the speaker may be the one who has it."""

HEAD_CHARACTERS = 1_200
"""Only so much of a text is read: what a memory states, it states early."""

_NAME = re.compile(r"(?<![\w.'-])[A-Z][\w\u00c0-\u024f]*(?:[-.'][A-Z0-9][\w]*)*")
_STARTS = re.compile(r"^\W*(?:(?:Aunt|Uncle|Mr|Mrs|Ms|Dr|Prof|Professor|Coach)\.? )?$")
_SPEAKER = re.compile(r"\b(?:i|i'm|i've|i'll|i'd|im|we|we're|we've|we'll|my|our|me|us|mine|ours)\b")
_PERSON = re.compile(
    r"\b(?:i|i'm|i've|i'll|i'd|im|we|we're|we've|we'll|my|our|me|us|mine|ours|he|she|they|he's|she's|they're|his|her|their)\b"
)
_KIN = re.compile(
    r"(?i:\b(?:my|our|his|her|their|[a-z]+(?:'s|s')) (?:(?:best|older|younger|little|big|twin|old|college|school|new|dear) )*"
    r"((?:mother|mom|mum|father|dad|sister|brother|son|daughter|cousin|uncle|aunt|niece|nephew|colleague|coworker|neighbou?r"
    r"|friend|grandma|grandmother|grandpa|grandfather|roommate|flatmate|husband|wife|boyfriend|girlfriend|fianc[e\u00e9]e?|boss"
    r"|in-law|[a-z]+-in-law|family|parent|kid|dog|cat|ex(?:-\w+)?|professor|teacher|landlord|client)s?|children)\b)(?: ([A-Z]\w+))?"
)
_HEAD = re.compile(
    r"(?:the|my|our|his|her|its|their|this) ([\w' -]{2,40}?)(?:'s| is| are| was| will| has| have| runs?| starts?| begins?| costs?"
    r"| takes? place| happens?| goes| got| moved| changed| became| should| lives?| works?| uses?)\b"
)
_PRONOUN = re.compile(r"^(?:\w+,? ){0,2}?(?:he|she|he's|she's|his|her|their)\b")
_ACTS = re.compile(
    r"'s\b|(?: [A-Z]\w+)*,? (?:is|was|has|had|will|can|can't|and|or|[a-z]+(?:s|ed)|went|got|took|left|quit|gave|made|sold|won|lost|told)\b"
    r"|(?: [A-Z]\w+)+|'? "
    r"(?:no longer|now)\b"
)
"""After a capitalised word at the start of a sentence: it is what does something, not just the first word."""

_OPENERS = frozenset(
    """
    please pick set starting start correction typo edit oops actually sorry good great bad yes no thanks got decision
    update turns scratch misread wait let today yesterday tomorrow production changed moved sold switched two three
    four five six new old since after before because last next handed lately now finally well anyway btw fyi note
    reminder
    """.split()  # noqa: SIM905 - prose wraps better than a list
)
"""Words that begin a sentence with a capital and are no names."""

_HYPHENS = str.maketrans({"\u2019": "'", "\u2018": "'", "\u2013": "-", "\u2014": "-"})
CALENDAR = frozenset(
    analyze(
        "monday tuesday wednesday thursday friday saturday sunday january february march april june july august"
        " september october november december mon tue wed thu fri sat sun jan feb mar apr jun jul aug sep oct nov dec am pm dr mr mrs ms prof aunt uncle coach professor"
    ).terms
)
_ADDRESSED = re.compile(
    r"((?:^|[.!?\n] ?)(?:hey|hi|hello|thanks|thank you|wow|yeah|yes|no|aw+|oh|cool|nice|great|awesome|sorry|congrats|sure|(?:no|any) \w+)?,?)"
    r" ?(?-i:[A-Z][a-z]+)(?=[,!])|\[shares [^\]]{0,400}\]?|,\s(?-i:[A-Z][a-z]+)(?=[!?])",
    re.IGNORECASE,
)
"""Names of those spoken to, and captions: neither is what is said."""
_DAYS = re.compile(r"\b(?:mon|tues|wednes|thurs|fri|satur|sun)days?\b")
_TITLES = frozenset({"aunt", "uncle", "mr", "mrs", "ms", "dr", "prof", "professor", "coach"})
_NO_NAMES = STOP_WORDS | _OPENERS | _TITLES
_FAR = 45
_POSSESSIVES = frozenset({"me", "us", "my", "our", "mine", "ours"})


@dataclass(frozen=True, slots=True)
class Values:
    """The values an assertion names, by kind, in normal forms: names as index terms, numbers and times as written."""

    names: frozenset[str]
    numbers: frozenset[str]
    times: frozenset[str]
    emails: frozenset[str]

    def kinds(self) -> tuple[frozenset[str], ...]:
        """Return the kinds whose change is plain to see: all but names."""
        return (self.numbers, self.times, self.emails)


@dataclass(frozen=True, slots=True)
class Subject:
    """Whom or what an assertion is about: index terms, `SELF`, or nothing found.

    `kin` tells that it is a person other than the speaker for certain; `speaker` whether the speaker occurs at all.
    """

    terms: frozenset[str]
    kin: bool
    speaker: bool


@dataclass(frozen=True, slots=True)
class Signs:
    """Which words of change an assertion has; each is explained beside its pattern in `change_cues`."""

    corrects: bool
    explicit: bool
    changes: bool
    additive: bool
    denied: bool
    negated: bool


@dataclass(frozen=True, slots=True)
class Assertion:
    """One assertion.

    `words` are its lower-case words in order without endings, `marks` those of them that are names or numbers, `terms` its index terms, `frame` those of them that
    may say what it is about (neither calendar, numbers nor words of change); `states` the attributes it gives a
    value, `hints` those it touches, `head` the terms of the thing it begins with ("the meeting is ..."),
    `qualifiers` the words that tell this thing from another of its kind (the *work* number).
    """

    text: str
    words: tuple[str, ...]
    marks: frozenset[str]
    terms: frozenset[str]
    frame: frozenset[str]
    values: Values
    subject: Subject
    states: tuple[str, ...]
    head: frozenset[str]
    hints: frozenset[str]
    qualifiers: frozenset[str] = frozenset()
    noted: list[Signs] = field(default_factory=list, repr=False, compare=False)

    @property
    def signs(self) -> Signs:
        """Its words of change, looked for when they are first asked for: it is compared with many."""
        if not self.noted:
            self.noted.append(_signs(self.text))
        return self.noted[0]


def _signs(text: str) -> Signs:
    return Signs(
        corrects=bool(cues.CORRECTION.search(text)),
        explicit=bool(cues.EXPLICIT.search(text)),
        changes=bool(cues.CHANGE.search(text)),
        additive=bool(cues.ADDITIVE.search(text)),
        denied=bool(cues.DENIED.search(text)),
        negated=bool(cues.NEGATION.search(text)) and not cues.STILL_OVER.search(text),
    )


def assertions(content: str) -> list[Assertion]:
    """Return what `content` asserts of the present, in its order."""
    head = _ADDRESSED.sub(r"\1", content[:HEAD_CHARACTERS].translate(_HYPHENS))
    units = (unit.strip() for unit in cues.UNIT_END.split(head))
    told = (read(unit) for unit in units if unit and asserts(unit))
    return [one for one in told if one.frame or any(one.values.kinds())]


def asserts(unit: str) -> bool:
    """Tell whether one sentence asserts something of the present in the speaker's own words."""
    lowered = unit.lower()
    return not (
        lowered.rstrip("\"') ").endswith("?")
        or (cues.ADDRESSEE.search(lowered) and not _SPEAKER.search(lowered))
        or cues.HEDGE.search(lowered)
        or cues.QUOTE.search(lowered)
        or cues.PAST.search(lowered)
    )


def read(unit: str) -> Assertion:
    """Read one assertion, whatever it asserts."""
    lowered = unit.lower()
    terms = frozenset(analyze(unit).terms)
    names, initial = _names(unit)
    inside, starting = (
        frozenset(analyze(" ".join(some)).terms) - CALENDAR if some else frozenset[str]()
        for some in (names, initial)
    )
    tried = {one.name: one for term in terms for one in BY_TERM.get(term, ())}
    return Assertion(
        text=lowered,
        words=tuple(map(root, cues.WORD.findall(lowered))),
        terms=terms,
        frame=frozenset(one for one in terms - CALENDAR - cues.FILLERS if not one[0].isdigit()),
        marks=frozenset(root(one.lower()) for one in names)
        | frozenset(re.findall(r"\d+(?:[.:,]\d+)*", lowered))
        | {root(one) for one in _DAYS.findall(lowered)},
        values=_values(lowered, inside),
        subject=_subject(unit, lowered, starting),
        states=_states(
            lowered, tried.values(), named=bool(starting) or lowered.startswith(("they ", "the "))
        ),
        head=_head(lowered),
        hints=frozenset(name for name, one in tried.items() if not one.topic.isdisjoint(terms)),
        qualifiers=frozenset(
            root(word) for match in cues.QUALIFIER.finditer(lowered) for word in match.groups() if word
        ),
    )


def _states(lowered: str, tried: Iterable[Attribute], *, named: bool) -> tuple[str, ...]:
    """Return the attributes given a value; each once more behind `OWN` where it may be the speaker's."""
    found = list[str]()
    for one in tried:
        match = one.states.search(lowered)
        if match is not None:
            found.append(one.name)
            if _is_own(lowered[: match.end()], named=named):
                found.append(OWN + one.name)
    return tuple(found)


def _is_own(until: str, *, named: bool) -> bool:
    """Tell whether the last person mentioned is the speaker; where none is, whether nobody else was named."""
    persons = _PERSON.findall(until)
    return _SPEAKER.fullmatch(persons[-1]) is not None if persons else not named


def _head(lowered: str) -> frozenset[str]:
    """Return the index terms of the thing a sentence begins with, up to its verb; none where it begins otherwise."""
    match = _HEAD.match(lowered)
    return frozenset(analyze(match[1]).terms) if match else frozenset()


def root(word: str) -> str:
    """Return a word without the commonest endings: enough to find it again in another form."""
    for ending in ("'s", "ing", "es", "ed", "s", "e"):
        if word.endswith(ending) and len(word) > len(ending) + _ROOT:
            return word[: -len(ending)]
    return word


_ROOT = 2


def _names(unit: str) -> tuple[list[str], list[str]]:
    """Return the capitalised words inside the sentence, and that at its start if it does something."""
    inside, initial = list[str](), list[str]()
    for match in _NAME.finditer(unit):
        word = match[0].removesuffix("'s")
        if word.lower() not in _NO_NAMES:
            if not _STARTS.search(unit[: match.start()]):
                inside.append(word)
            elif _ACTS.match(unit, match.end()):
                initial.append(word)
    return inside, initial


def _values(lowered: str, names: frozenset[str]) -> Values:
    emails, rest = frozenset[str](), lowered
    if "@" in lowered:
        emails = frozenset(one.rstrip(".") for one in cues.EMAIL.findall(lowered))
        rest = cues.EMAIL.sub(" ", lowered)
    times = {day for match in cues.WEEKDAY.findall(rest) for day in match if day}
    times |= {part.removesuffix("s") for part in cues.DAY_PART.findall(rest)}
    times |= {date for match in cues.MONTH_DAY.finditer(rest) if (date := _normal(match))}
    rest = cues.MONTH_DAY.sub(" ", rest)
    numbers = {_normal(match) for match in cues.CLOCK.finditer(rest)}
    if any(map(str.isdigit, rest)):
        numbers |= {one.strip(".,:-$\u20ac\u00a3") for one in cues.NUMBER.findall(cues.CLOCK.sub(" ", rest))}
    numbers |= cues.WORD_NUMBERS.intersection(cues.WORD.findall(rest))
    return Values(names, frozenset(numbers - {""}), frozenset(times), emails)


def _normal(match: re.Match[str]) -> str:
    return " ".join(part for part in match.groups() if part)


def _subject(unit: str, lowered: str, initial: frozenset[str]) -> Subject:
    """Find whom or what the sentence is about: kin before the speaker, the speaker before a name at the start."""
    speaker, kin = _SPEAKER.search(lowered), _KIN.search(unit[: _FAR + 30])
    if (
        kin
        and kin.start() <= (0 if initial else _FAR)
        and (speaker is None or kin.start() <= speaker.start())
    ):
        return Subject(
            frozenset(analyze(f"{kin[1]} {kin[2] or ''}").terms), kin=True, speaker=speaker is not None
        )
    if speaker and speaker.start() <= _FAR and not (initial and speaker[0] in _POSSESSIVES):
        return Subject(frozenset({SELF}), kin=False, speaker=True)
    if initial:
        return Subject(initial, kin=False, speaker=speaker is not None)
    other = _PRONOUN.search(lowered)
    return Subject(frozenset(), kin=bool(other), speaker=speaker is not None)
