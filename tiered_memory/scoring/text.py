"""Text to index terms: one analyzer for every stored turn and every question.

The steps are those of a classic English analyzer (lower case, possessives and contractions split, stop words,
Porter stemming; see Manning, Raghavan, Schuetze, "Introduction to Information Retrieval", ch. 2). Letters lose
their accents and vowel points, so that *cafe* finds *café*. Scripts written without spaces become bigrams, their
ideographs single terms too. Names out of code, versions and numbers are kept whole beside their parts.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import Stemmer

ANALYZER = "en-porter-2"
"""Version of `analyze`, stored with every row: other terms, other name."""

MAX_TERM_CHARACTERS = 40
"""Longer runs (hashes, encoded blobs) are cut: nobody types them in full."""

MAX_PARTS = 8
"""A word of more humps than this is no name that a person would take apart."""

STOP_WORDS = frozenset(
    """
    a an the and or but nor so if then than as at by for from in into of off on onto out over per to up
    upon with within without about above across after again against along among around because before
    behind below beneath beside besides between beyond down during except inside near outside since
    through throughout till toward towards under until unless via while though although i me my mine
    myself we us our ours ourselves you your yours yourself yourselves he him his himself she her hers
    herself it its itself they them their theirs themselves this that these those there here some any
    each every either neither both all another other others such own same one ones someone something
    anyone anything everyone everything nobody nothing what which who whom whose when where why how
    whether am is are was were be been being do does did doing done have has had having can could may
    might must shall should will would cannot not no yes yeah ok okay oh ah um uh hey hi hello wow well
    just also too very really quite much many more most lot lots even only still yet ever already now
    let lets gonna wanna gotta
    """.split()  # noqa: SIM905 - prose wraps better than a list
)
"""Words too common to tell one turn from another."""

_CONTRACTION = re.compile(r"can't|won't|shan't|n't\b|'(?:s|m|d|t|re|ve|ll)\b")
_ASCII_RUN = re.compile(r"[a-z0-9]+")
_ACCENTS = re.compile(
    "[\u0300-\u036f\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7\u0610-\u061a\u064b-\u065f\u0670]+"
)
_UNDECOMPOSED = str.maketrans(
    {
        "ø": "o",
        "ł": "l",
        "đ": "d",
        "ð": "d",
        "þ": "th",
        "ß": "ss",
        "æ": "ae",
        "œ": "oe",
        "\u0131": "i",
        "\u2019": "'",
    }
)
_MARKS = "\u0900-\u0d7f\u0e31-\u0e4e\u3099\u309a"
_UNICODE_RUN = re.compile(rf"(?:[^\W_]|[{_MARKS}])+")
_IDEOGRAPHS = "\u3005-\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003134f"
_UNSPACED = re.compile(f"([{_IDEOGRAPHS}\u3040-\u30ff\uac00-\ud7af]+)")
_IDEOGRAPH = re.compile(f"[{_IDEOGRAPHS}]")
_COMMON_IDEOGRAPHS = frozenset("的了是在和我你他她它们們这這那有不也就都而及与與着或吗嗎呢吧啊个個么麼")

_COMPOUND_HINT = re.compile(
    r"[a-z\d][A-Z]|[A-Za-z\d]_|\d[.,][\d]|\d[A-Za-z]|[A-Za-z]\d|[cCfF][+#]|[A-Z]{2}[a-z]"
)
_COMPOUND = re.compile(
    r"(?P<snake>\b[A-Za-z0-9]+(?:_+[A-Za-z0-9]+)+)"
    r"|(?P<number>\b\d{1,3}(?:,\d{3})+\b)"
    r"|(?P<version>\bv?\d+(?:\.\d+)+)"
    r"|(?P<sharp>\b[CcFf](?:\+\+|\#))"
    r"|(?P<mixed>\b(?:[A-Za-z]+\d+|\d+(?!(?:st|nd|rd|th)\b)[A-Za-z]+)\b)"
    r"|(?P<camel>\b[A-Za-z]+[a-z][A-Z][A-Za-z0-9]*|\b[A-Z]{2,}[a-z][A-Za-z0-9]*)"
)
_HUMP = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_STEMMER = Stemmer.Stemmer("porter", 0)


@dataclass(frozen=True, slots=True)
class Analysis:
    """The index terms of one text: `terms` maps a term to its count, `length` is the sum of the counts."""

    terms: Mapping[str, int]
    length: int


def analyze(text: str) -> Analysis:
    """Return the index terms of `text`. Stop words do not count towards `length`."""
    plain = text if text.isascii() else _unaccented(text)
    terms = Counter([term for term in map(_term, _runs(plain.lower())) if term])
    if _COMPOUND_HINT.search(plain):
        terms.update(term for term in map(_term, _compounds(plain)) if term)
    return Analysis(dict(terms), terms.total())


def words(text: str) -> frozenset[str]:
    """Return the lower-case words of `text` that are no stop words, unstemmed: for comparing names."""
    plain = text if text.isascii() else _unaccented(text)
    return frozenset(run for run in _runs(plain.lower()) if run not in STOP_WORDS)


def is_question(text: str) -> bool:
    """Tell whether `text` ends as a question does."""
    return text.rstrip(" \t\r\n\"')*").endswith(("?", "\uff1f"))


def _unaccented(text: str) -> str:
    """Return `text` in compatibility form, without accents and vowel points; case is kept where it can be."""
    apart = unicodedata.normalize("NFKD", text)
    return unicodedata.normalize("NFKC", _ACCENTS.sub("", apart)).translate(_UNDECOMPOSED)


def _runs(lowered: str) -> Iterator[str] | list[str]:
    if lowered.isascii():
        return _ASCII_RUN.findall(_CONTRACTION.sub(" ", lowered) if "'" in lowered else lowered)
    return _unicode_runs(lowered)


def _unicode_runs(lowered: str) -> Iterator[str]:
    folded = _ACCENTS.sub("", lowered.translate(_UNDECOMPOSED))
    for run in _UNICODE_RUN.findall(_CONTRACTION.sub(" ", folded)):
        if run.isascii():
            yield run
        else:
            yield from _split_unspaced(run)


def _split_unspaced(run: str) -> Iterator[str]:
    for part in _UNSPACED.split(run):
        if _UNSPACED.match(part) and len(part) > 1:
            yield from map("".join, pairwise(part))
            yield from (one for one in _IDEOGRAPH.findall(part) if one not in _COMMON_IDEOGRAPHS)
        elif part:
            yield part


def _compounds(text: str) -> Iterator[str]:
    """Return what `_runs` does not: the whole of what it takes apart, the parts of what it leaves whole."""
    for match in _COMPOUND.finditer(text):
        kind, found = match.lastgroup, match[0]
        if kind in {"camel", "mixed"}:
            parts = _HUMP.findall(found)
            yield from (part.lower() for part in parts if len(parts) <= MAX_PARTS)
        elif kind == "number":
            yield found.replace(",", "")
        elif kind == "version":
            yield from _versions(found.lower().removeprefix("v"))
        else:
            yield found.lower()


def _versions(version: str) -> Iterator[str]:
    """Return a version and, of one with three parts or more, its first two: 1.2.3 is a 1.2."""
    yield version
    if version.count(".") > 1:
        yield ".".join(version.split(".")[:2])


def _term(run: str) -> str:
    if run.isascii() and run.isalpha() and len(run) <= MAX_TERM_CHARACTERS:
        return _stem(run)
    return run[:MAX_TERM_CHARACTERS]


@lru_cache(maxsize=32_768)
def _stem(word: str) -> str:
    """Return the stem of an ASCII word, or "" for a stop word. The cache never holds digits or free text."""
    return "" if word in STOP_WORDS else str(_STEMMER.stemWord(word))
