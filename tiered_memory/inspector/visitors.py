"""Who is at the window: sessions kept in RAM, tokens against forged requests, names for people in addresses.

Nothing here outlives the process: a restart signs everybody out and makes every address of a person void.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections import OrderedDict
from dataclasses import dataclass, replace

from tiered_memory.clock import Clock, Entropy
from tiered_memory.principals import Principal

SESSION_BYTES = 32
SECRET_BYTES = 32
MOST_SESSIONS = 1_000
MOST_NAMES = 20_000
IDLE_SECONDS = 30 * 60.0
LONGEST_SECONDS = 12 * 3600.0


@dataclass(frozen=True, slots=True)
class Session:
    """A sign-in: whose it is, when it began, when it was last used (monotonic seconds)."""

    principal: Principal
    begun: float
    used: float


class Sessions:
    """The sign-ins of this process, by an unguessable id that only the visitor's cookie holds."""

    def __init__(self, clock: Clock, entropy: Entropy) -> None:
        self._clock = clock
        self._entropy = entropy
        self._held: OrderedDict[str, Session] = OrderedDict()

    def new_id(self) -> str:
        """Return an id nobody has."""
        return self._entropy.token(SESSION_BYTES).hex()

    def begin(self, principal: Principal) -> str:
        """Return the id of a new session; the one unused for longest goes when there are too many."""
        now, made = self._clock.monotonic(), self.new_id()
        self._held[made] = Session(principal, now, now)
        while len(self._held) > MOST_SESSIONS:
            self._held.popitem(last=False)
        return made

    def principal(self, session_id: str, *, keep: bool = True) -> Principal | None:
        """Return whose session it is; None when it ended. To `keep` it is to keep it from falling idle."""
        held = self._held.get(session_id)
        if held is None:
            return None
        now = self._clock.monotonic()
        if now - held.used > IDLE_SECONDS or now - held.begun > LONGEST_SECONDS:
            self.end(session_id)
            return None
        if keep:
            self._held[session_id] = replace(held, used=now)
            self._held.move_to_end(session_id)
        return held.principal

    def end(self, session_id: str) -> None:
        """End a session; harmless when there is none."""
        self._held.pop(session_id, None)


class Seal:
    """Signs with a secret of this process."""

    def __init__(self, entropy: Entropy) -> None:
        self._secret = entropy.token(SECRET_BYTES)

    def sign(self, *words: str) -> str:
        """Return 64 hex digits that only this process can make of these words."""
        return hmac.new(self._secret, json.dumps(words).encode(), hashlib.sha256).hexdigest()

    def holds(self, given: str, *words: str) -> bool:
        """Tell whether `given` was made of these words."""
        return hmac.compare_digest(given.encode("utf-8", "replace"), self.sign(*words).encode())


class Names:
    """Stand-ins for people and sessions in addresses: an address is logged and remembered, an id must not be."""

    def __init__(self, seal: Seal) -> None:
        self._seal = seal
        self._held: OrderedDict[str, tuple[str, ...]] = OrderedDict()

    def of(self, *words: str) -> str:
        """Return the stand-in of these words."""
        made = self._seal.sign("name", *words)[:32]
        self._held[made] = words
        self._held.move_to_end(made)
        while len(self._held) > MOST_NAMES:
            self._held.popitem(last=False)
        return made

    def words(self, name: str) -> tuple[str, ...] | None:
        """Return what a stand-in stands for; None when this process did not make it, or long ago."""
        return self._held.get(name)
