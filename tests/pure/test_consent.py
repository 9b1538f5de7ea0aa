"""Consent is a fold over events; without it nothing durable is kept, and every doubt counts as no."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiered_memory.forgetting.routing import place
from tiered_memory.model import Durability, LawfulBasis, Role, Sensitivity
from tiered_memory.policy.rules import Policy, PurposeRule, RoutingRules
from tiered_memory.privacy.consent import (
    ConsentAction,
    ConsentEvent,
    Grounds,
    decide_grounds,
    open_consents,
)

POLICY = Policy(
    purposes={
        "personalization": PurposeRule(max_sensitivity=Sensitivity.RESTRICTED),
        "support": PurposeRule(LawfulBasis.CONTRACT, "terms of service, section 4", Sensitivity.CONFIDENTIAL),
    }
)
events = st.lists(
    st.builds(
        ConsentEvent,
        event_id=st.just("e"),
        action=st.sampled_from(list(ConsentAction)),
        purpose=st.sampled_from(["personalization", "marketing"]),
        at_us=st.integers(0, 100),
        expires_us=st.none() | st.integers(0, 100),
    )
)


def event(action: ConsentAction, expires_us: int | None = None, *, explicit: bool = False) -> ConsentEvent:
    return ConsentEvent("e", action, "personalization", 1, expires_us, explicit)


def grounds(*given: ConsentEvent, level: Sensitivity = Sensitivity.INTERNAL, now_us: int = 10) -> Grounds:
    return decide_grounds(POLICY, open_consents(given, now_us), "personalization", level, now_us)


def test_no_consent_means_ephemeral() -> None:
    assert grounds() == Grounds(False, None, "no consent for this purpose")


def test_consent_gives_grounds_until_it_is_withdrawn() -> None:
    given_, withdrawn = event(ConsentAction.GIVEN), event(ConsentAction.WITHDRAWN)
    assert grounds(given_).basis is LawfulBasis.CONSENT
    assert not grounds(given_, withdrawn).durable
    assert grounds(given_, withdrawn, event(ConsentAction.RENEWED)).durable


@pytest.mark.parametrize(("expires_us", "durable"), [(9, False), (10, False), (11, True), (None, True)])
def test_consent_ends_when_it_expires(expires_us: int | None, durable: bool) -> None:
    assert grounds(event(ConsentAction.GIVEN, expires_us)).durable is durable


def test_restricted_data_needs_explicit_consent() -> None:
    assert not grounds(event(ConsentAction.GIVEN), level=Sensitivity.RESTRICTED).durable
    assert grounds(event(ConsentAction.GIVEN, explicit=True), level=Sensitivity.RESTRICTED).durable


def test_another_basis_asks_no_consent_but_keeps_its_bounds() -> None:
    def support(level: Sensitivity) -> Grounds:
        return decide_grounds(POLICY, {}, "support", level, 10)

    assert support(Sensitivity.CONFIDENTIAL).basis is LawfulBasis.CONTRACT
    assert support(Sensitivity.RESTRICTED) == Grounds(False, None, "too sensitive for this purpose")


def test_an_unknown_purpose_has_no_grounds() -> None:
    assert not decide_grounds(POLICY, {}, "advertising", Sensitivity.PUBLIC, 10).durable


@given(events, st.integers(0, 100))
def test_the_last_event_of_a_purpose_decides(history: list[ConsentEvent], now_us: int) -> None:
    opened = open_consents(history, now_us)
    for purpose in ("personalization", "marketing"):
        last = next((one for one in reversed(history) if one.purpose == purpose), None)
        expected = (
            last is not None
            and last.action in {ConsentAction.GIVEN, ConsentAction.RENEWED}
            and (last.expires_us is None or last.expires_us > now_us)
        )
        assert (purpose in opened) == expected


@given(events, st.integers(0, 100), st.sampled_from(list(Sensitivity)))
def test_a_withdrawal_always_wins(history: list[ConsentEvent], now_us: int, level: Sensitivity) -> None:
    closed = [*history, event(ConsentAction.WITHDRAWN)]
    assert not grounds(*closed, level=level, now_us=now_us).durable


yes, no = Grounds(True, LawfulBasis.CONSENT, "consent given"), Grounds(False, None, "no consent")


@given(st.floats(0, 1), st.sampled_from(list(Role)), st.floats(0, 1))
def test_nothing_durable_without_grounds(importance: float, role: Role, threshold: float) -> None:
    placed = place(importance, role, no, RoutingRules(cold_threshold=threshold))
    assert not placed.durable
    assert not placed.cold
    assert placed.durability is Durability.EPHEMERAL


@given(st.floats(0, 1), st.floats(0, 1))
def test_the_gate_is_strictly_above(importance: float, threshold: float) -> None:
    placed = place(importance, Role.USER, yes, RoutingRules(cold_threshold=threshold))
    assert placed.cold == (importance > threshold)
    assert placed.target == ("cold" if placed.cold else "hot")
    assert placed.durability is (Durability.JOURNALED if placed.cold else Durability.SESSION)


def test_a_system_prompt_is_no_memory() -> None:
    placed = place(1.0, Role.SYSTEM, yes, RoutingRules())
    assert (placed.cold, placed.searchable, placed.target) == (False, False, "warm")


def test_an_event_is_a_value() -> None:
    assert replace(event(ConsentAction.GIVEN)) == event(ConsentAction.GIVEN)
