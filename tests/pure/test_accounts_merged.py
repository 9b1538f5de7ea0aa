"""Facts of several directories are one store's: counts add up, and the worst of what can be bad stands for all."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st
from test_accounts import GOOD, NOW

from tiered_memory.accounts.facts import Facts
from tiered_memory.accounts.merging import merged

SMALL = st.integers(0, 9)
FACTS = st.builds(
    lambda memories, late, days, entries, sound, hours: replace(
        GOOD,
        purposes=tuple(replace(one, memories=memories) for one in GOOD.purposes),
        requests_overdue=late,
        oldest_epoch_days=days,
        oldest_removal_overdue_seconds=float(late),
        ledger=replace(
            GOOD.ledger,
            entries=entries,
            sound=sound,
            problems=() if sound else ("edited",),
            events={"exported": entries},
            first=NOW - timedelta(hours=hours),
            last=NOW + timedelta(hours=hours),
        ),
    ),
    SMALL,
    SMALL,
    st.none() | st.floats(0, 900),
    SMALL,
    st.booleans(),
    SMALL,
)
OWN = st.dictionaries(st.sampled_from(["a1", "b2", "c3"]), FACTS)


def test_a_store_with_one_directory_is_told_as_it_is() -> None:
    assert merged(GOOD, {}, 0) == GOOD
    assert merged(GOOD, {}, 2) == replace(GOOD, directories_unread=2)


@given(FACTS, OWN, SMALL)
def test_counts_add_up(main: Facts, own: dict[str, Facts], unread: int) -> None:
    found, every = merged(main, own, unread), [main, *own.values()]
    assert found.purposes[0].memories == sum(one.purposes[0].memories for one in every)
    assert found.requests_overdue == sum(one.requests_overdue for one in every)
    assert found.ledger.entries == found.event("exported") == sum(one.ledger.entries for one in every)
    assert (found.directories, found.directories_unread) == (len(every), unread)
    assert (found.notices, found.holds, found.tenants) == (main.notices, main.holds, main.tenants)


@given(FACTS, OWN)
def test_the_worst_stands_for_all(main: Facts, own: dict[str, Facts]) -> None:
    found, every = merged(main, own, 0), [main, *own.values()]
    assert found.ledger.sound == all(one.ledger.sound for one in every) == (not found.ledger.problems)
    assert found.oldest_epoch_days == max(
        (one.oldest_epoch_days for one in every if one.oldest_epoch_days is not None), default=None
    )
    named = {name for name, one in own.items() if not one.ledger.sound}
    assert {one.split(":")[0] for one in found.ledger.problems} - {"edited"} == {
        f"directory {name}" for name in named
    }
    assert found.ledger.first == min(one.ledger.first for one in every if one.ledger.first)
    assert found.oldest_removal_overdue_seconds == max(one.oldest_removal_overdue_seconds for one in every)
