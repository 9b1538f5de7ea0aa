"""Frozen facts about what the runtime did, and the observers that hear of them.

The core reports facts and knows nothing of any monitoring system. A fact carries counts, durations in seconds
and words of a closed vocabulary; never content and never an id, so that an observer cannot leak either.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from types import MappingProxyType, TracebackType
from typing import Protocol, TypeAlias, TypeVar

from tiered_memory import clock, errors

OTHER = "other"
"""What a word outside the vocabulary is called."""

# --- serving -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class RequestDone:
    """A call of the public face ended after `seconds` with "ok" or the name of an error class."""

    op: str
    outcome: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Routed:
    """The router chose `target` for an interaction of `importance` (0..1), for `reason`."""

    target: str
    reason: str
    importance: float


@dataclass(frozen=True, slots=True)
class TierLookup:
    """A read asked a tier and found something (`hit`) or nothing."""

    tier: str
    hit: bool


@dataclass(frozen=True, slots=True)
class Embedded:
    """The embedder turned `texts` (a count) into vectors in `seconds`."""

    texts: int
    seconds: float


@dataclass(frozen=True, slots=True)
class ContextPacked:
    """A context of `tokens` was packed."""

    tokens: int


@dataclass(frozen=True, slots=True)
class RecallIndexState:
    """How many users' recall indexes are in RAM, and their size in bytes."""

    users: int
    bytes: int


# --- storing -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class TierUp:
    """A tier became reachable (`up`) or stopped being so."""

    tier: str
    up: bool


@dataclass(frozen=True, slots=True)
class BreakerChanged:
    """The breaker before a tier is now "closed", "open" or "half_open"."""

    tier: str
    state: str


@dataclass(frozen=True, slots=True)
class JournalState:
    """What waits in the journal: its records, their bytes, and the age of the oldest (0 when empty)."""

    records: int
    bytes: int
    oldest_unapplied_seconds: float


@dataclass(frozen=True, slots=True)
class JournalCommitted:
    """One group commit made `records` durable in `seconds`, fsync included."""

    records: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Flushed:
    """`records` of the journal reached the cold tier in `seconds`."""

    records: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Recovered:
    """Opening replayed `records` of the journal in `seconds`."""

    records: int
    seconds: float


@dataclass(frozen=True, slots=True)
class CorruptionDetected:
    """Bytes of `store` did not verify."""

    store: str


# --- forgetting and rights -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ForgetCycle:
    """One forgetting run: how many memories it looked at, hid, removed for good, and left as protected."""

    evaluated: int
    forgotten: int
    purged: int
    protected: int
    seconds: float


@dataclass(frozen=True, slots=True)
class MemoryMoved:
    """One memory was "forgotten", "evicted" (forgotten for its user's quota), "purged" or "restored", by a rule."""

    change: str
    rule: str


@dataclass(frozen=True, slots=True)
class HookAnswered:
    """The application was asked before forgetting: "ok", "timeout" or "error"; it kept `vetoed` memories."""

    outcome: str
    vetoed: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Reindexed:
    """After a policy change `records` deadlines were computed anew; `remaining` still follow another policy."""

    records: int
    remaining: int


@dataclass(frozen=True, slots=True)
class ErasureDone:
    """An erasure ended as `outcome`; `phases` gives the seconds of each of its phases."""

    outcome: str
    phases: Mapping[str, float]

    def __post_init__(self) -> None:
        object.__setattr__(self, "phases", MappingProxyType(dict(self.phases)))


@dataclass(frozen=True, slots=True)
class ConsentChanged:
    """A consent event was recorded: "given", "refused", "withdrawn", "expired" or "renewed"."""

    state: str


@dataclass(frozen=True, slots=True)
class OldestOverdueDeletion:
    """How long the oldest deletion is overdue, in seconds; 0 when none is."""

    seconds: float


ServingFact: TypeAlias = RequestDone | Routed | TierLookup | Embedded | ContextPacked | RecallIndexState
StoringFact: TypeAlias = (
    TierUp | BreakerChanged | JournalState | JournalCommitted | Flushed | Recovered | CorruptionDetected
)
RightsFact: TypeAlias = ForgetCycle | ErasureDone | ConsentChanged | OldestOverdueDeletion
ForgettingFact: TypeAlias = MemoryMoved | HookAnswered | Reindexed
Fact: TypeAlias = ServingFact | StoringFact | RightsFact | ForgettingFact
F = TypeVar("F", bound=Fact)
G = TypeVar("G")
R = TypeVar("R")


# --- the closed sets of words --------------------------------------------------------------------------------


RARE = (
    errors.AgentNotAllowedError,
    errors.ArchiveError,
    errors.EpochEndedError,
    errors.ObjectionNotApplicableError,
    errors.TenantUnavailableError,
    errors.TenantUnknownError,
)
"""Errors that count as the kind of error they are: each outcome is a series for every operation."""


def _error_names() -> frozenset[str]:
    kinds = (value for value in vars(errors).values() if isinstance(value, type))
    every = [kind for kind in kinds if issubclass(kind, errors.TieredMemoryError)]
    # What stops a store from opening is no outcome of a call: its kinds would be series that never count.
    told = [kind for kind in every if errors.ConfigurationError not in kind.__mro__[1:]]
    return frozenset(kind.__name__ for kind in told if kind not in RARE)


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


