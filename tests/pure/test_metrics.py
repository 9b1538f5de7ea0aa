from __future__ import annotations

import asyncio
import typing
from dataclasses import FrozenInstanceError, fields

import pytest
from fact_samples import FACT_KINDS, SAMPLES

from tiered_memory import errors, metrics
from tiered_memory.errors import HotTierError, InvalidInputError
from tiered_memory.metrics import (
    OTHER,
    ErasureDone,
    Fact,
    FanOut,
    NullObserver,
    RecordingObserver,
    RequestDone,
    TierUp,
    outcome_of,
    timed,
)
from tiered_memory.metrics.words import ERRORS, OUTCOME_OF


def test_the_samples_cover_every_kind_of_fact() -> None:
    assert {type(fact) for fact in SAMPLES} == set(FACT_KINDS)


@pytest.mark.parametrize("fact", SAMPLES, ids=lambda fact: type(fact).__name__)
def test_a_fact_is_frozen(fact: Fact) -> None:
    with pytest.raises(FrozenInstanceError):
        setattr(fact, fields(fact)[0].name, 0)


def test_the_phases_of_an_erasure_are_a_copy() -> None:
    phases = {"fence": 0.1}
    fact = ErasureDone("verified", phases)
    phases["fence"] = 9.9
    assert fact.phases == {"fence": 0.1}
    with pytest.raises(TypeError):
        fact.phases["fence"] = 1.0  # type: ignore[index]


def test_a_recording_observer_keeps_the_newest_facts() -> None:
    observer = RecordingObserver(limit=3)
    for fact in SAMPLES[:5]:
        observer.observe(fact)
    assert observer.facts == tuple(SAMPLES[2:5])
    assert observer.of(metrics.Embedded) == [SAMPLES[3]]
    assert observer.of(TierUp) == []
    observer.clear()
    assert observer.facts == ()


def test_a_recording_observer_needs_room() -> None:
    with pytest.raises(InvalidInputError):
        RecordingObserver(limit=0)


class Broken:
    def observe(self, fact: Fact) -> None:
        raise RuntimeError("a listener's own bug")


def test_a_broken_listener_disturbs_nobody() -> None:
    heard = RecordingObserver()
    observer = FanOut(NullObserver(), Broken(), heard)
    for fact in SAMPLES:
        observer.observe(fact)
    assert heard.facts == tuple(SAMPLES)
    assert observer.failures == len(SAMPLES)


def ticking(*readings: float) -> typing.Callable[[], float]:
    remaining = iter(readings)
    return lambda: next(remaining)


def test_timed_reports_success() -> None:
    heard = RecordingObserver()
    with timed(heard, "search", ticking(10.0, 10.25)):
        pass
    assert heard.facts == (RequestDone("search", "ok", 0.25),)


def test_timed_reports_the_error_and_lets_it_pass() -> None:
    heard = RecordingObserver()
    with pytest.raises(HotTierError), timed(heard, "add", ticking(1.0, 3.0)):
        raise HotTierError
    assert heard.facts == (RequestDone("add", "HotTierError", 2.0),)


def test_timed_uses_the_stopwatch_of_the_clock() -> None:
    heard = RecordingObserver()
    with timed(heard, "add"):
        pass
    (fact,) = heard.of(RequestDone)
    assert 0.0 <= fact.seconds < 60.0


class OwnQuotaError(InvalidInputError):
    pass


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (None, "ok"),
        (HotTierError, "HotTierError"),
        (OwnQuotaError, "InvalidInputError"),
        (asyncio.CancelledError, "CancelledError"),
        (TimeoutError, "TimeoutError"),
        (ZeroDivisionError, OTHER),
        (KeyboardInterrupt, OTHER),
    ],
)
def test_outcomes_are_words_of_a_closed_set(error: type[BaseException] | None, outcome: str) -> None:
    assert outcome_of(error) == outcome


def test_every_error_of_a_call_has_an_outcome() -> None:
    assert OUTCOME_OF.keys() == ERRORS | {"ok"}
    for kind in vars(errors).values():
        if isinstance(kind, type) and issubclass(kind, errors.TieredMemoryError):
            assert outcome_of(kind) in ERRORS


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        ("ok", "ok"),
        ("ArchiveError", "caller_error"),
        ("NotFoundError", "not_found"),
        ("AgentNotAllowedError", "denied"),
        ("RestrictedError", "rights"),
        ("BacklogFullError", "overloaded"),
        ("ColdTierError", "storage"),
        ("OutcomeUnknownError", "unknown_outcome"),
        ("KeyUnavailableError", "corruption"),
        ("CancelledError", "cancelled"),
        ("ClosedError", OTHER),
    ],
)
def test_an_error_counts_as_what_it_asks_of_whom(error: str, outcome: str) -> None:
    assert OUTCOME_OF[error] == outcome
