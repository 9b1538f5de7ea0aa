"""Consent as a fold over events, and the decision whether anything may be kept. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from tiered_memory.model import LawfulBasis, Sensitivity
from tiered_memory.policy.rules import Policy


class ConsentAction(StrEnum):
    """What happened to a consent."""

    GIVEN = "given"
    REFUSED = "refused"
    WITHDRAWN = "withdrawn"
    EXPIRED = "expired"
    RENEWED = "renewed"


LEVELS = tuple(Sensitivity)
OPENING = frozenset({ConsentAction.GIVEN, ConsentAction.RENEWED})


@dataclass(frozen=True, slots=True)
class ConsentEvent:
    """One event of a subject's consent history (fields after ISO/IEC TS 27560; the rest rests in `details`).

    Times are microseconds since 1970. `explicit` is what GDPR Art. 9(2)(a) asks for.
    """

    event_id: str
    action: ConsentAction
    purpose: str
    at_us: int
    expires_us: int | None = None
    explicit: bool = False
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Grounds:
    """Whether an interaction may be kept durably, on which basis, and if not why not."""

    durable: bool
    basis: LawfulBasis | None
    reason: str


def open_consents(events: Iterable[ConsentEvent], now_us: int) -> dict[str, ConsentEvent]:
    """Return the purposes whose latest event gives consent that has not expired at `now_us`.

    Events are folded in the given order, which is the order of their recording.
    """
    return {
        purpose: event
        for purpose, event in latest_events(events).items()
        if event.action in OPENING and not has_expired(event, now_us)
    }


def latest_events(events: Iterable[ConsentEvent]) -> dict[str, ConsentEvent]:
    """Return each purpose's latest event, in the order of their recording."""
    return {event.purpose: event for event in events}


def lapsed_consents(events: Iterable[ConsentEvent], now_us: int) -> list[ConsentEvent]:
    """Return the consents that stand open and have expired at `now_us`: what rests on them has to go."""
    latest = latest_events(events).values()
    return [event for event in latest if event.action in OPENING and has_expired(event, now_us)]


def has_expired(event: ConsentEvent, now_us: int) -> bool:
    """Tell whether an event's time is over; it ends with the microsecond it names."""
    return event.expires_us is not None and event.expires_us <= now_us


def decide_grounds(
    policy: Policy,
    consents: Mapping[str, ConsentEvent],
    purpose: str,
    sensitivity: Sensitivity,
    now_us: int,
    *,
    objections: Collection[str] = (),
) -> Grounds:
    """Return the grounds for keeping something of `sensitivity` for `purpose` at `now_us`.

    Fails closed: an unknown purpose, one the person objected to, an absent or expired consent, or restricted data
    without explicit consent stays ephemeral.
    """
    rule = policy.purposes.get(purpose)
    if rule is None:
        return Grounds(durable=False, basis=None, reason="the policy does not know this purpose")
    if purpose in objections:
        return Grounds(durable=False, basis=None, reason="the person objected to this purpose")
    if LEVELS.index(sensitivity) > LEVELS.index(rule.max_sensitivity):
        return Grounds(durable=False, basis=None, reason="too sensitive for this purpose")
    if rule.lawful_basis is not LawfulBasis.CONSENT:
        return Grounds(
            durable=True, basis=rule.lawful_basis, reason=f"lawful basis {rule.lawful_basis.value}"
        )
    return _consent_grounds(consents.get(purpose), sensitivity, now_us)


def _consent_grounds(consent: ConsentEvent | None, sensitivity: Sensitivity, now_us: int) -> Grounds:
    if consent is None or has_expired(consent, now_us):
        return Grounds(durable=False, basis=None, reason="no consent for this purpose")
    if sensitivity is Sensitivity.RESTRICTED and not consent.explicit:
        return Grounds(durable=False, basis=None, reason="restricted data needs explicit consent")
    return Grounds(durable=True, basis=LawfulBasis.CONSENT, reason="consent given")
