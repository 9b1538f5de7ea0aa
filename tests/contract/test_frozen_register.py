"""A frozen entry of the register is read as it was entered, where it was entered, and nowhere else."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "golden"))

import frozen
import register_specimens as specimens

from tiered_memory.crypto.keyring import SUBJECT_PURPOSE
from tiered_memory.metrics import CorruptionDetected, RecordingObserver
from tiered_memory.register import Entry, Register
from tiered_memory.state.register import EntryRow

pytestmark = pytest.mark.anyio

PERSON: Any = SimpleNamespace(
    ref=specimens.REF, sealer=specimens.PERSON.sealer, keys={SUBJECT_PURPOSE: specimens.KEY}
)


class OneEntry:
    """Answers every question with one row."""

    def __init__(self, row: EntryRow) -> None:
        self.row = row

    async def read(self, _: object) -> Sequence[EntryRow]:
        return [self.row]


def stored(owner: str) -> EntryRow:
    fields = frozen.stored("register_v1")[owner]
    return EntryRow(**{name: unhexed(value) for name, value in fields.items()})


def unhexed(value: Any) -> Any:
    return bytes.fromhex(value[4:]) if isinstance(value, str) and value.startswith("hex:") else value


async def read(row: EntryRow, owner: str, seen: RecordingObserver) -> list[Entry]:
    core: Any = SimpleNamespace(names=specimens.NAMES, state=OneEntry(row), observer=seen)
    if owner == "person":
        return await Register(core).of(PERSON, row.kind)
    return await Register(core).common(row.owner, row.kind)


@pytest.mark.parametrize("owner", ["person", "tenant", "store"])
async def test_it_is_read_as_it_was_entered(owner: str) -> None:
    seen = RecordingObserver()
    assert await read(stored(owner), owner, seen) == [replace(specimens.ENTRY, version=3)]
    assert list(seen.facts) == []


@pytest.mark.parametrize("owner", ["person", "tenant", "store"])
@pytest.mark.parametrize(
    "elsewhere", [{"entry_id": "0d" * 16}, {"version": 4}, {"kind": "request"}, {"sealed": None}]
)
async def test_moved_or_changed_it_does_not_open(owner: str, elsewhere: dict[str, Any]) -> None:
    row, seen = stored(owner), RecordingObserver()
    if "sealed" in elsewhere:
        elsewhere = {"sealed": row.sealed[:-1] + bytes([row.sealed[-1] ^ 1])}
    assert await read(replace(row, **elsewhere), owner, seen) == []
    assert list(seen.facts) == [CorruptionDetected("state")]


async def test_one_owner_s_entry_is_no_other_s() -> None:
    seen = RecordingObserver()
    assert await read(replace(stored("tenant"), owner=b""), "store", seen) == []
    assert list(seen.facts) == [CorruptionDetected("state")]
