"""What an agent would find: the search with the terms of each score, and the context within a token budget."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from starlette.responses import Response

from tiered_memory.clock import stopwatch
from tiered_memory.errors import InvalidInputError, NotFoundError
from tiered_memory.inspector.person_page import SESSIONS_OF, about, sessions_of
from tiered_memory.inspector.render import page
from tiered_memory.inspector.visit import VOID, Visit
from tiered_memory.inspector.words import as_json
from tiered_memory.model import Context, Hit
from tiered_memory.principals import Grant

LIMITS = (5, 10, 20, 50)
LIMIT = 10
BUDGET = 1500
TERMS = {
    "vector": "meaning of the turn",
    "lexical": "words of the turn",
    "context_vector": "meaning with the turn before",
    "context_lexical": "words with the turn before",
    "neighbours": "what the neighbours found",
    "author": "its author is named",
    "session": "best of its session",
    "length": "it says something",
    "question": "it only asks",
    "importance": "how important it is",
    "cue": "a cue in the question",
    "time": "the time asked about",
    "strength": "it has faded",
    "trust": "its source is believed less",
    "succession": "it took another's place",
}
"""What the terms of a score mean, in the order in which they are drawn."""


async def show_search(visit: Visit) -> Response:
    """Show the form."""
    visit.check(Grant.READ, visit.subject)
    return page(visit, "search.html", {**about(visit, "search"), **_asked(visit)})


async def search(visit: Visit) -> Response:
    """Show what is found, each with the terms of its score."""
    user = visit.user(Grant.READ)
    values = {**about(visit, "search"), **_asked(visit)}
    begun = stopwatch()
    try:
        hits = await user.search(visit.field("question"), limit=visit.number("limit", LIMIT))
    except InvalidInputError as error:
        return page(visit, "search.html", {**values, "wrong": str(error)}, 400)
    took = (stopwatch() - begun) * 1e3
    return page(visit, "search.html", {**values, **_found(hits), "milliseconds": took})


def _asked(visit: Visit) -> dict[str, Any]:
    return {
        "question": visit.form.get("question", ""),
        "limit": visit.form.get("limit", str(LIMIT)),
        "limits": LIMITS,
        "hits": None,
        "wrong": "",
    }


def _found(hits: Sequence[Hit]) -> dict[str, Any]:
    """Return hits with their terms as data, and the terms that occur in any of them."""
    named = {name for hit in hits for name, value in hit.terms.items() if round(value, 4)}
    known = [(name, TERMS[name]) for name in TERMS if name in named]
    others = [(name, "") for name in sorted(named - TERMS.keys())]
    return {
        "hits": [(hit, as_json({name: round(v, 5) for name, v in hit.terms.items()})) for hit in hits],
        "terms": known + others,
        "tiers": Counter(hit.tier.value for hit in hits),
    }


async def show_context(visit: Visit) -> Response:
    """Show the form."""
    return page(visit, "context.html", await _wanted(visit))


async def context(visit: Visit) -> Response:
    """Show what would be put before a model, and what was left out and why. Nothing counts as used."""
    values = await _wanted(visit)
    user = visit.user(Grant.READ)
    begun = stopwatch()
    try:
        packed = await user.preview(
            visit.field("question"),
            session=_session(visit),
            token_budget=visit.number("token_budget", BUDGET),
        )
    except InvalidInputError as error:
        return page(visit, "context.html", {**values, "wrong": str(error)}, 400)
    took = (stopwatch() - begun) * 1e3
    return page(
        visit,
        "context.html",
        {**values, "packed": packed, "sections": _sections(packed), "milliseconds": took},
    )


async def _wanted(visit: Visit) -> dict[str, Any]:
    recent = await visit.user(Grant.READ).list(limit=SESSIONS_OF)
    return {
        **about(visit, "context"),
        "known": {one.id: one.content for one in recent},
        "question": visit.form.get("question", ""),
        "token_budget": visit.form.get("token_budget", str(BUDGET)),
        "session": visit.form.get("session", ""),
        "sessions": sessions_of(visit, recent),
        "packed": None,
        "wrong": "",
    }


def _session(visit: Visit) -> str | None:
    given = visit.form.get("session", "")
    if not given:
        return None
    words = visit.desk.names.words(given)
    if words is None or words[0] != "session":
        raise NotFoundError(VOID)
    return words[1]


def _sections(packed: Context) -> list[tuple[str, int, float, float]]:
    """Return for each section its tokens, and where its part of the budget begins and how long it is (0..100)."""
    tokens = Counter[str]()
    for one in packed.items:
        tokens[one.section] += one.tokens
    shown, begin = [], 0.0
    for section, count in tokens.items():
        width = 100.0 * count / packed.token_budget
        shown.append((section, count, round(begin, 2), round(width, 2)))
        begin += width
    return shown
