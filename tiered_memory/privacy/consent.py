"""Consent as a fold over events, and the decision whether anything may be kept. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
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
    latest: dict[str, ConsentEvent] = {}
    for event in events:
        latest[event.purpose] = event
    return {
        purpose: event
        for purpose, event in latest.items()
        if event.action in OPENING and (event.expires_us is None or event.expires_us > now_us)
    }


def decide_grounds(
    policy: Policy, consents: Mapping[str, ConsentEvent], purpose: str, sensitivity: Sensitivity, now_us: int
) -> Grounds:
    """Return the grounds for keeping something of `sensitivity` for `purpose` at `now_us`.

    Fails closed: an unknown purpose, an absent or expired consent, or restricted data without explicit consent
    stays ephemeral.
    """
    rule = policy.purposes.get(purpose)
    if rule is None or not rule.keeps:
        verb = "does not know" if rule is None else "keeps nothing for"
        return Grounds(durable=False, basis=None, reason=f"the policy {verb} this purpose")
    if LEVELS.index(sensitivity) > LEVELS.index(rule.max_sensitivity):
        return Grounds(durable=False, basis=None, reason="too sensitive for this purpose")
    if rule.lawful_basis is not LawfulBasis.CONSENT:
        return Grounds(
            durable=True, basis=rule.lawful_basis, reason=f"lawful basis {rule.lawful_basis.value}"
        )
    consent = consents.get(purpose)
    if consent is None or (consent.expires_us is not None and consent.expires_us <= now_us):
        return Grounds(durable=False, basis=None, reason="no consent for this purpose")
    if sensitivity is Sensitivity.RESTRICTED and not consent.explicit:
        return Grounds(durable=False, basis=None, reason="restricted data needs explicit consent")
    return Grounds(durable=True, basis=LawfulBasis.CONSENT, reason="consent given")
