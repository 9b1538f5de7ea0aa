"""Terms that mean about the same, so that a question finds a turn in other words: *purchased* for *bought*.

The table was made from the default embedder's vectors by `scripts/relate_terms.py`. It is asked about questions
only, so it holds nothing of any user, and it serves whatever embedder makes the vectors.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tiered_memory.errors import ConfigurationError
from tiered_memory.scoring.text import analyze

FILE = Path(__file__).parent / "model" / "related.npz"
SHA256 = "4bdac95e5cf1579b39e46d4fea1ca9d3121aa425a728bbeb18e117465268de30"
STEPS = 256
SHARE = 0.3
"""What a related term of cosine 1 counts beside the term itself."""

_NAME = re.compile(r"(?<=[\w,;:'\"] )[A-Z][\w'-]*")


def related_terms(question: str) -> Mapping[str, Mapping[str, float]]:
    """Return for the index terms of `question` their related terms, weighted by likeness: multiples of 1/256.

    Names (capitals within a sentence) have none.

    Raises:
        ConfigurationError: The table's file is missing or not the one that was shipped.
    """
    if not question.isupper():
        question = _NAME.sub(" ", question)
    table = _table()
    found = ((term, table.related(term)) for term in analyze(question).terms)
    return {term: related for term, related in found if related}


@dataclass(frozen=True, slots=True)
class _Table:
    """Terms in order; those related to term `n` are `others[starts[n]:starts[n + 1]]`."""

    terms: Sequence[str]
    number_of: Mapping[str, int]
    starts: NDArray[np.uint32]
    others: NDArray[np.uint16]
    likeness: NDArray[np.uint8]

    def related(self, term: str) -> dict[str, float]:
        number = self.number_of.get(term)
        if number is None:
            return {}
        part = slice(int(self.starts[number]), int(self.starts[number + 1]))
        weights = np.rint(self.likeness[part] * SHARE) / STEPS
        return dict(zip((self.terms[other] for other in self.others[part]), weights.tolist(), strict=True))


@cache
def _table() -> _Table:
    try:
        if hashlib.sha256(FILE.read_bytes()).hexdigest() != SHA256:
            raise ConfigurationError(f"{FILE} is not the file that was shipped: reinstall")
        with np.load(FILE, allow_pickle=False) as stored:
            terms = bytes(stored["terms"]).decode().split("\n")
            numbers = {term: number for number, term in enumerate(terms)}
            return _Table(terms, numbers, stored["starts"], stored["others"], stored["likeness"])
    except OSError as error:
        raise ConfigurationError(f"cannot read {FILE}") from error