OUTCOMES = _error_names() | {"ok", "CancelledError", "TimeoutError"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Vocabulary:
    """The closed set of words of each dimension; whatever lies outside is reported as "other".

    Bounds the number of series: it depends on these sets and never on how many subjects there are.
    """

    ops: frozenset[str] = _words(
        "add add_many search context get list damaged update delete restore history explain pin hold profile"
        " consent_grant consent_withdraw use export import erase forget"
    )
    outcomes: frozenset[str] = OUTCOMES
    targets: frozenset[str] = _words("hot warm cold ephemeral session journaled rejected")
    reasons: frozenset[str] = _words(
        "important unimportant below_threshold above_threshold pinned explicit kind no_consent no_basis"
        " restricted quarantined duplicate repeated quota system_prompt degraded backlog policy default update"
        " promoted above_quantile"
    )
    tiers: frozenset[str] = _words("hot warm cold state")
    breaker_states: frozenset[str] = _words("closed open half_open")
    stores: frozenset[str] = _words("hot warm cold state journal keyring ledger snapshot")
    phases: frozenset[str] = _words("fence hold keys hot warm journal cold state verify certificate")
    erasure_outcomes: frozenset[str] = _words("verified incomplete failed")
    changes: frozenset[str] = _words("forgotten evicted purged restored")
    rules: frozenset[str] = _words("decay grace floor ceiling quota undated restored") | {"undo window"}
    hook_outcomes: frozenset[str] = _words("ok timeout error")
    consent_states: frozenset[str] = _words("given refused withdrawn expired renewed")


# --- observers -----------------------------------------------------------------------------------------------


class Observer(Protocol):
    """Hears of every fact."""

    def observe(self, fact: Fact) -> None:
        """Take note of `fact`: within microseconds, from any thread, without raising into the caller."""
        ...


Ended: TypeAlias = Callable[[RequestDone], None]
Begin: TypeAlias = Callable[[str], Ended]
"""A method `begin` of an observer: given a call's `op` when it begins, returns what is told, in the same task, its end."""


def begin_of(observer: Observer) -> Begin | None:
    """Return the observer's `begin`, or None when it does not hear of beginnings."""
    return getattr(observer, "begin", None)


class NullObserver:
    """Hears everything and keeps nothing."""

    def observe(self, fact: Fact) -> None:
        """Let `fact` go."""


class RecordingObserver:
    """Keeps the newest `limit` (>= 1) facts, for tests and demonstrations."""

    def __init__(self, limit: int = 10_000) -> None:
        if limit < 1:
            raise errors.InvalidInputError("limit must be at least 1")
        self._facts: deque[Fact] = deque(maxlen=limit)

    def observe(self, fact: Fact) -> None:
        """Keep `fact`, letting the oldest go when full."""
        self._facts.append(fact)

    @property
    def facts(self) -> tuple[Fact, ...]:
        """What was kept, oldest first."""
        return tuple(self._facts)

    def of(self, kind: type[F]) -> list[F]:
        """Return the kept facts of one kind, oldest first."""
        return [fact for fact in tuple(self._facts) if isinstance(fact, kind)]

    def clear(self) -> None:
        """Forget what was kept."""
        self._facts.clear()


class FanOut:
    """Passes each fact to several observers; one that raises does not disturb the caller or the others.

    `failures` counts the facts that an observer failed on. `begin` is None unless an observer hears of beginnings.
    """

    def __init__(self, *observers: Observer) -> None:
        self._observers = observers
        self._begins = [begin for begin in map(begin_of, observers) if begin is not None]
        self.begin: Begin | None = self._begun if self._begins else None
        self.failures = 0

    def observe(self, fact: Fact) -> None:
        """Pass `fact` to every observer in order."""
        for observer in self._observers:
            self._try(observer.observe, fact)

    def _begun(self, op: str) -> Ended:
        ends = [end for begin in self._begins if (end := self._try(begin, op)) is not None]

        def ended(done: RequestDone) -> None:
            for end in reversed(ends):
                self._try(end, done)

        return ended

    def _try(self, hear: Callable[[G], R], told: G) -> R | None:
        try:
            return hear(told)
        except Exception:  # noqa: BLE001 - foreign code: a broken listener must not undo an acknowledged write
            self.failures += 1
            return None


# --- timing --------------------------------------------------------------------------------------------------


def outcome_of(error: type[BaseException] | None) -> str:
    """Return "ok" for None, else the name of the nearest known class among `error` and its bases, or "other"."""
    if error is None:
        return "ok"
    names = (kind.__name__ for kind in error.__mro__)
    return next((name for name in names if name in OUTCOMES), OTHER)


@dataclass(slots=True)
class _Timed(AbstractContextManager[None]):
    observer: Observer
    op: str
    stopwatch: Callable[[], float]
    started: float = field(default=0.0, init=False)
    ended: Ended | None = field(default=None, init=False)

    def __enter__(self) -> None:
        begin = begin_of(self.observer)
        self.ended = None if begin is None else begin(self.op)
        self.started = self.stopwatch()

    def __exit__(
        self,
        error: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        done = RequestDone(self.op, outcome_of(error), self.stopwatch() - self.started)
        if self.ended is not None:
            self.ended(done)
        self.observer.observe(done)


def timed(
    observer: Observer, op: str, stopwatch: Callable[[], float] = clock.stopwatch
) -> AbstractContextManager[None]:
    """Return a context that reports its body as one `RequestDone`; what the body raises passes through.

    The outcome is "ok" or the name of an error class of a closed set (`outcome_of`). `stopwatch` returns
    seconds that never go back.
    """
    return _Timed(observer, op, stopwatch)
