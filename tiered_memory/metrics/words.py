"""The closed sets of words that facts are counted under: what lies outside is reported as "other"."""

from __future__ import annotations

from dataclasses import dataclass

from tiered_memory import errors

OTHER = "other"
"""What a word outside the vocabulary is called."""

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
