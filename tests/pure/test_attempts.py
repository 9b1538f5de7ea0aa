"""Wrong credentials: who guesses waits, who was let in before does not."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tiered_memory.daemon.attempts import MOST_KNOWN, Attempts
from tiered_memory.daemon.limits import Buckets

PEER, OTHER = "192.0.2.1", "192.0.2.2"


@given(capacity=st.integers(1, 50), per_minute=st.floats(0.5, 600))
def test_after_so_many_failures_an_address_waits_as_long_as_it_is_told(
    capacity: int, per_minute: float
) -> None:
    attempts = Attempts(capacity, per_minute)
    for number in range(capacity):
        assert attempts.wait(PEER, f"guess {number}", 0.0) == 0
        attempts.failed(PEER, 0.0)
    wait = attempts.wait(PEER, "one more", 0.0)
    assert 0 < wait <= 60.0 / per_minute + 1e-6
    assert attempts.wait(PEER, "one more", wait * 0.99 - 1e-6) > 0
    assert attempts.wait(PEER, "one more", wait + 1e-6) == 0


def test_another_address_does_not_wait() -> None:
    attempts = Attempts(1, 1.0)
    attempts.failed(PEER, 0.0)
    assert attempts.wait(PEER, "a", 0.0) > 0
    assert attempts.wait(OTHER, "a", 0.0) == 0


def test_what_was_right_once_is_looked_at_from_the_same_address_too() -> None:
    """Behind a proxy everybody has one address: one who guesses must not shut the others out."""
    attempts = Attempts(1, 1.0)
    attempts.succeeded("right")
    attempts.failed(PEER, 0.0)
    assert attempts.wait(PEER, "right", 0.0) == 0
    assert attempts.wait(PEER, "wrong", 0.0) > 0


def test_no_more_are_known_than_may_be_and_the_oldest_goes_first() -> None:
    attempts = Attempts(1, 1.0)
    for number in range(MOST_KNOWN + 1):
        attempts.succeeded(str(number))
    attempts.failed(PEER, 0.0)
    assert attempts.wait(PEER, "0", 0.0) > 0
    assert attempts.wait(PEER, str(MOST_KNOWN), 0.0) == 0


def test_credentials_are_not_kept_in_words() -> None:
    attempts = Attempts(1, 1.0)
    attempts.succeeded("tm_very_secret")
    assert b"tm_very_secret" not in b"".join(attempts._known)


@given(st.lists(st.tuples(st.floats(0, 50), st.integers(1, 3)), max_size=30))
def test_looking_takes_nothing(takes: list[tuple[float, int]]) -> None:
    looked, plain = Buckets(5, 2.0), Buckets(5, 2.0)
    now = 0.0
    for later, n in takes:
        now += later
        looked.wait("a", now, n)
        assert looked.take("a", now, n) == plain.take("a", now, n)
        assert len(looked) == len(plain)
