"""The table of degraded modes: what is in trouble, what each call does then, and the test that shows it.

`docs/degraded-modes.md` is written from here: `python tests/faults/degraded_table.py` prints the document, and a guard
compares the two and looks for every test.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

COLUMNS = (
    "add", "search", "context", "consent", "delete", "erase", "forget cycle",
    "the caller sees", "the operator sees", "how it recovers",
)  # fmt: skip
DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "degraded-modes.md"
REDIS, COLD, STATE, DISK = (f"test_degraded_{name}.py" for name in ("redis", "cold", "state", "disk"))


@dataclass(frozen=True, slots=True)
class Cell:
    """What is promised, and the tests (file::function or file::function[parameter]) that show it."""

    text: str
    tests: tuple[str, ...]


Row = tuple[Cell, ...]

GOES_ON = "as ever; the receipt does not name hot"
IN_FORCE = "in force at once, then HotTierError: a sealed copy is left in Redis"


def _redis(name: str, seen: str, *, delete: str, erase: str, back: str) -> Row:
    def cell(text: str, *functions: str) -> Cell:
        return Cell(text, tuple(f"{REDIS}::{function}[{name}]" for function in functions))

    calls = "test_writes_and_reads_go_on"
    withdrawal = "test_withdrawal_is_in_force_at_once_and_finished_when_it_is_back"
    deletion = "test_a_deletion_is_in_force_at_once_and_finished_when_it_is_back"
    volatile = "test_what_is_only_there_is_deleted_or_left_as_it_was"
    erasure = "test_an_erasure_is_refused_or_done_and_finished_when_it_is_back"
    forgetting, told = "test_forgetting_goes_on", "test_the_operator_is_told_once"
    return (
        cell(GOES_ON, calls, "test_closing_in_trouble_loses_nothing"),
        cell("as ever", calls),
        cell("as ever; a session resumes from its durable tail", calls),
        cell(f"grant as ever; withdraw: {delete}", "test_consent_is_given", withdrawal),
        cell(f"{delete}; what is in hot alone is deleted there first, or left as it was", deletion, volatile),
        cell(erase, erasure),
        cell("goes on; copies in Redis are removed at its next turn", forgetting),
        cell(seen, calls),
        cell('`tier_up{tier="hot"}`, `breaker_state`, `errors_total{error="HotTierError"}`', told),
        cell(back, told, withdrawal, deletion, erasure),
    )


INCOMPLETE = "keys destroyed at once, then ErasureIncompleteError: erase again, or reopen"
AFTER = "by itself, at most 2 s after Redis does; what was left there goes with the next removal or cycle"

COLD_CALLS = "test_add_search_and_context_go_on_for_who_is_in_ram"
COLD_OTHERS = "test_who_is_not_in_ram_gets_a_typed_error_and_others_are_served"
STATE_READS = "test_who_is_in_ram_is_answered_and_who_is_not_gets_a_typed_error"
KEY_DAMAGED = "test_a_damaged_key_costs_what_it_sealed_and_nothing_else"
OWN_KEY = "test_without_the_own_key_rights_are_fulfilled_and_no_consent_is_taken"
ROOT_KEY = (
    "test_opening_refused.py::test_a_missing_key_file",
    "test_opening_refused.py::test_a_wrong_root_key",
)


def _cell(file: str, text: str, *functions: str) -> Cell:
    return Cell(text, tuple(f"{file}::{function}" for function in functions))


TABLE: dict[str, Row] = {
    "Redis refused": _redis(
        "refused", "nothing", delete=IN_FORCE, erase=INCOMPLETE, back=f"{AFTER}; the private server is started again"
    ),
    "Redis frozen": _redis(
        "frozen", "one call of up to 0.25 s, then nothing", delete=IN_FORCE, erase=INCOMPLETE, back=AFTER
    ),
    "Redis loading": _redis("loading", "nothing", delete=IN_FORCE, erase=INCOMPLETE, back=AFTER),
    "Redis read-only": _redis("read_only", "nothing", delete=IN_FORCE, erase=INCOMPLETE, back=AFTER),
    "Redis out of memory": _redis(
        "out_of_memory", "nothing", delete="as ever: removals need no memory", erase="as ever", back=AFTER
    ),
    "Redis restarted": _redis(
        "restarted", "nothing; small talk of before the last opening is gone", delete="as ever", erase="as ever",
        back="at once, empty",
    ),
    "Redis slow": _redis(
        "slow", "at most 0.25 s in all, then nothing", delete="as ever, but slow", back=AFTER,
        erase=f"{INCOMPLETE} (what is removed cannot be looked for in time)",
    ),
    "cold failing": (
        _cell(COLD, "acknowledged by the journal as ever", COLD_CALLS, COLD_OTHERS),
        _cell(COLD, "as ever for who is in RAM, else ColdTierError; other users as ever", COLD_CALLS, COLD_OTHERS),
        _cell(COLD, "as search", COLD_CALLS, COLD_OTHERS),
        Cell(
            "grant as ever; withdraw in force at once, then ColdTierError",
            (f"{COLD}::test_consent_is_given",
             "test_backlog_and_cold.py::test_withdrawal_with_a_broken_cold_is_in_force_at_once"),
        ),
        _cell(COLD, "in force at once, then ColdTierError", "test_a_deletion_is_in_force_and_finished_later"),
        _cell(COLD, INCOMPLETE, "test_an_erasure_is_not_called_done_until_it_is"),
        _cell(
            COLD, "forgets as ever; raises ColdTierError for what it could not remove",
            "test_forgetting_goes_on_and_says_what_it_could_not_remove",
        ),
        _cell(COLD, "nothing, or ColdTierError for the user whose table it is", COLD_OTHERS),
        _cell(
            COLD, "`journal_depth_records` and `journal_oldest_unapplied_seconds` grow, "
            "`oldest_overdue_deletion_seconds`, one line in the log for each user",
            "test_the_operator_sees_the_journal_grow",
        ),
        Cell(
            "by itself: the journal is flushed, removals are finished; a full journal refuses (BacklogFullError)",
            ("test_backlog_and_cold.py::test_cold_fails_and_recovers",
             "test_backlog_and_cold.py::test_a_full_journal_refuses_and_loses_nothing"),
        ),
    ),
    "cold full": (
        _cell(DISK, "acknowledged by the journal as ever", "test_a_full_cold_tier_costs_no_acknowledged_word"),
        _cell(DISK, "as ever", "test_a_full_cold_tier_costs_no_acknowledged_word"),
        _cell(DISK, "as ever", "test_a_full_cold_tier_costs_no_acknowledged_word"),
        _cell(
            DISK, "grant as ever; withdraw in force at once, then DiskFullError",
            "test_a_full_cold_tier_takes_and_ends_consents",
        ),
        _cell(
            DISK, "in force at once, then DiskFullError",
            "test_with_a_full_cold_tier_a_deletion_is_in_force_and_finished_later",
        ),
        _cell(DISK, "as ever: dropping needs no room", "test_with_a_full_cold_tier_an_erasure_is_carried_out"),
        _cell(DISK, "as ever; removals wait", "test_with_a_full_cold_tier_forgetting_goes_on"),
        _cell(DISK, "nothing, or DiskFullError", "test_a_full_cold_tier_takes_and_ends_consents"),
        _cell(COLD, "as with cold failing", "test_the_operator_sees_the_journal_grow"),
        _cell(DISK, "by itself once there is room", "test_a_full_cold_tier_costs_no_acknowledged_word"),
    ),
    "state store failing": (
        _cell(STATE, "StateStoreError: nothing of it was stored", "test_nothing_is_acknowledged"),
        _cell(STATE, "as ever for who is in RAM, else StateStoreError", STATE_READS),
        _cell(STATE, "as search", STATE_READS),
        _cell(STATE, "StateStoreError: nothing changed", "test_consents_do_not_change"),
        _cell(STATE, "StateStoreError: nothing changed", "test_a_deletion_is_refused_and_changes_nothing"),
        _cell(
            STATE, "StateStoreError: nothing changed; once begun ErasureIncompleteError",
            "test_an_erasure_is_refused_and_can_be_repeated",
            "test_an_erasure_that_loses_its_store_half_way_is_finished",
        ),
        _cell(STATE, "StateStoreError: nothing changed", "test_forgetting_waits"),
        _cell(STATE, "StateStoreError", "test_nothing_is_acknowledged", STATE_READS),
        Cell(
            '`errors_total{error="StateStoreError"}`; a damaged page also `corruption_detected_total`; a log '
            "that lost its end is refused at opening (RolledBackError)",
            ("test_damage.py::test_no_flip_is_silently_wrong",
             "test_damage.py::test_a_log_that_lost_its_end_is_refused_wherever_it_was_cut"),
        ),
        _cell(STATE, "with the store; repeat what was refused", "test_consents_do_not_change", "test_forgetting_waits"),
    ),
    "key record damaged": (
        _cell(STATE, "KeyUnavailableError for its purpose, others as ever", KEY_DAMAGED),
        _cell(STATE, "without what it sealed", KEY_DAMAGED),
        _cell(STATE, "without what it sealed", KEY_DAMAGED),
        _cell(
            STATE, "withdraw as ever; grant KeyUnavailableError when it is the user's own key",
            OWN_KEY, "test_withdrawing_and_granting_again_replaces_a_damaged_key",
        ),
        _cell(STATE, "as ever", KEY_DAMAGED, OWN_KEY),
        _cell(STATE, "as ever", "test_who_has_a_damaged_key_can_be_erased"),
        _cell(STATE, "as ever", "test_without_the_own_key_forgetting_goes_on"),
        _cell(STATE, "KeyUnavailableError; `damaged()` names what is unreadable", KEY_DAMAGED),
        _cell(
            STATE, '`corruption_detected_total{store="keyring"}`, then `store="cold"`; an error in the log',
            KEY_DAMAGED, "test_a_damaged_epoch_key_closes_a_tenant_and_not_its_rights",
        ),
        _cell(
            STATE, "from a backup; or withdraw and grant again, which gives the purpose up",
            "test_withdrawing_and_granting_again_replaces_a_damaged_key",
        ),
    ),
    "root key missing": tuple(
        Cell(text, ROOT_KEY)
        for text in (
            *["the store does not open"] * 7,
            "RootKeyError, which says what to do; nothing was changed",
            "the process does not start",
            "put the key back",
        )
    ),
    "disk full": (
        _cell(
            DISK, "DiskFullError: nothing of it was stored",
            "test_what_does_not_fit_is_refused_whole_and_reading_goes_on",
        ),
        _cell(DISK, "as ever", "test_what_does_not_fit_is_refused_whole_and_reading_goes_on"),
        _cell(DISK, "as ever", "test_what_does_not_fit_is_refused_whole_and_reading_goes_on"),
        _cell(
            DISK, "grant as ever from the reserve, then DiskFullError; withdraw as ever from the reserve",
            "test_a_consent_is_taken_or_refused_in_so_many_words", "test_a_withdrawal_is_carried_out",
        ),
        _cell(DISK, "as ever, from the reserve", "test_a_deletion_is_carried_out"),
        _cell(
            DISK, "as ever, from the reserve; a store that was closed opens for it",
            "test_an_erasure_is_carried_out", "test_a_store_on_a_full_disk_opens_and_erases",
        ),
        _cell(
            DISK, "DiskFullError, or from the reserve; nothing is lost",
            "test_forgetting_waits_or_goes_on_and_loses_nothing",
        ),
        _cell(DISK, "DiskFullError", "test_what_does_not_fit_is_refused_whole_and_reading_goes_on"),
        _cell(
            DISK, '`errors_total{error="DiskFullError"}`',
            "test_what_does_not_fit_is_refused_whole_and_reading_goes_on",
        ),
        _cell(
            DISK, "by itself once there is room; the reserve is taken again with the next removal or opening",
            "test_what_does_not_fit_is_refused_whole_and_reading_goes_on",
        ),
    ),
}  # fmt: skip

INTRODUCTION = """\
# Degraded modes

