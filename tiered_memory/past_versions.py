"""A memory's former versions as its history shows them."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta, timezone

from tiered_memory.clock import from_us
from tiered_memory.formats.record import decode_fields
from tiered_memory.formats.versions import Version, versions_of
from tiered_memory.held import HeldMemory
from tiered_memory.model import HistoryEntry, Memory, Sensitivity

VERSIONS_KEY = b"\xa8versions"
"""The key of a record's former versions as msgpack writes it."""


def former_versions(held: HeldMemory) -> tuple[Version, ...]:
    """Return what a memory said before it was corrected, oldest first; that it never was is seen without decoding."""
    return versions_of(decode_fields(held.plaintext)) if VERSIONS_KEY in held.plaintext else ()


def entries_of(held: HeldMemory) -> list[HistoryEntry]:
    """Return a memory's versions, oldest first; the last is the present one."""
    memory = held.memory()
    now = HistoryEntry(
        memory=memory,
        valid_from=memory.valid_from or memory.occurred_at,
        valid_to=memory.valid_to,
        superseded_by=memory.superseded_by,
        reason=memory.superseded_because,
    )
    return [*(_former(memory, one) for one in former_versions(held)), now]


def as_it_was(memory: Memory, one: Version) -> Memory:
    """Return a former version of a memory; its text is empty where it was not to stay."""
    moment_us, offset = one.occurred
    return replace(
        memory,
        version=one.version,
        content=one.content or "",
        occurred_at=from_us(moment_us).astimezone(timezone(timedelta(minutes=offset))),
        metadata=one.metadata,
        sensitivity=Sensitivity(one.sensitivity),
    )


def _former(memory: Memory, one: Version) -> HistoryEntry:
    was, until = as_it_was(memory, one), from_us(one.until_us)
    return HistoryEntry(
        memory=was,
        valid_from=memory.valid_from or was.occurred_at,
        valid_to=until,
        superseded_by=None,
        reason=one.reason,
        corrected_at=until,
        corrected_by=one.by,
        text_kept=one.content is not None,
    )
