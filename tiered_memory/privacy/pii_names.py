"""Names of persons as far as words give them away: a title before, or an introduction. An option, and a weak one."""

from __future__ import annotations

import re
from collections.abc import Iterator

from tiered_memory.policy.pii_types import PiiType, Span

_NAME = r"[^\W\d_a-z][\w'\u2019\-]{1,24}"
_TITLE = re.compile(
    rf"(?<!\w)(?:Mr|Mrs|Ms|Mx|Dr|Prof|Miss|Sir|Herr|Frau|Se\u00f1ora?|Madame|Monsieur)\.? (?P<name>{_NAME}(?: {_NAME}){{0,2}})"
)
_INTRODUCED = re.compile(
    r"(?<!\w)(?:[Mm]y (?:full )?name is|[Mm]y name's|[Ii] am called|[Cc]all me|[Tt]his is|[Ii]ch hei\u00dfe|[Mm]ein Name ist"
    rf"|[Jj]e m'appelle|[Mm]e llamo) (?P<name>{_NAME}(?: {_NAME}){{0,3}})"
)


def find_names(text: str) -> Iterator[Span]:
    """Yield names after a title or an introduction. Any other name needs a model."""
    for match in _TITLE.finditer(text):
        yield Span(match.start("name"), match.end("name"), PiiType.PERSON, 0.6, "title")
    for match in _INTRODUCED.finditer(text):
        yield Span(match.start("name"), match.end("name"), PiiType.PERSON, 0.6, "introduction")