What the library does while something below it is in trouble. Each cell is a promise with a test; the list below the
table names them. The table is written from `tests/faults/degraded_table.py`, which is the place to change it.

Three rules stand behind it. A tier that only makes things faster may be missing without a caller noticing. What is
acknowledged is on disk, so what cannot get there is refused. A right (withdrawing, deleting, erasing) is in force as
soon as the call returns or raises one of the errors named here; the error says that bytes are left somewhere, and
they are removed when that place is back.
"""

NOTES = """\
## Notes

- Metrics carry the prefix `tiered_memory_`. The figures for Redis (first call at most 250 ms, p99 at most 50 ms with
  the breaker open, back within 2 s) are measured by `python -m benchmarks faults`, which also puts connections
  through a proxy that stalls, resets, half closes, garbles and narrows them.
- The breaker opens after three refusals in a row, or as soon as answers that came late or never cost 0.1 s together.
  It stays open for a second; then a probe looks, and no caller waits for it. Removals that must not fail are tried
  with the breaker open as well.
- A copy that a deletion left in Redis is sealed and is not read again: what hot holds of a memory that lasts is never
  an answer, and a snapshot of a session names only what is held. It goes when Redis is back, or with its time to
  live. The list of such users is kept in RAM; after a restart what is found of them at their first call is removed.
