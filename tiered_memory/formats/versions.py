"""What a corrected memory said before: kept inside its record, under the same seal, and never searched.

The optional key `versions` of a record (format 1) is a list of maps, oldest first: `v` (version), `content`
(absent: the text was not to stay), `until` (microseconds since 1970), `why`, and, where they were other than
now, `occurred` and `metadata`; `by` when it was said who corrected it. The newest 20 are kept, and of their texts
256 KiB; of an older one stays that it was corrected, when and why. The optional key `settled` is the order of the
newest memory at the last correction: contradictions up to there were of a text that is no more.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tiered_memory.formats.record import Features, with_features

VERSIONS_KEPT = 20
VERSIONS_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """One former version. `content` is None when its text was not to stay; `until_us` is when it was corrected."""

    version: int
    content: str | None
    until_us: int
    reason: str
    by: str | None
    occurred: tuple[int, int]
    metadata: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Amended:
    """What a correction says: other values for keys of the record, when, why and by whom, and whether texts stay.

    `order` is that of the newest memory: what one up to it said against this memory it said against the old text.
    """

    changes: Mapping[str, Any]
    order: int
    at_us: int
    reason: str
    by: str | None = None
    keep_texts: bool = True


def corrected(fields: Mapping[str, Any], version: int, features: Features, said: Amended) -> bytes:
    """Return the plaintext of the version after `version` of a decoded record."""
    now = {**fields, "conflicts": [], "settled": said.order, **said.changes}
    left: dict[str, Any] = {"v": version, "until": said.at_us, "why": said.reason}
    left |= {key: fields.get(key, {}) for key in ("occurred", "metadata") if fields.get(key) != now.get(key)}
    if said.by is not None:
        left["by"] = said.by
    every = [*fields.get("versions", ()), {**left, "content": fields["content"]}]
    bounded = _bounded(every[-VERSIONS_KEPT:], VERSIONS_BYTES if said.keep_texts else -1)
    return with_features({**now, "versions": bounded}, features)


def _bounded(versions: Sequence[Mapping[str, Any]], most: int) -> list[dict[str, Any]]:
    """Return versions with the newest texts that fit into `most` bytes; below zero not even an empty one does."""
    found, used = list[dict[str, Any]](), 0
    for one in reversed(versions):
        used += len(one.get("content", "").encode())
        found.append({key: value for key, value in one.items() if key != "content" or used <= most})
    return found[::-1]


def kept_versions(versions: Sequence[Version]) -> list[dict[str, Any]]:
    """Return former versions (oldest first) as a record keeps them, within its bounds."""
    found: list[dict[str, Any]] = []
    for one in versions[-VERSIONS_KEPT:]:
        fields: dict[str, Any] = {"v": one.version, "until": one.until_us, "why": one.reason}
        fields |= {"occurred": list(one.occurred), "metadata": dict(one.metadata)}
        fields |= {
            key: value for key, value in (("by", one.by), ("content", one.content)) if value is not None
        }
        found.append(fields)
    return _bounded(found, VERSIONS_BYTES)


def versions_of(fields: Mapping[str, Any]) -> tuple[Version, ...]:
    """Return what a decoded record said before, oldest first; nothing for one that was never corrected."""
    found: list[Version] = []
    occurred, metadata = fields["occurred"], fields.get("metadata", {})
    for one in reversed(fields.get("versions", ())):
        occurred, metadata = one.get("occurred", occurred), one.get("metadata", metadata)
        found.append(
            Version(
                version=one["v"],
                content=one.get("content"),
                until_us=one["until"],
                reason=one["why"],
                by=one.get("by"),
                occurred=(occurred[0], occurred[1]),
                metadata=metadata,
            )
        )
    return tuple(reversed(found))
