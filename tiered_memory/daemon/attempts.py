"""Guesses at credentials: an address that gets many wrong has to wait, those let in before go on."""

from __future__ import annotations

import hashlib
from collections import OrderedDict

from tiered_memory.daemon.limits import Buckets

MOST_KNOWN = 10_000


class Attempts:
    """Counts wrong credentials by address. `capacity` may be wrong at once, `per_minute` in the long run.

    Of credentials that were right only SHA-256 digests are kept, in RAM. Times are seconds that never go back.
    """

    def __init__(self, capacity: float, per_minute: float) -> None:
        self._failures = Buckets(capacity, per_minute / 60.0)
        self._known: OrderedDict[bytes, None] = OrderedDict()

    def wait(self, peer: str, credential: str, now: float) -> float:
        """Return how many seconds (>= 0) the address has to wait before this credential is looked at."""
        wait = self._failures.wait(peer, now)
        return 0.0 if wait <= 0 or _digest(credential) in self._known else wait

    def failed(self, peer: str, now: float) -> None:
        """Count a wrong credential."""
        self._failures.take(peer, now)

    def succeeded(self, credential: str) -> None:
        """Know a right one again."""
        digest = _digest(credential)
        self._known[digest] = None
        self._known.move_to_end(digest)
        if len(self._known) > MOST_KNOWN:
            self._known.popitem(last=False)


def _digest(credential: str) -> bytes:
    return hashlib.sha256(credential.encode(errors="surrogatepass")).digest()
