"""What the inspector works with: the memory, and what the daemon tells it besides."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from tiered_memory.clock import Clock, Entropy, SystemClock, SystemEntropy
from tiered_memory.inspector.series import History, Sample
from tiered_memory.inspector.visitors import Names, Seal, Sessions
from tiered_memory.memory import TieredMemory
from tiered_memory.model import Certificate, Subject
from tiered_memory.principals import Principal

MemoryOf = Callable[[], TieredMemory]
Verify = Callable[[str], Awaitable[Principal]]
Recheck = Callable[[Principal], Awaitable[bool]]
LOOPBACK = frozenset({"localhost", "127.0.0.1", "[::1]"})
MOST_CERTIFICATES = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What may be told to the inspector.

    `verify` turns an API key into its principal (UnauthenticatedError: it is none); without it nobody can sign in.
    `recheck` tells before each request whether a signed-in principal still is one. `samples` gives the metrics; without
    them the charts say so. `people` are offered on the page of people. `hosts` are names under which an open daemon may
    be reached besides the loopback's.
    """

    verify: Verify | None = None
    recheck: Recheck | None = None
    samples: Callable[[], Iterable[Sample]] | None = None
    people: Callable[[], Sequence[Subject]] = tuple
    hosts: Collection[str] = ()
    clock: Clock = field(default_factory=SystemClock)
    entropy: Entropy = field(default_factory=SystemEntropy)


class Certificates:
    """Certificates of erasures done here, for their download: a person's proof is shown once, then it is theirs."""

    def __init__(self) -> None:
        self._held: OrderedDict[tuple[str, str], Certificate] = OrderedDict()

    def keep(self, session_id: str, certificate: Certificate) -> None:
        """Keep one for who asked for it; the oldest goes when there are too many."""
        self._held[session_id, certificate.id] = certificate
        while len(self._held) > MOST_CERTIFICATES:
            self._held.popitem(last=False)

    def of(self, session_id: str, certificate_id: str) -> Certificate | None:
        """Return one to who asked for it."""
        return self._held.get((session_id, certificate_id))


class Desk:
    """Everything a page needs."""

    def __init__(self, memory_of: MemoryOf, options: Options) -> None:
        self._memory_of = memory_of
        self.options = options
        self.clock = options.clock
        self.seal = Seal(options.entropy)
        self.sessions = Sessions(options.clock, options.entropy)
        self.names = Names(self.seal)
        self.certificates = Certificates()
        self.history = History()

    @property
    def memory(self) -> TieredMemory:
        """The memory that is looked at."""
        return self._memory_of()

    @property
    def now(self) -> datetime:
        """The present moment."""
        return self.clock.now()
