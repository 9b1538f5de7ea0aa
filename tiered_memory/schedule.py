"""When background jobs are due, and which archives of a series stay: decisions without a clock.

Moments are seconds of a monotonic clock unless they are datetimes; chance comes as a number in [0, 1).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from tiered_memory.errors import InvalidInputError

JITTER_SHARE = 0.1
LEAST_CAP_SECONDS, MOST_CAP_SECONDS = 300.0, 3_600.0
FIRST_RETRY_SECONDS = 60.0
PAUSED_LOOK_SECONDS = 60.0
CHANCE_BYTES = 8
ARCHIVE = re.compile(r"(\d{8}T\d{6}Z)(?:-([1-9]\d{0,5}))?", re.ASCII)
ARCHIVE_TIME = "%Y%m%dT%H%M%SZ"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cadence:
    """How often a job runs: every `interval_seconds` (> 0), up to `jitter_share` (0..1) of that sooner.

    After failures in a row it waits `first_retry_seconds`, then twice as long each time, at most `cap_seconds`.
    """

    interval_seconds: float
    jitter_share: float
    first_retry_seconds: float
    cap_seconds: float

    def __post_init__(self) -> None:
        waits = (self.interval_seconds, self.first_retry_seconds, self.cap_seconds)
        if min(waits) <= 0 or not 0 <= self.jitter_share < 1:
            raise InvalidInputError("a job's waits must be positive, and its jitter a share below 1")


def cadence(interval_seconds: float, *, jitter_share: float = JITTER_SHARE) -> Cadence:
    """Return the usual cadence of an interval (> 0): what fails is tried again within a minute, then ever more rarely.

    The longest wait is the interval's, but at least 5 minutes and at most an hour.
    """
    return Cadence(
        interval_seconds=interval_seconds,
        jitter_share=jitter_share,
        first_retry_seconds=min(interval_seconds, FIRST_RETRY_SECONDS),
        cap_seconds=min(max(interval_seconds, LEAST_CAP_SECONDS), MOST_CAP_SECONDS),
    )


def chance_of(token: bytes) -> float:
    """Return the number in [0, 1) that bytes of chance stand for; 8 of them give 53 usable bits."""
    return (int.from_bytes(token[:CHANCE_BYTES], "big") >> 11) / (1 << 53)


def wait_after(given: Cadence, failures: int, chance: float) -> float:
    """Return the seconds from the end of a run to the next: never more than the interval, or the backoff's step.

    `failures` (>= 0) is how many runs in a row have failed; `chance` in [0, 1) spreads jobs that began together.
    """
    longest = given.interval_seconds if failures == 0 else backoff(given, failures)
    return longest * (1.0 - given.jitter_share * chance)


def backoff(given: Cadence, failures: int) -> float:
    """Return the longest wait after `failures` (>= 1) in a row, in seconds: doubling, with a cap."""
    doublings = min(failures - 1, 60)
    return min(given.first_retry_seconds * 2.0**doublings, given.cap_seconds)


def due_after(given: Cadence, now: float, failures: int, chance: float) -> float:
    """Return the moment of the next run when one ended at `now`; see `wait_after`."""
    return now + wait_after(given, failures, chance)


def look_after(given: Cadence, now: float) -> float:
    """Return when a paused job is looked at again: soon enough to go on soon after the pause."""
    return now + min(given.interval_seconds, PAUSED_LOOK_SECONDS)


def at_moment(due: float | None, monotonic: float, now: datetime) -> datetime | None:
    """Return a monotonic moment as one of the calendar, given that `monotonic` is `now`; a past one is now."""
    if due is None:
        return None
    return datetime.fromtimestamp(now.timestamp() + max(0.0, due - monotonic), UTC)


# --- archives in a series ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, order=True)
class ArchiveName:
    """An archive's place in its series: the second it was begun in, and a number (0 for the first of a second)."""

    at: datetime
    number: int

    def __str__(self) -> str:
        stem = self.at.astimezone(UTC).strftime(ARCHIVE_TIME)
        return f"{stem}-{self.number}" if self.number else stem


def archive_named(name: str) -> ArchiveName | None:
    """Return the archive that a directory's name stands for, None for any other name."""
    found = ARCHIVE.fullmatch(name)
    if found is None:
        return None
    try:
        at = datetime.strptime(found[1], ARCHIVE_TIME).replace(tzinfo=UTC)
    except ValueError:
        return None
    return ArchiveName(at, int(found[2] or 0))


def archives_of(names: Iterable[str]) -> list[ArchiveName]:
    """Return the archives among directory names, oldest first."""
    return sorted(one for name in names if (one := archive_named(name)) is not None)


def next_archive(now: datetime, taken: Collection[ArchiveName]) -> ArchiveName:
    """Return the name of an archive begun at `now` (aware) that is not `taken`."""
    at = now.astimezone(UTC).replace(microsecond=0)
    numbers = [one.number for one in taken if one.at == at]
    return ArchiveName(at, max(numbers) + 1 if numbers else 0)


def archives_to_drop(held: Collection[ArchiveName], keep: int, fresh: ArchiveName) -> list[ArchiveName]:
    """Return which archives go so that the newest `keep` (>= 1) stay, oldest first.

    The `fresh` one always stays: after the clock was set back its name is not the newest.
    """
    others = sorted(one for one in held if one != fresh)
    return others[: max(0, len(others) + 1 - keep)]


def wait_for_archive(held: Collection[ArchiveName], now: datetime, every_seconds: float) -> float:
    """Return the seconds until the next archive of a series is due: 0 without any, at most `every_seconds` (> 0)."""
    if not held:
        return 0.0
    since = (now - max(held).at).total_seconds()
    return min(max(0.0, every_seconds - since), every_seconds)
