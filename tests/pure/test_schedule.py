"""When jobs are due, and which archives of a series stay."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiered_memory.errors import InvalidInputError
from tiered_memory.job_model import JobOutcome, JobStatus, merged_statuses
from tiered_memory.schedule import (
    PAUSED_LOOK_SECONDS,
    ArchiveName,
    Cadence,
    archive_named,
    archives_of,
    archives_to_drop,
    at_moment,
    backoff,
    cadence,
    chance_of,
    due_after,
    look_after,
    next_archive,
    wait_after,
    wait_for_archive,
)

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
seconds = st.floats(0.001, 1e7)
chances = st.floats(0, 1, exclude_max=True)
failures = st.integers(0, 5_000)
cadences = st.builds(
    Cadence,
    interval_seconds=seconds,
    jitter_share=st.floats(0, 0.9),
    first_retry_seconds=seconds,
    cap_seconds=seconds,
)
moments = st.floats(6e8, 3.7e9).map(lambda at: datetime.fromtimestamp(at, UTC))
names = st.builds(ArchiveName, moments.map(lambda one: one.replace(microsecond=0)), st.integers(0, 20))


@given(cadences, chances)
def test_a_job_that_goes_well_never_waits_longer_than_its_interval(one: Cadence, chance: float) -> None:
    wait = wait_after(one, 0, chance)
    assert one.interval_seconds * (1 - one.jitter_share) <= wait <= one.interval_seconds


@given(cadences, failures, chances)
def test_every_wait_is_positive_and_bounded(one: Cadence, failed: int, chance: float) -> None:
    assert 0 < wait_after(one, failed, chance) <= max(one.interval_seconds, one.cap_seconds)


@given(cadences, st.integers(1, 5_000))
def test_failures_in_a_row_wait_ever_longer_up_to_the_cap(one: Cadence, failed: int) -> None:
    assert backoff(one, failed) <= backoff(one, failed + 1) <= one.cap_seconds
    assert backoff(one, failed + 1) in {2 * backoff(one, failed), one.cap_seconds}
    assert backoff(one, 1) == min(one.first_retry_seconds, one.cap_seconds)


@given(seconds)
def test_the_usual_cadence_tries_again_within_a_minute_and_at_least_every_hour(interval: float) -> None:
    one = cadence(interval)
    assert backoff(one, 1) <= min(60.0, interval)
    assert 300.0 <= backoff(one, 1_000) <= 3_600.0


@given(cadences, st.floats(0, 1e9), failures, chances, chances)
def test_the_next_turn_follows_from_its_arguments_alone(
    one: Cadence, now: float, failed: int, chance: float, other: float
) -> None:
    due = due_after(one, now, failed, chance)
    assert due == due_after(one, now, failed, chance) >= now
    assert (chance <= other) <= (due >= due_after(one, now, failed, other))


@given(st.binary(min_size=8, max_size=16))
def test_bytes_of_chance_become_a_share(token: bytes) -> None:
    assert 0.0 <= chance_of(token) < 1.0


def test_shares_of_chance_reach_from_end_to_end() -> None:
    assert chance_of(bytes(8)) == 0.0
    assert chance_of(b"\xff" * 8) == pytest.approx(1.0)
    assert chance_of(b"\x80" + bytes(7)) == 0.5


@given(cadences, st.floats(0, 1e6))
def test_a_paused_job_is_looked_at_within_a_minute(one: Cadence, now: float) -> None:
    assert now < look_after(one, now) <= now + PAUSED_LOOK_SECONDS + 1e-6


@pytest.mark.parametrize(
    "wrong",
    [{"interval_seconds": 0.0}, {"first_retry_seconds": -1.0}, {"cap_seconds": 0.0}, {"jitter_share": 1.0}],
    ids=str,
)
def test_a_cadence_without_sense_is_refused(wrong: dict[str, float]) -> None:
    right = {"interval_seconds": 1.0, "jitter_share": 0.1, "first_retry_seconds": 1.0, "cap_seconds": 1.0}
    with pytest.raises(InvalidInputError, match="waits must be positive"):
        Cadence(**{**right, **wrong})


@given(st.floats(0, 1e6), st.floats(0, 1e6))
def test_a_due_moment_is_told_as_one_of_the_calendar(due: float, monotonic: float) -> None:
    shown = at_moment(due, monotonic, NOON)
    assert shown is not None
    assert shown >= NOON
    assert abs((shown - NOON).total_seconds() - max(0.0, due - monotonic)) < 1e-3
    assert at_moment(None, monotonic, NOON) is None


# --- archives ----------------------------------------------------------------------------------------------------


@given(names)
def test_an_archive_s_name_tells_its_place(one: ArchiveName) -> None:
    assert archive_named(str(one)) == one


@given(st.text(max_size=24))
def test_other_names_are_no_archives(name: str) -> None:
    found = archive_named(name)
    assert found is None or str(found) == name


@pytest.mark.parametrize(
    "name",
    ["", "tenants", "20261120T120000Z.partial", "20261120T120000", "20261320T120000Z", "20261120T120000Z-0"],
)
def test_what_is_half_made_or_somebody_else_s_is_no_archive(name: str) -> None:
    assert archive_named(name) is None


@given(moments, st.sets(names))
def test_a_new_archive_takes_nobody_s_name(now: datetime, taken: set[ArchiveName]) -> None:
    fresh = next_archive(now, taken)
    assert fresh not in taken
    assert fresh.at <= now < fresh.at + timedelta(seconds=1)
    assert next_archive(now, taken | {fresh}) > fresh


@given(st.sets(names, min_size=1), st.integers(1, 30), st.data())
def test_the_newest_stay_and_the_fresh_one_always(
    held: set[ArchiveName], keep: int, data: st.DataObject
) -> None:
    fresh = data.draw(st.sampled_from(sorted(held)))
    gone = archives_to_drop(held, keep, fresh)
    left = held - set(gone)
    assert fresh in left
    assert len(left) == min(len(held), keep)
    assert all(one < other for one in gone for other in left - {fresh})
    assert archives_to_drop(left, keep, fresh) == []


@given(st.sets(names), moments, seconds)
def test_the_next_archive_is_never_further_than_its_interval(
    held: set[ArchiveName], now: datetime, every: float
) -> None:
    """Not even when the clock was set back behind the newest."""
    assert 0.0 <= wait_for_archive(held, now, every) <= every


def test_the_next_archive_follows_the_newest() -> None:
    held = archives_of(["20261120T060000Z", "20261119T120000Z", "lost+found"])
    assert [str(one) for one in held] == ["20261119T120000Z", "20261120T060000Z"]
    assert wait_for_archive(held, NOON, 24 * 3600.0) == 18 * 3600.0
    assert wait_for_archive(held, NOON, 3600.0) == 0.0
    assert wait_for_archive([], NOON, 3600.0) == 0.0


# --- several directories -----------------------------------------------------------------------------------------


def standing(outcome: JobOutcome | None, failed: int = 0, due: int = 0) -> JobStatus:
    return JobStatus(
        name="forget",
        about="",
        interval_seconds=60.0,
        jitter_share=0.1,
        timeout_seconds=900.0,
        last_outcome=outcome,
        last_error="ColdTierError" if outcome == JobOutcome.ERROR else None,
        failures_in_a_row=failed,
        next_due=NOON + timedelta(seconds=due),
        runs=3,
    )


outcomes = st.sampled_from([None, *JobOutcome])


@given(st.lists(st.builds(standing, outcomes, st.integers(0, 9), st.integers(0, 99)), min_size=1))
def test_of_several_directories_the_worst_shows(found: list[JobStatus]) -> None:
    merged = merged_statuses(found)
    assert (merged.last_outcome == JobOutcome.ERROR) == any(
        one.last_outcome == JobOutcome.ERROR for one in found
    )
    assert merged.failures_in_a_row == max(one.failures_in_a_row for one in found)
    assert merged.next_due == min(one.next_due for one in found if one.next_due)
    assert merged_statuses(found[:1]) == found[0]
