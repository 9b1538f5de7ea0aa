"""Text to index terms: one analyzer for every stored turn and every question.

The steps are those of a classic English analyzer (lower case, possessives and contractions split, stop words,
Porter stemming; see Manning, Raghavan, Schuetze, "Introduction to Information Retrieval", ch. 2), with bigrams
for scripts that are written without spaces.
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

ANALYZER = "en-porter-1"
"""Version of `analyze`, stored with every row: other terms, other name."""

MAX_TERM_CHARACTERS = 40
"""Longer runs (hashes, encoded blobs) are cut: nobody types them in full."""

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
_MARKS = "\u0300-\u036f\u0591-\u05c7\u0610-\u061a\u064b-\u065f\u0670\u0900-\u0d7f\u0e31-\u0e4e"
_UNICODE_RUN = re.compile(rf"(?:[^\W_]|[{_MARKS}])+")
_UNSPACED = re.compile(
    "([\u3005-\u3007\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003134f]+)"
)
_STEMMER = Stemmer.Stemmer("porter", 0)


@dataclass(frozen=True, slots=True)
class Analysis:
    """The index terms of one text: `terms` maps a term to its count, `length` is the sum of the counts."""

    terms: Mapping[str, int]
    length: int


def analyze(text: str) -> Analysis:
    """Return the index terms of `text`. Stop words do not count towards `length`."""
    terms = Counter([term for term in map(_term, _runs(text)) if term])
    return Analysis(dict(terms), terms.total())


def words(text: str) -> frozenset[str]:
    """Return the lower-case words of `text` that are no stop words, unstemmed: for comparing names."""
    return frozenset(run for run in _runs(text) if run not in STOP_WORDS)


def is_question(text: str) -> bool:
    """Tell whether `text` ends as a question does."""
    return text.rstrip(" \t\r\n\"')*").endswith(("?", "\uff1f"))


def _runs(text: str) -> Iterator[str] | list[str]:
    lowered = text.lower()
    if lowered.isascii():
        return _ASCII_RUN.findall(_CONTRACTION.sub(" ", lowered) if "'" in lowered else lowered)
    return _unicode_runs(lowered)


def _unicode_runs(lowered: str) -> Iterator[str]:
    folded = unicodedata.normalize("NFKC", lowered).lower().replace("\u2019", "'")
    for run in _UNICODE_RUN.findall(_CONTRACTION.sub(" ", folded)):
        if run.isascii():
            yield run
        else:
            yield from _split_unspaced(run)


def _split_unspaced(run: str) -> Iterator[str]:
    for part in _UNSPACED.split(run):
        if _UNSPACED.match(part) and len(part) > 1:
            yield from map("".join, pairwise(part))
        elif part:
            yield part


def _term(run: str) -> str:
    if run.isascii() and run.isalpha() and len(run) <= MAX_TERM_CHARACTERS:
        return _stem(run)
    return run[:MAX_TERM_CHARACTERS]


@lru_cache(maxsize=32_768)
def _stem(word: str) -> str:
    """Return the stem of an ASCII word, or "" for a stop word. The cache never holds digits or free text."""
    return "" if word in STOP_WORDS else str(_STEMMER.stemWord(word))
