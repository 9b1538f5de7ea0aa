"""Judging a ledger: nothing done to it below its newest checkpoint goes unnoticed, and no crash looks like tampering."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiered_memory.formats.leaf import AuditEvent, AuditLeaf
from tiered_memory.privacy.audit import RESTORED, Auditor, Verdict
from tiered_memory.privacy.checkpoint import Checkpoint, SignedCheckpoint
from tiered_memory.privacy.merkle import leaf_hash, tree_root

OWN, FOREIGN = b"own!", b"not!"
FIRST, SECOND, THIRD = "0a" * 16, "0b" * 16, "0c" * 16


def leaf(number: int) -> bytes:
    return AuditLeaf(AuditEvent.MEMORY_PURGED, number, "t", "s", 1).encode()


def restored(incarnation: str | None) -> bytes:
    detail = {} if incarnation is None else {"incarnation": incarnation}
    return AuditLeaf(AuditEvent.STORE_RESTORED, 5, "", "", 0, detail=detail).encode()


def head(leaves: Sequence[bytes], size: int, incarnation: str = FIRST) -> SignedCheckpoint:
    root = tree_root([leaf_hash(one) for one in leaves[:size]])
    return SignedCheckpoint(Checkpoint(incarnation, size, root, size, "1"), OWN, bytes(64))


def holds(signed: SignedCheckpoint) -> bool:
    """The signature is not what is tested here: its key id says whether it is good."""
    return signed.key_id == OWN


def judge(
    leaves: Sequence[bytes],
    notes: Sequence[SignedCheckpoint | None],
    incarnation: str = "",
    known: Sequence[SignedCheckpoint] = (),
) -> Verdict:
    auditor = Auditor(notes, holds, incarnation=incarnation, known=known)
    for one in leaves:
        auditor.add(one)
    return auditor.verdict()


ledgers = st.integers(1, 40).map(lambda count: [leaf(number) for number in range(count)])


def sizes_of(data: st.DataObject, count: int) -> list[int]:
    return sorted(data.draw(st.sets(st.integers(1, count), min_size=1, max_size=6)))


@given(ledgers, st.data())
def test_an_honest_ledger_is_sound_wherever_the_process_died(
    leaves: list[bytes], data: st.DataObject
) -> None:
    """Leaves that no checkpoint covers are what a kill between the two leaves behind."""
    sizes = sizes_of(data, len(leaves))
    found = judge(leaves, [head(leaves, size) for size in sizes])
    assert found.sound
    assert found.problems == ()
    assert (found.entries, found.covered) == (len(leaves), sizes[-1])
    assert found.root == tree_root([leaf_hash(one) for one in leaves])
    assert bool(found.notices) == (sizes[-1] < len(leaves))


@given(ledgers, st.data())
def test_what_is_done_below_a_checkpoint_is_found(leaves: list[bytes], data: st.DataObject) -> None:
    sizes = sizes_of(data, len(leaves))
    notes = [head(leaves, size) for size in sizes]
    at = data.draw(st.integers(0, sizes[-1] - 1))
    mutated = {
        "edit": [*leaves[:at], leaves[at] + b" ", *leaves[at + 1 :]],
        "drop": leaves[:at] + leaves[at + 1 :],
        "duplicate": [*leaves[:at], leaves[at], *leaves[at:]] if at + 1 < sizes[-1] else [leaf(99)],
        "insert": [*leaves[:at], leaf(99), *leaves[at:]],
        "truncate": leaves[:at],
        "fork": [*leaves[:at], *(leaf(1000 + number) for number in range(len(leaves) - at))],
    }
    for sort, changed in mutated.items():
        assert not judge(changed, notes).sound, sort
    other = data.draw(st.integers(0, len(leaves) - 1))
    swapped = list(leaves)
    swapped[at], swapped[other] = leaves[other], leaves[at]
    assert judge(swapped, notes).sound == (at == other)


def test_the_place_of_an_edit_is_narrowed_down_to_two_checkpoints() -> None:
    leaves = [leaf(number) for number in range(30)]
    notes = [head(leaves, size) for size in (10, 20, 30)]
    edited = [*leaves[:14], b"{}", *leaves[15:]]
    assert judge(edited, notes).problems == ("entries 10 to 19 are not those of the checkpoint",)
    assert "missing at the end: 5" in judge(leaves[:25], notes).problems[0]


def test_rows_tell_more_than_leaves() -> None:
    leaves = [leaf(number) for number in range(6)]
    rows = [(index, one, leaf_hash(one)) for index, one in enumerate(leaves)]
    auditor = Auditor([], holds)
    auditor.add_rows(rows)
    assert auditor.verdict().sound
    gap = Auditor([], holds)
    gap.add_rows(rows[:2] + rows[3:])
    assert "entry 2 is missing" in gap.verdict().problems[0]
    edited = Auditor([], holds)
    edited.add_rows([*rows[:4], (4, leaves[5], rows[4][2])])
    assert edited.present_problems() == ["entry 4 does not have the hash that is stored with it"]


def test_damage_before_an_accepted_restore_is_told_but_does_not_stop_what_came_after() -> None:
    leaves = [leaf(0), leaf(1), restored(SECOND), leaf(2)]
    rows = [(index, one, leaf_hash(one)) for index, one in enumerate(leaves)]
    rows[1] = (1, leaf(1), bytes(32))
    auditor = Auditor([], holds, incarnation=SECOND)
    auditor.add_rows(rows)
    assert auditor.present_problems() == []
    assert auditor.verdict().problems == ("entry 1 does not have the hash that is stored with it",)
    auditor.add_row(4, leaf(4), bytes(32))
    assert len(auditor.present_problems()) == 1
    assert len(auditor.verdict().problems) == 2


def test_damage_all_over_is_not_listed_without_end() -> None:
    auditor = Auditor([], holds)
    auditor.add_rows((index * 2 + 1, leaf(index), bytes(32)) for index in range(1_000))
    assert len(auditor.verdict().problems) == 20


# --- the checkpoints themselves ----------------------------------------------------------------------------------


def test_unreadable_and_foreign_checkpoints_are_problems() -> None:
    leaves = [leaf(number) for number in range(4)]
    good = head(leaves, 4)
    found = judge(leaves, [None, replace(good, key_id=FOREIGN), good])
    assert found.problems == (
        "checkpoint 0 cannot be read",
        "checkpoint 1 is not signed by the ledger's key",
    )


def test_a_foreign_checkpoint_contradicts_nothing() -> None:
    """Else anybody could make a sound ledger look forged; it is a problem of its own."""
    leaves = [leaf(number) for number in range(4)]
    lying = replace(head([leaf(9)] * 4, 3), key_id=FOREIGN)
    assert judge(leaves, [lying, head(leaves, 4)]).problems == (
        "checkpoint 0 is not signed by the ledger's key",
    )


def test_checkpoints_out_of_order_are_a_fork() -> None:
    leaves = [leaf(number) for number in range(9)]
    found = judge(leaves, [head(leaves, 5), head(leaves, 3)])
    assert "checkpoint 1 contradicts" in found.problems[0]
    twice = judge(leaves, [head(leaves, 5), head([*leaves[:4], leaf(99)], 5)])
    assert any("contradicts the one before" in problem for problem in twice.problems)


def test_the_same_checkpoint_twice_is_none() -> None:
    leaves = [leaf(number) for number in range(5)]
    assert judge(leaves, [head(leaves, 5), head(leaves, 5)]).sound


def test_a_checkpoint_kept_elsewhere_finds_what_the_log_hides() -> None:
    leaves = [leaf(number) for number in range(9)]
    rewritten = [leaf(100 + number) for number in range(9)]
    log = [head(rewritten, 9)]
    assert judge(rewritten, log).sound
    assert not judge(rewritten, log, known=[head(leaves, 6)]).sound
    assert not judge(leaves[:4], [head(leaves, 4)], known=[head(leaves, 6)]).sound
    assert judge(leaves, [head(leaves, 9)], known=[head(leaves, 6)]).sound
    foreign = replace(head(leaves, 6), key_id=FOREIGN)
    assert "a known checkpoint is not signed" in judge(leaves, [], known=[foreign]).problems[0]


# --- restores ----------------------------------------------------------------------------------------------------


def restored_ledger(named: bool = True) -> tuple[list[bytes], list[SignedCheckpoint | None]]:
    """Ten leaves and checkpoints at 4 and 10; restored to 6, gone on to 9 in another incarnation."""
    before = [leaf(number) for number in range(10)]
    after = [*before[:6], restored(SECOND if named else None), leaf(100), leaf(101)]
    notes = [head(before, 4), head(before, 10), head(after, 8, SECOND), head(after, 9, SECOND)]
    return after, list(notes)


@pytest.mark.parametrize("named", [True, False])
def test_what_was_signed_beyond_a_restore_is_superseded(named: bool) -> None:
    leaves, notes = restored_ledger(named)
    found = judge(leaves, notes)
    assert found.sound
    assert found.covered == 9
    assert "1 checkpoints of a former incarnation" in found.notices[0]


def test_what_was_signed_before_a_restore_still_counts() -> None:
    leaves, notes = restored_ledger()
    edited = [leaf(55), *leaves[1:]]
    later = [head(edited, 8, SECOND), head(edited, 9, SECOND)]
    assert judge(edited, [*notes[:2], *later]).problems == ("entries 0 to 3 are not those of the checkpoint",)


def test_a_shorter_ledger_is_no_restore_unless_the_ledger_says_so() -> None:
    leaves, notes = restored_ledger()
    silent = [one for one in leaves if RESTORED.encode() not in one]
    later = [head(silent, 7, SECOND), head(silent, 8, SECOND)]
    assert "missing at the end" in judge(silent, [*notes[:2], *later]).problems[-1]


def test_another_restore_does_not_excuse_this_one() -> None:
    """A leaf that names the incarnation it began cannot stand for the end of the same."""
    leaves = [restored(FIRST), *(leaf(number) for number in range(5))]
    notes = [head([*leaves, leaf(50), leaf(51)], 8, FIRST), head(leaves, 6, SECOND)]
    assert not judge(leaves, notes).sound


def test_an_incarnation_that_ended_does_not_come_back() -> None:
    leaves, notes = restored_ledger()
    found = judge(leaves, [*notes, head(leaves, 9, FIRST)])
    assert any("had ended" in problem for problem in found.problems)
    older = judge(leaves, notes, incarnation=FIRST)
    assert any("an older store was put back" in problem for problem in older.problems)


def test_a_store_that_was_just_restored_has_no_checkpoint_of_its_own_yet() -> None:
    leaves, notes = restored_ledger()
    found = judge(leaves[:7], notes[:2], incarnation=SECOND)
    assert found.sound
    assert found.covered == 0


def test_restored_twice() -> None:
    leaves, notes = restored_ledger()
    again = [*leaves[:8], restored(THIRD), leaf(200)]
    assert judge(again, [*notes, head(again, 10, THIRD)]).sound
    further_back = [*leaves[:3], restored(THIRD), leaf(200)]
    found = judge(further_back, [*notes, head(further_back, 5, THIRD)])
    assert found.sound
    assert "4 checkpoints" in found.notices[0]


def test_a_leaf_that_only_mentions_a_restore_is_no_restore() -> None:
    found = judge([b'{"event":"store_restored"', leaf(1)], [])
    assert found.problems == ("entry 0 is no audit leaf",)
