"""The words of a correction: what is asked for, checked before anything is computed, and what it comes to."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, TypedDict

from tiered_memory.clock import to_us
from tiered_memory.errors import InvalidInputError
from tiered_memory.formats.record import offset_minutes
from tiered_memory.intake import Accepted, accept, check_count, check_id, check_text
from tiered_memory.model import Interaction, Memory, Sensitivity


class Changes(TypedDict, total=False):
    """What a correction may say besides the new text; what is not given stays as it is.

    `by` says who corrects it. `keep_previous=False` drops the memory's former texts (that it was corrected, when and
    why stays in its history). `expected_version` refuses a memory that somebody changed since it was read.
    """

    metadata: Mapping[str, Any] | None
    occurred_at: datetime | None
    sensitivity: Sensitivity | str | None
    importance: float | None
    by: str | None
    keep_previous: bool
    expected_version: int | None
    operation_id: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A correction as it was asked for; see `Changes`."""

    metadata: Mapping[str, Any] | None = None
    occurred_at: datetime | None = None
    sensitivity: Sensitivity | str | None = None
    importance: float | None = None
    by: str | None = None
    keep_previous: bool = True
    expected_version: int | None = None
    operation_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Correction:
    """A memory after its correction, and the ids of memories derived from it, which may need one as well.

    `affected` names what was derived from it directly or through others, of what is current or superseded.
    `repeated`: it had been done before under this operation id.
    """

    memory: Memory
    affected: tuple[str, ...]
    repeated: bool = False


GIVEN = frozenset({"metadata", "occurred_at", "sensitivity", "importance"})


def checked(reason: str, asked: Asked, reason_bytes: int) -> Asked:
    """Return a request whose plain words are of the sorts it says; raises InvalidInputError."""
    check_text(reason, "reason", reason_bytes)
    if not isinstance(asked.keep_previous, bool):
        raise InvalidInputError("keep_previous must be True or False")
    if asked.expected_version is not None:
        check_count(asked.expected_version, "expected_version", high=2**31)
    if asked.by is not None:
        check_id(asked.by, "by")
    return asked


def fingerprint_of(memory_id: str, content: str, reason: str, asked: Asked) -> bytes:
    """Return a digest (32 bytes) of what makes two corrections the same: everything the caller gave."""
    given = {**asdict(asked), "operation_id": None}
    told = json.dumps(["update", memory_id, content, reason, given], ensure_ascii=False, default=str)
    return hashlib.sha256(told.encode("utf-8", "surrogatepass")).digest()


def accepted_of(
    content: str, asked: Asked, level: Sensitivity, now: datetime, max_content_bytes: int
) -> Accepted:
    """Return what is said as an interaction of the memory's present `level`, or the one given; raises InvalidInputError."""
    given = {key: value for key, value in asdict(asked).items() if value is not None and key in GIVEN}
    said = Interaction(content=content, **{"sensitivity": level, **given})
    return accept(said, now, max_content_bytes)


def changed(accepted: Accepted, asked: Asked) -> dict[str, Any]:
    """Return the values that a correction gives keys of the record."""
    one = accepted.interaction
    values: dict[str, Any] = {"content": one.content}
    if asked.metadata is not None:
        values["metadata"] = dict(one.metadata)
    if asked.occurred_at is not None:
        values["occurred"] = [to_us(accepted.occurred_at), offset_minutes(accepted.occurred_at)]
    if asked.sensitivity is not None:
        values["sensitivity"] = one.sensitivity.value
    if asked.importance is not None:
        values |= {"importance": one.importance, "reasons": ["given with a correction"]}
    return values
