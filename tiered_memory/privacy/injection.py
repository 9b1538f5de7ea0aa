"""Does a text carry instructions to an agent or to its memory? Rules over concepts near each other; no model. Pure.

A rule fires where words of all its concepts stand within a window, in any order, which is the same for every
language and survives rewording better than phrases do. Marks that no prose has (role tags, tool calls, text that no
screen shows) count by themselves. Each finding has a weight (0..1), the chance that it is meant as an instruction;
they are taken as independent, so that the score is `1 - product(1 - weight)`. Time is linear in the text's length.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain

from tiered_memory.privacy import injection_text as read
from tiered_memory.privacy.injection_words import CJK, PHRASES, Concept, lexicon

C = Concept
HIDDEN_WORDS_LEAST = 2
DISGUISED_WORDS_LEAST = 5
PROSE_WORDS_LEAST = 5
NEVER = -(10**9)


@dataclass(frozen=True, slots=True)
class Scan:
    """What was found in a text: a score (0..1) and the names of the rules that fired, the weightiest first."""

    score: float
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Rule:
    """Fires where each group has one of its concepts, by number, within `span` words."""

    name: str
    weight: float
    span: int
    groups: tuple[tuple[int, ...], ...]


def _any(*concepts: Concept) -> tuple[int, ...]:
    return tuple(map(int, concepts))


def _rule(name: str, weight: float, span: int, *groups: Concept | tuple[int, ...]) -> _Rule:
    return _Rule(name, weight, span, tuple(g if isinstance(g, tuple) else (int(g),) for g in groups))


RULES = (
    _rule("override", 0.92, 8, C.OVERRIDE, C.INSTRUCTION, _any(C.PRIOR, C.YOU, C.AGENT)),
    _rule("override", 0.80, 9, C.OVERRIDE, C.TOLD, C.PRIOR, C.YOU),
    _rule("override", 0.45, 5, C.OVERRIDE, C.INSTRUCTION),
    _rule("safety_off", 0.75, 6, C.OVERRIDE, C.SAFETY, _any(C.YOU, C.AGENT, C.PRIOR, C.LASTING)),
    _rule("new_instructions", 0.75, 9, C.NEW, C.INSTRUCTION, _any(C.AGENT, C.YOU), _any(C.DIRECTIVE, C.MUST)),
    _rule("standing_order", 0.75, 14, C.LASTING, C.DIRECTIVE, _any(C.AGENT, C.PERSON)),
    _rule("standing_order", 0.55, 7, C.LASTING, C.DIRECTIVE, C.YOU),
    _rule("standing_order", 0.72, 14, C.WHEN, C.PERSON, C.DIRECTIVE),
    _rule("agent_addressed", 0.75, 12, C.AGENT, C.MUST, C.DIRECTIVE),
    _rule("agent_addressed", 0.45, 5, C.AGENT, C.MUST),
    _rule("memory_write", 0.85, 10, C.MEMORISE, C.PERSON, C.GRANT),
    _rule("memory_write", 0.72, 12, C.MEMORISE, C.PERSON, _any(C.LASTING, C.RISKY, C.AGENT)),
    _rule("memory_write", 0.60, 10, C.MEMORISE, C.PERSON, C.WISH),
    _rule("authorisation", 0.75, 12, C.PERSON, C.GRANT, C.RISKY),
    _rule("exfiltration", 0.90, 22, C.SEND, C.SECRET, C.TARGET),
    _rule("exfiltration", 0.75, 10, C.SEND, C.SECRET, _any(C.PERSON, C.AGENT)),
    _rule("concealment", 0.80, 6, C.NOT, C.TELL, C.PERSON),
    _rule("concealment", 0.80, 6, C.CONCEAL, C.PERSON),
    _rule("persona", 0.80, 10, C.PERSONA, _any(C.AGENT, C.NOT, C.SAFETY, C.AUTHORITY, C.INSTRUCTION)),
    _rule("persona", 0.45, 1, C.PERSONA),
    _rule("authority_claim", 0.72, 8, C.AUTHORITY, C.NOTICE, _any(C.AGENT, C.YOU, C.MUST)),
    _rule("prompt_leak", 0.85, 7, C.REVEAL, C.PROMPT, _any(C.YOU, C.AUTHORITY)),
    _rule("payment_redirect", 0.75, 16, C.PAYMENT, C.ACCOUNT, _any(C.LASTING, C.NEW), C.DIRECTIVE),
    _rule("payment_redirect", 0.75, 16, C.PAYMENT, C.ACCOUNT, C.LASTING),
)
CONCEPTS = len(Concept)
_BY_CONCEPT = [
    [at for at, rule in enumerate(RULES) if any(one in group for group in rule.groups)]
    for one in range(CONCEPTS)
]

# Each with what one of must stand in the folded text: where none does the pattern need not be tried.
MARKS = (
    (
        "role_tag",
        0.95,
        ("<", "[", "#", ":", "begin "),
        re.compile(
            r"<\|\s?(?:im_start|im_end|im_sep|system|user|assistant|endoftext|eot_id|start_header_id|end_header_id)\s?\|>"
            r"|\[/?INST\]|<</?SYS>>|</?(?:system|assistant|human|instructions?)>"
            r"|(?:^|[\n>|\"])[ \t>*_#-]{0,8}(?:system|developer)[ \t*_]{0,4}(?:prompt|message|note|override)?[ \t*_]{0,4}:"
            r"|(?:^|\n)#{1,6}[ \t]*(?:system|instructions?|new instructions?|assistant)\b[ \t]*:?"
            r"|\n[ \t]*(?:assistant|human|ai)[ \t]*:|BEGIN (?:SYSTEM|NEW|ADMIN)[ A-Z]{0,20}(?:PROMPT|INSTRUCTIONS?)",
            re.IGNORECASE,
        ),
    ),
    (
        "tool_call",
        0.90,
        ('"', "<"),
        re.compile(
            r"\"(?:tool_calls?|function_call|tool_use)\"\s{0,4}:|</?(?:tool_call|function_calls?|invoke|tool_use)\b"
            r"|\"name\"\s{0,4}:\s{0,4}\"[\w.-]{1,64}\"\s{0,4},\s{0,4}\"(?:arguments|parameters|input)\"\s{0,4}:",
            re.IGNORECASE,
        ),
    ),
    (
        "image_beacon",
        0.90,
        ("![", "<img"),
        re.compile(
            r"!\[[^\]\n]{0,200}\]\(\s{0,4}https?://[^)\s]{1,500}[?&][^)\s=]{1,60}="
            r"|<img\s[^<>]{0,200}src\s{0,4}=\s{0,4}[\"']?https?://[^\s\"'<>]{1,500}[?&][^\s\"'<>=]{1,60}=",
            re.IGNORECASE,
        ),
    ),
    (
        "script_link",
        0.80,
        ("](", "<script"),
        re.compile(r"\]\(\s{0,4}(?:javascript|data):|<script\b", re.IGNORECASE),
    ),
)
_CJK = {name: re.compile(words) for name, words in CJK.items()}
_CJK_RULES = (
    ("override", 0.92, ("override", "instruction")),
    ("standing_order", 0.75, ("lasting", "directive")),
    ("memory_write", 0.85, ("memorise", "person", "grant")),
    ("exfiltration", 0.90, ("send", "secret")),
    ("concealment", 0.85, ("conceal",)),
    ("persona", 0.75, ("persona",)),
)
_HAS_CJK = re.compile("[\u3040-\u30ff\u4e00-\u9fff]")


def scan(text: str) -> Scan:
    """Return what in `text`, and in what is encoded or hidden in it, reads like an instruction to an agent."""
    weights = dict[str, float]()
    _take(weights, _found(text))
    _take(weights, _hidden(text))
    inner = list(chain.from_iterable(_layers(text)))
    for plain in inner:
        found = _found(plain)
        _take(weights, found)
        if found or len(read.words_of(plain)) >= PROSE_WORDS_LEAST:
            _take(weights, [("encoded", 0.6)])
    missing = 1.0
    for weight in weights.values():
        missing *= 1.0 - weight
    ranked = sorted(weights, key=lambda name: (-weights[name], name))
    return Scan(round(1.0 - missing, 6), tuple(ranked))


def _take(weights: dict[str, float], found: Iterable[tuple[str, float]]) -> None:
    """Of one name the weightiest finding counts."""
    for name, weight in found:
        weights[name] = max(weight, weights.get(name, 0.0))


def _layers(text: str) -> Iterable[list[str]]:
    """Return what is encoded in `text`, and what is encoded in that: two layers are as deep as is looked."""
    outer = [*read.decoded(text), *filter(None, [read.tagged(text)])]
    yield outer
    yield [plain for one in outer for plain in read.decoded(one)]


def _found(text: str) -> list[tuple[str, float]]:
    plain = read.folded(text)
    marks = _marks(text, plain)
    if not text.isascii():
        marks += _marks(plain, plain)
    for phrase, word in PHRASES:
        plain = plain.replace(phrase, word)
    found = marks + _near(read.words_of(plain))
    return found + _without_spaces(plain) if not plain.isascii() and _HAS_CJK.search(plain) else found


def _marks(text: str, plain: str) -> list[tuple[str, float]]:
    """Look only where a character stands that every mark of a sort has: that is far quicker than the patterns."""
    there = (
        (name, weight, pattern)
        for name, weight, needed, pattern in MARKS
        if any(one in plain for one in needed)
    )
    return [(name, weight) for name, weight, pattern in there if pattern.search(text)]


def _near(words: Sequence[str]) -> list[tuple[str, float]]:
    """Return the rules whose concepts stand near each other; each word is looked at once."""
    meaning, last = lexicon(), [NEVER] * CONCEPTS
    fired = set[int]()
    for at, word in enumerate(words):
        if word not in meaning:
            continue
        concepts = meaning[word]
        for one in concepts:
            last[one] = at
        for one in concepts:
            fired.update(rule for rule in _BY_CONCEPT[one] if rule not in fired and _holds(rule, last, at))
    return [(RULES[one].name, RULES[one].weight) for one in fired]


def _holds(number: int, last: Sequence[int], at: int) -> bool:
    rule = RULES[number]
    since = at - rule.span
    for group in rule.groups:
        for one in group:
            if last[one] > since:
                break
        else:
            return False
    return True


def _without_spaces(plain: str) -> list[tuple[str, float]]:
    there = {name for name, pattern in _CJK.items() if pattern.search(plain)}
    return [(name, weight) for name, weight, needed in _CJK_RULES if there.issuperset(needed)]


def _hidden(text: str) -> list[tuple[str, float]]:
    found = list[tuple[str, float]]()
    if read.tagged(text):
        found.append(("hidden_text", 0.95))
    if read.hidden_within_words(text) >= HIDDEN_WORDS_LEAST:
        found.append(("hidden_text", 0.75))
    if read.disguised_words(text) >= DISGUISED_WORDS_LEAST:
        found.append(("lookalikes", 0.7))
    if not text.isascii() and read.BIDI.search(text):
        found.append(("bidi", 0.5))
    if "<" in text:
        if any(_found(one) for one in read.comments(text)):
            found.append(("hidden_text", 0.75))
        if read.STYLED.search(text):
            found.append(("hidden_text", 0.72))
    return found
