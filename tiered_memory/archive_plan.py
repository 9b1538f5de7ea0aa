"""What an import was asked for, what it makes of each memory of an archive, and what it came to."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from tiered_memory.archive import Progress
from tiered_memory.archive_files import ArchiveReader
from tiered_memory.errors import ArchiveError
from tiered_memory.formats import archive as f
from tiered_memory.model import Sensitivity
from tiered_memory.privacy.access import EVERY_LEVEL

LISTED = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportOptions:
    """What a caller asks of an import; see `User.import_archive`."""

    purpose: str | None = None
    public_key: bytes | None = None
    accept_other_subject: bool = False
    progress: Progress | None = None
    levels: frozenset[Sensitivity] = EVERY_LEVEL
    """Of which levels the caller's role may write memories."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """A memory of the archive (by its id there) that was not taken in, and why."""

    id: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportReport:
    """What became of an archive's memories: `added` + `skipped` (held already) + those refused are all of them.

    `refused` counts by reason; `listed` names the first 1000 of them. Of those added, `quarantined` are kept apart.
    """

    archive: str
    added: int
    skipped: int
    refused: Mapping[str, int]
    listed: tuple[Refusal, ...] = ()
    quarantined: int = 0


@dataclass(slots=True)
class Plan:
    """What is to be done with each memory, by the id it has in the archive."""

    ids: dict[str, str] = field(default_factory=dict)
    """The id each has here, or will have."""
    levels: dict[str, tuple[str, Sensitivity]] = field(default_factory=dict)
    wanted: set[str] = field(default_factory=set)
    trust: dict[str, float] = field(default_factory=dict)
    """What each may be trusted here at most, where that is less than the archive says."""
    apart: dict[str, str] = field(default_factory=dict)
    """Why those are quarantined that were not where they were exported."""
    quarantined: set[str] = field(default_factory=set)
    """Those kept apart, here or already there."""
    settled: dict[str, int] = field(default_factory=dict)
    """Up to which order each was corrected: what older ones said against it, they said against another text."""
    skipped: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    listed: list[Refusal] = field(default_factory=list)

    def refuse(self, memory_id: str, reason: str) -> None:
        """Leave one out, and say why."""
        self.wanted.discard(memory_id)
        self.ids.pop(memory_id, None)
        self.refused[reason] += 1
        if len(self.listed) < LISTED:
            self.listed.append(Refusal(memory_id, reason))


def archived_ceilings(reader: ArchiveReader) -> dict[Sensitivity, float]:
    """Return the ceilings in days under which the archive's memories were held; none where it does not say."""
    if f.RETENTION not in reader.manifest.files:
        return {}
    try:
        rules = json.loads(b"".join(reader.lines(f.RETENTION)))["rules"]
        days = {Sensitivity(level): rule["ceiling_days"] for level, rule in rules.items()}
        return {level: float(one) for level, one in days.items() if one is not None}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ArchiveError(f"the archive's {f.RETENTION} cannot be read; nothing was stored") from error