- Damage: a flipped bit in anything stored is an error of this library's, or a memory that is left out, counted
  (`corruption_detected_total`) and named by `User.damaged()`; it can be deleted. The files beside the state store are
  no exception: `highwater` must verify, `highwater.latest` may be torn by a power cut and then counts for nothing.
- The state store's log: SQLite ends it silently at the first frame that does not verify. The mark in
  `highwater.latest` is written after each commit and before it is acknowledged, so that a log which was damaged or cut
  short is refused (RolledBackError), down to the last acknowledged commit, also after a kill. It is not forced to
  disk: after a power cut that also damaged the log, what was committed since the last opening, closing or erasure
  may be missing without being noticed.
- The clock: durations follow the monotonic clock. If the wall clock is set forward, what falls due by it is forgotten
  and removed, and stays so when it is set back. If it is set back, nothing goes before its date.
"""


def document() -> str:
    """Return the published document."""
    head = f"| in trouble | {' | '.join(COLUMNS)} |"
    rule = "|" + " --- |" * (len(COLUMNS) + 1)
    rows = [f"| **{name}** | {' | '.join(cell.text for cell in row)} |" for name, row in TABLE.items()]
    shown = "\n".join(_shown(name, row) for name, row in TABLE.items())
    return f"{INTRODUCTION}\n{head}\n{rule}\n" + "\n".join(rows) + f"\n\n{NOTES}\n## Tests\n\n{shown}\n"


def _shown(name: str, row: Row) -> str:
    lines = [f"### {name}\n"]
    for column, cell in zip(COLUMNS, row, strict=True):
        lines.append(f"- {column}: {', '.join(f'`{test}`' for test in cell.tests)}")
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    sys.stdout.write(document())
