"""The act in which everything is erased, and the search for what may be left."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from tiered_memory.cli.demo.facts import Erasure, Traces
from tiered_memory.cli.demo.source import markers
from tiered_memory.cli.demo.stage import Stage
from tiered_memory.cli.leftovers import traces
from tiered_memory.clock import stopwatch
from tiered_memory.erasure import verify_certificate
from tiered_memory.errors import CorruptionError
from tiered_memory.model import Certificate

REASON = "the person asked for it"
LIMIT = 50
PAGE = 10_000


async def erasure(stage: Stage) -> Erasure:
    """Erase the person, close the store, and look for the id and for three telling words in what is left."""
    user, talk = stage.user, stage.conversation
    held, current = await stage.held(), await user.list(limit=PAGE)
    words = markers(
        [one.content for one in current] or [turn.content for turn in talk.turns], avoid=talk.user
    )
    sought = (talk.user, *words)
    hits_before = await _hits(stage, words)
    before = await _traces(stage, sought, live=True)
    begun = stopwatch()
    certificate = await user.erase(reason=REASON)
    seconds = stopwatch() - begun
    hits_after, listed_after = await _hits(stage, words), len(await stage.held())
    after = await _traces_at_rest(stage, sought)
    return Erasure(
        user=talk.user,
        markers=words,
        hits_before=hits_before,
        hits_after=hits_after,
        listed_before=len(held),
        listed_after=listed_after,
        traces_before=before,
        traces_after=after,
        leftovers=sum(after.found.values()),
        milliseconds=seconds * 1e3,
        certificate=certificate,
        signature_verified=_verifies(certificate),
        altered_certificate_refused=not _verifies(replace(certificate, keys_destroyed=99)),
    )


async def _hits(stage: Stage, words: Sequence[str]) -> dict[str, int]:
    """Return in how many of the memories a search for each word finds, the word is."""
    found = {}
    for word in words:
        hits = await stage.user.search(word, limit=LIMIT)
        found[word] = sum(word in hit.memory.content.lower() for hit in hits)
    return found


async def _traces(stage: Stage, sought: Sequence[str], *, live: bool) -> Traces:
    where = stage.where
    return await traces(where.settings, where.redis_url, sought, live=live)


async def _traces_at_rest(stage: Stage, sought: Sequence[str]) -> Traces:
    """Closing comes first: then every byte that is going to be on disk is there, and no lock is in the way."""
    await stage.memory.close()
    return await _traces(stage, sought, live=False)


def _verifies(certificate: Certificate) -> bool:
    try:
        verify_certificate(certificate)
    except CorruptionError:
        return False
    return True
