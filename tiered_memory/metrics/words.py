"""The closed sets of words that facts are counted under: what lies outside is reported as "other"."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from tiered_memory import errors

OTHER = "other"
"""What a word outside the vocabulary is called."""
OK = "ok"


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_KINDS: Mapping[str, tuple[type[errors.TieredMemoryError], ...]] = {
    "caller_error": (
        errors.InvalidInputError,
        errors.ConflictError,
        errors.QuotaExceededError,
        errors.TenantUnknownError,
        errors.ConfigurationError,
    ),
    "not_found": (errors.NotFoundError,),
    "denied": (errors.AccessDeniedError, errors.AgentNotAllowedError, errors.UnauthenticatedError),
    "rights": (
        errors.ConsentRequiredError,
        errors.SubjectErasedError,
        errors.RestrictedError,
        errors.ObjectionNotApplicableError,
        errors.ConfirmationRequiredError,
    ),
    "overloaded": (errors.BacklogFullError, errors.DiskFullError),
    "storage": (errors.StorageError,),
    "unknown_outcome": (errors.OutcomeUnknownError,),
    "corruption": (errors.CorruptionError,),
}
"""What each sort of error asks of whom: of the caller, of the person's rights, of whoever operates the store."""


def _error_names() -> frozenset[str]:
    kinds = (value for value in vars(errors).values() if isinstance(value, type))
    every = [kind for kind in kinds if issubclass(kind, errors.TieredMemoryError)]
    # What stops a store from opening is no outcome of a call: its kinds would be series that never count.
    return frozenset(kind.__name__ for kind in every if errors.ConfigurationError not in kind.__mro__[1:])


ERRORS = _error_names() | {"CancelledError", "TimeoutError"}
"""The names of errors that calls end with; one that is none of them is counted as its nearest base."""


def _outcomes() -> dict[str, str]:
    named = {kind: word for word, kinds in _KINDS.items() for kind in kinds}
    found = {OK: OK, "CancelledError": "cancelled"}
    for name in ERRORS - found.keys():
        bases = getattr(errors, name, OSError).__mro__
        found[name] = next((named[base] for base in bases if base in named), OTHER)
    return found


OUTCOME_OF: Mapping[str, str] = MappingProxyType(_outcomes())
"""The outcome that an error's name is counted under, and "ok" under itself."""

_SERVED = "add add_many search context get list history explain update delete use"
_RIGHTS = "export import erase forget"


@dataclass(frozen=True, slots=True, kw_only=True)
class Vocabulary:
    """The closed set of words of each dimension; whatever lies outside is reported as "other".

    Bounds the number of series: it depends on these sets and never on how many subjects there are.
    """

    ops: frozenset[str] = _words(
        f"{_SERVED} {_RIGHTS} damaged restore forgotten pin forecast consent_grant consent_withdraw consents about"
        " decide decisions object_to restrict request requests_due notice quarantine roll_back shared hold hold_export"
        " retention_event erase_tenant tenants keys api_keys reports ledger backup stats"
    )
    """The calls of the public face."""
    timed_ops: frozenset[str] = _words(f"{_SERVED} {_RIGHTS}")
    """Those whose durations are told apart."""
    outcomes: frozenset[str] = frozenset(OUTCOME_OF.values()) - {OTHER}
    errors: frozenset[str] = ERRORS
    actions: frozenset[str] = _words("search read write correct export erase rights audit")
    targets: frozenset[str] = _words("hot warm cold")
    reasons: frozenset[str] = _words(
        "system_prompt no_basis explicit above_threshold above_quantile below_threshold update promoted duplicate"
        " quarantined"
    )
    quarantines: frozenset[str] = _words("scanned derived caller rolled_back")
    tiers: frozenset[str] = _words("hot warm cold state")
    asked_tiers: frozenset[str] = _words("hot cold")
    """Those that reads ask."""
    remote_tiers: frozenset[str] = _words("hot")
    """Those behind a breaker."""
    results: frozenset[str] = _words("hit miss")
    breaker_states: frozenset[str] = _words("closed open half_open")
    stores: frozenset[str] = _words("hot warm cold state journal keyring ledger snapshot")
    phases: frozenset[str] = _words("fence tiers close certificate all")
    erasure_outcomes: frozenset[str] = _words("verified incomplete failed")
    changes: frozenset[str] = _words("forgotten evicted purged restored")
    rules: frozenset[str] = _words(
        "decay grace floor ceiling quota undated restored expired withdrawn refused objection"
    ) | {"undo window"}
    protections: frozenset[str] = _words("hold floor pin brake veto not_due") | {"undo window", "not asked"}
    hook_outcomes: frozenset[str] = _words("ok timeout error")
    consent_actions: frozenset[str] = _words("given refused withdrawn expired renewed")
    consent_states: frozenset[str] = _words("open refused withdrawn expired")
    dsar_kinds: frozenset[str] = _words("about export request")
    jobs: frozenset[str] = _words(
        "flush uses forget purge sessions compact key_epoch checkpoint backup gauges"
    )
    job_outcomes: frozenset[str] = _words("ok failed skipped")
    groups: frozenset[str] = _words("memories search context rights operate ui mcp health")
    statuses: frozenset[str] = _words("2xx 3xx 4xx 5xx")
    rejections: frozenset[str] = _words(
        "rate_limited body_too_large unauthenticated forbidden overloaded timeout"
    )
    key_events: frozenset[str] = _words("created rotated revoked unknown ended")
